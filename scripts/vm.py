#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Boots a test kernel, runs one command in it and reports the result.

  scripts/vm.py --target um -- cat /proc/version
  scripts/vm.py --target x86_64 --module shadow_rmap.ko -- scripts/guest/demo.sh
  scripts/vm.py --target um --shell [kunit] [torture]

A shell finds the module loaded, and rmapctl, the samples and the modules that are named in its
folder. Otherwise COMMAND is a shell command line (one argument), a program with arguments, or a *.sh
file of this machine, which is copied into the guest with its arguments. It runs in the folder that holds the
module and every --file. What it writes to the folder $OUT comes back to --out.

A guest that has not booted after a minute is started again, with twice the time. vm.json and the
last line count these restarts.

Exit status: that of the command, or
    3  the kernel reported a problem (table SPLATS); its first line is shown
  124  the time limit was reached
  125  the guest ended without a status
  126  nothing was run: wrong arguments, no kernel, no boot, or the module did not load; or with
       --kmemleak, the kernel does not look for leaks
`vm.json` in --out says the same, and cannot be confused with the status of the command.
"""

import math
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import (CACHE, CORES, OUT, SCRIPTS, TARGETS, TOP, Mistake, command_line, exit_on_sigterm,
                    follow, kernel_folder, machine, modules, read, script_lines, stop, write_json)
from splats import Splats

EXIT_SPLAT, EXIT_TIME, EXIT_DIED, EXIT_SETUP = 3, 124, 125, 126

# After a report of the kernel the run has failed, and what is blocked may stay blocked: so many
# seconds remain to finish, so that the results and the whole report are delivered.
SPLAT_GRACE = 60

# The first line of scripts/guest/init.sh. A guest that does not print it in so many seconds is
# started again; each of so many boots has twice the time of the one before. On a busy machine the
# emulated x86_64 has been seen to hang while the kernel set up its devices.
BOOTED, BOOT_LIMIT, BOOTS = "vm: booted", 60, 4

def note(target, text):
    print(f"vm: {target}: {text}", file=sys.stderr, flush=True)


def find_program(name):
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not path:
        raise Mistake(f"{name} is not installed; run scripts/setup.sh")
    return path


def kernel_image(args):
    build = args.kernel or kernel_folder(args.target)
    image = Path(build) / ("linux" if args.is_um else "arch/x86/boot/bzImage")
    if not image.is_file():
        raise Mistake(f"{image}: no such kernel")
    return image.resolve()


def stage(args, top):
    """Writes below `top` the files that the guest finds in /run/vm."""
    inside = top / "in"
    inside.mkdir(parents=True)
    (top / "out").mkdir()
    shutil.copy2(SCRIPTS / "guest/init.sh", top / "init.sh")
    (top / "init.sh").chmod(0o755)
    files, command = list(args.file), args.command
    if args.module:
        files.append(args.module)
    if command and command[0].endswith(".sh") and Path(command[0]).is_file():
        files.append(command[0])
        command = ["sh", f"./{Path(command[0]).name}", *command[1:]]
    for spec in files:
        source, _, dest = str(spec).partition(":")
        target = Path(os.path.normpath(inside / (dest or Path(source).name)))
        if not Path(source).is_file():
            raise Mistake(f"{source}: no such file")
        if inside not in target.parents:
            raise Mistake(f"{dest}: the guest's name of a file is relative, without ..")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
    settings = {
        "VM_TARGET": "um" if args.is_um else "x86_64",
        "VM_OUT": args.out if args.is_um else "",
        "VM_KMEMLEAK": "1" if args.kmemleak else "",
        "VM_SHELL": "1" if args.shell else "",
        "VM_MODULE": Path(args.module).name if args.module else "",
        "VM_MODULE_ARGS": args.module_args,
        "VM_COMMAND": command[0] if len(command) == 1 else shlex.join(command),
    }
    (top / "vm.env").write_text(
        "".join(f"{key}={shlex.quote(str(value))}\n" for key, value in settings.items()))


# Warnings and errors reach the console: `quiet` alone would hide warnings, and is here for UML's
# own messages. The buffer keeps a whole run. What the guest writes to /dev/kmsg is not limited.
# Only the module's KUnit suites run, not the kernel's.
# /proc/PID/mem may write to pages that are not writable: the word `poke ... force` does.
COMMON_ARGS = ("quiet loglevel=5 log_buf_len=4M printk.devkmsg=on panic=-1 "
               "proc_mem.force_override=always kunit.filter_glob=shadow_rmap_*")


def kernel_args(args):
    # Kmemleak costs time. It takes an old pointer for a use, and the allocator leaves old pointers
    # in its per-CPU arrays (which a cache with a debug flag does not have) and in the objects that
    # it returns (unless they are zeroed). With both avoided 19 of 20 lost objects were reported,
    # otherwise none. Neither touches a type-safe cache, so objects are recycled as before; such a
    # cache reports its own leaks when it is destroyed.
    leaks = ["slab_debug=F,kmalloc-*", "init_on_alloc=1"] if args.kmemleak else ["kmemleak=off"]
    return [*COMMON_ARGS.split(), *leaks, *args.append.split()]


def um_command(args, image, work):
    stage(args, work / "vm")
    if re.search(r"[\s,\"]", f"{work}{args.out}"):
        raise Mistake(f"{work} or {args.out}: a name that a kernel command line cannot hold")
    # The root is the one of this machine, so it is read-only; `noreboot` turns a panic into an
    # exit.
    return [str(image), f"mem={args.megabytes}M", f"ncpus={args.cpus}", "con=null",
            "con0=fd:0,fd:1", "ssl=null", "seccomp=on", "root=/dev/root", "rootfstype=hostfs",
            "rootflags=/", "ro", "noreboot", f"uml_dir={work}", f"init={work}/vm/init.sh", *kernel_args(args)]


# When the machine pauses the emulation the kernel measures the frequency of the TSC wrongly: 84 and
# 409 MHz were seen instead of 2,600 in 2 of 22 boots with random pauses of 50 ms. Then its clock is
# 31 times too fast, and time limits in the guest mean nothing; with a frequency that is too high
# the boot hangs in delays. So the clock is the HPET, whose frequency is known, and delays have a
# fixed length.
X86_64_ARGS = "console=ttyS0 rdinit=/run/vm/init.sh clocksource=hpet tsc=unstable lpj=10000000"


def x86_64_command(args, image, work):
    root = work / "root"
    stage(args, root / "run/vm")
    (root / "bin").mkdir()
    shutil.copy2(find_program("busybox"), root / "bin/busybox")
    (root / "bin/sh").symlink_to("busybox")
    names = "\n".join(str(p.relative_to(root)) for p in sorted(root.rglob("*"))) + "\n"
    with open(work / "initramfs", "wb") as archive:
        subprocess.run([find_program("cpio"), "--quiet", "-o", "-H", "newc", "-R", "0:0"],
                       input=names.encode(), stdout=archive, cwd=root, check=True)
    serial = "mon:stdio" if args.shell else "stdio"
    # Debian's kernel is preempted as Debian has it.
    preempt = [] if args.target == "debian" else ["preempt=full"]
    # A comma in a name is written twice.
    socket = str(args.qmp).replace(",", ",,")
    monitor = ["-qmp", f"unix:{socket},server=on,wait=off"] if args.qmp else []
    # /dev/kvm may exist and still not start a guest, so it is not tried.
    return [find_program("qemu-system-x86_64"), "-accel", "tcg,thread=multi",
            *cpus_and_memory(args), "-display", "none", "-no-reboot",
            "-nodefaults", "-serial", serial, "-serial", f"file:{work}/results", *monitor,
            "-kernel", str(image), "-initrd", str(work / "initramfs"),
            "-append", " ".join([*X86_64_ARGS.split(), *preempt, *kernel_args(args)])]


def cpus_and_memory(args):
    """With --nodes, each CPU is a socket and a node of its own, with its part of the memory."""
    if not args.nodes:
        return ["-smp", str(args.cpus), "-m", f"{args.megabytes}M"]
    words = ["-smp", f"{args.nodes},sockets={args.nodes}", "-m", f"{args.megabytes}M"]
    for n in range(args.nodes):
        words += ["-object", f"memory-backend-ram,id=m{n},size={args.megabytes // args.nodes}M",
                  "-numa", f"node,nodeid={n},cpus={n},memdev=m{n}"]
    return words


def um_environment(args, work):
    """UML maps its memory, a file, executable: by default in /dev/shm, which is often small or noexec
    in a container."""
    env = dict(os.environ, HOME=str(work))
    try:
        shm = os.statvfs("/dev/shm")
        good = shm.f_bavail * shm.f_frsize > args.megabytes << 20 and not shm.f_flag & os.ST_NOEXEC
    except OSError:
        good = False
    env["TMPDIR"] = "/dev/shm" if good else str(work)
    return env


def unpack_results(args, work):
    """Unpacks the gzipped tar archive that x86_64 sends through its second serial port."""
    results = work / "results"
    if not results.is_file() or not results.stat().st_size:
        return
    done = subprocess.run(["tar", "-xzf", results, "-C", args.out, "--no-same-owner",
                           "--no-same-permissions"], stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        note(args.target, f"the results are incomplete: {done.stderr.strip()}")


def watch(process, args, splats, log, observe=None, boot_limit=0):
    """Copies the console until the guest ends. Returns None, "time" or "boot": the limit reached.

    `observe` is called with each line, and with None when there was none for a second. It may
    return how many seconds the guest has left from then on.
    """
    begin, booted, graced = time.monotonic(), not boot_limit, False
    deadline = begin + (boot_limit or args.time_limit or math.inf)
    for line in follow(process, log, not args.quiet):
        now = time.monotonic()
        if now >= deadline:
            return "boot" if not booted else None if graced else "time"
        grace = observe(line) if observe else None
        if line is None:
            continue
        if not booted and BOOTED in line:
            booted, deadline = True, now + (args.time_limit or math.inf)
        if (bad := splats.feed(line)) and not graced:
            if not observe:
                note(args.target, f"splat: {bad}")
            grace = SPLAT_GRACE if grace is None else min(grace, SPLAT_GRACE)
        if grace is not None and now + grace < deadline:
            deadline, graced, booted = now + grace, True, True
    return None


def shell(command, args, env):
    """Runs a guest with the terminal as its console."""
    import termios
    saved = termios.tcgetattr(0) if sys.stdin.isatty() else None
    try:
        subprocess.run(command, env=env, timeout=args.time_limit or None, check=False)
        return None
    except subprocess.TimeoutExpired:
        return "time"
    finally:
        if saved:
            termios.tcsetattr(0, termios.TCSADRAIN, saved)


def boot(command, args, env, splats, observe):
    """Starts the guest, again when it does not boot. Returns (limit reached, restarts)."""
    if args.shell:
        return shell(command, args, env), 0
    for restarts in range(BOOTS):
        with open(args.log, "w", encoding="utf-8") as log:
            # The input of the console is a pipe that stays open and empty.
            process = subprocess.Popen(command, env=env, stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                       start_new_session=True)
            try:
                limit = watch(process, args, splats, log, observe, BOOT_LIMIT << restarts)
            finally:
                stop(process, gently=False)
        if limit != "boot" or splats.bad or restarts == BOOTS - 1:
            return limit, restarts
        last = (read(args.log).splitlines() or [""])[-1]
        note(args.target, f"no boot in {BOOT_LIMIT << restarts} s, started again; last line: {last}")
        args.log.replace(args.log.with_name(f"{args.log.name}.boot{restarts + 1}"))


def judge(args, limit, splats):
    """Returns (exit status, reason, text): the worst first."""
    for line in read(args.out / "dmesg.txt").splitlines():
        splats.feed(line)
    try:
        phase, code = (args.out / "status").read_text().split()
    except (OSError, ValueError):
        phase, code = None, 0
    if splats.bad:
        return EXIT_SPLAT, "splat", f"splat: {splats.bad[0]['line']}"
    if limit == "boot":
        return EXIT_SETUP, "boot", f"no boot in {BOOTS} attempts"
    if limit:
        return EXIT_TIME, "time-limit", f"the time limit of {args.time_limit} s was reached"
    if phase is None:
        return EXIT_DIED, "died", "the guest ended without a status"
    if phase != "command":
        return EXIT_SETUP, phase, f"{phase} failed in the guest (exit status {code})"
    return int(code), "exit", f"exit status {code}"


def run(args, observe=None):
    """Boots and judges; `observe` sees the console meanwhile (see watch()) and does the reporting."""
    args.out.mkdir(parents=True, exist_ok=True)
    for name in ("status", "dmesg.txt", "vm.json"):
        (args.out / name).unlink(missing_ok=True)
    image = kernel_image(args)
    CACHE.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="vm-", dir=CACHE))
    splats = Splats()
    begin = time.monotonic()
    try:
        if args.is_um:
            command, env = um_command(args, image, work), um_environment(args, work)
        else:
            command, env = x86_64_command(args, image, work), None
        limit, restarts = boot(command, args, env, splats, observe)
        unpack_results(args, work)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    code, reason, text = judge(args, limit, splats)
    seconds = round(time.monotonic() - begin, 1)
    write_json(args.out / "vm.json", {
        "target": args.target, "exit": code, "reason": reason, "text": text, "seconds": seconds,
        "restarts": restarts, "splats": splats.bad})
    if not observe and (reason != "exit" or not args.quiet):
        again = f", started {restarts + 1} times" if restarts else ""
        note(args.target, f"{text} ({seconds} s{again})")
    return code


def add_lab(args):
    """Builds what belongs into a shell's folder. The words are those of scripts/module.sh."""
    built = modules(args.target, *args.command)
    args.module = built.pop("shadow_rmap")
    args.file += [*map(str, built.values()), f"{script_lines('rmapctl.sh')[-1]}:rmapctl",
                  *map(str, (TOP / "samples").glob("*.scn"))]
    args.command = []


def parse(argv):
    parser = command_line(__doc__, usage="scripts/vm.py --target TARGET [options] -- COMMAND ARGS...")
    add = parser.add_argument
    add("--target", choices=[*TARGETS, "debian"], required=True,
        help="User-Mode Linux, or in QEMU x86_64 or Debian's own; the kernels of scripts/kernel.sh")
    add("--kernel", metavar="DIR", help="kernel build folder (default: scripts/kernel.sh TARGET)")
    add("--time-limit", type=float, metavar="SECS", help="from boot to end, default 120; none with --shell")
    add("--module", metavar="FILE.ko", help="loaded before the command")
    add("--module-args", default="", metavar="'K=V ...'")
    add("--file", action="append", default=[], metavar="SRC[:DEST]",
        help="copied beside the command; may be repeated")
    add("--out", type=Path, metavar="DIR", help="results (default: out/vm-TARGET)")
    add("--append", default="", metavar="ARGS", help="more kernel arguments; the last one wins")
    add("--cpus", type=int,
        help="default: those of this machine, 2 to 4: each is a busy thread of it")
    add("--nodes", type=int, choices=(2, 4), help="so many memory nodes with a CPU each (QEMU)")
    add("--kmemleak", action="store_true", help="look for leaked memory after the command")
    add("--qmp", type=Path, metavar="SOCKET", help="where the monitor of QEMU listens")
    add("--quiet", action="store_true", help="the console goes to the log only")
    add("--shell", action="store_true", help="an interactive shell; the modules are built")
    add("command", nargs="*", metavar="COMMAND")
    args = parser.parse_args(argv)
    if not args.command and not args.shell:
        parser.error("give a command after --, or --shell")
    args.is_um = machine(args.target) == "um"
    if args.is_um and args.qmp:
        parser.error("--qmp: User-Mode Linux has no monitor")
    if args.is_um and args.nodes:
        parser.error("--nodes: User-Mode Linux has one node")
    args.cpus = args.cpus or min(4, max(2, CORES))
    args.megabytes = 512 if args.is_um else 2048 if "kasan" in args.target else 1024
    if args.time_limit is None:
        args.time_limit = 0 if args.shell else 120
    args.out = (args.out or OUT / f"vm-{args.target}").resolve()
    args.log = args.out / "console.log"
    return args


def main():
    args = parse(sys.argv[1:])
    exit_on_sigterm()
    try:
        if args.shell:
            add_lab(args)
        return run(args)
    except Mistake as error:
        note(args.target, str(error))
        write_json(args.out / "vm.json", {"exit": EXIT_SETUP, "reason": "setup", "text": str(error)})
        return EXIT_SETUP
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())

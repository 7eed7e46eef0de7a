#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Boots a test kernel, runs one command in it and says how it went.

  scripts/vm.py --target um -- cat /proc/version
  scripts/vm.py --target x86_64 --module shadow_rmap.ko -- scripts/guest/demo.sh
  scripts/vm.py --target um --module shadow_rmap.ko --shell

COMMAND is a shell command line (one argument), a program with arguments, or a *.sh file of this
machine, which is copied into the guest with its arguments.  It runs in the folder that holds the
module and every --file; $OUT (also $RMAP_OUT) is the folder whose content comes back to --out.

Exit status: the command's own, or
    3  the kernel complained (the table SPLATS); the first line is named
    4  an --expect-splat never came
  124  the time limit was reached
  125  the guest went away without delivering a status
  126  nothing was run: wrong arguments, no kernel, or the module did not load
`vm.json` in --out has the same in a form that cannot be mistaken for the command's own status.
"""

import argparse
import gzip
import io
import json
import os
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent
TARGETS = ("um", "um-bench", "x86_64", "x86_64-kasan", "x86_64-kasan-recycle")
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "shadow-rmap"

EXIT_SPLAT, EXIT_NO_SPLAT, EXIT_TIME, EXIT_DIED, EXIT_SETUP = 3, 4, 124, 125, 126

# After a complaint the run has failed, and what is locked up may stay so: it gets this long to
# finish, so that its results and the whole report can still be had.
SPLAT_GRACE = 60

# What printk puts before a message: a level where /dev/kmsg is read raw, the time, and with
# CONFIG_PRINTK_CALLER who printed.  Only what follows it is looked at, so a user program cannot
# raise a false alarm; a program that left its line unfinished cannot hide a real one, because
# the prefix may stand anywhere in the line.
PREFIX = re.compile(r"\[ *\d+\.\d{6}\](?:\[ *[TC]\d+\])? ")

# name, pattern that the message has to begin with, sample.  The first match names the splat, so
# the particular comes before the general.
SPLATS = (
    ("KASAN", r"(BUG: )?KASAN: ", "BUG: KASAN: slab-use-after-free in walk+0x1c/0x90"),
    ("KASAN", r"(BUG: )?KASAN: ", "KASAN: null-ptr-deref in range [0x08-0x0f]"),
    ("UBSAN", r"UBSAN: ", "UBSAN: array-index-out-of-bounds in mm/rmap.c:1:2"),
    ("lockdep: circular", r"(WARNING: |INFO: )?possible circular locking",
     "WARNING: possible circular locking dependency detected"),
    ("lockdep: recursive", r"(WARNING: |INFO: )?possible recursive locking",
     "WARNING: possible recursive locking detected"),
    ("lockdep: irq inversion", r"(WARNING: |INFO: )?possible irq lock inversion",
     "WARNING: possible irq lock inversion dependency detected"),
    ("lockdep: irq order", r"WARNING: .*safe -> .*unsafe lock order",
     "WARNING: HARDIRQ-safe -> HARDIRQ-unsafe lock order detected"),
    ("lockdep: state", r"(WARNING: |INFO: )?inconsistent lock state",
     "WARNING: inconsistent lock state"),
    ("lockdep: RCU", r"(WARNING: |INFO: )?suspicious RCU usage",
     "WARNING: suspicious RCU usage"),
    ("lockdep: unlock", r"(WARNING: )?bad unlock balance", "WARNING: bad unlock balance detected!"),
    ("lockdep: freed", r"(WARNING: )?held lock freed", "WARNING: held lock freed!"),
    ("lockdep: wait context", r"(\[ )?BUG: Invalid wait context", "[ BUG: Invalid wait context ]"),
    ("lockdep: itself", r"DEBUG_LOCKS_WARN_ON", "DEBUG_LOCKS_WARN_ON(lock->magic != lock)"),
    ("lockdep: key", r"INFO: trying to register non-static key",
     "INFO: trying to register non-static key."),
    ("lockdep", r"INFO: possible ", "INFO: possible reason: unannotated irqs-off."),
    ("sleeping while atomic", r"(BUG: )?sleeping function called from invalid context",
     "BUG: sleeping function called from invalid context at kernel/locking/rwsem.c:1"),
    ("RCU stall", r"(rcu: )?INFO: rcu\w* (self-)?detected",
     "rcu: INFO: rcu_preempt self-detected stall on CPU"),
    ("RCU stall", r"(rcu: )?INFO: rcu\w* (self-)?detected",
     "rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: {"),
    ("hung task", r"INFO: task .* blocked",
     "INFO: task rmapctl:91 blocked for more than 60 seconds."),
    ("lockup", r"(watchdog: |NMI watchdog: )?(BUG: soft lockup|Watchdog detected hard LOCKUP)",
     "watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [torture:77]"),
    ("memory leak", r"(kmemleak: )?unreferenced object",
     "kmemleak: unreferenced object 0xffff888001234567 (size 88):"),
    ("refcount", r"refcount_t: ", "refcount_t: underflow; use-after-free."),
    ("list corruption", r"list_(add|del) corruption", "list_add corruption. next->prev should be"),
    ("list corruption", r"list_(add|del) corruption",
     "list_del corruption, ffff->next is LIST_POISON1"),
    ("object debugging", r"ODEBUG: ", "ODEBUG: free active (active state 0) object type: rcu_head"),
    ("Rust panic", r"(rust_kernel: )?panicked at", "rust_kernel: panicked at rust/rmap/walk.rs:1:2:"),
    ("BUG", r"[kK]ernel BUG at", "kernel BUG at mm/rmap.c:123!"),
    ("slab: objects remain", r"(BUG .*|.*: )?(Objects remaining|Slab cache still has objects)",
     "BUG shadow_rmap_anon_vma (Tainted: G): Objects remaining on __kmem_cache_shutdown()"),
    ("slab: objects remain", r"(BUG .*|.*: )?(Objects remaining|Slab cache still has objects)",
     "kmem_cache_destroy shadow_rmap_anon_vma: Slab cache still has objects when called from f+0x1"),
    ("slab", r"(slab error|BUG \S+ \()", "slab error in cache_free_debugcheck(): cache `x': overwritten"),
    ("slab", r"(slab error|BUG \S+ \()", "BUG shadow_rmap_anon_vma (Tainted: G): Poison overwritten"),
    ("general protection", r"(Oops: )?general protection",
     "Oops: general protection fault, probably for non-canonical address 0x6b6b: 0000 [#1]"),
    ("Oops", r"Oops", "Oops: 0002 [#1] SMP"),
    ("panic", r"Kernel panic", "Kernel panic - not syncing: Segfault with no mm"),
    ("BUG", r"BUG: ", "BUG: unable to handle page fault for address: 0000000000001000"),
    ("WARNING", r"WARNING: ", "WARNING: CPU: 0 PID: 1 at kernel/fork.c:1 f+0x1/0x2"),
)
SPLATS_COMPILED = [(name, re.compile(pattern)) for name, pattern, _ in SPLATS]


def find_splat(line):
    """Returns (name, message) when a console or dmesg line is a complaint of the kernel."""
    for prefix in PREFIX.finditer(line):
        message = line[prefix.end():]
        for name, pattern in SPLATS_COMPILED:
            if pattern.match(message):
                return name, message.strip()
    return None


# Complaints of a target's own boot: first line, a line soon after it, why it is none of ours.
KNOWN = (
    (re.compile("suspicious RCU usage"), re.compile("Callback enqueued on offline CPU"),
     "UML frees a thread argument on a CPU that is not yet online; kmemleak notes it with call_rcu()"),
)
KNOWN_WITHIN = 5


class Splats:
    """Collects complaints; console and dmesg show the same ones, each is kept once."""

    def __init__(self, expect, allow):
        self.expect, self.allow = expect, allow
        self.bad, self.expected = [], []
        self.held = None

    def feed(self, line):
        """Returns the message when a complaint is complete that nobody asked for.

        One that may be KNOWN is held back until the lines that follow have decided.
        """
        if self.held:
            found, second, left = self.held
            if second.search(line):
                self.held = None
                return None
            self.held = (found, second, left - 1) if left > 1 else None
            if not self.held:
                return self.keep(found)
        found = find_splat(line)
        if not found:
            return None
        for first, second, _ in KNOWN:
            if first.search(found[1]):
                self.held = (found, second, KNOWN_WITHIN)
                return None
        return self.keep(found)

    def finish(self):
        """No more lines: what was held back counts."""
        held, self.held = self.held, None
        return self.keep(held[0]) if held else None

    def keep(self, found):
        entry = {"name": found[0], "line": found[1]}
        wanted = any(r.search(found[1]) for r in self.expect + self.allow)
        known = self.expected if wanted else self.bad
        if entry not in known:
            known.append(entry)
            return None if wanted else found[1]
        return None

    def missing(self):
        """The expected ones that did not come."""
        return [r.pattern for r in self.expect
                if not any(r.search(s["line"]) for s in self.expected)]


def note(target, text):
    print(f"vm: {target}: {text}", file=sys.stderr, flush=True)


class SetupError(Exception):
    """Nothing could be run."""


def find_program(name):
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not path:
        raise SetupError(f"{name} is not installed; run scripts/setup.sh")
    return path


def is_um(args):
    return (args.target or "").startswith("um")


def kernel_image(args):
    build = args.kernel
    if not build:
        done = subprocess.run([SCRIPTS / "kernel.sh", args.target], stdout=subprocess.PIPE,
                              stdin=subprocess.DEVNULL, text=True, check=False)
        if done.returncode:
            raise SetupError(f"scripts/kernel.sh {args.target} failed")
        build = done.stdout.split("\n")[-2]
    image = Path(build) / ("linux" if is_um(args) else "arch/x86/boot/bzImage")
    if not image.is_file():
        raise SetupError(f"{image}: no such kernel")
    return image.resolve()


def stage(args, top):
    """Lays out below `top` what the guest finds in /run/vm."""
    inside = top / "in"
    inside.mkdir(parents=True)
    (top / "out").mkdir()
    shutil.copy2(SCRIPTS / "guest/init.sh", top / "init.sh")
    (top / "init.sh").chmod(0o755)

    def copy(source, dest):
        source = Path(source)
        if not source.is_file():
            raise SetupError(f"{source}: no such file")
        target = Path(os.path.normpath(inside / dest))
        if inside not in target.parents:
            raise SetupError(f"{dest}: the guest's name of a file is relative, without ..")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
        return target

    for spec in args.file:
        source, _, dest = spec.partition(":")
        copy(source, dest or Path(source).name)

    settings = {
        "VM_TARGET": args.target.partition("-")[0],
        "VM_OUT": args.out if is_um(args) else "",
        "VM_KMEMLEAK": "1" if args.kmemleak else "",
        "VM_SHELL": "1" if args.shell else "",
        "VM_MODULE": "",
        "VM_MODULE_ARGS": args.module_args,
    }
    if args.module:
        copy(args.module, Path(args.module).name)
        settings["VM_MODULE"] = Path(args.module).name
    command = args.command
    if command and command[0].endswith(".sh") and Path(command[0]).is_file():
        name = Path(command[0]).name
        copy(command[0], name)
        command = ["sh", "./" + name] + command[1:]
    settings["VM_COMMAND"] = command[0] if len(command) == 1 else shlex.join(command)
    (top / "vm.env").write_text(
        "".join(f"{key}={shlex.quote(str(value))}\n" for key, value in settings.items()))


# Warnings and worse reach the console: `quiet` alone would hide warnings, and is here for UML's own
# greeting.  The buffer keeps a whole run; what the guest writes to /dev/kmsg is not rate-limited;
# the kernel's own KUnit suites are not ours to run.
COMMON_ARGS = ("quiet loglevel=5 log_buf_len=4M printk.devkmsg=on panic=-1 "
               "kunit.filter_glob=shadow_rmap_*")


def kernel_args(args):
    # kmemleak costs time and, on UML, a complaint at boot (KNOWN).  It takes an old pointer for a
    # use, and the allocator leaves such pointers in its per-CPU arrays (which a cache with a debug
    # flag does not have) and in the objects it hands out (unless they are zeroed).  With both out
    # of the way 19 of 20 lost objects were reported, else none.  Type-safe caches are touched by
    # neither, so recycling stays as it is; they complain themselves when they are destroyed.
    leaks = ["slab_debug=F,kmalloc-*", "init_on_alloc=1"] if args.kmemleak else ["kmemleak=off"]
    return [*COMMON_ARGS.split(), *leaks, *args.append.split()]


def um_command(args, image, work):
    stage(args, work / "vm")
    if re.search(r"[\s,\"]", f"{work}{args.out}"):
        raise SetupError(f"{work} or {args.out}: a name that a kernel command line cannot hold")
    # The root is this machine's own, so it is read-only; `noreboot` turns a panic into an exit.
    return [str(image), f"mem={args.memory}", "con=null", "con0=fd:0,fd:1", "ssl=null",
            f"ncpus={args.cpus}",
            "seccomp=on", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", "noreboot",
            f"uml_dir={work}", f"init={work}/vm/init.sh", *kernel_args(args)]


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
    # /dev/kvm may exist and yet not start a guest, so it is not tried.
    return [find_program("qemu-system-x86_64"), "-accel", "tcg,thread=multi",
            "-smp", str(args.cpus), "-m", args.memory, "-display", "none", "-no-reboot",
            "-nodefaults", "-serial", serial, "-serial", f"file:{work}/results",
            "-kernel", str(image), "-initrd", str(work / "initramfs"),
            "-append", " ".join(["console=ttyS0", "rdinit=/run/vm/init.sh", "preempt=full",
                                 *kernel_args(args)])]


def um_environment(args, work):
    """UML keeps its memory in a file that it maps executable, by default in /dev/shm, which in a
    container is often small or noexec."""
    env = dict(os.environ, HOME=str(work))
    size = int(args.memory[:-1]) << {"M": 20, "G": 30}[args.memory[-1]]
    try:
        shm = os.statvfs("/dev/shm")
        good = shm.f_bavail * shm.f_frsize > size and not shm.f_flag & os.ST_NOEXEC
    except OSError:
        good = False
    env["TMPDIR"] = "/dev/shm" if good else str(work)
    return env


def unpack_results(args, work):
    """x86_64 sends gzipped tar archives, one after another, through its second serial port."""
    results = work / "results"
    if not results.is_file() or not results.stat().st_size:
        return
    plain = io.BytesIO()
    try:
        with gzip.open(results) as stream:
            while block := stream.read(1 << 16):
                plain.write(block)
    except (OSError, EOFError) as error:
        note(args.target, f"the results are incomplete: {error}")
    plain.seek(0)
    try:
        with tarfile.open(fileobj=plain, mode="r:", ignore_zeros=True) as archive:
            for member in archive:
                # Only what the guest's scripts make: plain files and folders below --out.
                if (member.isfile() or member.isdir()) and ".." not in Path(member.name).parts:
                    member.mode = 0o644 if member.isfile() else 0o755
                    archive.extract(member, args.out, set_attrs=False)
    except (tarfile.TarError, EOFError) as error:
        note(args.target, f"the results are incomplete: {error}")


class Lines:
    """Cuts a byte stream into lines without the serial line's carriage returns."""

    def __init__(self):
        self.rest = ""

    def feed(self, data):
        *lines, self.rest = (self.rest + data).split("\n")
        return lines


def watch(process, args, splats, log, observe=None):
    """Copies the console until the guest is gone.  Returns True when the time ran out.

    `observe` is called with each line, and with None when there was none for a second.  It may
    return how many seconds the guest has left from then on.
    """
    lines, deadline, graced = Lines(), None, False
    if args.time_limit:
        deadline = time.monotonic() + args.time_limit
    fd = process.stdout.fileno()
    while True:
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            splats.finish()
            return not graced
        if observe:
            left = 1 if left is None else min(left, 1)
        if not select.select([fd], [], [], left)[0]:
            if observe:
                observe(None)
            continue
        data = os.read(fd, 1 << 16)
        if not data:
            splats.finish()
            return False
        text = data.decode("utf-8", "replace").replace("\r", "")
        log.write(text)
        log.flush()
        if not args.quiet:
            sys.stdout.write(text)
            sys.stdout.flush()
        for line in lines.feed(text):
            bad = splats.feed(line)
            grace = observe(line) if observe else None
            if bad and not graced:
                if not observe:
                    note(args.target, f"splat: {bad}")
                grace = SPLAT_GRACE if grace is None else min(grace, SPLAT_GRACE)
            if grace is None:
                continue
            grace += time.monotonic()
            if deadline is None or grace < deadline:
                deadline, graced = grace, True


def stop(process, group):
    """Ends what is left of the guest: the process group that was started for it, by its id."""
    try:
        if group:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    except ProcessLookupError:
        pass
    process.wait()


def boot(command, args, env, splats, observe):
    if args.shell:
        import termios
        saved = termios.tcgetattr(0) if sys.stdin.isatty() else None
        process = subprocess.Popen(command, env=env)
        try:
            process.wait(args.time_limit or None)
            return False
        except subprocess.TimeoutExpired:
            return True
        finally:
            stop(process, group=False)
            if saved:
                termios.tcsetattr(0, termios.TCSADRAIN, saved)
    with open(args.log, "w", encoding="utf-8") as log:
        # The console's input is a pipe that stays open and empty.
        process = subprocess.Popen(command, env=env, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   start_new_session=True)
        try:
            return watch(process, args, splats, log, observe)
        finally:
            stop(process, group=True)


def judge(args, timed_out, splats):
    """Returns (exit status, reason, text): the worst first."""
    dmesg = args.out / "dmesg.txt"
    if dmesg.is_file():
        for line in dmesg.read_text(errors="replace").splitlines():
            splats.feed(line)
        splats.finish()
    try:
        phase, code = (args.out / "status").read_text().split()
    except (OSError, ValueError):
        phase, code = None, 0
    if splats.bad:
        return EXIT_SPLAT, "splat", f"splat: {splats.bad[0]['line']}"
    if timed_out:
        return EXIT_TIME, "time-limit", f"the time limit of {args.time_limit} s was reached"
    if phase is None:
        return EXIT_DIED, "died", "the guest went away without delivering a status"
    if phase != "command":
        return EXIT_SETUP, phase, f"{phase} failed in the guest (exit status {code})"
    if splats.missing():
        return EXIT_NO_SPLAT, "no-splat", f"expected, but did not come: {splats.missing()[0]}"
    return int(code), "exit", f"exit status {code}"


def run(args, observe=None):
    """Boots and judges; `observe` sees the console meanwhile, see watch(), and says what there is
    to say."""
    args.out.mkdir(parents=True, exist_ok=True)
    args.log.parent.mkdir(parents=True, exist_ok=True)
    for name in ("status", "dmesg.txt", "vm.json"):
        (args.out / name).unlink(missing_ok=True)
    image = kernel_image(args)
    CACHE.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="vm-", dir=CACHE))
    splats = Splats(args.expect_splat, args.allow_splat)
    begin = time.monotonic()
    try:
        if is_um(args):
            command = um_command(args, image, work)
            env = um_environment(args, work)
        else:
            command = x86_64_command(args, image, work)
            env = None
        timed_out = boot(command, args, env, splats, observe)
        unpack_results(args, work)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    code, reason, text = judge(args, timed_out, splats)
    seconds = round(time.monotonic() - begin, 1)
    summarize(args, exit=code, reason=reason, text=text, seconds=seconds, splats=splats.bad,
              expected_splats=splats.expected)
    if not observe and (reason != "exit" or not args.quiet):
        note(args.target, f"{text} ({seconds} s)")
    return code


def summarize(args, **fields):
    (args.out / "vm.json").write_text(json.dumps({"target": args.target} | fields, indent=1) + "\n")


# Lines that look alarming and are not.
HARMLESS = (
    # KTAP of KUnit, as printk shows it.
    "[    1.234567] KTAP version 1",
    "[    1.234567]     # Subtest: shadow_rmap_BUG",
    "[    1.234567]     # test_warning: EXPECTATION FAILED at rust/rmap/walk.rs:7",
    "[    1.234567]     ok 1 bug_is_caught",
    "[    1.234567]     # WARNING: in a diagnostic of a test",
    "[    1.234567] not ok 2 shadow_rmap_kasan",
    # The kernel's ordinary talk.
    "[    0.000000] Linux version 7.3.4 (DEBUG)",
    "[    0.000000] DEBUG: sleeping is allowed",
    "[    0.100000] rcu: Preemptible hierarchical RCU implementation.",
    "[    0.100000] rcu: \tRCU lockdep checking is enabled.",
    "[    0.200000] kmemleak: Kernel memory leak detector initialized (mem pool available: 3900)",
    "[    2.000000] shadow_rmap: loading out-of-tree module taints kernel.",
    "[    2.000000] shadow_rmap: no WARNING: so far, no Oops, no BUG: either",
    "[    2.000000] LADYBUG: a word that ends alike",
    # User programs, which have no prefix, or a wrong one.
    "WARNING: CPU: 0 PID: 1 at fake", "BUG: KASAN: fake", "Kernel panic - not syncing",
    "[1.5] WARNING: not a printk time", "[   12.345] BUG: nor this",
    "ok 3 Oops: a test may be called anything", "12:30:01.123456 WARNING: a log of a program",
)


def self_test():
    """The table proves itself; KTAP, so that scripts/test.py can count it."""
    cases = []
    forms = ("[    1.234567] {}", "[12345.678901] {}", "<4>[    1.234567] {}",
             "[    1.234567][   T77] {}", "[    1.234567][    C0] {}",
             "a program's unfinished line[    1.234567] {}")
    for name, _, sample in SPLATS:
        found = [find_splat(form.format(sample)) for form in forms]
        cases.append((f"fires: {sample}", all(f == (name, sample) for f in found), f"{found[0]}"))
    for line in HARMLESS:
        cases.append((f"quiet: {line}", find_splat(line) is None, f"{find_splat(line)}"))
    splats = Splats([re.compile("wanted")], [re.compile("tolerated")])
    first = splats.feed("[    1.234567] WARNING: tolerated")
    cases.append(("allowed splat is not bad", first is None and not splats.bad, ""))
    cases.append(("expected splat is missed", splats.missing() == ["wanted"], ""))
    splats.feed("[    1.234567] WARNING: wanted")
    cases.append(("expected splat is seen", not splats.missing() and not splats.bad, ""))
    again = [splats.feed("[    1.234567] BUG: x"), splats.feed("[    1.234567] BUG: x")]
    cases.append(("a splat is reported once", again == ["BUG: x", None], f"{again}"))
    splats = Splats([], [])
    quiet = [splats.feed(f"[    0.300000] {text}") for text in (
        "WARNING: suspicious RCU usage", "7.3.4 #1 Not tainted",
        "kernel/rcu/tree.c:3185 Callback enqueued on offline CPU!!", "BUG: another")]
    cases.append(("a known complaint of the boot is not bad, the next one is",
                  quiet == [None, None, None, "BUG: another"] and len(splats.bad) == 1, f"{quiet}"))
    for text in ["WARNING: suspicious RCU usage"] + ["something else"] * KNOWN_WITHIN:
        splats.feed(f"[    0.300000] {text}")
    cases.append(("its like with another detail is bad", len(splats.bad) == 2, f"{splats.bad}"))
    splats.feed("[    0.400000] WARNING: suspicious RCU usage in the last line")
    cases.append(("its like at the end is bad", splats.finish() and len(splats.bad) == 3, ""))
    lines = Lines()
    cut = lines.feed("a\nb") + lines.feed("c\n")
    cases.append(("a line may come in pieces", cut == ["a", "bc"], f"{cut}"))
    print(f"KTAP version 1\n1..{len(cases)}")
    failed = 0
    for number, (name, good, why) in enumerate(cases, 1):
        name = name.replace("#", "").strip()
        if not good:
            failed += 1
            print(f"# {name}: {why}")
        print(f"{'ok' if good else 'not ok'} {number} {name}")
    return 1 if failed else 0


def parse(argv):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="scripts/vm.py --target TARGET [options] -- COMMAND ARGS...")
    add = parser.add_argument
    add("--target", choices=TARGETS,
        help="User-Mode Linux, or x86_64 in QEMU; the kernels of scripts/kernel.sh")
    add("--kernel", metavar="DIR", help="kernel build folder (default: scripts/kernel.sh TARGET)")
    add("--time-limit", type=float, metavar="SECS", help="default 120; none with --shell")
    add("--module", metavar="FILE.ko", help="loaded before the command")
    add("--module-args", default="", metavar="'K=V ...'")
    add("--file", action="append", default=[], metavar="SRC[:DEST]",
        help="copied beside the command (again and again)")
    add("--out", type=Path, metavar="DIR", help="results (default: out/vm-TARGET)")
    add("--log", type=Path, metavar="FILE", help="console (default: console.log in --out)")
    add("--append", default="", metavar="ARGS", help="more kernel arguments; the last one wins")
    add("--cpus", type=int,
        help="default: 4 for x86_64, this machine's (2 to 4) for um, whose CPUs spin as threads")
    add("--memory", metavar="SIZE", help="default 512M for um, 1G for x86_64, 2G with KASAN")
    add("--kmemleak", action="store_true", help="look for leaked memory after the command")
    add("--quiet", action="store_true", help="the console goes to the log only")
    add("--expect-splat", type=re.compile, action="append", default=[], metavar="REGEX",
        help="this complaint must come, and is no failure")
    add("--allow-splat", type=re.compile, action="append", default=[], metavar="REGEX",
        help="this complaint may come, and is no failure")
    add("--shell", action="store_true", help="an interactive shell instead of a command")
    add("--self-test", action="store_true", help="tests the table of complaints; boots nothing")
    add("command", nargs="*", metavar="COMMAND")
    args = parser.parse_args(argv)
    if args.cpus is None:
        args.cpus = min(4, max(2, os.cpu_count() or 2)) if is_um(args) else 4
    if args.self_test:
        return args
    if not args.target:
        parser.error("--target is missing")
    if bool(args.command) == args.shell:
        parser.error("give either a command after -- or --shell")
    if args.memory is None:
        args.memory = "512M" if is_um(args) else "2G" if "kasan" in args.target else "1G"
    if not re.fullmatch(r"\d+[MG]", args.memory):
        parser.error("--memory: a number and M or G")
    if args.time_limit is None:
        args.time_limit = 0 if args.shell else 120
    args.out = (args.out or SCRIPTS.parent / f"out/vm-{args.target}").resolve()
    args.log = args.log or args.out / "console.log"
    return args


def main():
    args = parse(sys.argv[1:])
    if args.self_test:
        return self_test()
    # A terminated runner must not leave its guest behind; SystemExit runs the `finally`s.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        return run(args)
    except SetupError as error:
        note(args.target, str(error))
        summarize(args, exit=EXIT_SETUP, reason="setup", text=str(error))
        return EXIT_SETUP
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main())

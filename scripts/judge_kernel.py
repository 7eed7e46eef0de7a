# SPDX-License-Identifier: GPL-2.0
"""The second stage of scripts/judge.py: the UML kernel of a patched source, with live mappings.

A patched kernel is built from copies of the lab's source and of the lab's build folder, which are
made anew for each patch: no object of another patch can be taken for one of this. The copies keep
the times of the files, and the commands that make compares get the new path of the source, so that
only what the patch changes is compiled. Neither the source nor the build folder of the lab is
written to.
"""

import contextlib
import copy
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

from common import (CACHE, SCRIPTS, TOP, Mistake, kernel_folder, locked, modules, read, read_json, say,
                    script_lines, stream, toolchain_env)
from patches import apply, changes_c_alone

# The kernel of the last patch.
FOLDER = CACHE / "judge-kernel"
COMPILED = re.compile(r"^  (?:CC|AS|RUSTC)\b.*", re.M)
# A line of `compare`, or of a check of the host's structures.
DIFFERENCE = re.compile(r"(?:the host's |unknown )?(?:vma|anon_vma|page|mm) .*: |host: |R\d+[ :]")
# How a guest may end that was run, in vm.json.
ENDS = ("exit", "splat", "boot", "time-limit", "died")
# What notices that a guest has ended early.
GUEST = "the guest"
# Files of a build folder that name the source.
NAME_SOURCE = ("*.cmd", "*.d", "Makefile")


def copy_source(tree, patch, to):
    """Makes a patched copy of a source. Unchanged files are hard links where that is possible."""
    shutil.rmtree(to, ignore_errors=True)
    to.parent.mkdir(parents=True, exist_ok=True)
    if subprocess.run(["cp", "-al", tree, to], stderr=subprocess.DEVNULL, check=False).returncode:
        shutil.rmtree(to, ignore_errors=True)
        subprocess.run(["cp", "-a", tree, to], check=True)
    apply(tree, patch, to)


def copy_build(build, tree, to, source):
    """Makes a copy of the build folder of `tree` that belongs to `source`, a copy of that tree."""
    shutil.rmtree(to, ignore_errors=True)
    subprocess.run(["cp", "-a", build, to], check=True)
    (to / "source").unlink(missing_ok=True)
    (to / "source").symlink_to(source)
    for pattern in NAME_SOURCE:
        for path in to.rglob(pattern):
            if path.is_symlink() or not path.is_file():
                continue
            old = path.read_bytes()
            new = old.replace(bytes(build), bytes(to)).replace(bytes(tree), bytes(source))
            if new != old:
                times = path.stat()
                path.write_bytes(new)
                os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def kmake(source, build, log, what, *words):
    """Runs make for a UML kernel; returns its exit status and output."""
    env = toolchain_env()
    return stream(["make", "-C", source, f"O={build}", "ARCH=um", f"RUSTC={env['RUSTC']}",
                   f"BINDGEN={env['BINDGEN']}", *words], log, what, env=env, limit=3600)


def make(source, build, log):
    """Brings a kernel up to date; returns the files that were compiled."""
    code, text = kmake(source, build, log, "building the patched kernel", "-j", str(os.cpu_count() + 1),
                       "linux", "modules")
    if code:
        error = re.search(r"^(\S+?):(\d+):(?:\d+:)? (?:fatal )?error: (.*)$", text, re.M)
        what = f"{error[1].replace(f'{source}/', '')}, line {error[2]}: {error[3]}" if error else \
            f"exit status {code}"
        raise Mistake(f"the kernel of this source does not compile: {what} (all of it is in {log})")
    return [line.split()[-1] for line in COMPILED.findall(text)]


@contextlib.contextmanager
def built(tree, patch, out):
    """Builds the kernel of a source; no other judge changes it until the block ends."""
    if not patch:
        yield Kernel(tree, patch, out)
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    with locked(FOLDER):
        yield Kernel(tree, patch, out)


class Kernel:
    """A UML kernel of a source, and the module that was built for it."""

    def __init__(self, tree, patch, out):
        begin = time.monotonic()
        lab = Path(kernel_folder("um"))
        if patch:
            copy_source(tree, patch, FOLDER / "source")
            copy_build(lab, tree, FOLDER / "build", FOLDER / "source")
            compiled = make(FOLDER / "source", FOLDER / "build", out / "kernel.log")
            self.base, folder = lab, FOLDER / "build"
            self.what = f"{len(compiled)} files compiled: {' '.join(compiled[:6])}" \
                + (" ..." if len(compiled) > 6 else "")
        else:
            # scripts/kernel.sh keeps a build folder for each source, and lets make look at it.
            self.base, folder, self.what = None, lab, "what has changed was compiled"
        self.seconds = time.monotonic() - begin
        self.folder = folder
        # A source of KDIR= may change at any time, the lab's own does not.
        same_headers = patch and changes_c_alone(patch) and not os.environ.get("KDIR")
        self.module = module(lab if same_headers else folder, keep=same_headers)

    def sound(self):
        """Returns one that is not in doubt: of the source without the patch, or else the lab's."""
        other = copy.copy(self)
        other.folder = self.base or Path(script_lines("kernel.sh", "um", KDIR="", KERNEL_TARBALL="")[-1])
        other.module = module(other.folder, keep=False)
        return other


def module(folder, keep):
    """Builds the module for the headers of a kernel, from what is there if that was built for them;
    `keep`: they do not change. Returns its path."""
    place, headers = TOP / "build/um-judge", str(folder) if keep else ""
    # A module of another patch may be newer than the headers of this one.
    if not keep or read(place / "headers") != headers:
        shutil.rmtree(place, ignore_errors=True)
    path = modules("um", KDIR=str(folder), VARIANT="judge")["shadow_rmap"]
    (place / "headers").write_text(headers)
    return path


def guest_command(kernel, rmapctl, seed, secs, out):
    files = [f"{kernel.module}:shadow_rmap.ko", f"{rmapctl}:rmapctl", f"{SCRIPTS}/guest/try.sh:try.sh"]
    for folder in ("samples", "samples/failslab"):
        paths = sorted((TOP / folder).glob("*.scn"))
        files += [f"{path}:{path.parent.name}/{path.name}" for path in paths]
    options = [word for file in files for word in ("--file", file)]
    return [SCRIPTS / "vm.py", "--target", "um", "--kernel", kernel.folder, "--out", out, "--quiet",
            "--time-limit", str(600 + 4 * secs), *options, "--", SCRIPTS / "guest/judge.sh", str(seed),
            str(secs)]


def boot(kernel, rmapctl, seed, secs, out):
    """Runs the guest; returns what was run, and what failed: (what noticed it, text, scenario)."""
    shutil.rmtree(out, ignore_errors=True)
    stream(guest_command(kernel, rmapctl, seed, secs, out), out.with_suffix(".log"),
           "live mappings", re.compile(r"^(?:not )?ok: "), limit=1200 + 8 * secs)
    return judge_guest(out)


def live(kernel, rmapctl, seed, secs, out):
    """As boot(). A guest that ends early is a finding if it does so again, and one of a kernel that is
    not in doubt does not: otherwise the machine may be the cause."""
    ran, failed = boot(kernel, rmapctl, seed, secs, out)
    if not failed or failed[0] != GUEST:
        return ran, failed
    say(f"  the guest ended early: {failed[1]}; once more ...")
    ran, again = boot(kernel, rmapctl, seed, secs, out.with_name("vm-again"))
    if not again:
        raise Mistake(f"the guest ended early, and not a second time: {failed[1]}")
    if again[0] == GUEST:
        say("  again; a kernel that is not in doubt ...")
        _, other = boot(kernel.sound(), rmapctl, seed, secs, out.with_name("vm-sound"))
        if other:
            raise Mistake(f"a kernel that is not in doubt does not run here either: {other[1]}")
    return ran, again


def judge_guest(out):
    """Returns ([what was run], (what noticed it, text, scenario) or None) by a guest's results."""
    result, tests = read_json(out / "vm.json"), read(out / "tests.txt")
    ran = re.findall(r"^ok: (.+)$", tests, re.M)
    failed = re.search(r"^not ok: (.+?): exit status", tests, re.M)
    lines = read(out / "said.txt").splitlines()
    said = [line.strip().removeprefix("violation of ") for line in lines if line.strip()]
    scenario = next(iter(sorted(out.glob("*.scn"))), None)
    splats = result.get("splats") or []
    if failed:
        # A difference says more than a warning that came with it.
        words = [line for line in said if DIFFERENCE.match(line)]
        words += [*(splat["line"] for splat in splats), *said[-1:], failed[1]]
        return ran, (failed[1], words[0], scenario)
    if splats:
        return ran, ("the kernel", splats[0]["line"], scenario)
    if result.get("reason") not in ENDS:
        raise Mistake(f"no guest was run: {result.get('text', 'scripts/vm.py left no result')}")
    if result["reason"] != "exit" or result.get("exit") or "tests: done" not in tests:
        return ran, (GUEST, result["text"], scenario)
    return ran, None

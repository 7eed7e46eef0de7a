#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Builds what the tests need, and runs everything that must pass, on this machine and in its guests.

The steps, chosen by --target and --only:
  host-scripts  pytest: the scripts of this folder, with each gate of scripts/check.sh
  host-rmapctl  cargo test of tools/rmapctl
  host-litmus   scripts/litmus.sh: what the kernel's memory model says of each rule about order
  host-userspace  cargo test of tools/userspace: the KUnit suites in user space, also with a new seed
  host-schedules  scripts/schedules.py --short: each bug that is about an interleaving is found and
                replayed, the correct rules are clean
  host-fuzz     scripts/fuzz_test.py: the host's own mm/ and the shadow do the same random steps
  host-mm       scripts/host_test.py: the host's own mm/ in user space
  um-judge      scripts/judge_self_test.py --sample: the judge notices broken hosts, and no others
  um-runner, x86_64-runner   scripts/vm.py notices reports of the kernel, leaks, time-outs, dead guests
  um-guest, x86_64-guest     scripts/guest/test.sh: KUnit suites, the module, scenarios
  x86_64-moved  scripts/guest/moved.sh: live mappings while pages are swapped out, merged and moved, with lockdep
  debian-guest  scripts/guest/debian.sh: the module on Debian's own kernel, with KSM, huge pages, swap, compaction
  debian-drgn   scripts/drgn_test.py: drgn finds the same chains in the memory of a guest, and in a dump of it
  x86_64-lazy   the KUnit suites again, in a kernel that preempts lazily instead of fully
  um-busted     scripts/guest/busted.sh: a module that breaks a rule is reported
  um-preload    scripts/guest/preload.sh: unmodified programs with memory of the device
  um-in-tree    scripts/guest/in_tree.sh: the kernel with the modules in its own tree, built in and as a module
  um-again      scripts/guest/again.sh: one torture after the other, in one boot
  um-torture    scripts/torture.py --short: each deliberate bug is caught, the correct rules are clean

With KERNEL=7.2, or another source of that version, only um-guest is run.

Steps run at the same time as far as there are cores for them. Each test counts once. The last line
is `N passed, N failed`; the exit status is 0 only when nothing failed and every KUnit suite named in
rust/ has run. Details are in out/test/, the list of all tests in out/test.json, and the seconds that
each step took in out/test/times.json.
"""

import random
import time
from multiprocessing.pool import ThreadPool
from pathlib import Path

from common import (CORES, OUT, command_line, kernel_folder, machine, modules, program, say, script_lines,
                    write_json)
import versions
from results import Kunit, Step
from steps import ALONE, MODULES, STEPS


class Lab:
    """What the steps need."""

    def __init__(self, names, seed, source):
        machines = {machine(name) for name in names} - {"host"}
        # The step of Debian's kernel prepares it: it is no other step's matter when that fails.
        targets = sorted(machines - {"debian"})
        wanted = {target: [target] + [word for word, steps in MODULES.items() if any(
            f"{target}-{step}" in names for step in steps)] for target in targets}
        if {"um-busted", "um-preload"} & set(names):
            wanted["busted"] = ("um", "SHADOW_RMAP_BUST=1")
        if "debian-guest" in names:
            # A module for another kernel, which it must refuse.
            wanted.setdefault("x86_64", ["x86_64"])
        self.seed = seed
        self.version = versions.version_of(source)
        self.kunit = Kunit(source)
        self.rmapctl = script_lines("rmapctl.sh")[-1] if machines else None
        # A module is compiled by one thread: two of them at a time.
        with ThreadPool(2) as pool:
            self.modules = dict(zip(wanted, pool.starmap(modules, wanted.values())))
        self.kernels = {target: kernel_folder(target) for target in targets}


def run_step(step):
    begin = time.monotonic()
    say(f"{step.name} ...")
    try:
        (STEPS | ALONE)[step.name](step)
    except Exception as error:  # pylint: disable=broad-except
        step.add(step.name, "failed", f"{type(error).__name__}: {error}")
    step.must_have_run(0)
    step.seconds = round(time.monotonic() - begin)
    skipped = step.count("skipped")
    say(f"{step.name}: {step.count('passed')} passed, {step.count('failed')} failed"
        + (f", {skipped} skipped" if skipped else "") + f" ({step.seconds} s)")


def main():
    parser = command_line(__doc__)
    add = parser.add_argument
    add("--target", choices=("um", "x86_64", "debian", "all"), default="all", help="which guests")
    add("--only", metavar="NAME", default="", help="only the steps with NAME in their name")
    add("--seed", type=int, default=random.getrandbits(31),
        help="of one random sequence in each guest, and of the torture (default: random, shown)")
    args = parser.parse_args()
    names = [name for name in STEPS | ALONE
             if args.target in ("all", machine(name)) or name.startswith("host")]
    names = [name for name in names if args.only in name]
    if not names:
        parser.error(f"--only {args.only}: none of {', '.join(STEPS | ALONE)}")
    begin = time.monotonic()
    source = Path(script_lines("source.sh")[-1])
    version = versions.version_of(source)
    wanted, names = names, versions.steps_for(names, version)
    if names != wanted:
        say(f"Linux {version} is tested in a short form: {', '.join(names)}")
    if not names:
        parser.error(f"none of {', '.join(wanted)} is run with Linux {version}")
    lab = Lab(names, args.seed, source)
    steps = [Step(name, lab) for name in names]
    with ThreadPool(CORES) as pool:
        pool.map(run_step, [step for step in steps if step.name in STEPS], chunksize=1)
    for step in steps:
        if step.name in ALONE:
            run_step(step)
    tests = [test for step in steps for test in step.tests]
    for test in tests:
        if test["status"] != "passed":
            word = test["status"].upper() if test["status"] == "failed" else test["status"]
            say(f"{word} {test['step']}: {test['name']}: {test['reason']}")
    write_json(OUT / "test.json", tests)
    write_json(OUT / "test/times.json", {step.name: step.seconds for step in steps})
    passed, failed = (sum(step.count(status) for step in steps) for status in ("passed", "failed"))
    say(f"seed {args.seed}; {time.monotonic() - begin:.0f} s; guests started again because they did "
        f"not boot: {sum(step.restarts for step in steps)}")
    say(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    program("test", main)

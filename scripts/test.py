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
  um-runner, x86_64-runner   scripts/vm.py notices reports of the kernel, time-outs and dead guests
  um-guest, x86_64-guest     scripts/guest/test.sh: KUnit suites, the module, scenarios
  debian-guest  scripts/guest/debian.sh: the module on Debian's own kernel, with KSM, huge pages and swap
  x86_64-lazy   the KUnit suites again, in a kernel that preempts lazily instead of fully
  um-busted     scripts/guest/busted.sh: a module that breaks a rule is reported
  um-preload    scripts/guest/preload.sh: unmodified programs with memory of the device
  um-again      scripts/guest/again.sh: one torture after the other, in one boot
  um-torture    scripts/torture.py --short: each deliberate bug is caught, the correct rules are clean

Steps run at the same time as far as there are cores for them. Each test counts once. The last line
is `N passed, N failed`; the exit status is 0 only when nothing failed and every KUnit suite named in
rust/ has run. Details are in out/test/, the list of all tests in out/test.json.
"""

import os
import random
import re
import shutil
import sys
import time
from multiprocessing.pool import ThreadPool
from pathlib import Path

import debian_guest
import preload
import torture_report
from common import (CACHE, CORES, OUT, SCRIPTS, TOP, command_line, kernel_folder, machine,
                    modules, program, read, read_json, say, script_lines,
                    stream, toolchain_env, write_json)

RESULTS = OUT / "test"
# No guest and no program should take so long, as slow as the machine may be: in seconds.
LONGEST = 2 * 3600


class Step:
    """One step, and its tests in the order in which they ended."""

    def __init__(self, name, lab=None):
        self.name, self.lab, self.target = name, lab, machine(name)
        self.out, self.log = RESULTS / name, RESULTS / f"{name}.log"
        self.tests, self.restarts = [], 0

    def add(self, name, status, reason=""):
        self.tests.append({"step": self.name, "name": name, "status": status, "reason": reason})

    def check(self, name, good, reason):
        self.add(name, "passed" if good else "failed", "" if good else reason)

    def count(self, status):
        return sum(test["status"] == status for test in self.tests)

    def must_have_run(self, code):
        """Adds a failure when a program failed without a failed test, or ran none."""
        if not self.tests:
            self.add(self.name, "failed", f"no test was run (exit status {code})")
        elif code and not self.count("failed"):
            self.add(self.name, "failed", f"exit status {code}, see out/test/{self.name}.log")

    def vm(self, out, *arguments):
        return [SCRIPTS / "vm.py", "--target", self.target, "--kernel",
                self.lab.kernels[self.target], "--out", out, *arguments]

    def stream(self, command, show, **options):
        return stream(command, self.log, self.name, re.compile(show), limit=LONGEST, **options)


class Kunit:
    """The KTAP parser of the kernel's tree."""

    def __init__(self, source):
        sys.path.insert(0, str(source / "tools/testing/kunit"))
        import kunit_parser
        import kunit_printer
        self.parser, self.silent = kunit_parser, kunit_printer.Printer(print=False)

    def add(self, step, text, what):
        """Counts the tests of a KUnit suite; returns its name. One without tests, or with gaps, is a
        failure."""
        status, parser = self.parser.TestStatus, self.parser
        root = parser.parse_run_tests(parser.extract_tap_lines(text.splitlines()), self.silent)
        for suite in root.subtests:
            for test in suite.subtests or [suite]:
                log = " | ".join([line.strip().lstrip("# ") for line in test.log if line.strip()][-6:])
                if test.status == status.SKIPPED:
                    step.add(f"{suite.name}: {test.name}", "skipped", test.skip_reason)
                else:
                    step.check(f"{suite.name}: {test.name}", test.status == status.SUCCESS,
                               log or test.status.name.lower().replace("_", " "))
        if not root.subtests:
            step.add(what, "failed", "no test was run")
        elif root.counts.errors:
            step.add(what, "failed", f"KTAP with {root.counts.errors} errors: tests are missing")
        return [suite.name for suite in root.subtests]


RESULT = re.compile(r"^(?:test (.+?) \.\.\. (ok|FAILED|ignored)|"
                    r"\S+/(\S+?::.+) (PASSED|FAILED|ERROR|SKIPPED)\b.* \[ *\d+%\]$)", re.M)
STATUS = {"ok": "passed", "PASSED": "passed", "ignored": "skipped", "SKIPPED": "skipped"}


def add_results(step, code, output):
    """Counts the tests of cargo or pytest, by their output."""
    reasons = dict(re.findall(r"^---- (.+?) stdout ----\n(.*?)(?=\n----|\nfailures:)", output,
                              re.M | re.S))
    results = {one or other: STATUS.get(word or another, "failed")
               for one, word, other, another in RESULT.findall(output)}
    for name, status in results.items():
        reason = " | ".join(reasons.get(name, "").split("\n")[:4]) or f"see {step.log}"
        step.add(name, status, reason if status == "failed" else "")
    if code == 124:
        hung = re.findall(r"^test (.+?) has been running", output, re.M)
        step.add(", ".join(name for name in hung if name not in results) or step.name, "failed",
                 "the time limit was reached")
    step.must_have_run(code)


def host_scripts(step):
    add_results(step, *step.stream(["/usr/bin/python3", "-m", "pytest", "-v", "-p", "no:cacheprovider",
                                    SCRIPTS / "tests"], r" (FAILED|ERROR) +\["))


def cargo_test(step, folder, *options, **env):
    """Runs the tests of a folder of tools/; returns the exit status and the output."""
    env |= {"CARGO_TARGET_DIR": str(CACHE / f"{Path(folder).name}-target"), "CARGO_TERM_COLOR": "never"}
    return step.stream(["cargo", "test", "--locked", *options], r"^test .* FAILED|^error",
                       cwd=TOP / "tools" / folder, env=toolchain_env() | env)


def host_rmapctl(step):
    add_results(step, *cargo_test(step, "rmapctl"))


def host_userspace(step):
    # The usual random sequences, then one that is new in each run.
    for seed in (0, step.lab.seed):
        code, output = cargo_test(step, "userspace", "--workspace", "--no-fail-fast",
                                  SHADOW_RMAP_SEED=str(seed))
        output = re.sub(r"^test (?=.* \.\.\. )", f"test seed {seed}: ", output, flags=re.M)
        add_results(step, code, output)
        if code:
            return


def host_mm(step):
    add_results(step, *step.stream([SCRIPTS / "host_test.py"], r"^test .* FAILED|^error"))


def host_schedules(step):
    add_results(step, *cargo_test(step, "userspace/schedules"))
    (OUT / "schedules.json").unlink(missing_ok=True)
    code, _ = step.stream([SCRIPTS / "schedules.py", "--short"], r"MISSED|NOT |^schedules: ")
    result = read_json(OUT / "schedules.json")
    for row in result.get("bugs", ()):
        step.check(f"{row['bug']} is found and replayed", row["caught"], row["result"].get("words"))
    for row in result.get("alone", ()):
        step.check(f"{row['bug']} is met by one thread", row["seen"], row["result"].get("words"))
    for row in result.get("correct", ()):
        step.check(f"{row['scenario']}, {row['way']}", row["clean"], str(row["results"]))
    step.must_have_run(code)


def host_fuzz(step):
    add_results(step, *step.stream([SCRIPTS / "fuzz_test.py"], r"^test .* FAILED|^error"))


def judge(step):
    if os.environ.get("KDIR"):
        step.add("the judge", "skipped", "its broken hosts are patches of the lab's source")
        return
    add_results(step, *step.stream([SCRIPTS / "judge_self_test.py", "--sample"],
                                   r"^test .* FAILED|^error"))


def host_litmus(step):
    (OUT / "litmus.json").unlink(missing_ok=True)
    code, _ = step.stream([SCRIPTS / "litmus.sh"], r": FAILED: |^error")
    for row in read_json(OUT / "litmus.json"):
        step.check(row["name"], not row["reason"], row["reason"])
    step.must_have_run(code)


# Name, vm.py options, command, expected exit status, expected reason and part of the text of
# vm.json.
FAKE = 'echo "<4>WARNING: CPU: 0 PID: 1 at fake" >/dev/kmsg'
RUNNER_TESTS = (
    ("the exit status is passed through", [], "exit 7", 7, "exit", ""),
    ("a report of the kernel fails the run", [], FAKE, 3, "splat", "at fake"),
    ("the time limit is enforced", ["--time-limit", "5"], "sleep 3000 & sleep 3000", 124,
     "time-limit", "5"),
    ("a guest that dies is noticed", [], "poweroff -f; sleep 600", 125, "died", "without"),
    ("a file that is no module is refused", ["--module", __file__], "true", 126, "insmod", ""),
    ("results come back, and nothing else can be written", [],
     'echo here >"$OUT/probe" && [ "$(cat test.py | head -c 2)" = "#!" ] && '
     'if [ "$VM_TARGET" = um ]; then ! touch /shadow-rmap-probe; fi', 0, "exit", ""),
)


def vm_runner(step):
    for name, options, command, code, reason, text in RUNNER_TESTS:
        out = step.out / re.sub(r"\W+", "-", name)
        shutil.rmtree(out, ignore_errors=True)
        done, _ = stream(step.vm(out, "--quiet", "--time-limit", "600", "--file", __file__,
                                 *options, "--", command),
                         out.with_suffix(".log"), f"{step.name}: {name}", limit=LONGEST)
        got = read_json(out / "vm.json")
        good = done == code and got.get("reason") == reason and text in got.get("text", "")
        if command.startswith("echo here"):
            good = good and (out / "probe").is_file()
        step.check(name, good, f"exit status {done} for {code}; {got.get('text', 'no vm.json')}")
        step.restarts += got.get("restarts", 0)


def expected_suites():
    """Returns the names in `#[kunit_tests(name)]` of rust/."""
    return sorted({name for path in (TOP / "rust").rglob("*.rs") for name in re.findall(
        r"^\s*#\[(?:\w+::)*kunit_tests\((\w+)\)\]", path.read_text(), re.M)})


def boot(step, files, script, *args, append="", options=("--kmemleak",)):
    """Runs a script of scripts/guest/ and counts its tests. `files` are paths by name."""
    shutil.rmtree(step.out, ignore_errors=True)
    files = files | {"try.sh": SCRIPTS / "guest/try.sh"}
    copies = [word for name, path in files.items() for word in ("--file", f"{path}:{name}")]
    step.stream(step.vm(step.out, *options, "--append", append, "--time-limit", LONGEST - 900,
                        *copies, "--", SCRIPTS / "guest" / script, *args), r"^not ok: |^vm: \w+: ")
    summary = read_json(step.out / "vm.json")
    step.restarts += summary.get("restarts", 0)
    # A failed test is counted below; this is what no line of a test can say.
    step.check("guest: ran to its end, without a report of the kernel",
               summary.get("reason") == "exit", summary.get("text", "vm.py left no vm.json"))
    # If the guest died, the console has the tests until then.
    add_tests(step, script, read(step.out / "tests.txt") or read(step.log))


def add_tests(step, script, text):
    """Counts the tests of a script of the guest, as try.sh has reported them."""
    line = r"^(ok|not ok): (.+?)(?:: (exit status \d.*))?$"
    for word, name, reason in re.findall(line, text, re.M):
        step.check(name, word == "ok", reason)
    if not re.search("^tests: done$", text, re.M):
        step.add(f"guest: {script}", "failed", "the script did not reach its end")


# No check of the engine sees these, see "Rules that no check of the engine sees" in
# Documentation/rules.rst.
UNCHECKED = set("R4 R7 R8 R30 R34 R35 R36 R40 R41".split())
# Rules of which no live mapping causes a check: lookups beside an unmap (R2, R10), the spinning
# lock (R9), merges (R25, R26), a clone without memory (R37), all locks of a process at once (R38),
# swap (R39).
NEVER_LIVE = set("R2 R9 R10 R25 R26 R37 R38 R39".split())


def add_rules(step, folder, ignored=UNCHECKED):
    """Each rule that the engine checks was checked, and none was broken."""
    rules = {rule: dict(re.findall(r"(\w+)=(\d+)", rest))
             for rule, rest in re.findall(r"^(R\d+) (.*)", read(folder / "rules"), re.M)}
    bad = [rule for rule, counts in rules.items() if counts.get("violations") != "0"
           or counts.get("checks") == "0" and rule not in ignored]
    step.check(f"{folder.name}: each check of a rule ran, no rule is broken",
               len(rules) >= 41 and not bad,
               f"of {len(rules)} rules never checked, or broken: {' '.join(bad)}")


def add_broken_rules(step, stats):
    """A test of the suites breaks each rule that the engine checks, and sees its check fire."""
    counts = dict(re.findall(r"^(\w+): (.*)", stats, re.M))
    bad = set(counts.get("rules_not_shown_broken", "").split()) - UNCHECKED
    step.check("kunit: each check fires when a test breaks the rule",
               int(counts.get("rules_shown_broken", 0)) > 0 and not bad, f"not shown broken: {bad}")


def add_freed(step, stats):
    """After allocations that failed, what was allocated is free again."""
    made, freed = (
        {kind: int(n) for kind, n in re.findall(rf"^(\w+)_(?:{words}): (\d+)$", stats, re.M)}
        for words in ("allocs|allocated", "frees|freed"))
    lost = {kind: n - freed.get(kind, 0) for kind, n in made.items() if n != freed.get(kind)}
    step.check("no memory: everything allocated is freed", made and not lost, f"not freed: {lost}")


def add_suites(step):
    """Counts the KUnit suites; each that is named in rust/ must be there."""
    seen = []
    for path in sorted((step.out / "kunit").glob("*.ktap")):
        seen += step.lab.kunit.add(step, path.read_text(), path.stem)
    for name in expected_suites() or ["no #[kunit_tests] in rust/"]:
        if name not in seen:
            step.add(f"kunit: {name}", "failed", "the suite did not run")
    add_rules(step, step.out / "kunit")
    add_broken_rules(step, read(step.out / "kunit/stats"))


def files_of(step, *names):
    """Returns the paths of modules, by their names in the guest."""
    return {f"{name}.ko": step.lab.modules[step.target][name] for name in names}


# User-Mode Linux is built for one kind of preemption; for x86_64 the command line chooses it.
PREEMPT = {"um": ("", ()), "x86_64": ("preempt=full", ("--preempt", "full"))}


def guest(step):
    samples = [*(TOP / "samples").rglob("*.scn")]
    files = files_of(step, "shadow_rmap", "shadow_rmap_kunit") | {"rmapctl": step.lab.rmapctl}
    # QEMU without KVM is slow: fewer seeds there. The last one is new in each run.
    seeds = [*range(1, {"um": 3, "x86_64": 1}[step.target]), step.lab.seed]
    append, mode = PREEMPT[step.target]
    files["lessons.rst"] = TOP / "Documentation/lessons.rst"
    boot(step, files | {path.relative_to(TOP): path for path in samples}, "test.sh",
         *mode, *seeds, append=append)
    add_suites(step)
    add_rules(step, step.out / "live", UNCHECKED | NEVER_LIVE)
    if step.target == "x86_64":
        add_rules(step, step.out / "starved", UNCHECKED | NEVER_LIVE)
        add_freed(step, read(step.out / "starved/stats"))


def lazy(step):
    # Leaks are looked for, once, by the longer test.
    boot(step, files_of(step, "shadow_rmap_kunit"), "test.sh", "--preempt", "lazy",
         append="preempt=lazy", options=())
    add_suites(step)


def debian(step):
    debian_guest.debian_guest(step, boot)


def busted(step):
    boot(step, {"shadow_rmap.ko": step.lab.modules["busted"]["shadow_rmap"],
                "rmapctl": step.lab.rmapctl}, "busted.sh")


def programs(step):
    correct, wrong = (step.lab.modules[name]["shadow_rmap"] for name in ("um", "busted"))
    boot(step, preload.files(correct, wrong), "preload.sh", options=())


def again(step):
    boot(step, files_of(step, "shadow_rmap_torture"), "again.sh", options=())


def add_torture(step, code, result):
    """Counts each bug, and each run of the correct rules."""
    for row in result.get("busts", ()):
        how = "; ".join(f"{run['how']} {run['words']}" for run in result["runs"]
                        if run["bust"] == row["bust"] and not run["caught"])
        step.check(f"{row['bust']} is caught ({row['rule']}, {row['protocol']})",
                   torture_report.is_caught(row), f"{torture_report.seen_by(row)}: {how}")
    for run in result.get("correct", ()):
        where = ", ".join(filter(None, (run["protocol"], run["vm"], run["load"])))
        step.check(f"correct rules are clean ({where})", run["clean"], "; ".join(run["reasons"]))
    for bust in result.get("not_shown", ()):
        step.add(f"{bust['bust']} is caught", "skipped", bust["reason"])
    missing = sum(result.get("planned", ())) - len(result.get("busts", ())) \
        - len(result.get("correct", ()))
    if missing:
        step.add("torture: all that was planned", "failed", f"{missing} runs are missing")
    step.must_have_run(code)
    step.restarts += result.get("restarts", 0)


def torture(step):
    shutil.rmtree(step.out, ignore_errors=True)
    code, _ = step.stream([SCRIPTS / "torture.py", "--short", f"SEED={step.lab.seed}",
                           "--out", step.out], r"(?i)NOT CAUGHT|NOT CLEAN|FINDING|findings$|^torture: ")
    add_torture(step, code, read_json(step.out.with_suffix(".json")))


# As many at a time as there are cores.
STEPS = {"x86_64-guest": guest, "um-guest": guest, "debian-guest": debian, "x86_64-lazy": lazy,
         "host-rmapctl": host_rmapctl,
         "host-mm": host_mm, "host-userspace": host_userspace, "host-scripts": host_scripts,
         "host-litmus": host_litmus, "host-fuzz": host_fuzz, "host-schedules": host_schedules,
         "um-busted": busted, "um-preload": programs,
         "um-runner": vm_runner, "x86_64-runner": vm_runner}
# Then these, one by one: their guests keep several cores busy.
ALONE = {"um-judge": judge, "um-again": again, "um-torture": torture}


# The modules besides shadow_rmap.ko, and the steps that load them.
MODULES = {"kunit": ("guest", "lazy"), "torture": ("again", "torture")}


class Lab:
    """What the steps need."""

    def __init__(self, names, seed):
        machines = {machine(name) for name in names} - {"host"}
        # The step of Debian's kernel prepares it: it is no other step's matter when that fails.
        targets = sorted(machines - {"debian"})
        wanted = {target: [target] + [word for word, steps in MODULES.items() if any(
            f"{target}-{step}" in names for step in steps)] for target in targets}
        if {"um-busted", "um-preload"} & set(names):
            wanted["busted"] = ("um", "SHADOW_RMAP_BUST=1")
        self.seed = seed
        self.kunit = Kunit(Path(script_lines("source.sh")[-1]))
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
    skipped = step.count("skipped")
    say(f"{step.name}: {step.count('passed')} passed, {step.count('failed')} failed"
        + (f", {skipped} skipped" if skipped else "") + f" ({time.monotonic() - begin:.0f} s)")


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
    lab = Lab(names, args.seed)
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
    passed, failed = (sum(step.count(status) for step in steps) for status in ("passed", "failed"))
    say(f"seed {args.seed}; {time.monotonic() - begin:.0f} s; guests started again because they did "
        f"not boot: {sum(step.restarts for step in steps)}")
    say(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    program("test", main)

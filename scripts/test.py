#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Runs everything that must pass, on this machine and in both test guests.

The steps, chosen by --target and --only:
  host-scripts  pytest: the scripts of this folder, with each gate of scripts/check.sh
  host-rmapctl  cargo test of tools/rmapctl
  um-runner, x86_64-runner   scripts/vm.py notices reports of the kernel, time-outs and dead guests
  um-guest, x86_64-guest     scripts/guest/test.sh: KUnit suites, the module, scenarios
  x86_64-lazy   the KUnit suites again, in a kernel that preempts lazily instead of fully
  um-busted     scripts/guest/busted.sh: a module that breaks a rule is reported
  um-again      scripts/guest/again.sh: one torture after the other, in one boot
  um-torture    scripts/torture.py --short: each deliberate bug is caught, the correct rules are clean

Steps run at the same time as far as there are cores for them. Each test counts once. The last line
is `N passed, N failed`; the exit status is 0 only when nothing failed and every KUnit suite named in
rust/ has run. Details are in out/test/, the list of all tests in out/test.json.
"""

import argparse
import os
import random
import re
import shutil
import sys
import threading
import time
from pathlib import Path

import torture_report
from common import (CACHE, CORES, OUT, RUNNING, SCRIPTS, TOP, Mistake, Progress, exit_on_sigterm,
                    kernel_folder, machine, pair, pytest_command, read, read_json, say,
                    script_lines, stop, stream, toolchain_env, write_json)

RESULTS = OUT / "test"
# No guest and no program should take so long, as slow as the machine may be: in seconds.
LONGEST = 2 * 3600


class Report:
    """All tests, in the order in which they ended."""

    def __init__(self):
        self.tests, self.restarts = [], 0

    def add(self, step, name, status, reason=""):
        self.tests.append({"step": step, "name": name, "status": status, "reason": reason})

    def check(self, step, name, good, reason=""):
        self.add(step, name, "passed" if good else "failed", "" if good else reason)

    def count(self, status, step=None):
        return sum(t["status"] == status and step in (None, t["step"]) for t in self.tests)

    def must_have_run(self, step, code):
        """Adds a failure when a program failed without a failed test, or ran none."""
        if not any(test["step"] == step for test in self.tests):
            self.add(step, step, "failed", f"no test was run (exit status {code})")
        elif code and not self.count("failed", step):
            self.add(step, step, "failed", f"exit status {code}, see out/test/{step}.log")


class Kunit:
    """The KTAP parser of the kernel's tree."""

    def __init__(self, source):
        sys.path.insert(0, str(source / "tools/testing/kunit"))
        import kunit_parser
        import kunit_printer
        self.parser, self.silent = kunit_parser, kunit_printer.Printer(print=False)

    def parse(self, text):
        """Returns (list of (path, status, reason), names of the top-level tests, errors)."""
        parser = self.parser
        root = parser.parse_run_tests(parser.extract_tap_lines(text.splitlines()), self.silent)
        leaves = []

        def walk(test, path):
            if test.subtests:
                for sub in test.subtests:
                    walk(sub, path + [sub.name])
                return
            status = {parser.TestStatus.SUCCESS: "passed",
                      parser.TestStatus.SKIPPED: "skipped"}.get(test.status, "failed")
            log = [line.strip().lstrip("# ") for line in test.log if line.strip()]
            reason = " | ".join(log[-6:]) or test.status.name.lower().replace("_", " ")
            leaves.append((": ".join(path), status, reason if status == "failed" else
                           test.skip_reason if status == "skipped" else ""))

        for test in root.subtests:
            walk(test, [test.name])
        return leaves, [test.name for test in root.subtests], root.counts.errors


def add_ktap(report, kunit, step, text, what):
    """Counts the tests of a KTAP document. One without tests, or with gaps, is a failure."""
    leaves, names, errors = kunit.parse(text)
    for name, status, reason in leaves:
        report.add(step, name, status, reason)
    if not leaves:
        report.add(step, what, "failed", "no test was run")
    elif errors:
        report.add(step, what, "failed", f"KTAP with {errors} errors: tests are missing")
    return names


RESULT = re.compile(r"^(?:test (.+?) \.\.\. (ok|FAILED|ignored)|"
                    r"\S+/(\S+?::.+) (PASSED|FAILED|ERROR|SKIPPED)\b.* \[ *\d+%\]$)", re.M)


def add_results(report, step, code, output):
    """Counts the tests of cargo or pytest, by their output."""
    reasons = dict(re.findall(r"^---- (.+?) stdout ----\n(.*?)(?=\n----|\nfailures:)", output,
                              re.M | re.S))
    results = [(one or other, word or another)
               for one, word, other, another in RESULT.findall(output)]
    for name, word in results:
        status = {"ok": "passed", "PASSED": "passed", "ignored": "skipped",
                  "SKIPPED": "skipped"}.get(word, "failed")
        reason = " | ".join(reasons.get(name, "").split("\n")[:4]) or f"see out/test/{step}.log"
        report.add(step, name, status, reason if status == "failed" else "")
    if code == 124:
        hung = re.findall(r"^test (.+?) has been running", output, re.M)
        hung = [name for name in hung if name not in dict(results)]
        report.add(step, ", ".join(hung) or step, "failed", "the time limit was reached")
    report.must_have_run(step, code)


def host_scripts(lab, step):
    code, output = stream([*pytest_command(), "-v"], RESULTS / f"{step}.log", Progress(step),
                          re.compile(r" (FAILED|ERROR) +\["), limit=LONGEST)
    add_results(lab.report, step, code, output)


def host_rmapctl(lab, step):
    env = toolchain_env() | {"CARGO_TARGET_DIR": str(CACHE / "rmapctl-target"),
                             "CARGO_TERM_COLOR": "never"}
    code, output = stream(["cargo", "test", "--locked"], RESULTS / f"{step}.log", Progress(step),
                          re.compile(r"^test .* FAILED|^error"), cwd=TOP / "tools/rmapctl",
                          env=env, limit=LONGEST)
    add_results(lab.report, step, code, output)


# Name, vm.py options, command, expected exit status, expected reason and part of the text of vm.json.
FAKE = 'echo "<4>WARNING: CPU: 0 PID: 1 at fake" >/dev/kmsg'
RUNNER_TESTS = (
    ("the exit status is passed through", [], "exit 7", 7, "exit", ""),
    ("a report of the kernel fails the run", [], FAKE, 3, "splat", "at fake"),
    ("an expected report does not", ["--expect-splat", "at fake"], FAKE, 0, "exit", ""),
    ("an expected report that does not come fails the run", ["--expect-splat", "at fake"],
     "true", 4, "no-splat", "at fake"),
    ("the time limit is enforced", ["--time-limit", "5"], "sleep 3000 & sleep 3000", 124,
     "time-limit", "5"),
    ("a guest that dies is noticed", [], "poweroff -f; sleep 600", 125, "died", "without"),
    ("a file that is no module is refused", ["--module", __file__], "true", 126, "insmod", ""),
    ("results come back, and nothing else can be written", [],
     'echo here >"$OUT/probe" && [ "$(cat test.py | head -c 2)" = "#!" ] && '
     'if [ "$VM_TARGET" = um ]; then ! touch /shadow-rmap-probe; fi', 0, "exit", ""),
)


def vm_runner(lab, step):
    target, progress = machine(step.removesuffix("-runner")), Progress(step, len(RUNNER_TESTS))
    for name, options, command, code, reason, text in RUNNER_TESTS:
        out = RESULTS / step / re.sub(r"\W+", "-", name)
        shutil.rmtree(out, ignore_errors=True)
        done, _ = stream([SCRIPTS / "vm.py", "--target", target, "--kernel", lab.kernel(target),
                          "--out", out, "--quiet", "--time-limit", "600", "--file", __file__,
                          *options, "--", command], out.with_suffix(".log"), progress,
                         limit=LONGEST)
        got = read_json(out / "vm.json")
        good = done == code and got.get("reason") == reason and text in got.get("text", "")
        if command.startswith("echo here"):
            good = good and (out / "probe").is_file()
        lab.report.check(step, name, good,
                         f"exit status {done} for {code}; {got.get('text', 'no vm.json')}")
        lab.report.restarts += got.get("restarts", 0)
        progress.done += 1


def expected_suites():
    """Returns the names in `#[kunit_tests(name)]` of rust/, and how many tests there are."""
    suites, tests = set(), 0
    for path in (TOP / "rust").rglob("*.rs"):
        text = path.read_text()
        suites.update(re.findall(r"^\s*#\[(?:\w+::)*kunit_tests\((\w+)\)\]", text, re.M))
        tests += len(re.findall(r"^\s*#\[test\]", text, re.M))
    return sorted(suites), tests


def boot(lab, step, files, append, script, *args, options=("--kmemleak",), expected=0):
    """Runs a script of scripts/guest/ and counts its tests. `files` maps names in the guest to paths
    here. Returns the folder with the results, or None when a file is missing."""
    report, out, target = lab.report, RESULTS / step, machine(step.partition("-")[0])
    for name, path in files.items():
        if not path or not Path(path).is_file():
            report.add(step, "guest", "failed", f"{name}: {path or 'was not given'}: no such file")
            return None
    shutil.rmtree(out, ignore_errors=True)
    files = files | {"ktap.sh": SCRIPTS / "guest/ktap.sh"}
    copies = [word for name, path in files.items() for word in ("--file", f"{path}:{name}")]
    log = out.with_suffix(".log")
    stream([SCRIPTS / "vm.py", "--target", target, "--kernel", lab.kernel(target), "--out", out,
            *options, "--append", append, "--time-limit", str(LONGEST), *copies, "--",
            SCRIPTS / "guest" / script, *args],
           log, Progress(step, expected), re.compile(r"^not ok \d|^vm: \w+: "), limit=LONGEST + 900)
    summary = read_json(out / "vm.json")
    report.restarts += summary.get("restarts", 0)
    # A failed test is counted below; this is what no line of a test can say.
    report.check(step, "guest: ran to its end, without a report of the kernel",
                 summary.get("reason") == "exit", summary.get("text", "vm.py left no vm.json"))
    document = read(out / "test.ktap")
    if not document:
        # The guest died: the console has the plan and the tests until then.
        document = "\n".join(["KTAP version 1", *re.findall(
            r"^(?:1\.\.\d+|(?:not )?ok \d+ .*)$", read(log), re.M)])
    add_ktap(report, lab.kunit, step, document, f"guest: {script}")
    return out


def add_suites(lab, step, out):
    """Counts the KUnit suites; each that is named in rust/ must be there."""
    seen = []
    for path in sorted((out / "kunit").glob("*.ktap")):
        seen += add_ktap(lab.report, lab.kunit, step, path.read_text(), path.stem)
    for name in expected_suites()[0] or ["no #[kunit_tests] in rust/"]:
        if name not in seen:
            lab.report.add(step, f"kunit: {name}", "failed", "the suite did not run")


# User-Mode Linux is built for one kind of preemption; for x86_64 the command line chooses it.
PREEMPT = {"um": ("", ()), "x86_64": ("preempt=full", ("--preempt", "full"))}


def guest(lab, step):
    target = machine(step.removesuffix("-guest"))
    files = {name: lab.module(target, name) for name in ("shadow_rmap.ko", "shadow_rmap_kunit.ko")}
    samples = sorted((TOP / "samples").glob("*.scn"))
    samples += sorted(p for p in (TOP / "samples/bad-input").glob("*") if p.is_file())
    files |= {"rmapctl": lab.rmapctl} | {path.relative_to(TOP): path for path in samples}
    # QEMU without KVM is slow: fewer seeds there. The last one is new in each run.
    seeds = [*range(1, {"um": 10, "x86_64": 3}[target]), lab.seed]
    append, mode = PREEMPT[target]
    suites, tests = expected_suites()
    out = boot(lab, step, files, append, "test.sh", "--seeds", " ".join(map(str, seeds)), *mode,
               expected=len(suites) + tests)
    if out:
        add_suites(lab, step, out)


def lazy(lab, step):
    suites, tests = expected_suites()
    # Leaks are looked for, once, by the longer test.
    out = boot(lab, step, {"shadow_rmap_kunit.ko": lab.module("x86_64", "shadow_rmap_kunit.ko")},
               "preempt=lazy", "test.sh", "--kunit-only", "--preempt", "lazy", options=(),
               expected=len(suites) + tests)
    if out:
        add_suites(lab, step, out)


def busted(lab, step):
    boot(lab, step, {"shadow_rmap.ko": lab.busted.get("um"), "rmapctl": lab.rmapctl,
                     "reuses_busy.ko": lab.busted.get("um-ReusesBusy")}, "", "busted.sh")


def again(lab, step):
    name = "shadow_rmap_torture.ko"
    boot(lab, step, {name: lab.module("um", name)}, "", "again.sh", options=())


def add_torture(report, step, code, result):
    """Counts each bug, and each run of the correct rules."""
    for row in result.get("busts", ()):
        how = "; ".join(f"{run['how']} {run['words']}" for run in result["runs"]
                        if run["bust"] == row["bust"] and not run["caught"])
        report.check(step, f"{row['bust']} is caught ({row['rule']}, {row['protocol']})",
                     torture_report.is_caught(row), f"{torture_report.seen_by(row)}: {how}")
    for run in result.get("correct", ()):
        where = ", ".join(filter(None, (run["protocol"], run["vm"], run["load"])))
        report.check(step, f"correct rules are clean ({where})", run["clean"],
                     "; ".join(run["reasons"]))
    for bust in result.get("not_shown", ()):
        report.add(step, f"{bust['bust']} is caught", "skipped", bust["reason"])
    missing = sum(result.get("planned", ())) - len(result.get("busts", ())) \
        - len(result.get("correct", ()))
    if missing:
        report.add(step, "torture: all that was planned", "failed", f"{missing} runs are missing")
    report.must_have_run(step, code)
    report.restarts += result.get("restarts", 0)


def torture(lab, step):
    out, module = RESULTS / step, lab.module("um", "shadow_rmap_torture.ko")
    shutil.rmtree(out, ignore_errors=True)
    code, _ = stream([SCRIPTS / "torture.py", "--short", f"SEED={lab.seed}", "--out", out,
                      "--module", f"um={module}", "--kernel", f"um={lab.kernel('um')}"],
                     out.with_suffix(".log"), Progress(step),
                     re.compile(r"NOT CAUGHT|NOT CLEAN|FINDING|findings$|^torture: ", re.I),
                     limit=LONGEST)
    add_torture(lab.report, step, code, read_json(out / "torture.json"))


# Each step, and how many cores it keeps busy. Those that need more than one come last.
STEPS = {
    "x86_64-guest": (guest, 1), "um-guest": (guest, 1), "x86_64-lazy": (lazy, 1),
    "host-rmapctl": (host_rmapctl, 1), "host-scripts": (host_scripts, 1),
    "um-busted": (busted, 1), "um-runner": (vm_runner, 1), "x86_64-runner": (vm_runner, 1),
    "um-again": (again, 2), "um-torture": (torture, 2),
}


class Lab:
    """What the steps need."""

    def __init__(self, args):
        self.report, self.seed = Report(), args.seed
        self.rmapctl = args.rmapctl and Path(args.rmapctl).resolve()
        self.modules = {(target, path.name): path for target, path in args.module}
        self.kernels, self.busted = dict(args.kernel), dict(args.busted)
        self.kunit = Kunit(Path(script_lines("source.sh")[-1]))

    def kernel(self, target):
        if target not in self.kernels:
            self.kernels[target] = kernel_folder(target)
        return self.kernels[target]

    def module(self, target, name):
        return self.modules.get((target, name))


def run_step(lab, name):
    report, begin = lab.report, time.monotonic()
    say(f"{name} ...")
    try:
        STEPS[name][0](lab, name)
    except Exception as error:  # pylint: disable=broad-except
        report.add(name, name, "failed", f"{type(error).__name__}: {error}")
    report.must_have_run(name, 0)
    skipped = report.count("skipped", name)
    say(f"{name}: {report.count('passed', name)} passed, {report.count('failed', name)} failed"
        + (f", {skipped} skipped" if skipped else "") + f" ({time.monotonic() - begin:.0f} s)")


def run_steps(names, weights, run, cores):
    """Runs `run(name)` for all, in order, as many at a time as there are cores for."""
    changed, free, threads = threading.Condition(), [cores], []

    def work(name, weight):
        try:
            run(name)
        finally:
            with changed:
                free[0] += weight
                changed.notify_all()

    for name in names:
        weight = min(weights[name], cores)
        with changed:
            while free[0] < weight:
                changed.wait(1)
            free[0] -= weight
        threads.append(threading.Thread(target=work, args=(name, weight), daemon=True))
        threads[-1].start()
    for thread in threads:
        while thread.is_alive():
            thread.join(1)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--target", choices=("um", "x86_64", "all"), default="all", help="which guests")
    add("--only", metavar="NAME", help="only the steps with NAME in their name")
    add("--seed", type=int, default=random.getrandbits(31),
        help="of one random sequence in each guest, and of the torture (default: random, shown)")
    add("--module", type=pair, action="append", default=[], metavar="TARGET=FILE.ko",
        help="shadow_rmap.ko, shadow_rmap_kunit.ko or shadow_rmap_torture.ko")
    add("--busted", type=pair, action="append", default=[], metavar="TARGET=FILE.ko",
        help="a shadow_rmap.ko whose forks forget the link to the root (um), or reuse a busy "
             "anon_vma (um-ReusesBusy)")
    add("--kernel", type=pair, action="append", default=[], metavar="TARGET=DIR",
        help="kernel build folder (default: scripts/kernel.sh TARGET)")
    add("--rmapctl", default=os.environ.get("RMAPCTL"), metavar="FILE",
        help="the static program (default: $RMAPCTL)")
    args = parser.parse_args()
    steps = [name for name in STEPS
             if (args.target == "all" or name.startswith((f"{args.target}-", "host")))
             and (not args.only or args.only in name)]
    if not steps:
        parser.error(f"--only {args.only}: none of {', '.join(STEPS)}")
    exit_on_sigterm()
    begin = time.monotonic()
    try:
        lab = Lab(args)
        for target in sorted({name.partition("-")[0] for name in steps} - {"host"}):
            lab.kernel(target)
    except Mistake as mistake:
        parser.exit(2, f"test: {mistake}\n")
    report = lab.report
    try:
        run_steps(steps, {name: weight for name, (_, weight) in STEPS.items()},
                  lambda name: run_step(lab, name), CORES)
    finally:
        for process in list(RUNNING):
            stop(process)
    for test in report.tests:
        if test["status"] != "passed":
            word = test["status"].upper() if test["status"] == "failed" else test["status"]
            say(f"{word} {test['step']}: {test['name']}: {test['reason']}")
    write_json(OUT / "test.json", report.tests)
    failed = report.count("failed")
    say(f"seed {args.seed}; {time.monotonic() - begin:.0f} s; guests started again because they did not boot: "
        f"{report.restarts}")
    say(f"{report.count('passed')} passed, {failed} failed")
    return 1 if failed or not report.count("passed") else 0


if __name__ == "__main__":
    sys.exit(main())

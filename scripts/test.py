#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Runs everything that must pass, on this machine and in both test guests.

The steps, chosen by --target and --only:
  host-runner   scripts/vm.py --self-test: the table of kernel complaints
  host-check    scripts/check.sh --self-test: each gate fires
  host-torture  scripts/torture.py --self-test: how a torture is judged
  host-rmapctl  cargo test of tools/rmapctl
  um-runner, x86_64-runner   the VM runner notices complaints, time-outs and dead guests
  um-guest, x86_64-guest     scripts/guest/test.sh: the module, its KUnit suites, scenarios
  x86_64-lazy   the KUnit suites again, in a kernel that preempts lazily instead of fully
  um-torture    scripts/torture.py --short: each deliberate bug is caught, the correct rules are clean
  um-again      scripts/guest/again.sh: one torture after the other, in one boot
  um-busted     scripts/guest/busted.sh: a module that breaks a rule is found out

The steps of x86_64 run beside the others.  Each test counts once.  The last line is `N passed, N
failed`; the exit status is 0 only when nothing failed and every KUnit suite named in rust/ was
seen.  Details go to out/test/, the list
of all tests to out/test.json.
"""

import argparse
import json
import os
import queue
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
SCRIPTS = TOP / "scripts"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "shadow-rmap"
OUT = TOP / "out" / "test"
TARGETS = ("um", "x86_64")
HEARTBEAT = 5
HOST_LIMIT = 600


def say(text):
    print(text, flush=True)


class Report:
    """Every test that was seen, in order."""

    def __init__(self):
        self.tests = []

    def add(self, step, name, status, reason=""):
        self.tests.append({"step": step, "name": name, "status": status, "reason": reason})

    def check(self, step, name, good, reason=""):
        self.add(step, name, "passed" if good else "failed", "" if good else reason)

    def count(self, status, step=None):
        return sum(t["status"] == status and step in (None, t["step"]) for t in self.tests)


def stop(process):
    """Ends a command and what it started, by the process group made for it; the VM runner uses
    the moment before it is killed to end its guest."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(10)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            pass


# What runs at the moment: whoever is told to end ends it.
RUNNING = set()


def stream(command, log, what, show=None, cwd=TOP, env=None, limit=HOST_LIMIT):
    """Runs a command; its output goes to `log`.  Lines that `show` picks are printed; when there
    was nothing to print for a while, how far it has come.  Returns (exit status, output); the
    status is 124 when the time limit was reached."""
    log.parent.mkdir(parents=True, exist_ok=True)
    lines, output = queue.Queue(), []
    process = subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL, cwd=cwd,
                               env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               text=True, errors="replace", start_new_session=True)

    def read():
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    begin = said = time.monotonic()
    RUNNING.add(process)
    try:
        with open(log, "w", encoding="utf-8") as file:
            while True:
                now = time.monotonic()
                if now - begin > limit:
                    return 124, "".join(output)
                if now - said >= HEARTBEAT:
                    last = output[-1].strip()[:60] if output else ""
                    say(f"  {what}: {now - begin:.0f} s  {last}")
                    said = now
                try:
                    line = lines.get(timeout=said + HEARTBEAT - now)
                except queue.Empty:
                    continue
                if line is None:
                    return process.wait(), "".join(output)
                output.append(line)
                file.write(line)
                file.flush()
                if show and show.search(line):
                    say(f"  {line.rstrip()}")
                    said = time.monotonic()
    finally:
        stop(process)
        RUNNING.discard(process)


class Kunit:
    """The kernel tree's own KTAP parser."""

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
    """Counts the tests of a KTAP document; one without tests, or with gaps, is a failure."""
    leaves, names, errors = kunit.parse(text)
    for name, status, reason in leaves:
        report.add(step, name, status, reason)
    if not leaves:
        report.add(step, what, "failed", "no test was run")
    elif errors:
        report.add(step, what, "failed", f"KTAP with {errors} errors: tests are missing")
    return names


def host_ktap(name, command):
    def step(lab):
        code, output = stream(command, OUT / f"{name}.log", name, re.compile(r"^not ok"))
        add_ktap(lab.report, lab.kunit, name, output, name)
        if code and not lab.report.count("failed", name):
            lab.report.add(name, name, "failed", f"exit status {code}, see out/test/{name}.log")
    return step


def toolchain_env():
    """The environment that scripts/setup.sh has chosen."""
    done = subprocess.run(["bash", "-c", '. "$0" && env -0', CACHE / "toolchain.env"],
                          stdout=subprocess.PIPE, check=True)
    return dict(e.split("=", 1) for e in done.stdout.decode().split("\0") if "=" in e)


CARGO_TEST = re.compile(r"^test (.+?) \.\.\. (ok|FAILED|ignored)", re.M)


def add_cargo(report, step, code, output):
    reasons = {}
    for name, said in re.findall(r"^---- (.+?) stdout ----\n(.*?)(?=\n----|\nfailures:)", output,
                                 re.M | re.S):
        reasons[name] = " | ".join(line.strip() for line in said.strip().splitlines()[:4])
    results = CARGO_TEST.findall(output)
    for name, result in results:
        status = {"ok": "passed", "FAILED": "failed", "ignored": "skipped"}[result]
        report.add(step, name, status, reasons.get(name, "") if status == "failed" else "")
    if code == 124:
        hung = re.findall(r"^test (.+?) has been running", output, re.M)
        hung = [name for name in hung if name not in [r[0] for r in results]]
        report.add(step, ", ".join(hung) or "cargo test", "failed", "the time limit was reached")
    elif not results:
        report.add(step, "cargo test", "failed", f"no test was run (exit status {code})")
    elif code and not report.count("failed", step):
        report.add(step, "cargo test", "failed", f"exit status {code}")


def host_rmapctl(lab):
    step, folder = "host-rmapctl", TOP / "tools/rmapctl"
    if not (folder / "Cargo.toml").is_file():
        lab.report.add(step, "cargo test", "failed", "tools/rmapctl is not there")
        return
    env = toolchain_env() | {"CARGO_TARGET_DIR": str(CACHE / "rmapctl-target"),
                             "CARGO_TERM_COLOR": "never"}
    code, output = stream(["cargo", "test", "--locked"], OUT / f"{step}.log", step,
                          re.compile(r"^test .* FAILED|^error"), cwd=folder, env=env)
    add_cargo(lab.report, step, code, output)


# name, vm.py options, command, wanted exit status, wanted reason and part of the text of vm.json.
FAKE = 'echo "<4>WARNING: CPU: 0 PID: 1 at fake" >/dev/kmsg'
RUNNER_TESTS = (
    ("the exit status is passed through", [], "exit 7", 7, "exit", ""),
    ("a complaint of the kernel fails the run", [], FAKE, 3, "splat", "at fake"),
    ("a complaint that was expected does not", ["--expect-splat", "at fake"], FAKE, 0, "exit", ""),
    ("an expected complaint that does not come fails the run", ["--expect-splat", "at fake"],
     "true", 4, "no-splat", "at fake"),
    ("the time limit is enforced", ["--time-limit", "10"], "sleep 300 & sleep 300", 124,
     "time-limit", "10"),
    ("a guest that dies is noticed", [], "poweroff -f; sleep 60", 125, "died", "without"),
    ("a file that is no module is refused", ["--module", __file__], "true", 126, "insmod", ""),
    ("results come back, and nothing else can be written", [],
     'echo here >"$OUT/probe" && [ "$(cat test.py | head -c 2)" = "#!" ] && '
     'if [ "$VM_TARGET" = um ]; then ! touch /shadow-rmap-probe; fi', 0, "exit", ""),
)


def vm_runner(target):
    step = f"{target}-runner"

    def run(lab):
        for name, options, command, code, reason, text in RUNNER_TESTS:
            out = OUT / step / re.sub(r"\W+", "-", name)
            shutil.rmtree(out, ignore_errors=True)
            done, _ = stream([SCRIPTS / "vm.py", "--target", target, "--kernel",
                              lab.kernel(target), "--out", out, "--quiet", "--time-limit", "60",
                              "--file", __file__, *options, "--", command],
                             OUT / step / "runner.log", step)
            got = read_json(out / "vm.json")
            good = done == code and got.get("reason") == reason and text in got.get("text", "")
            if command.startswith("echo here"):
                good = good and (out / "probe").is_file()
            lab.report.check(step, name, good,
                             f"exit status {done} for {code}; {got.get('text', 'no vm.json')}")
    return run


def read_json(path):
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}


def expected_suites():
    """What `#[kunit_tests(name)]` stands for in rust/, whoever writes it."""
    found = set()
    for path in (TOP / "rust").rglob("*.rs"):
        found.update(re.findall(r"^\s*#\[(?:\w+::)*kunit_tests\((\w+)\)\]", path.read_text(), re.M))
    return sorted(found)


def boot(lab, step, files, append, script, *args, options=("--kmemleak",)):
    """Runs a script of scripts/guest/ and counts what it says; `files` maps names in the guest to
    paths here.  Returns the folder with the results, or None when a file is not there."""
    report, out, target = lab.report, OUT / step, step.partition("-")[0]
    for name, path in files.items():
        if not path or not Path(path).is_file():
            report.add(step, "guest", "failed", f"{name}: {path or 'was not given'}: no such file")
            return None
    shutil.rmtree(out, ignore_errors=True)
    files = files | {"ktap.sh": SCRIPTS / "guest/ktap.sh"}
    copies = [word for name, path in files.items() for word in ("--file", f"{path}:{name}")]
    stream([SCRIPTS / "vm.py", "--target", target, "--kernel", lab.kernel(target), "--out", out,
            *options, "--append", append, "--time-limit", "1500", *copies, "--",
            SCRIPTS / "guest" / script, *args],
           limit=1800, log=out.with_suffix(".log"), what=step,
           show=re.compile(r"^(not )?ok \d|^vm: "))
    summary = read_json(out / "vm.json")
    text = summary.get("text", "vm.py left no vm.json")
    # A failed test is counted below; here is what no test line can tell.
    report.check(step, "guest: ran to its end, and the kernel had nothing to complain about",
                 summary.get("reason") == "exit", text)
    try:
        document = (out / "test.ktap").read_text()
    except OSError:
        # The guest died on the way: what its console shows is what was tried.
        lines = re.findall(r"^(?:not )?ok \d+ .*$", out.with_suffix(".log").read_text(), re.M)
        document = "\n".join(["KTAP version 1", f"1..{len(lines)}", *lines])
    add_ktap(report, lab.kunit, step, document, f"guest: {script}")
    return out


# User-Mode Linux is built for one kind of preemption; x86_64 is told by its command line.
PREEMPT = {"um": ("", ()), "x86_64": ("preempt=full", ("--preempt", "full"))}


def add_suites(lab, step, out):
    """Counts the KUnit suites; each that is in rust/ must be there."""
    seen = []
    for path in sorted((out / "kunit").glob("*.ktap")):
        seen += add_ktap(lab.report, lab.kunit, step, path.read_text(), path.stem)
    wanted = expected_suites()
    for name in wanted:
        if name not in seen:
            lab.report.add(step, f"kunit: {name}", "failed", "the suite was not seen")
    if not wanted:
        lab.report.add(step, "kunit", "failed", "no #[kunit_tests] in rust/")


def guest(target):
    step = f"{target}-guest"

    def run(lab):
        files = {"shadow_rmap.ko": lab.modules.get(target), "rmapctl": lab.rmapctl}
        samples = sorted((TOP / "samples").glob("*.scn"))
        samples += sorted(p for p in (TOP / "samples/bad-input").glob("*") if p.is_file())
        files |= {path.relative_to(TOP): path for path in samples}
        # QEMU without KVM is slow: fewer seeds there.
        seeds = {"um": "10", "x86_64": "3"}[target]
        append, mode = PREEMPT[target]
        out = boot(lab, step, files, append, "test.sh", "--seed", str(lab.seed), "--seeds", seeds,
                   *mode)
        if out:
            add_suites(lab, step, out)
    return run


def lazy(lab):
    step = "x86_64-lazy"
    # Leaks are looked for, once, by the longer test.
    out = boot(lab, step, {"shadow_rmap.ko": lab.modules.get("x86_64")}, "preempt=lazy", "test.sh",
               "--kunit-only", "--preempt", "lazy", options=())
    if out:
        add_suites(lab, step, out)


def busted(lab):
    # Its KUnit suites would fail, and rightly so.
    boot(lab, "um-busted", {"shadow_rmap.ko": lab.busted.get("um"), "rmapctl": lab.rmapctl},
         "kunit.filter_glob=none", "busted.sh")


def again(lab):
    # Nothing but the tortures themselves.
    boot(lab, "um-again", {"shadow_rmap.ko": lab.modules.get("um")}, "kunit.filter_glob=none",
         "again.sh", options=())


def torture(lab):
    step = "um-torture"
    out, module = OUT / step, lab.modules.get("um")
    if not module or not module.is_file():
        lab.report.add(step, "torture", "failed", f"{module or 'the module'}: no such file")
        return
    shutil.rmtree(out, ignore_errors=True)
    code, _ = stream([SCRIPTS / "torture.py", "--short", f"SEED={lab.seed}", "--out", out,
                      "--module", f"um={module}", "--kernel", f"um={lab.kernel('um')}"],
                     limit=900, log=out.with_suffix(".log"), what=step,
                     show=re.compile(r"^\[\d+/\d+\] .*: (\S* ?caught|\S* ?clean)|^torture: ", re.I))
    try:
        document = (out / "torture.ktap").read_text()
    except OSError:
        document = ""
    add_ktap(lab.report, lab.kunit, step, document, step)
    if code and not lab.report.count("failed", step):
        lab.report.add(step, step, "failed", f"exit status {code}, see out/test/{step}.log")


def self_test(lab):
    """The counting itself, with documents of which the answer is known."""
    report, step = lab.report, "host-test"

    def count(text):
        trial = Report()
        names = add_ktap(trial, lab.kunit, "x", text, "document")
        return trial.count("passed"), trial.count("failed"), names, trial.tests

    suite = ("KTAP version 1\n1..1\n    KTAP version 1\n    # Subtest: shadow_rmap_a\n    1..2\n"
             "    ok 1 good\n    # bad: EXPECTATION FAILED at rust/x.rs:7\n    not ok 2 bad\n"
             "not ok 1 shadow_rmap_a\n")
    good, bad, names, tests = count(suite)
    report.check(step, "a failing KUnit test is counted once, with its reason",
                 (good, bad, names) == (1, 1, ["shadow_rmap_a"]) and
                 "rust/x.rs:7" in tests[1]["reason"], f"{good} {bad} {names} {tests}")
    good, bad, _, _ = count("nothing here")
    report.check(step, "no KTAP is a failure", (good, bad) == (0, 1), f"{good} {bad}")
    good, bad, _, _ = count("KTAP version 1\n1..3\nok 1 a\nok 2 b\n")
    report.check(step, "a missing test is a failure", good == 2 and bad >= 1, f"{good} {bad}")
    trial = Report()
    add_cargo(trial, "x", 101, "test a::b ... ok\ntest c ... FAILED\n\nfailures:\n\n"
              "---- c stdout ----\nthread 'c' panicked at src/x.rs:1:2\n\nfailures:\n    c\n")
    report.check(step, "cargo's tests are counted", trial.count("passed") == 1 and
                 trial.count("failed") == 1 and "src/x.rs" in trial.tests[1]["reason"],
                 f"{trial.tests}")
    trial = Report()
    add_cargo(trial, "x", 124, "test a ... ok\ntest b has been running for over 60 seconds\n")
    report.check(step, "a test of cargo's that hangs is named", trial.tests[-1]["name"] == "b" and
                 trial.count("failed") == 1, f"{trial.tests}")
    begin = time.monotonic()
    code, _ = stream(["sh", "-c", "echo started; sleep 60"], OUT / "hung.log", step, limit=1)
    report.check(step, "a command that hangs is ended", code == 124 and
                 time.monotonic() - begin < 30, f"exit status {code}")
    trial = Report()
    add_cargo(trial, "x", 0, "running 0 tests\n")
    report.check(step, "cargo without a test is a failure", trial.count("failed") == 1, "")


STEPS = {
    "host-test": self_test,
    "host-runner": host_ktap("host-runner", [SCRIPTS / "vm.py", "--self-test"]),
    "host-check": host_ktap("host-check", [SCRIPTS / "check.sh", "--self-test"]),
    "host-torture": host_ktap("host-torture", [SCRIPTS / "torture.py", "--self-test"]),
    "host-rmapctl": host_rmapctl,
} | {f"{t}-{what}": make(t) for what, make in (("runner", vm_runner), ("guest", guest))
     for t in TARGETS} | {"x86_64-lazy": lazy, "um-torture": torture, "um-again": again,
                         "um-busted": busted}


class Lab:
    """What the steps need."""

    def __init__(self, args):
        self.report, self.seed = Report(), args.seed
        self.rmapctl = args.rmapctl and Path(args.rmapctl).resolve()
        self.modules, self.kernels = dict(args.module), dict(args.kernel)
        self.busted = dict(args.busted)
        self.kunit = Kunit(Path(script_line("source.sh")))

    def kernel(self, target):
        if target not in self.kernels:
            self.kernels[target] = script_line("kernel.sh", target)
        return self.kernels[target]


def script_line(name, *args):
    done = subprocess.run([SCRIPTS / name, *args], stdout=subprocess.PIPE, text=True, check=False,
                          stdin=subprocess.DEVNULL)
    if done.returncode:
        raise SystemExit(f"scripts/{name} {shlex.join(args)} failed")
    return done.stdout.splitlines()[-1]


def pair(text):
    target, found, value = text.partition("=")
    if not found or target not in TARGETS:
        raise argparse.ArgumentTypeError("TARGET=PATH, with TARGET um or x86_64")
    return target, Path(value).resolve()


def run_steps(lab, names):
    """One after the other."""
    report = lab.report
    for name in names:
        begin = time.monotonic()
        say(f"{name} ...")
        try:
            STEPS[name](lab)
        except Exception as error:  # pylint: disable=broad-except
            # Another thread would not be missed.
            report.add(name, name, "failed", f"{type(error).__name__}: {error}")
        if not any(test["step"] == name for test in report.tests):
            report.add(name, name, "failed", "no test was run")
        skipped = report.count("skipped", name)
        say(f"{name}: {report.count('passed', name)} passed, {report.count('failed', name)} failed"
            + (f", {skipped} skipped" if skipped else "") + f" ({time.monotonic() - begin:.0f} s)")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--target", choices=(*TARGETS, "all"), default="all", help="which guests (default: all)")
    add("--only", metavar="NAME", help="only the steps with NAME in their name")
    add("--seed", type=int, default=1, help="of the random scenarios")
    add("--module", type=pair, action="append", default=[], metavar="TARGET=FILE.ko")
    add("--busted", type=pair, action="append", default=[], metavar="TARGET=FILE.ko",
        help="a module whose forks forget the link to the root (um only)")
    add("--kernel", type=pair, action="append", default=[], metavar="TARGET=DIR",
        help="kernel build folder (default: scripts/kernel.sh TARGET)")
    add("--rmapctl", default=os.environ.get("RMAPCTL"), metavar="FILE",
        help="the static program (default: $RMAPCTL)")
    args = parser.parse_args()
    steps = [name for name in STEPS
             if (args.target == "all" or name.startswith((args.target, "host")))
             and (not args.only or args.only in name)]
    if not steps:
        parser.error(f"--only {args.only}: none of {', '.join(STEPS)}")
    # SystemExit runs the `finally` that ends a guest.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    lab = Lab(args)
    report = lab.report
    # QEMU's guests take as long as all the rest: both at the same time.
    slow = [name for name in steps if name.startswith("x86_64")]
    for target in {name.partition("-")[0] for name in steps} & set(TARGETS):
        lab.kernel(target)
    other = threading.Thread(target=run_steps, args=(lab, slow), daemon=True)
    other.start()
    try:
        run_steps(lab, [name for name in steps if name not in slow])
        other.join()
    finally:
        for process in list(RUNNING):
            stop(process)
    for test in report.tests:
        if test["status"] == "failed":
            say(f"FAILED {test['step']}: {test['name']}: {test['reason']}")
        elif test["status"] == "skipped":
            say(f"skipped {test['step']}: {test['name']}: {test['reason']}")
    (TOP / "out").mkdir(exist_ok=True)
    (TOP / "out/test.json").write_text(json.dumps(report.tests, indent=1) + "\n")
    failed = report.count("failed")
    say(f"{report.count('passed')} passed, {failed} failed")
    return 1 if failed or not report.count("passed") else 0


if __name__ == "__main__":
    sys.exit(main())

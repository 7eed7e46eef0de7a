# SPDX-License-Identifier: GPL-2.0
"""What a step of scripts/test.py counts: the results of cargo, pytest, KUnit and the scripts of the
guest, and the rules that were checked. It is imported, not run."""

import re
import sys

import torture_report
from common import OUT, SCRIPTS, machine, read, stream

RESULTS = OUT / "test"
# No guest and no program should take so long, as slow as the machine may be: in seconds.
LONGEST = 2 * 3600


class Step:
    """One step, and its tests in the order in which they ended."""

    def __init__(self, name, lab=None):
        self.name, self.lab, self.target = name, lab, machine(name)
        self.out, self.log = RESULTS / name, RESULTS / f"{name}.log"
        self.tests, self.restarts, self.seconds = [], 0, 0

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


RESULT = re.compile(r"^(?:test (.+?) \.\.\. (ok|FAILED|ignored(?:, .+)?)|"
                    r"\S+/(\S+?::.+) (PASSED|FAILED|ERROR|SKIPPED)\b.* \[ *\d+%\]$)", re.M)
STATUS = {"ok": "passed", "PASSED": "passed", "ignored": "skipped", "SKIPPED": "skipped"}


def add_results(step, code, output):
    """Counts the tests of cargo or pytest, by their output."""
    reasons = dict(re.findall(r"^---- (.+?) stdout ----\n(.*?)(?=\n----|\nfailures:)", output,
                              re.M | re.S))
    results = {one or other: (word or another).split(", ", 1)
               for one, word, other, another in RESULT.findall(output)}
    for name, (word, *why) in results.items():
        status = STATUS.get(word, "failed")
        reason = " | ".join(reasons.get(name, "").split("\n")[:4]) or f"see {step.log}"
        step.add(name, status, reason if status == "failed" else "".join(why))
    if code == 124:
        hung = re.findall(r"^test (.+?) has been running", output, re.M)
        step.add(", ".join(name for name in hung if name not in results) or step.name, "failed",
                 "the time limit was reached")
    step.must_have_run(code)


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

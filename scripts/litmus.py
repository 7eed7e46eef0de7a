#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Asks herd7 whether the bad result of each litmus test is possible, and compares.

A test states the answer in its first comment: ` * Result: Never` or ` * Result: Sometimes`. It is as
expected if herd7 gives this answer, finds at least one state, and reports no flag (a data race, an
unmatched lock) and no warning.

A test with the answer Never would also pass if its bad result made no sense. So a test that is
Sometimes, a bug, stands beside each: it names one (` * Beside: FILE, ...`), and asks for the same
result (`exists`). scripts/litmus.sh finds herd7 and the model, and calls this program.
"""

import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from common import CORES, OUT, TOP, Mistake, command_line, program, read, say, write_json

TESTS = TOP / "tools/litmus"


class Test:
    """A litmus file: what it expects, and what is wrong with the file itself."""

    def __init__(self, path):
        text = read(path)
        results = re.findall(r"^ \* Result: (.*)$", text, re.M)
        self.path, self.name, self.rule = path, path.stem, path.stem.partition("+")[0]
        self.result = results[0] if len(results) == 1 else ""
        beside = re.findall(r"^ \* Beside: (.*)$", text, re.M)
        self.beside = re.split(r",\s*", beside[0]) if beside else []
        self.exists = " ".join(text.rpartition("\nexists")[2].split())
        self.wrong = ""
        if self.result not in ("Never", "Sometimes"):
            self.wrong = "the file has no line ` * Result: Never` or ` * Result: Sometimes`"
        elif not text.startswith(f"C {self.name}\n"):
            self.wrong = f"line 1 is not `C {self.name}`"
        elif "\nexists" not in text:
            self.wrong = "the file has no `exists`"


def compare_neighbours(tests):
    """Sets `wrong` of each test that has no neighbour, or one that asks for another result."""
    rules = {test.path.name: test for test in tests if test.result == "Never"}
    named = set()
    for test in tests:
        if test.wrong or test.result == "Never":
            continue
        named.update(test.beside)
        others = [name for name in test.beside if name not in rules]
        if not test.beside or others:
            test.wrong = f"Beside: {', '.join(others) or 'missing'}: no such test that is Never"
        elif any(rules[name].exists != test.exists for name in test.beside):
            test.wrong = "it does not ask for the same result as the test beside it"
    for test in rules.values():
        if test.path.name not in named:
            test.wrong = test.wrong or "no test that is Sometimes stands beside it"


def verdict(test, code, output):
    """Returns why the answer of herd7 is not the expected one, or nothing."""
    answers = re.findall(r"^Observation (\S+) (Never|Sometimes|Always) (\d+) (\d+)$", output, re.M)
    noise = re.findall(r"^(?:Flag .*|Warning: .*|Fatal.*)$", output, re.M)
    states = re.findall(r"^States (\d+)$", output, re.M)
    if code:
        return f"herd7 failed (exit status {code}): {(noise or output.split(chr(10)))[-1]}"
    if noise:
        return f"herd7: {noise[0]}"
    if len(answers) != 1 or answers[0][0] != test.name:
        return "herd7 gave no answer"
    _, answer, positive, negative = answers[0]
    if states in ([], ["0"]) or int(positive) + int(negative) == 0:
        return "herd7 found no state"
    return "" if answer == test.result else f"{answer}, where {test.result} is expected"


def run(test, herd7, model, limit):
    """Returns why a test is not as expected, or nothing."""
    if test.wrong:
        return test.wrong
    try:
        done = subprocess.run([herd7, "-conf", "linux-kernel.cfg", test.path.resolve()], cwd=model,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                              stderr=subprocess.STDOUT, check=False, timeout=limit, errors="replace")
    except subprocess.TimeoutExpired:
        return f"herd7 took more than {limit} s"
    except OSError as error:
        return str(error)
    return verdict(test, done.returncode, done.stdout.rstrip("\n"))


def chosen(tests, word):
    """Returns the tests of a rule, or the one with this name."""
    some = [test for test in tests if word in (None, test.rule, test.name)]
    if not some:
        rules = " ".join(dict.fromkeys(test.rule for test in tests))
        raise Mistake(f"no litmus test of {word}; there are tests of: {rules or 'nothing'}")
    return some


def main():
    parser = command_line(__doc__)
    add = parser.add_argument
    add("rule", nargs="?", metavar="RULE", help="R17, or one test: R17+no-wait (default: all)")
    add("--herd7", required=True, metavar="FILE")
    add("--model", required=True, metavar="DIR", help="the kernel's tools/memory-model")
    add("--tests", type=Path, default=TESTS, metavar="DIR", help="default: tools/litmus/")
    add("--time-limit", type=float, default=300, metavar="SECS", help="for each test (default: 300)")
    add("--json", type=Path, default=OUT / "litmus.json", metavar="FILE",
        help="default: out/litmus.json")
    args = parser.parse_args()
    tests = [Test(path) for path in args.tests.glob("*.litmus")]
    tests.sort(key=lambda test: (len(test.rule), test.name))
    compare_neighbours(tests)
    tests = chosen(tests, args.rule)
    rows = []
    with ThreadPoolExecutor(CORES) as pool:
        for test, why in zip(tests, pool.map(
                lambda test: run(test, args.herd7, args.model, args.time_limit), tests)):
            rows.append({"name": test.name, "expected": test.result, "reason": why})
            say(f"[{len(rows)}/{len(tests)}] {test.name}: "
                + (f"FAILED: {why}" if why else test.result))
    write_json(args.json, rows)
    good = sum(not row["reason"] for row in rows)
    say(f"litmus: {good} of {len(rows)} as expected")
    return int(good != len(rows))


if __name__ == "__main__":
    program("error", main)

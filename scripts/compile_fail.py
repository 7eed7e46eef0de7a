#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Proves that misuse does not compile.

  scripts/compile_fail.py [FILE.rs]...    default: scripts/compile-fail/*.rs

Each case is a FILE.rs with one misuse and a FILE.stderr beside it with lines that the compiler must
print:

    error[E0597]
    `candidate` does not live long enough
    # a line like this one is a comment

The compiler must print every line (white space does not count). At least one must be an error code,
or begin with `error: ` where there is no code, and the compiler may print no other error: a case must
not fail for another reason than its misuse. A file `good-*.rs` has no misuse and must compile.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

from common import TOP

CASES = TOP / "scripts/compile-fail"


def compile_case(path):
    """Compiles `path` as one more module of the crate. Returns (exit status, output)."""
    done = subprocess.run(["make", "-s", "--no-print-directory", "-C", TOP, "compile-fail",
                           f"CASE={path.resolve()}"],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    return done.returncode, done.stdout


def flat(text):
    return " ".join(text.split())


def judge(path, code, output):
    """Returns what is wrong, or None."""
    if path.name.startswith("good-"):
        return None if code == 0 else "does not compile, and should"
    expected_file = path.with_suffix(".stderr")
    if not expected_file.is_file():
        return f"{expected_file.name} is missing"
    wanted = [line.strip() for line in expected_file.read_text().splitlines()
              if line.strip() and not line.lstrip().startswith("# ")]
    codes = {c for line in wanted for c in re.findall(r"error\[(E\d{4})\]", line)}
    plain = {line for line in wanted if line.startswith("error: ")}
    if not codes and not plain:
        return f"{expected_file.name} names no error[E0...]"
    if code == 0:
        return "compiles, and must not"
    found = set(re.findall(r"^error\[(E\d{4})\]", output, re.M))
    if found != codes:
        return f"fails with {', '.join(sorted(found)) or 'no error code'}, not " \
               f"{', '.join(sorted(codes))}"
    others = set(re.findall(r"^error: (?!aborting due |could not compile).*", output, re.M)) - plain
    if others:
        return f"fails with {', '.join(sorted(others))}, too"
    for line in wanted:
        if flat(line) not in flat(output):
            return f"the compiler does not say: {line}"
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", type=Path)
    args = parser.parse_args()
    cases = args.cases or sorted(CASES.glob("*.rs"))
    if not cases:
        print(f"compile-fail: no case in {CASES.relative_to(TOP)}")
        return 1
    failed = 0
    for path in cases:
        code, output = compile_case(path)
        wrong = judge(path, code, output)
        print(f"compile-fail: {path.name}: {wrong or 'as expected'}", flush=True)
        if wrong:
            failed += 1
            print("".join(f"    {line}\n" for line in output.splitlines()[:30]), end="")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

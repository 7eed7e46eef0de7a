#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Proves that misuse does not compile.

  scripts/compile_fail.py [--rustc] [FILE.rs]...    default: scripts/compile-fail/*.rs

Each case is a FILE.rs with one misuse and a FILE.stderr beside it, which holds what the compiler
must say, one a line:

    error[E0597]
    `candidate` does not live long enough
    # a line like this one is a comment

Every line must appear in the compiler's output, whatever the space between its words; at least one
must be an error code, or begin with `error: ` where the compiler has no code, and each error of the
output must be among them, so that a case cannot fail for a reason of its own.  A case that compiles
fails.  A file without a misuse (name
`good-*.rs`, no FILE.stderr) must compile: it shows that the others fail for their misuse alone.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
CASES = TOP / "scripts/compile-fail"


def compile_case(path):
    """Compiles `path` as one more module of the crate.  Returns (exit status, what was said).

    The Makefile knows how: `make compile-fail CASE=...`.
    """
    done = subprocess.run(["make", "-s", "--no-print-directory", "-C", TOP, "compile-fail",
                           f"CASE={path.resolve()}"],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    return done.returncode, done.stdout


def compile_alone(path):
    """Compiles `path` as a crate that needs nothing; for the tests of this script."""
    with tempfile.TemporaryDirectory() as out:
        done = subprocess.run(["rustc", "--edition", "2021", "--crate-type", "lib",
                               "--emit", "metadata", "--out-dir", out, path],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)
    return done.returncode, done.stdout


def flat(text):
    return " ".join(text.split())


def judge(path, code, output):
    """Returns None when the case came out as it should, or what is wrong."""
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
    parser.add_argument("--rustc", action="store_true",
                        help="each case is a crate of its own, without the kernel")
    parser.add_argument("cases", nargs="*", type=Path)
    args = parser.parse_args()
    cases = args.cases or sorted(CASES.glob("*.rs"))
    if not cases:
        print(f"compile-fail: no case in {CASES.relative_to(TOP)}")
        return 1
    failed = 0
    for path in cases:
        code, output = (compile_alone if args.rustc else compile_case)(path)
        wrong = judge(path, code, output)
        print(f"compile-fail: {path.name}: {wrong or 'as expected'}", flush=True)
        if wrong:
            failed += 1
            print("".join(f"    {line}\n" for line in output.splitlines()[:30]), end="")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

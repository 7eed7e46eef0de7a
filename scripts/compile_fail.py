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

import os
import queue
import re
import subprocess
from multiprocessing.pool import ThreadPool
from pathlib import Path

from common import CORES, SCRIPTS, Mistake, command_line, program

CASES = SCRIPTS / "compile-fail"


# What the compiler says at its end is no error of its own.
ERROR = re.compile(r"^error(?:\[E\d{4}\]|: (?!aborting due |could not compile).*)", re.M)


# Build folders that are free: as many cases are compiled at a time as there are cores.
folders = queue.SimpleQueue()


def compile_case(path):
    """Compiles `path` as one more module of the crate. Returns (exit status, output)."""
    folder = folders.get()
    try:
        done = subprocess.run([SCRIPTS / "module.sh", "um", f"SHADOW_RMAP_CASE={path.resolve()}"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, check=False, env={**os.environ, "CASE_FOLDER": folder})
    finally:
        folders.put(folder)
    return done.returncode, done.stdout


def flat(text):
    return " ".join(text.split())


def judge(path, code, output):
    """Returns what is wrong, or None."""
    if path.name.startswith("good-"):
        return None if code == 0 else "does not compile, and should"
    expected = path.with_suffix(".stderr")
    if not expected.is_file():
        return f"{expected.name} is missing"
    wanted = [line.strip() for line in expected.read_text().splitlines()
              if line.strip() and not line.lstrip().startswith("# ")]
    errors, found = set(ERROR.findall("\n".join(wanted))), set(ERROR.findall(output))
    if not errors:
        return f"{expected.name} names no error[E0...]"
    if code == 0:
        return "compiles, and must not"
    if found != errors:
        return f"fails with {', '.join(sorted(found)) or 'no error'}, not {', '.join(sorted(errors))}"
    missing = [line for line in wanted if flat(line) not in flat(output)]
    return f"the compiler does not say: {missing[0]}" if missing else None


def main():
    parser = command_line(__doc__)
    parser.add_argument("cases", nargs="*", type=Path)
    cases = parser.parse_args().cases or sorted(CASES.glob("*.rs"))
    if not cases:
        raise Mistake(f"no case in {CASES}")
    # The compiler keeps what it knows of a crate that compiles, and looks at what is new in the next one.
    # There are two such cases: on more cores some folders do without.
    cases.sort(key=lambda path: not path.name.startswith("good-"))
    for number in range(CORES):
        folders.put(f"case-{number}")
    failed = 0
    with ThreadPool(CORES) as pool:
        for path, (code, output) in zip(cases, pool.imap(compile_case, cases)):
            wrong = judge(path, code, output)
            print(f"compile-fail: {path.name}: {wrong or 'as expected'}", flush=True)
            if wrong:
                failed += 1
                print("".join(f"    {line}\n" for line in output.splitlines()[:30]), end="")
    return 1 if failed else 0


if __name__ == "__main__":
    program("compile-fail", main)

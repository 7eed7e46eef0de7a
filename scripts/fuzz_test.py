#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Tests scripts/fuzz.py: the correct host has no difference, and one that is not correct has.

  1. cargo test of tools/userspace/fuzz.
  2. Random steps over the host with and without sanitizers: no difference.
  3. Bugs of tools/userspace/mutants: each is found and shrunk; the steps that are left show it
     again, and show nothing on the correct host.
  4. Choosing steps by what is there reaches more of the host's branches than choosing blindly.
  5. Bad input gets an error.

Each result is a line `test NAME ... ok` or `test NAME ... FAILED`.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import fuzz
from common import (CARGO_FOLDER, OUT, SCRIPTS, TOP, Mistake, command_line, exit_on_sigterm, read, read_json,
                    say, toolchain_env)
from host_program import ensure_tools

RESULTS = OUT / "fuzz-test"
MUTANTS = {"reuse-with-two-children": ("plain", "R21"),
           "unlink-keeps-the-pointer": ("sanitized", "R33")}
# Other seeds may first meet another consequence of the same mistake.
SEED = ("--seed", 1, "--jobs", 1)
# A difference should be shrunk to so few steps.
SHORT = 15
failures = 0


def report(name, good, why=""):
    global failures
    failures += not good
    say(f"test {name} ... {'ok' if good else 'FAILED'}")
    if not good:
        say(f"  {why}")


def run(name, *words):
    """Runs fuzz.py; returns the exit status, the output, and what fuzz.json has."""
    folder = RESULTS / name
    (folder / "fuzz.json").unlink(missing_ok=True)
    done = subprocess.run([SCRIPTS / "fuzz.py", "--out", folder, *map(str, words)], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return done.returncode, done.stdout, read_json(folder / "fuzz.json")


def last(text):
    return (text.strip().splitlines() or ["no output"])[-1]


def cargo():
    options = fuzz.arguments(["--variant", "plain"])
    env = toolchain_env() | {"CARGO_TARGET_DIR": str(CARGO_FOLDER / "fuzz"),
                             "CARGO_TERM_COLOR": "never", "RUST_BACKTRACE": "0",
                             "HOST_LIBRARY": fuzz.library(options)}
    done = subprocess.run(["cargo", "test", "--release", "--locked", "--quiet", "--no-fail-fast", "--",
                           "--format=pretty"], cwd=fuzz.CRATE, env=env, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    for line in re.findall(r"^test .+ \.\.\. (?:ok|FAILED)$", done.stdout, re.M):
        say(line)
    report("the crate's tests", not done.returncode, done.stdout[-3000:])


def clean(variant, secs):
    code, text, result = run(variant, "--variant", variant, "--secs", secs)
    steps = result.get("steps", 0)
    good = not code and steps > 0 and last(text) == f"fuzz: steps={steps} differences=0"
    report(f"no difference over the {variant} host", good, text[-2000:])
    say(f"  {steps} steps in {result.get('seconds')} s")


def mutant(name, variant, rule):
    patch = TOP / f"tools/userspace/mutants/{name}.patch"
    host = ("--variant", variant, "--patch", patch, "--skip-tests")
    code, text, result = run(name, *host, *SEED, "--secs", 60)
    found = (result.get("differences") or [{}])[0]
    report(f"{name} is found", code == 1 and found.get("rule") == rule, text)
    report(f"{name} is shrunk", 0 < len(found.get("steps", [])) <= SHORT, text)
    steps = next(iter(sorted((RESULTS / name).glob("*.steps"))), Path(os.devnull))
    kept = RESULTS / f"{name}.steps"
    kept.write_text(read(steps), encoding="utf-8")
    code, text, again = run(f"{name}-again", *host, "--replay", kept)
    shown = (again.get("differences") or [{}])[0]
    report(f"{name} is replayed", code == 1 and shown.get("rule") == found.get("rule"), text)
    code, text, _ = run(f"{name}-correct", "--replay", kept)
    report(f"the steps of {name} are right on the correct host", not code, text)
    scenario = read(RESULTS / name / str(found.get("scenario")))
    report(f"{name} has a scenario", scenario.startswith("# SPDX"), str(found.get("scenario")))


def guided():
    branches = {}
    for how in ("guided", "blind"):
        words = ["--steps", 60_000, "--jobs", 1, "--seed", 1, *(["--blind"] if how == "blind" else [])]
        _, _, result = run(how, *words)
        branches[how] = result.get("branches", 0)
    report("looking reaches more branches than choosing blindly",
           branches["guided"] > branches["blind"] > 0, str(branches))
    say(f"  {branches}")


def bad_input():
    for name, words, expected in (
            ("a missing file", ["--replay", "/none"], "error: /none: no such file"),
            ("a step that is none", ["--replay", RESULTS / "bad.steps"], "line 2: `jump`: unknown"),
            ("a patch that does not apply", ["--patch", RESULTS / "bad.patch"], "error: "),
            ("a folder that is no tree", ["--tree", RESULTS], "error: "),
            ("a number that is none", ["--secs", "x"], "invalid number value")):
        (RESULTS / "bad.steps").write_text("spawn\njump\n", encoding="utf-8")
        (RESULTS / "bad.patch").write_text("--- a/mm/none.c\n+++ b/mm/none.c\n@@ -1 +1 @@\n-x\n+y\n",
                                           encoding="utf-8")
        code, text, _ = run("bad", *words)
        report(f"bad input: {name}", code == 2 and expected in text, f"{code}: {text}")


def main():
    command_line(__doc__).parse_args()
    exit_on_sigterm()
    RESULTS.mkdir(parents=True, exist_ok=True)
    ensure_tools()
    cargo()
    clean("plain", 20)
    clean("sanitized", 20)
    for name, (variant, rule) in MUTANTS.items():
        mutant(name, variant, rule)
    guided()
    bad_input()
    return 1 if failures else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Mistake as mistake:
        sys.exit(f"error: {mistake}")

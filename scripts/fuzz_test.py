#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Tests scripts/fuzz.py: the correct host has no difference, and one that is not correct has.

  1. cargo test of tools/userspace/fuzz; rmapctl takes the scenarios of random steps.
  2. Random steps over the host with and without sanitizers: no difference.
  3. Bugs of tools/userspace/mutants: each is found and shrunk; the steps that are left show it
     again, and show nothing on the correct host.
  4. What only the exits at the end of a run show is found.
  5. Choosing steps by what is there reaches more of the host's branches than choosing blindly.
  6. A crash that the same steps do not repeat, and a worker that was killed, are errors.
  7. Bad input gets an error, and removes no result.

Each result is a line `test NAME ... ok` or `test NAME ... FAILED`.
"""

import functools
import os
import re
import shutil
import signal
import subprocess
import time
from multiprocessing.pool import ThreadPool
from pathlib import Path

import fuzz
from common import (CARGO_FOLDER, OUT, SCRIPTS, TOP, command_line, finish, program, read, read_json, say,
                    script_lines, toolchain_env)
from host_program import ensure_tools
from results_folder import empty

RESULTS = OUT / "fuzz-test"
MUTANTS = {"reuse-with-two-children": ("plain", "R21"),
           "unlink-keeps-the-pointer": ("sanitized", "R33")}
# Other seeds may first meet another consequence of the same mistake.
SEED = ("--seed", 1, "--jobs", 1)
# No run should take so long, in seconds.
LONGEST = 1800
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
    code, text, _ = finish([SCRIPTS / "fuzz.py", "--out", folder, *words], limit=LONGEST,
                           stderr=subprocess.STDOUT)
    return code, text, read_json(folder / "fuzz.json")


def last(text):
    return (text.strip().splitlines() or ["no output"])[-1]


def cargo():
    options = fuzz.arguments(["--variant", "plain"])
    env = toolchain_env() | {"CARGO_TARGET_DIR": str(CARGO_FOLDER / "fuzz"),
                             "CARGO_TERM_COLOR": "never", "RUST_BACKTRACE": "0",
                             "HOST_LIBRARY": fuzz.library(options), "SCENARIOS": str(RESULTS)}
    code, text, _ = finish(["cargo", "test", "--release", "--locked", "--quiet", "--no-fail-fast", "--",
                            "--format=pretty"], limit=LONGEST, cwd=fuzz.CRATE, env=env,
                           stderr=subprocess.STDOUT)
    for line in re.findall(r"^test .+ \.\.\. (?:ok|FAILED)$", text, re.M):
        say(line)
    report("the crate's tests", not code, text[-3000:])
    parsed("random steps", *RESULTS.glob("*.scn"))


@functools.cache
def rmapctl():
    return script_lines("rmapctl.sh")[-1]


def parsed(name, *scenarios):
    code, text, _ = finish([rmapctl(), "run", "--parse", "--keep-going", *scenarios],
                           limit=LONGEST, stderr=subprocess.STDOUT)
    report(f"rmapctl takes the scenario of {name}", not code and scenarios, text[-3000:])


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
    parsed(name, RESULTS / name / str(found.get("scenario")))


def last_exits():
    """The last sequence of a worker is too short for the exit that shows the bug."""
    name = "unlink-drops-no-reference"
    code, text, result = run(name, "--patch", TOP / f"tools/userspace/mutants/{name}.patch",
                             "--skip-tests", "--steps", 14, "--jobs", 1, "--seed", 5)
    found = (result.get("differences") or [{}])[0]
    report("the last exits are compared", code == 1 and result.get("steps") == 14 and
           found.get("rule") == "R18", text)


def guided():
    branches = {}
    for how in ("guided", "blind"):
        words = ["--steps", 60_000, "--jobs", 1, "--seed", 1, *(["--blind"] if how == "blind" else [])]
        _, _, result = run(how, *words)
        branches[how] = result.get("branches", 0)
    report("looking reaches more branches than choosing blindly",
           branches["guided"] > branches["blind"] > 0, str(branches))
    say(f"  {branches}")


def worker_of(pid):
    """Returns the process id of a worker below a process, or nothing."""
    children = " ".join(map(read, Path(f"/proc/{pid}/task").glob("*/children")))
    for child in map(int, children.split()):
        if "\0worker\0" in read(f"/proc/{child}/cmdline"):
            return child
        if found := worker_of(child):
            return found
    return None


def not_the_host():
    """Ends a worker from outside while it does its steps."""
    for number, words in ((signal.SIGABRT, "do not repeat that"), (signal.SIGKILL, "was killed")):
        with ThreadPool(1) as pool:
            running = pool.apply_async(run, ("killed", "--secs", 60, *SEED))
            while not (worker := worker_of(os.getpid())) and not running.ready():
                time.sleep(0.1)
            # It has begun with its steps.
            time.sleep(1)
            if worker:
                os.kill(worker, number)
            code, text, result = running.get()
        report(f"a worker that gets {number.name} is no difference",
               code == 2 and words in last(text) and not result, text)


def bad_input():
    kept = RESULTS / "bad/1-r1.scn"
    empty(kept.parent, RESULTS)
    kept.touch()
    for name, words, expected in (
            ("a missing file", ["--replay", "/none"], "error: /none: no such file"),
            ("a step that is none", ["--replay", RESULTS / "bad.steps"], "line 2: `jump`: unknown"),
            ("a patch that does not apply", ["--patch", RESULTS / "bad.patch"], "bad.patch does not apply to "),
            ("a folder that is no tree", ["--tree", RESULTS], "has no "),
            ("a number that is none", ["--secs", "x"], "invalid number value"),
            ("no end", ["--secs", "0"], "error: --secs 0: at least 1")):
        (RESULTS / "bad.steps").write_text("spawn\njump\n", encoding="utf-8")
        (RESULTS / "bad.patch").write_text("--- a/mm/none.c\n+++ b/mm/none.c\n@@ -1 +1 @@\n-x\n+y\n",
                                           encoding="utf-8")
        code, text, _ = run("bad", *words)
        report(f"bad input: {name}", code == 2 and expected in text, f"{code}: {text}")
        if name != "a step that is none":
            report(f"no result is removed: {name}", kept.is_file(), "it is gone")
        kept.touch()


def main():
    command_line(__doc__).parse_args()
    shutil.rmtree(RESULTS, ignore_errors=True)
    RESULTS.mkdir(parents=True)
    ensure_tools()
    cargo()
    clean("plain", 20)
    clean("sanitized", 20)
    for name, (variant, rule) in MUTANTS.items():
        mutant(name, variant, rule)
    last_exits()
    guided()
    not_the_host()
    bad_input()
    return 1 if failures else 0


if __name__ == "__main__":
    program("error", main)

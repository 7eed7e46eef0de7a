#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Tests the host kernel's own code in user space.

  1. cargo test of tools/userspace/host over the sanitized shared object that
     scripts/host_userspace.py makes.
  2. Random sequences over the one without sanitizers, which does more of them in the same time.

Each result is a line `test NAME ... ok` or `test NAME ... FAILED`. KDIR= or --tree chooses the
kernel's source. scripts/judge_self_test.py shows that a broken host is noticed.
"""

import json
import re
import signal
from pathlib import Path

import host_program
from common import (CARGO_FOLDER, OUT, TOP, Mistake, command_line, finish, program, say, stream,
                    toolchain_env)

CRATE = TOP / "tools/userspace/host"
LOGS = OUT / "host-test"
SOAK = {"sanitized": 100_000, "plain": 500_000}
SHOWN = re.compile(r"^(?:running \d|test .* \.\.\. |\d+ steps).*", re.M)
# A program needs a minute or two, on a busy machine more.
LONGEST = 900


class Tests:
    """The compiled tests, and how they are run over a shared object."""

    def __init__(self, tree):
        self.tree = ["--tree", tree] if tree else []
        self.env = toolchain_env() | {"CARGO_TARGET_DIR": str(CARGO_FOLDER / "host"),
                                      "CARGO_TERM_COLOR": "never",
                                      "CARGO_PROFILE_DEV_OPT_LEVEL": "1"}
        self.failed = 0
        say("compiling the tests ...")
        code, output, _ = finish(["cargo", "test", "--locked", "--no-run", "--message-format=json"],
                                 limit=3600, cwd=CRATE, env=self.env, stderr=None)
        if code:
            raise Mistake("the tests of tools/userspace/host do not compile")
        messages = [json.loads(line) for line in output.splitlines() if line[:1] == "{"]
        self.programs = {m["target"]["name"]: m["executable"] for m in messages
                         if m.get("executable") and "test" in m["target"]["kind"]}

    def library(self, variant, *options):
        return host_program.library(variant, *self.tree, *options)

    def run(self, name, library, variant, steps, logs=LOGS):
        """Runs a test program; returns (exit status, output). The status is 124 when it does not
        end: the host may loop."""
        env = self.env | host_program.environment(library, variant, leaks=True) | {
            "SOAK_STEPS": str(steps)}
        code, text = stream([self.programs[name], "--nocapture"], logs / f"{name}-{variant}.log",
                            f"{name}, {variant}", env=env, limit=LONGEST)
        if code == -signal.SIGKILL:
            raise Mistake(f"{name} over the {variant} host was killed")
        return code, text

    def clean(self, variant, names):
        library = self.library(variant)
        for name in names:
            code, text = self.run(name, library, variant, SOAK[variant])
            for line in SHOWN.findall(text):
                say(line)
            report(f"{name} over the {variant} host", not code)
            if code:
                self.failed += 1
                say(text[-3000:] + (f"no end in {LONGEST} s" if code == 124 else ""))


def report(name, good):
    say(f"test {name} ... {'ok' if good else 'FAILED'}")


def main():
    parser = command_line(__doc__)
    parser.add_argument("--tree", type=Path, help="a kernel's source (default: KDIR=, the lab's)")
    options = parser.parse_args()
    host_program.ensure_tools()
    tests = Tests(options.tree)
    tests.clean("sanitized", ("damage", "rules", "memory", "soak"))
    tests.clean("plain", ("soak",))
    return 1 if tests.failed else 0


if __name__ == "__main__":
    program("error", main)

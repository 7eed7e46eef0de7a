#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Tests the host kernel's own code in user space.

  1. cargo test of tools/userspace/host over the sanitized shared object that
     scripts/host_userspace.py makes.
  2. Random sequences over the one without sanitizers, which does more of them in the same time.

Each result is a line `test NAME ... ok` or `test NAME ... FAILED`. KDIR= or --tree chooses the
kernel's source. That a host which is broken is noticed shows scripts/judge_self_test.py.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import host_program
from common import CARGO_FOLDER, TOP, Mistake, command_line, exit_on_sigterm, say, toolchain_env

CRATE = TOP / "tools/userspace/host"
SOAK = {"sanitized": 100_000, "plain": 500_000}


class Tests:
    """The compiled tests, and how they are run over a shared object."""

    def __init__(self, tree):
        self.tree = ["--tree", tree] if tree else []
        self.env = toolchain_env() | {"CARGO_TARGET_DIR": str(CARGO_FOLDER / "host"),
                                      "CARGO_TERM_COLOR": "never",
                                      "CARGO_PROFILE_DEV_OPT_LEVEL": "1"}
        self.failed = 0
        say("compiling the tests ...")
        built = subprocess.run(["cargo", "test", "--locked", "--no-run",
                                "--message-format=json"], cwd=CRATE, env=self.env, text=True,
                               stdout=subprocess.PIPE, check=False)
        if built.returncode:
            raise Mistake("the tests of tools/userspace/host do not compile")
        messages = [json.loads(line) for line in built.stdout.splitlines() if line[:1] == "{"]
        self.programs = {m["target"]["name"]: m["executable"] for m in messages
                         if m.get("executable") and "test" in m["target"]["kind"]}

    def library(self, variant, *options):
        return host_program.library(variant, *self.tree, *options)

    def run(self, program, library, variant, steps, show):
        """Runs a test program; returns (exit status, output)."""
        env = self.env | host_program.environment(library, variant, leaks=True) | {
            "SOAK_STEPS": str(steps)}
        process = subprocess.Popen([self.programs[program], "--nocapture"], env=env, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   errors="replace")
        lines = []
        for line in process.stdout:
            lines.append(line)
            if show and re.match(r"running \d|test .* \.\.\. |\d+ steps", line):
                say(line.rstrip())
        return process.wait(), "".join(lines)

    def clean(self, variant, programs):
        library = self.library(variant)
        for program in programs:
            code, text = self.run(program, library, variant, SOAK[variant], show=True)
            report(f"{program} over the {variant} host", not code)
            if code:
                self.failed += 1
                say(text[-3000:])


def report(name, good):
    say(f"test {name} ... {'ok' if good else 'FAILED'}")


def main():
    parser = command_line(__doc__)
    parser.add_argument("--tree", type=Path, help="a kernel's source (default: KDIR=, the lab's)")
    options = parser.parse_args()
    exit_on_sigterm()
    host_program.ensure_tools()
    tests = Tests(options.tree)
    tests.clean("sanitized", ("damage", "rules", "memory", "soak"))
    tests.clean("plain", ("soak",))
    return 1 if tests.failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Mistake as mistake:
        sys.exit(f"error: {mistake}")

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Drives the host's own mm/ and the shadow with the same random steps, and compares them.

Each side decides for itself what a step does; after each step both must be the same. A difference
is shrunk to few steps, and left in the folder of --out, whose earlier results are removed: NAME.steps,
which --replay does again, and NAME.scn in the language of rmapctl. fuzz.json has it all. KDIR= or
--tree chooses the kernel's source. Exit status: 0 no difference, 1 a difference, 2 an error; a crash
that the same steps do not repeat is an error.
"""

import os
import random
import shutil
import subprocess
from pathlib import Path

import host_program
from common import (CARGO_FOLDER, OUT, RUNNING, TOP, Mistake, command_line, finish, locked, program, say,
                    toolchain_env)
from host_userspace import VARIANTS
from results_folder import empty

CRATE = TOP / "tools/userspace/fuzz"


def build(to):
    """Compiles the program where that is needed, and copies it to `to`."""
    target = CARGO_FOLDER / "fuzz"
    target.mkdir(parents=True, exist_ok=True)
    env = toolchain_env() | {"CARGO_TARGET_DIR": str(target), "CARGO_TERM_COLOR": "never"}
    say("compiling the shadow ...")
    # Another run in this checkout compiles to the same place.
    with locked(target):
        code, _, _ = finish(["cargo", "build", "--release", "--locked", "--quiet"], limit=3600,
                            cwd=CRATE, env=env, stderr=None)
        if code:
            raise Mistake("tools/userspace/fuzz does not compile")
        return shutil.copy(target / "release/fuzz", to)


def library(options):
    """Returns the shared object of the host's code."""
    words = [word for name in ("tree", "patch") if getattr(options, name)
             for word in (f"--{name}", getattr(options, name))]
    # A patch is there to be tried, whatever the tree's own tests say of it.
    words += ["--skip-tests"] if options.skip_tests or options.patch else []
    return host_program.library(options.variant, *words)


def number(text):
    value = int(text)
    if not 0 <= value < 1 << 48:
        raise ValueError(text)
    return value


def arguments(words=None):
    parser = command_line(__doc__)
    parser.add_argument("--tree", type=Path, help="a kernel's source (default: KDIR=, the lab's)")
    parser.add_argument("--patch", type=Path, help="apply this to a copy of the source first")
    parser.add_argument("--skip-tests", action="store_true",
                        help="accept a tree whose own tools/testing/vma fails; implied by --patch")
    parser.add_argument("--variant", choices=VARIANTS, default="plain",
                        help="coverage: counts lines for gcov (default: plain)")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--secs", type=number, help="for so many seconds (default: 60)")
    length.add_argument("--steps", type=number, help="so many steps")
    parser.add_argument("--seed", type=number, help="default: another one each time")
    parser.add_argument("--jobs", type=number, default=2, help="workers (default: 2)")
    parser.add_argument("--out", type=Path, metavar="DIR",
                        help="default: out/fuzz, and out/fuzz-replay for --replay")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="do the steps of a file")
    parser.add_argument("--keep-going", action="store_true", help="go on after a difference")
    parser.add_argument("--blind", action="store_true",
                        help="choose steps without looking at what is there and what has run")
    return parser.parse_args(words)


def main():
    options = arguments()
    default = OUT / ("fuzz-replay" if options.replay else "fuzz")
    options.out = options.out or default
    if options.secs == 0:
        raise Mistake("--secs 0: at least 1")
    if options.replay and not options.replay.is_file():
        raise Mistake(f"{options.replay}: no such file")
    host_program.ensure_tools()
    compiled = library(options)
    empty(options.out, default, options.replay, options.patch, options.tree)
    # Copies: another run may replace what it has compiled.
    own = options.out / "run"
    own.mkdir()
    host = shutil.copy(compiled, own / "host.so")
    fuzz = build(own / "fuzz")
    env = os.environ | host_program.environment(host.resolve(), options.variant)
    if options.replay:
        command = [fuzz, "replay", options.replay, options.out, options.variant]
    else:
        seed = random.randrange(1 << 31) if options.seed is None else options.seed
        secs = 60 if options.secs is None and not options.steps else options.secs or 0
        say(f"fuzz: seed {seed}, {options.variant}, {max(options.jobs, 1)} workers")
        command = [fuzz, "run", secs, options.steps or 0, seed, options.jobs, options.out,
                   options.variant]
        command += [f"--{flag}" for flag in ("keep-going", "blind")
                    if getattr(options, flag.replace("-", "_"))]
    # It ends with its workers.
    process = subprocess.Popen([str(word) for word in command], env=env, start_new_session=True)
    RUNNING.add(process)
    return process.wait()


if __name__ == "__main__":
    program("error", main)

# SPDX-License-Identifier: GPL-2.0
"""Builds and runs the programs of tools/userspace that explore the engine, for scripts/schedules.py
and scripts/orders.py."""

import json

from common import CARGO_FOLDER, TOP, Mistake, finish, say, toolchain_env


def path_of(crate, name):
    """Returns the path of a crate's program, which build() makes."""
    return CARGO_FOLDER / crate / "debug" / name


def build(crate):
    """Builds a crate of tools/userspace."""
    say(f"building tools/userspace/{crate} ...")
    code, _, _ = finish(["cargo", "build", "--quiet", "--locked"], limit=3600,
                        cwd=TOP / "tools/userspace" / crate, stderr=None,
                        env=toolchain_env() | {"CARGO_TARGET_DIR": str(CARGO_FOLDER / crate),
                                               "CARGO_TERM_COLOR": "never"})
    if code:
        raise Mistake(f"tools/userspace/{crate} does not compile")


def result_of(command, limit):
    """Runs a search. Its last line is its result; a search that dies has a result of its own."""
    code, output, errors = finish(command, limit=limit)
    if code == 124:
        return {"how": "hangs", "words": f"no end in {limit} s"}
    if code == 2:
        raise Mistake(errors.strip().removeprefix("error: "))
    try:
        return json.loads(output.splitlines()[-1])
    except (ValueError, IndexError):
        last = errors.strip().splitlines()[-1:]
        return {"how": "died", "words": f"exit status {code}: {' '.join(last)}"}


def inventory(path, kind):
    """Returns the names of all that a program can explore, each a `kind`, and all bugs with what is
    known of them."""
    code, output, errors = finish([path, "list"])
    if code:
        raise Mistake(f"{path} list failed: {errors.strip()}")
    lines = [json.loads(line) for line in output.splitlines()]
    names = [line[kind] for line in lines if "about" in line]
    bugs = [line for line in lines if "bug" in line]
    if not names or not bugs:
        raise Mistake(f"{path} list names no {kind}s, or no bugs")
    return names, bugs

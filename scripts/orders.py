# SPDX-License-Identifier: GPL-2.0
"""Runs small cores of the engine in all executions of a weak memory model, for scripts/schedules.py:
tools/userspace/orders. Documentation/schedules.rst says what is explored."""

import json

from common import CARGO_FOLDER, TOP, Mistake, finish, say, toolchain_env

CRATE = TOP / "tools/userspace/orders"
TARGET = CARGO_FOLDER / "orders"
ORDERS = TARGET / "debug/orders"
# The short form leaves these out: what they do is a part of another core.
LONG = ("pin",)
# Seconds for one core: the longest takes a tenth of it on an idle machine.
LIMIT = 300


def build():
    say("building tools/userspace/orders ...")
    code, _, _ = finish(["cargo", "build", "--quiet", "--locked"], limit=3600, cwd=CRATE, stderr=None,
                        env=toolchain_env() | {"CARGO_TARGET_DIR": str(TARGET),
                                               "CARGO_TERM_COLOR": "never"})
    if code:
        raise Mistake("tools/userspace/orders does not compile")


def result_of(command, limit):
    """Runs a search, whose last line is its result; one that dies has a result of its own."""
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


def inventory(short=False):
    """Returns the names of the cores that are explored, and all bugs with what is known of them."""
    code, output, errors = finish([ORDERS, "list"])
    if code:
        raise Mistake(f"{ORDERS} list failed: {errors.strip()}")
    lines = [json.loads(line) for line in output.splitlines()]
    cores = [line["core"] for line in lines if "about" in line]
    bugs = [line for line in lines if "bug" in line]
    if not cores or not bugs:
        raise Mistake(f"{ORDERS} list names no cores, or no bugs")
    return [core for core in cores if not (short and core in LONG)], bugs


def find(bug):
    """Searches a bug."""
    result = result_of([ORDERS, "bug", bug["bug"]], LIMIT)
    return bug | {"result": result, "caught": result["how"] == "caught"}


def clean(core):
    """Explores the correct rules in a core, to the end."""
    result = result_of([ORDERS, "correct", core], LIMIT)
    good = result["how"] == "clean" and bool(result.get("complete")) and result["executions"] > 1
    return {"core": core, "result": result, "clean": good}


def say_found(row):
    last = row["result"]
    text = (f"caught: {last['oracle']} {last['rule']}, {last['executions']} executions"
            if row["caught"] else f"MISSED: {last['how']}: {last.get('words')}")
    say(f"  {row['bug']}, {row['core']}: {text}")


def say_clean(row):
    last = row["result"]
    text = (f"clean, all {last['executions']} executions" if row["clean"] else f"NOT CLEAN: {last}")
    say(f"  {row['core']}: {text}")

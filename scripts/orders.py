# SPDX-License-Identifier: GPL-2.0
"""Runs small cores of the engine in all executions of a weak memory model, for scripts/schedules.py:
tools/userspace/orders. Documentation/schedules.rst says what is explored."""

import explorer
from common import say

CRATE = "orders"
ORDERS = explorer.path_of(CRATE, "orders")
# The short form leaves these out: what they do is a part of another core.
LONG = ("pin",)
# Seconds for one core: the longest takes a tenth of it on an idle machine.
LIMIT = 300


def build():
    explorer.build(CRATE)


def inventory(short=False):
    """Returns the names of the cores that are explored, and all bugs with what is known of them."""
    cores, bugs = explorer.inventory(ORDERS, "core")
    return [core for core in cores if not (short and core in LONG)], bugs


def find(bug):
    """Searches a bug."""
    result = explorer.result_of([ORDERS, "bug", bug["bug"]], LIMIT)
    return bug | {"result": result, "caught": result["how"] == "caught"}


def clean(core):
    """Explores the correct rules in a core, to the end."""
    result = explorer.result_of([ORDERS, "correct", core], LIMIT)
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

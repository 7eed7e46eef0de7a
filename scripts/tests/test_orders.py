# SPDX-License-Identifier: GPL-2.0
"""Tests scripts/orders.py: what it makes of the results of the program."""

import json

import pytest

import orders
from common import Mistake

CAUGHT = {"how": "caught", "oracle": "TS", "rule": "R33", "executions": 10, "complete": False}
CLEAN = {"how": "clean", "executions": 222, "complete": True}
BUG = {"bug": "RelaxedPublication", "rule": "R30", "core": "publish"}


@pytest.fixture(name="program")
def fixture_program(monkeypatch, tmp_path):
    """Returns what puts a program in the place of the one that explores."""
    path = tmp_path / "orders"
    monkeypatch.setattr(orders, "ORDERS", path)

    def put(*lines, status=0):
        (tmp_path / "lines").write_text("".join(line + "\n" for line in lines))
        path.write_text(f"#!/bin/sh\ncat {tmp_path}/lines\necho 'error: no such bug' >&2\n"
                        f"exit {status}\n")
        path.chmod(0o755)

    return put


@pytest.mark.parametrize("result, caught", [
    (CAUGHT, True), (CAUGHT | {"how": "finding"}, False), (CLEAN, False)])
def test_only_a_catch_is_caught(program, result, caught):
    program(json.dumps(result))
    assert orders.find(BUG)["caught"] is caught


@pytest.mark.parametrize("result, clean", [
    (CLEAN, True), (CLEAN | {"complete": False}, False), (CLEAN | {"executions": 1}, False),
    (CAUGHT | {"how": "reported"}, False)])
def test_only_all_executions_are_clean(program, result, clean):
    program(json.dumps(result))
    assert orders.clean("publish")["clean"] is clean


def test_a_program_that_dies_is_no_catch(program):
    program("not a result", status=101)
    row = orders.find(BUG)
    assert not row["caught"] and row["result"]["how"] == "died"


def test_a_name_that_the_program_refuses_is_a_mistake(program):
    program(status=2)
    with pytest.raises(Mistake, match="no such bug"):
        orders.find(BUG)


def test_the_short_form_leaves_long_cores_out(program):
    lines = [json.dumps({"core": core, "about": "a"}) for core in ("slot", *orders.LONG)]
    program(*lines, json.dumps(BUG))
    assert orders.inventory(short=True) == (["slot"], [BUG])
    assert orders.inventory()[0] == ["slot", *orders.LONG]
    program(json.dumps(BUG))
    with pytest.raises(Mistake, match="no cores"):
        orders.inventory()

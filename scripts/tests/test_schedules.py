# SPDX-License-Identifier: GPL-2.0
"""Tests scripts/schedules.py: its arguments, and what it makes of the results of a search."""

import json

import pytest

import common
import schedules
from common import Mistake

CAUGHT = {"how": "caught", "oracle": "LI", "rule": "R12", "words": "w", "steps": 7, "bug": "A"}


def arguments(monkeypatch, *values):
    monkeypatch.setattr("sys.argv", ["schedules.py", *values])
    return schedules.words()


def explorer(monkeypatch, tmp_path, *results):
    """Puts a program in the place of the explorer, which prints one result after the other."""
    program, count = tmp_path / "explore", tmp_path / "count"
    lines = "\n".join(json.dumps(result) for result in results)
    (tmp_path / "lines").write_text(lines + "\n")
    program.write_text(f'#!/bin/sh\necho >>{count}\nsed -n "$(wc -l <{count})p" {tmp_path}/lines\n')
    program.chmod(0o755)
    monkeypatch.setattr(schedules, "EXPLORE", program)


@pytest.mark.parametrize("word", ["SECS=x", "SEED=-1", "SEED=", "BUST=A", "BUG",
                                  "SECS=9223372036854775807"])
def test_bad_input(monkeypatch, word):
    with pytest.raises(Mistake, match=word):
        arguments(monkeypatch, word)


def test_good_input(monkeypatch):
    asked = arguments(monkeypatch, "BUG=A", "SEED=7", "SECS=3", "--short")
    assert asked == {"BUG": "A", "SEED": 7, "SECS": 3, "short": True}


def test_choose():
    bugs = [{"bug": "A", "scenario": "pin"}, {"bug": "B", "alone": "why"}]
    assert schedules.choose(bugs, None) == ([bugs[0]], [bugs[1]])
    assert schedules.choose(bugs, "none") == ([], [])
    with pytest.raises(Mistake, match="BUG=C: no such bug"):
        schedules.choose(bugs, "C")


def test_a_bug_without_a_plan_is_a_mistake():
    with pytest.raises(Mistake, match="B: neither searched nor left out"):
        schedules.choose([{"bug": "A", "scenario": "pin"}, {"bug": "B", "missing": True}], "A")


def test_bound():
    assert schedules.bound({"n": 4, "k": 10}, "pct:3") == 1 / 400
    assert schedules.bound({"n": 4, "k": 10}, "random") is None


def test_only_the_same_report_is_a_replay(monkeypatch, tmp_path):
    explorer(monkeypatch, tmp_path, CAUGHT, CAUGHT | {"steps": 8}, CAUGHT | {"oracle": "TS"},
             {"how": "no report", "steps": 7}, {"how": "does not fit", "steps": 3}, CAUGHT)
    assert schedules.replayed("x", CAUGHT, 6) == 2


def test_a_search_that_dies_is_no_catch(monkeypatch, tmp_path):
    explorer(monkeypatch, tmp_path)
    assert schedules.explore("search")["how"] == "died"


def run_of(monkeypatch, result, short=True):
    run = schedules.Run(1, 1, short)
    monkeypatch.setattr(run, "search", lambda *_, **__: result)
    return run


BUG = {"bug": "A", "rule": "R12", "scenario": "pin", "protocol": "rwsem", "how": "pct:3"}


@pytest.mark.parametrize("name, result, times, caught", [
    ("A", CAUGHT, schedules.REPLAYS_SHORT, True),
    ("A", CAUGHT, schedules.REPLAYS_SHORT - 1, False),
    ("A", CAUGHT | {"how": "finding"}, schedules.REPLAYS_SHORT, False),
    ("A", {"how": "died"}, schedules.REPLAYS_SHORT, False),
    ("SkipsSecondCheck", CAUGHT, schedules.REPLAYS_SHORT, True),
])
def test_a_catch_is_replayed_each_time(monkeypatch, tmp_path, name, result, times, caught):
    monkeypatch.setattr(schedules, "SCHEDULES", tmp_path)
    monkeypatch.setattr(schedules, "replayed", lambda *_: times)
    row = run_of(monkeypatch, result).find(BUG | {"bug": name})
    assert row["caught"] is caught and row["way"] == row["tries"][-1]["way"]


def test_an_exhaustive_search_must_catch_it_too(monkeypatch, tmp_path):
    monkeypatch.setattr(schedules, "SCHEDULES", tmp_path)
    monkeypatch.setattr(schedules, "replayed", lambda *_: schedules.REPLAYS_SHORT)
    run = schedules.Run(1, 1, True)
    monkeypatch.setattr(run, "search", lambda *words, **_: CAUGHT | {
        "how": "clean" if schedules.EXHAUSTIVE in words else "caught"})
    assert not run.find(BUG | {"bug": "SkipsSecondCheck"})["caught"]


def test_only_an_oracle_meets_a_bug():
    assert [how for how in ("caught", "finding", "clean", "died", "hangs", "failed")
            if schedules.met({"how": how})] == ["caught", "finding"]


def test_fewer_schedules_are_not_the_same_effort(monkeypatch):
    enough = {"how": "clean", "schedules": schedules.LEAST_SHORT, "complete": False}
    assert run_of(monkeypatch, enough).clean(("pin", "random"))["clean"]
    fewer = enough | {"schedules": schedules.LEAST_SHORT - 1}
    assert not run_of(monkeypatch, fewer).clean(("pin", "random"))["clean"]
    assert not run_of(monkeypatch, enough | {"how": "reported"}).clean(("pin", "random"))["clean"]


def test_nothing_is_not_clean(monkeypatch, tmp_path):
    complete = {"how": "clean", "schedules": 5, "complete": True}
    # No bug of ALL_SCHEDULES has this scenario, so that no lock is tried.
    assert not run_of(monkeypatch, complete).clean(("small-x", schedules.EXHAUSTIVE))["clean"]
    explorer(monkeypatch, tmp_path, {"bug": "A"})
    with pytest.raises(Mistake, match="names no scenarios"):
        schedules.inventory()


def test_a_search_that_does_not_end(monkeypatch, tmp_path):
    program = tmp_path / "explore"
    program.write_text("#!/bin/sh\nsleep 300\n")
    program.chmod(0o755)
    monkeypatch.setattr(schedules, "EXPLORE", program)
    assert schedules.explore("search", secs=-59)["how"] == "hangs" and not common.RUNNING


def test_exhaustive_is_complete(monkeypatch):
    task = ("small-child", schedules.EXHAUSTIVE)
    result = {"how": "clean", "schedules": 5, "complete": False}
    assert not run_of(monkeypatch, result).clean(task)["clean"]
    assert run_of(monkeypatch, result | {"complete": True}).clean(task)["clean"]

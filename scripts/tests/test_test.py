# SPDX-License-Identifier: GPL-2.0
"""Tests how scripts/test.py counts, and how scripts/common.py runs programs."""

import re

import pytest

import common
import results as counts
import test as runner


@pytest.fixture(scope="module")
def kunit():
    return counts.Kunit(common.Path(common.script_lines("source.sh")[-1]))


def counted(kunit, text):
    step = counts.Step("x")
    names = kunit.add(step, text, "document")
    return step.count("passed"), step.count("failed"), names, step.tests


def test_failing_kunit_test_is_counted_once(kunit):
    text = ("KTAP version 1\n1..1\n    KTAP version 1\n    # Subtest: shadow_rmap_a\n    1..2\n"
            "    ok 1 good\n    # bad: EXPECTATION FAILED at rust/x.rs:7\n    not ok 2 bad\n"
            "not ok 1 shadow_rmap_a\n")
    passed, failed, names, tests = counted(kunit, text)
    assert (passed, failed, names) == (1, 1, ["shadow_rmap_a"])
    assert "rust/x.rs:7" in tests[1]["reason"]


def test_document_with_gaps_fails(kunit):
    assert counted(kunit, "nothing here")[:2] == (0, 1)
    passed, failed, _, _ = counted(kunit, "KTAP version 1\n1..3\nok 1 a\nok 2 b\n")
    assert passed == 2 and failed >= 1


def test_tests_of_a_guest():
    step = counts.Step("x")
    counts.add_tests(step, "a.sh", "ok: a: b\n[ 1.0] not ok: c\n"
                     "not ok: d: e: exit status 2: why\ntests: done\n")
    assert [(test["name"], test["status"], test["reason"]) for test in step.tests] == [
        ("a: b", "passed", ""), ("d: e", "failed", "exit status 2: why")]
    counts.add_tests(step, "a.sh", "ok: a\n")
    assert step.tests[-1]["name"] == "guest: a.sh" and step.count("failed") == 2


RULES = "".join(f"R{n} words steps=1 checks={n % 9} violations=0\n" for n in range(1, 43))


@pytest.mark.parametrize("old, new, passed", [
    ("", "", 1), ("R18 words steps=1 checks=0", "R18 words steps=1 checks=1", 1),
    ("R17 words steps=1 checks=8", "R17 words steps=1 checks=0", 0),
    ("checks=8 violations=0", "checks=8 violations=1", 0),
    ("checks=0 violations=0", "checks=0 violations=1", 0), ("R4", "", 0)])
def test_rules_of_a_guest(tmp_path, old, new, passed):
    (tmp_path / "rules").write_text(RULES.replace(old, new))
    step = counts.Step("x")
    counts.add_rules(step, tmp_path, {"R9", "R18", "R27", "R36"})
    assert step.count("passed") == passed and len(step.tests) == 1


@pytest.mark.parametrize("judge, stats, passed", [
    (counts.add_broken_rules, "rules_shown_broken: 9\nrules_not_shown_broken: R4 R7\n", 1),
    (counts.add_broken_rules, "rules_shown_broken: 9\nrules_not_shown_broken: R4 R5\n", 0),
    (counts.add_broken_rules, "", 0),
    (counts.add_freed, "vma_allocs: 5\nvma_frees: 5\npages_allocated: 2\npages_freed: 2\n", 1),
    (counts.add_freed, "vma_allocs: 5\nvma_frees: 4\n", 0), (counts.add_freed, "vma_allocs: 5\n", 0),
    (counts.add_freed, "", 0)])
def test_counters_of_a_guest(judge, stats, passed):
    step = counts.Step("x")
    judge(step, stats)
    assert step.count("passed") == passed and len(step.tests) == 1


def results(code, output):
    step = counts.Step("x")
    counts.add_results(step, code, output)
    return step.count("passed"), step.count("failed"), step.tests[-1]


def test_counts_cargo_and_pytest():
    passed, failed, last = results(101, "test a::b ... ok\ntest c ... FAILED\n\nfailures:\n\n"
                                   "---- c stdout ----\nthread 'c' panicked at src/x.rs:1:2\n\n"
                                   "failures:\n    c\n")
    assert (passed, failed) == (1, 1) and "src/x.rs" in last["reason"]
    hung = "test a ... ok\ntest b has been running for over 60 seconds\n"
    assert results(124, hung)[:2] == (1, 1) and results(124, hung)[2]["name"] == "b"
    assert results(0, "running 0 tests\n")[:2] == (0, 1)
    old = results(0, "test a ... ok\ntest b ... ignored\ntest c ... ignored, needs Linux 6.17\n")
    assert old == (1, 0, {"step": "x", "name": "c", "status": "skipped", "reason": "needs Linux 6.17"})
    assert results(101, "test a ... ok\n")[:2] == (1, 1)
    passed, failed, last = results(1, "tests/test_a.py::good[a FAILED b] PASSED  [ 50%]\n"
                                   "tests/test_a.py::bad FAILED  [100%]\nFAILED tests/test_a.py::bad")
    assert (passed, failed, last["name"]) == (1, 1, "test_a.py::bad")


def test_torture_results():
    row = {"bust": "A", "rule": "R1", "protocol": "spin", "caught": 1, "wanted": 1, "findings": 0,
           "oracles": ["LI"], "how": ["oracle"], "admissible": ["LI"]}
    run = {"protocol": "spin", "vm": "um", "load": None, "clean": True, "reasons": []}
    result = {"busts": [row, row | {"bust": "B", "findings": 1}, row | {"bust": "C", "caught": 0}],
              "correct": [run, run | {"clean": False, "reasons": ["LI reported"]}], "runs": [],
              "planned": [3, 2], "not_shown": [{"bust": "D", "reason": "x"}], "restarts": 2}
    for planned, failed in (([3, 2], 3), ([3, 3], 4)):
        step = counts.Step("x")
        counts.add_torture(step, 1, result | {"planned": planned})
        assert [step.count(s) for s in ("passed", "failed", "skipped")] == [2, failed, 1]
        assert step.restarts == 2
    step = counts.Step("x")
    counts.add_torture(step, 2, {})
    assert step.count("failed") == 1


def test_command_that_hangs_is_ended(tmp_path):
    code, output = common.stream(["sh", "-c", "echo started; sleep 6000"], tmp_path / "log", "x",
                                 limit=2)
    assert code == 124 and output in ("", "started\n")


def test_output_status_and_progress_of_a_command(tmp_path, capsys):
    """The last line may have no end, and may come in pieces."""
    script = "printf a; sleep 2; echo b; echo wanted >&2; printf c; exit 3"
    code, output = common.stream(["sh", "-c", script], tmp_path / "log", "x",
                                 re.compile("want"), every=1)
    assert (code, output, (tmp_path / "log").read_text()) == (3, *["ab\nwanted\nc"] * 2)
    said = capsys.readouterr().out.splitlines()
    assert "  wanted" in said and any(re.match(r"  x: \d s, 0 lines: ", line) for line in said)


def test_step_that_fails_or_runs_nothing_is_a_failure(monkeypatch):
    monkeypatch.setattr(runner, "STEPS", {"good": lambda step: step.check("a", True, ""),
                                          "empty": lambda step: None, "bad": lambda step: 1 / 0})
    for name, passed, failed in (("good", 1, 0), ("empty", 0, 1), ("bad", 0, 1)):
        step = counts.Step(name)
        runner.run_step(step)
        assert (step.count("passed"), step.count("failed")) == (passed, failed)

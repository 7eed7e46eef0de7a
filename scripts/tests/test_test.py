# SPDX-License-Identifier: GPL-2.0
"""Tests how scripts/test.py counts, and how scripts/common.py runs programs."""

import threading

import pytest

import common
import test as runner


@pytest.fixture(scope="module")
def kunit():
    return runner.Kunit(common.Path(common.script_lines("source.sh")[-1]))


def counted(kunit, text):
    report = runner.Report()
    names = runner.add_ktap(report, kunit, "x", text, "document")
    return report.count("passed"), report.count("failed"), names, report.tests


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


def results(code, output):
    report = runner.Report()
    runner.add_results(report, "x", code, output)
    return report.count("passed"), report.count("failed"), report.tests[-1]


def test_results_of_cargo_and_pytest():
    passed, failed, last = results(101, "test a::b ... ok\ntest c ... FAILED\n\nfailures:\n\n"
                                   "---- c stdout ----\nthread 'c' panicked at src/x.rs:1:2\n\n"
                                   "failures:\n    c\n")
    assert (passed, failed) == (1, 1) and "src/x.rs" in last["reason"]
    hung = "test a ... ok\ntest b has been running for over 60 seconds\n"
    assert results(124, hung)[:2] == (1, 1) and results(124, hung)[2]["name"] == "b"
    assert results(0, "running 0 tests\n")[:2] == (0, 1)
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
        report = runner.Report()
        runner.add_torture(report, "x", 1, result | {"planned": planned})
        assert [report.count(s) for s in ("passed", "failed", "skipped")] == [2, failed, 1]
        assert report.restarts == 2
    report = runner.Report()
    runner.add_torture(report, "x", 2, {})
    assert report.count("failed") == 1


def test_command_that_hangs_is_ended(tmp_path):
    code, output = common.stream(["sh", "-c", "echo started; sleep 6000"], tmp_path / "log",
                                 common.Progress("x"), limit=2)
    assert code == 124 and output in ("", "started\n")


def test_output_and_status_of_a_command(tmp_path):
    code, output = common.stream(["sh", "-c", "echo a; echo b >&2; exit 3"], tmp_path / "log",
                                 common.Progress("x"))
    assert (code, output, (tmp_path / "log").read_text()) == (3, "a\nb\n", "a\nb\n")


def test_progress():
    progress = common.Progress("x", 2)
    for line in ("1..3", "ok 1 a", "not ok 2 b", "# ok 7 c", "[    1.234567]     ok 1 d",
                 "running 4 tests", "test e::f ... ok", "test g has been running",
                 "scripts/tests/test_a.py::b[c d] PASSED [ 1%]", "collected 5 items"):
        progress.read(line)
    assert (progress.done, progress.expected + progress.planned) == (5, 14)
    assert str(progress).startswith("x: 5 of 14 tests, ")
    torture = common.Progress("x")
    for line in ("[1/9] A R1 spin: caught by LI", "  [2/9] B: 3 s", "[2/9] B: caught"):
        torture.read(line)
    assert (torture.done, torture.planned) == (2, 9)


def test_steps_run_beside_each_other_as_far_as_there_are_cores():
    weights, lock, running, seen = {"a": 1, "b": 1, "c": 2, "d": 1, "e": 9}, threading.Lock(), [], []
    together = threading.Barrier(2)

    def run(name):
        with lock:
            running.append(name)
            seen.append(sorted(running))
        if name in "ab":
            together.wait(60)
        with lock:
            running.remove(name)

    runner.run_steps("abcde", weights, run, 2)
    assert [s for s in seen if len(s) > 1] == [["a", "b"]] and ["c"] in seen and ["e"] in seen

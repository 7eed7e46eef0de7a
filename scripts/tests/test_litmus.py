# SPDX-License-Identifier: GPL-2.0
"""Tests how scripts/litmus.py judges the answers of herd7, which is a fake here, and that files, table
and citations of the litmus tests agree."""

import json
import os
import re
import subprocess

import pytest

import litmus
import results
import steps
from common import SCRIPTS, TOP

RULE = "C R1+rule\n(*\n * Result: Never\n *)\n{}\nP0(int *x) { }\nexists (x=1)\n"
BUG = ("C R1+bug\n(*\n * Result: Sometimes\n * Beside: R1+rule.litmus\n *)\n{}\n"
       "P0(int *x) { WRITE_ONCE(*x, 1); }\nexists (x=1)\n")
NEVER = "Test R1+rule Allowed\nStates 1\nx=0;\nNo\nObservation R1+rule Never 0 1\n"
SOMETIMES = "Test R1+bug Allowed\nStates 1\nx=1;\nOk\nObservation R1+bug Sometimes 1 1\n"


def judge(tmp_path, *words, files=(), answers=(), code=0, sleep="", herd7="herd7"):
    """Runs scripts/litmus.py with a herd7 that prints `answers`; returns status, output, rows."""
    for name, text in ({"R1+rule": RULE, "R1+bug": BUG} | dict(files)).items():
        if text:
            (tmp_path / f"{name}.litmus").write_text(text)
    for name, text in ({"R1+rule": NEVER, "R1+bug": SOMETIMES} | dict(answers)).items():
        (tmp_path / f"{name}.answer").write_text(text)
    fake = tmp_path / "herd7"
    # The third argument is the test: -conf linux-kernel.cfg TEST.
    fake.write_text(f'#!/bin/sh\n{sleep}\ncat "${{3%.litmus}}.answer"\nexit {code}\n')
    fake.chmod(0o755)
    (tmp_path / "out.json").unlink(missing_ok=True)
    done = subprocess.run([SCRIPTS / "litmus.py", "--herd7", tmp_path / herd7, "--model", tmp_path,
                           "--tests", tmp_path, "--json", tmp_path / "out.json", *words],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    rows = tmp_path / "out.json"
    return done.returncode, done.stdout, json.loads(rows.read_text()) if rows.exists() else []


def test_expected_answers_pass(tmp_path):
    code, output, rows = judge(tmp_path)
    assert code == 0 and output.splitlines()[-1] == "litmus: 2 of 2 as expected"
    assert [row["expected"] for row in rows] == ["Sometimes", "Never"]
    assert not any(row["reason"] for row in rows)


@pytest.mark.parametrize("name, answer, code, reason", [
    ("R1+rule", NEVER.replace("Never 0 1", "Sometimes 1 1"), 0, "Sometimes, where Never is expected"),
    ("R1+bug", SOMETIMES.replace("Sometimes 1 1", "Never 0 1"), 0, "Never, where Sometimes is"),
    ("R1+bug", SOMETIMES.replace("Sometimes 1 1", "Always 1 0"), 0, "Always, where Sometimes is"),
    ("R1+rule", 'Warning: File "x", line 3: unexpected (in prog)\n', 0, "unexpected (in prog)"),
    ("R1+rule", NEVER + "Flag data-race\n", 0, "Flag data-race"),
    ("R1+rule", "Warning: something\n" + NEVER, 0, "Warning: something"),
    ("R1+rule", NEVER, 2, "exit status 2"),
    ("R1+rule", "", 0, "no answer"),
    ("R1+rule", NEVER.replace("R1+rule", "R1+other"), 0, "no answer"),
    ("R1+rule", NEVER + NEVER, 0, "no answer"),
    ("R1+rule", NEVER.replace("States 1", "States 0"), 0, "no state"),
    ("R1+rule", NEVER.replace("Never 0 1", "Never 0 0"), 0, "no state"),
    ("R1+rule", NEVER.replace("States 1\n", ""), 0, "no state"),
])
def test_other_answers_fail(tmp_path, name, answer, code, reason):
    status, output, rows = judge(tmp_path, answers={name: answer}, code=code)
    row = next(row for row in rows if row["name"] == name)
    assert status == 1 and reason in row["reason"] and f"] {name}: FAILED: " in output
    assert re.fullmatch(r"litmus: [01] of 2 as expected", output.splitlines()[-1])


@pytest.mark.parametrize("name, text, reason", [
    ("R1+rule", RULE.replace(" * Result: Never\n", ""), "no line"),
    ("R1+rule", RULE.replace("Never", "Perhaps"), "no line"),
    ("R1+rule", RULE.replace(" * Result: Never\n", " * Result: Never\n * Result: Sometimes\n"), "no line"),
    ("R1+rule", RULE.replace("C R1+rule", "C R1+else"), "line 1"),
    ("R1+rule", RULE.replace("exists (x=1)\n", ""), "no `exists`"),
    ("R1+bug", BUG.replace(" * Beside: R1+rule.litmus\n", ""), "missing"),
    ("R1+bug", BUG.replace("R1+rule.litmus", "R1+gone.litmus"), "R1+gone.litmus"),
    ("R1+bug", BUG.replace("R1+rule.litmus", "R1+bug.litmus"), "no such test that is Never"),
    ("R1+bug", BUG.replace("exists (x=1)", "exists (x=2)"), "the same result"),
    ("R2+alone", RULE.replace("R1+rule", "R2+alone"), "no test that is Sometimes"),
])
def test_incomplete_files_fail(tmp_path, name, text, reason):
    status, _, rows = judge(tmp_path, files={name: text}, answers={
        "R2+alone": NEVER.replace("R1+rule", "R2+alone")})
    assert status == 1
    assert reason in next(row["reason"] for row in rows if row["name"] == name)


def test_herd7_that_hangs_or_is_missing(tmp_path):
    status, _, rows = judge(tmp_path, "--time-limit", "0.3", sleep="exec sleep 60")
    assert status == 1 and ["more than 0.3 s" in row["reason"] for row in rows] == [True, True]
    status, _, rows = judge(tmp_path, herd7="missing")
    assert status == 1 and ["missing" in row["reason"] for row in rows] == [True, True]


def test_choice_of_tests(tmp_path):
    other = {"R17+rule": RULE.replace("R1+", "R17+"), "R17+bug": BUG.replace("R1+", "R17+")}
    answers = {"R17+rule": NEVER.replace("R1+", "R17+"), "R17+bug": SOMETIMES.replace("R1+", "R17+")}
    for word, count in (("R1", 2), ("R17", 2), ("R17+bug", 1)):
        code, output, rows = judge(tmp_path, word, files=other, answers=answers)
        assert code == 0 and len(rows) == count and f"litmus: {count} of {count}" in output
    code, output, _ = judge(tmp_path, "R99", files=other)
    assert code == 2 and output == "error: no litmus test of R99; there are tests of: R1 R17\n"
    (tmp_path / "empty").mkdir()
    code, output, _ = judge(tmp_path / "empty", files={"R1+rule": "", "R1+bug": ""})
    assert code != 0 and output.startswith("error: no litmus test")


@pytest.mark.parametrize("kdir, message", [
    ("missing", "no such folder"), (".", "no tools/memory-model")])
def test_kdir_without_model(tmp_path, kdir, message):
    done = subprocess.run(["bash", SCRIPTS / "litmus.sh"], stdout=subprocess.PIPE, text=True,
                          stderr=subprocess.STDOUT, check=False,
                          env=os.environ | {"KDIR": str(tmp_path / kdir)})
    assert done.returncode == 1 and done.stdout.splitlines()[-1].startswith("error: ")
    assert message in done.stdout


@pytest.mark.parametrize("rows, code, passed, failed", [
    ([{"name": "a", "reason": ""}, {"name": "b", "reason": ""}], 0, 2, 0),
    ([{"name": "a", "reason": ""}, {"name": "b", "reason": "Never"}], 1, 1, 1),
    ([{"name": "a", "reason": ""}], 1, 1, 1), (None, 1, 0, 1), (None, 0, 0, 1)])
def test_each_counts_in_make_test(tmp_path, monkeypatch, rows, code, passed, failed):
    """A list of an earlier run does not count."""
    (tmp_path / "litmus.json").write_text(json.dumps([{"name": "old", "reason": ""}]))
    script = tmp_path / "litmus.sh"
    write = f"echo '{json.dumps(rows)}' >{tmp_path}/litmus.json" if rows else "true"
    script.write_text(f"#!/bin/sh\n{write}\nexit {code}\n")
    script.chmod(0o755)
    for name in ("SCRIPTS", "OUT"):
        monkeypatch.setattr(steps, name, tmp_path)
    monkeypatch.setattr(results, "RESULTS", tmp_path)

    step = results.Step("host-litmus")
    steps.host_litmus(step)
    assert (step.count("passed"), step.count("failed")) == (passed, failed)


def citations(folders):
    """Yields (file, test) for each citation of a litmus test."""
    for folder in folders:
        for path in sorted((TOP / folder).rglob("*")):
            if path.suffix in (".rs", ".rst", ".litmus", ".md"):
                for name in re.findall(r"(R\d+\+[\w+-]+)\.litmus", path.read_text()):
                    yield path.relative_to(TOP), name


def test_citations_name_tests():
    files = {path.stem for path in litmus.TESTS.glob("*.litmus")}
    found = list(citations(("rust", "Documentation", "tools/litmus")))
    assert not [(str(path), name) for path, name in found if name not in files]
    # Each rule that is about order is cited where the engine relies on it.
    cited = {name.partition("+")[0] for path, name in found if path.parts[0] == "rust"}
    assert cited == {name.partition("+")[0] for name in files}


def test_table_lists_each_test():
    text = (TOP / "Documentation/litmus.rst").read_text()
    table = re.findall(r"^``(R\d+\+[\w+-]+)`` +(Never|Sometimes) ", text, re.M)
    assert len(table) == len(dict(table))
    assert dict(table) == {test.name: test.result for test in map(
        litmus.Test, litmus.TESTS.glob("*.litmus"))}

# SPDX-License-Identifier: GPL-2.0
"""Tests of scripts/judge_self_test.py: what the heads of the patches say, and when a mutant counts
as noticed."""

import re

import pytest

import judge_self_test
from common import TOP, Mistake, write_json


def test_each_mutant_is_another_slip():
    titles, seen = (TOP / "rust/rmap/rules.rs").read_text(), {}
    patches = judge_self_test.mutants()
    assert len(patches) >= 40 and sum(bool(patch.survives) for patch in patches) <= len(patches) / 20
    for patch in patches:
        assert f'\n    {patch.rule} "' in titles
        slip = re.sub(r"^@@.*", "", patch.path.read_text().partition("\n--- ")[2], flags=re.M)
        assert slip not in seen, f"{patch.path.name} is {seen.get(slip)}"
        seen[slip] = patch.path.name
    names = {patch.path.stem for patch in patches}
    assert names >= {*judge_self_test.LIVE, *judge_self_test.SAMPLE, *judge_self_test.SAMPLE_LIVE}
    assert {path.stem for path in judge_self_test.correct()} >= set(judge_self_test.SAMPLE_CORRECT)


def test_the_head_of_a_mutant(tmp_path):
    path = tmp_path / "x.patch"
    for head in ("Expect: R1\n", "Rule: R1\n", "Rule: R1\nExpect: x\nSurvives: y\n"):
        path.write_text(f"{head}text\n\n--- a/mm/x.c\n")
        with pytest.raises(Mistake, match="names no rule"):
            judge_self_test.Patch.of(path)


def test_what_is_wrong_with_a_mutant(tmp_path):
    killed = judge_self_test.Patch(tmp_path, "R21", "vma .* no link")
    alive = judge_self_test.Patch(tmp_path, "R30", survives="one thread runs")
    found = {"verdict": "FAIL", "rule": "R21", "what": "vma 3 has no link"}
    wrong = judge_self_test.wrong_with
    assert wrong(killed, found) == "" and wrong(killed, {"verdict": "PASS"}) == "not noticed"
    for patch in (killed, alive):
        assert "no verdict" in wrong(patch, {"verdict": "NONE", "what": "no compiler"})
    assert "other words" in wrong(killed, found | {"what": "it died"})
    assert wrong(alive, {"verdict": "PASS"}) == "" and "one thread" in wrong(alive, found)


def test_what_live_mappings_may_miss(tmp_path):
    path = tmp_path / "x.patch"
    path.write_text("Rule: R1\nExpect: x\nLive: no thread faults then\n\n--- a/mm/x.c\n")
    patch, found = judge_self_test.Patch.of(path), {"verdict": "FAIL", "rule": "R2", "what": "y"}
    wrong = judge_self_test.wrong_with
    assert wrong(patch, {"verdict": "PASS"}, 2) == "" and "no thread" in wrong(patch, found, 2)
    assert wrong(patch, {"verdict": "PASS"}, 1) == "not noticed"
    seen = judge_self_test.Patch(tmp_path, "R1", "x")
    assert wrong(seen, found, 2) == "" and wrong(seen, {"verdict": "PASS"}, 2) == "not noticed"


def test_what_a_check_of_the_host_must_say(tmp_path):
    path = tmp_path / "x.patch"
    path.write_text("Rule: R1\nExpect: x\nHost: R24\n\n--- a/mm/x.c\n")
    patch, wrong = judge_self_test.Patch.of(path), judge_self_test.wrong_with_host
    found = "violation of R24: num_children is 1\n"
    assert wrong(patch, f"sh: write error: Structure needs cleaning\n{found}") == ""
    assert "did not fail" in wrong(patch, found) and "does not name R24" in wrong(patch, "")
    assert wrong(judge_self_test.Patch(tmp_path, "R1", "x"), "") == ""


def test_the_figures_of_a_self_test():
    row = {"stage": "mutant, stage 1", "rule": "R1", "killed": True, "named": ["R1"], "seconds": 2,
           "steps": 5, "survives": ""}
    rows = [row, row | {"named": ["R2", "R1"], "seconds": 20, "steps": 0}, row | {"killed": False},
            row | {"stage": "mutant, stage 2"}, row | {"killed": False, "survives": "one thread runs"}]
    assert judge_self_test.summary(rows) == {
        "mutants": 3, "survivors": 1, "killed": 2, "right_rule": 1, "right_rule_named": 2,
        "under_10_s": 1, "median_seconds": 20, "shrunk": 1, "median_steps": 5}


def test_the_last_line():
    rows = [{"killed": True}, {"killed": False}]
    assert judge_self_test.live_line(rows, 0) == "judge: live mappings killed 1/2"
    assert judge_self_test.live_line(rows, 1) == "judge: live mappings killed 1/2, 1 not as expected"
    line = judge_self_test.last_line
    assert line({"killed": 3, "mutants": 3}, 0) == "judge: mutants killed 3/3"
    assert line({"killed": 3, "mutants": 3}, 2) == "judge: mutants killed 3/3, 2 not as expected"


@pytest.mark.parametrize("code, left, verdict", [
    (0, "PASS", "PASS"), (1, "FAIL", "FAIL"), (1, "PASS", "NONE"), (0, "FAIL", "NONE"),
    (2, "FAIL", "NONE"), (124, "PASS", "NONE"), (1, None, "NONE"), (0, None, "NONE")])
def test_a_verdict_is_one_of_this_run(tmp_path, monkeypatch, code, left, verdict):
    monkeypatch.setattr(judge_self_test, "RESULTS", tmp_path)
    write_json(tmp_path / "a/verdict.json", {"verdict": "FAIL"})

    def ends(*_, **__):
        if left:
            write_json(tmp_path / "a/verdict.json", {"verdict": left})
        return code, "error: no host\n"
    monkeypatch.setattr(judge_self_test, "stream", ends)
    result = judge_self_test.judge("a", 1, 5, 1)
    assert result["verdict"] == verdict
    assert verdict != "NONE" or result["what"] == "error: no host"


def test_the_table_of_the_mutants():
    """Documentation/judge.rst has a row for each patch, with its rule."""
    text = (TOP / "Documentation/judge.rst").read_text()
    rows = set(re.findall(r"^([\w-]+) +(R\d+) +(nothing|\w.*)$", text, re.M))
    documented = {(name, rule, by.startswith("nothing")) for name, rule, by in rows}
    assert documented == {(patch.path.stem, patch.rule, bool(patch.survives))
                          for patch in judge_self_test.mutants()}
    row = {"stage": "mutant, stage 1", "name": "a", "rule": "R1", "killed": True, "named": ["R2"],
           "by": "random steps, plain", "seconds": 2, "steps": 5}
    lines = judge_self_test.table([row, row | {"name": "b", "killed": False}]).splitlines()
    assert lines[3].split() == ["a", "R1", "random", "steps", "R2", "2.0", "5"]
    assert lines[4].split() == ["b", "R1", "nothing"]

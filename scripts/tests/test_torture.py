# SPDX-License-Identifier: GPL-2.0
"""Tests how scripts/torture.py and scripts/experiments.py plan, judge and report."""

from xml.etree import ElementTree

import pytest

import experiments
import torture
import torture_lab
import torture_report as report
from common import Mistake, write_json

BEGIN = "[   10.000000] torture: begins: bust=SkipsSecondCheck protocol=rwsem"
RUNS = "torture: state=running elapsed_ms=1500 operations=900 near_misses=7 reports=0"
CAUGHT = ("[   10.200000] shadow_rmap_torture: torture: caught by LI (R13) after 123 ms, 4567 "
          "operations, near misses 89: the lock is another one")
KASAN = "[   10.250000] BUG: KASAN: slab-use-after-free in walk+0x1c/0x90"
LOCKDEP = "[   10.250000] WARNING: suspicious RCU usage"
FREED = "[   10.250000] WARNING: held lock freed!"
PANIC = "[   10.300000] Kernel panic - not syncing: Segfault with no mm"
ENDED = "torture: ended"


def results(verdict, **said):
    return "KTAP version 1\n1..1\n" + "".join(f"# {name}: {value}\n" for name, value in said.items()) \
        + f"# museum: 17\n# torture: End of test: X\n{verdict} 1 {said['name']}\n"


RESULTS = results("ok", name="SkipsSecondCheck", museum=16, load="recycling", caught="yes",
                  oracle="LI", oracle_rule="R13", words="the lock is another one", milliseconds=123,
                  operations=4570, rounds=3, near_misses=90, reports=1, violations=1,
                  window_Found="123 4")
MISSED = RESULTS.replace("caught: yes", "caught: no").replace("ok 1", "not ok 1")
CLEAN = results("ok", name="none", caught="no", oracle="-", words="-", milliseconds=10000,
                operations=20000, rounds=30, near_misses=500, reports=0, violations=0)
FINE = {"reason": "exit", "exit": 0, "text": "exit status 0", "splats": []}
TIME = {"reason": "time-limit", "exit": 124, "text": "the time limit of 5 s was reached"}
DIED = {"reason": "died", "exit": 125, "text": "the guest ended without a status"}


def heard(*lines, patient=False):
    console = torture_lab.Console("um", patient=patient)
    for line in lines:
        console(line)
    return console


def options(*words):
    return torture_lab.parameters(words)


def test_parameters():
    got = options("BUST=R12", "SECS=5", "SEED=0", "VM=x86_64-kasan", "MODE=pct", "DEPTH=2")
    assert [got[name] for name in ("BUST", "SECS", "SEED", "VM", "DEPTH", "PROTOCOL")] == [
        "R12", 5, 0, "x86_64-kasan", 2, None]
    assert options("SECS=", "BUST=") == options()
    for word in ("SECS=0", "SECS=x", "SEED=-1", "PROTOCOL=mutex", "VM=arm", "COLOR=red", "R12",
                 "HOURS=x"):
        with pytest.raises(Mistake, match=word):
            options(word)
    with pytest.raises(Mistake, match="HOURS=2: not NAME=VALUE, with NAME one of BUST"):
        torture_lab.parameters(["HOURS=2"], ["BUST"])


def test_lines_for_the_module_and_to_repeat():
    lab = torture_lab.Lab(None, options("LOAD=moves", "STAY=4", "FAIL=0", "SEED=1"))
    assert lab.words(str.lower, "moves", bust="none", seed=0, ops=70, secs=None) == (
        "bust=none seed=0 ops=70 load=moves stay=4 fail=0")


CONTROL = """usage: bust=none|R12|museum:16|NAME [secs=10]
secs and ops: whichever is first
loads: all walkers moves
bust none - protocols=rwsem,spin,preemptible
bust SkipsSecondCheck R12 museum:16 protocols=rwsem,spin oracles=LI,TS
bust AsksRefcount R12 museum:17 museum:18 protocols=spin oracles=LI inspection
bust LeavesRcuEarly R9 museum:4 protocols=preemptible harmless=spin oracles=TS
bust PublishesFirst R30 museum:36 protocols= not-shown: x86 keeps stores in order
"""
NAMES = ["none", "SkipsSecondCheck", "AsksRefcount", "LeavesRcuEarly", "PublishesFirst"]


def test_control():
    busts, loads = torture_lab.parse_control(CONTROL)
    assert loads == ["all", "walkers", "moves"]
    assert [bust.name for bust in busts] == NAMES
    assert [bust.museum for bust in busts] == [[], [16], [17, 18], [4], [36]]
    assert busts[0].protocols == ["rwsem", "spin", "preemptible"]
    assert [bust.oracles for bust in busts] == [[], ["LI", "TS"], ["LI"], ["TS"], []]
    assert [bust.name for bust in busts if bust.inspection] == ["AsksRefcount"]
    assert busts[4].not_shown == "x86 keeps stores in order"
    with pytest.raises(Mistake, match="no bug"):
        torture_lab.parse_control("usage: bust=R12\n")
    with pytest.raises(Mistake, match="no oracle that may catch AsksRefcount"):
        torture_lab.parse_control(CONTROL.replace(" oracles=LI inspection", ""))


def asked(*words):
    wanted = options(*words)
    return wanted | {"BUST": wanted["BUST"] or "all"}


def pick(*words):
    chosen, left_out = torture.pick(torture_lab.parse_control(CONTROL)[0], asked(*words))
    return [bust.name for bust in chosen], [bust.name for bust, _ in left_out]


@pytest.mark.parametrize("word, found", [
    ("BUST=all", (NAMES[1:4], NAMES[4:])), ("BUST=none", ([], [])),
    ("BUST=R12", (NAMES[1:3], [])), ("BUST=museum:18", ([NAMES[2]], [])),
    ("BUST=R9,R12,museum:16", ([NAMES[3], *NAMES[1:3]], [])),
    ("BUST=SkipsSecondCheck", ([NAMES[1]], [])), ("PROTOCOL=spin", (NAMES[1:3], NAMES[3:])),
    ("PROTOCOL=rwsem", (NAMES[1:2], NAMES[2:]))])
def test_choice(word, found):
    assert pick(word) == found


@pytest.mark.parametrize("words, why", [
    ("BUST=R1", "no such bug"), ("BUST=museum:1", "no such bug"),
    ("BUST=R12,Skips", "BUST=Skips: no such bug"),
    ("BUST=museum:", "no such bug"), ("BUST=museum:36", "x86 keeps stores in order"),
    ("BUST=R9 PROTOCOL=spin", "harmless under spin"),
    ("BUST=AsksRefcount PROTOCOL=rwsem", "not offered under rwsem")])
def test_choice_is_refused(words, why):
    with pytest.raises(Mistake, match=why):
        pick(*words.split())


def plan(short, *words):
    return torture.correct_plan(*torture_lab.parse_control(CONTROL), asked(*words), short)


def test_plan_of_the_correct_rules():
    def where(rows):
        return {(row[0], row[4]) for row in rows}

    assert len(plan(False)) == 12
    assert where(plan(False)) == {("um-bench", None), ("x86_64-kasan", None), ("um", "walkers"),
                                  ("um", "moves")}
    assert [(row[1], row[3], row[4]) for row in plan(True)] == [
        *[(protocol, torture.SHORT_ENOUGH, None) for protocol in torture_lab.PROTOCOLS],
        ("rwsem", None, "walkers"), ("spin", None, "moves")]
    assert plan(False, "BUST=none", "SECS=7", "PROTOCOL=spin") == [("um", "spin", 7, 0, None)]
    assert where(plan(False, "LOAD=moves")) == {("um-bench", "moves"), ("x86_64-kasan", "moves")}
    assert where(plan(False, "BUST=none")) == {("um-bench", None), ("um", "walkers"),
                                               ("um", "moves")}
    assert where(plan(False, "BUST=none", "VM=x86_64")) == {
        ("x86_64", load) for load in (None, "walkers", "moves")}


def test_control_runs_do_as_much_as_the_slowest_catch():
    runs = [run_of("A", 5, operations=70_000, diagnostics={"load": "moves"}),
            run_of("B", 5, operations=90_000, diagnostics={"load": "walkers"}),
            run_of("C", 5, operations=95_000, diagnostics={"load": "moves"}, caught=False),
            run_of("D", 5, operations=80_000)]
    assert torture.slowest_catch(runs[:3], "moves", "um") == 70_000
    assert torture.slowest_catch(runs, "moves", "um") == 80_000
    assert torture.slowest_catch(runs[:1], "walkers", "um") == torture.LEAST_CONTROL
    assert torture.slowest_catch([], "moves", "um") == torture.OPERATIONS["um"]


ORACLE = {"caught": True, "finding": False, "how": "oracle", "oracle": "LI"}
LATE = CAUGHT.replace("10.2", "10.4")


@pytest.mark.parametrize("lines, results, guest, wanted", [
    # An oracle: results and console, one of the two, and what happens after it.
    ([BEGIN, RUNS, CAUGHT, ENDED], RESULTS, FINE, ORACLE | {
        "oracle_rule": "R13", "milliseconds": 123, "operations": 4567, "near_misses": 89,
        "words": "the lock is another one"}),
    ([BEGIN, ENDED], RESULTS, FINE, ORACLE | {"milliseconds": 123, "operations": 4570}),
    ([BEGIN, CAUGHT.replace("R13", "-")], "", DIED, ORACLE | {"oracle_rule": None}),
    ([BEGIN, RUNS, CAUGHT, PANIC], "", DIED, ORACLE | {"milliseconds": 123}),
    ([BEGIN, RUNS, CAUGHT], "", TIME, ORACLE),
    # The kernel, alone or first.
    ([BEGIN, RUNS, KASAN, LATE, ENDED], RESULTS, FINE, {
        "caught": True, "how": "kernel complained: KASAN", "oracle": "KA", "milliseconds": 250}),
    ([BEGIN, KASAN, CAUGHT.replace("LI (R13)", "LD (-)"), ENDED], RESULTS, FINE, {
        "oracle": "KA", "how": "kernel complained: KASAN", "oracle_rule": None}),
    ([BEGIN, LOCKDEP, CAUGHT.replace("LI (R13)", "LD (R11)"), ENDED], RESULTS, FINE, {
        "oracle": "LD", "how": "kernel complained: lockdep: RCU", "oracle_rule": "R11"}),
    ([BEGIN, RUNS, LOCKDEP, ENDED], MISSED, FINE, {
        "caught": True, "oracle": "LD", "operations": 4570}),
    ([BEGIN, FREED, CAUGHT.replace("LI (R13)", "LD (-)"), ENDED], RESULTS, FINE, {"oracle": "KA"}),
    ([BEGIN, RUNS, PANIC], "", DIED, {
        "caught": True, "oracle": "KA", "how": "kernel died: panic", "milliseconds": 300,
        "operations": 900, "near_misses": 7}),
    # Nothing says that it was the bug.
    ([BEGIN, RUNS], "", DIED, {"caught": False, "oracle": None, "how": "kernel died: silently"}),
    ([BEGIN, RUNS], "", TIME, {"caught": False, "how": "hang"}),
    ([BEGIN, RUNS, "torture: hangs"], "", FINE | {"exit": 3}, {"caught": False, "how": "hang"}),
    ([BEGIN, RUNS, ENDED], MISSED, FINE, {"caught": False, "how": "missed", "oracle": None}),
    ([BEGIN, *(f"[   40.000000] shadow_rmap: {line}" for line in MISSED.splitlines()), ENDED], "",
     FINE, {"caught": False, "how": "missed", "rounds": 3}),
    ([], "", TIME, {"caught": False, "how": "not run"}),
    ([PANIC], "", DIED, {"caught": False, "how": "not run"}),
    ([BEGIN, "torture: wrong: the module can be unloaded"], "", FINE | {"exit": 2}, {
        "caught": False, "how": "not run", "words": "wrong: the module can be unloaded"}),
    # A program cannot report.
    ([BEGIN, "BUG: KASAN: of a program", "shadow_rmap: torture: caught by LI", ENDED], MISSED, FINE,
     {"caught": False, "how": "missed"}),
])
def test_judgement_of_a_bug(lines, results, guest, wanted):
    run = torture_lab.judge_bust(heard(*lines), results, guest, ["LI", "LD", "KA"])
    assert {key: run[key] for key in wanted} == wanted


@pytest.mark.parametrize("lines, results, admissible", [
    ([BEGIN, CAUGHT, ENDED], RESULTS, ["WC"]), ([BEGIN, ENDED], RESULTS, []),
    ([BEGIN, KASAN, LATE, ENDED], RESULTS, ["LI"]), ([BEGIN, PANIC], "", ["LI"]),
    ([BEGIN, CAUGHT, KASAN], "", ["KA"])])
def test_another_oracle_is_a_finding(lines, results, admissible):
    run = torture_lab.judge_bust(heard(*lines), results, FINE, admissible)
    assert (run["caught"], run["finding"]) == (False, True) and run["oracle"]


GOOD = [BEGIN, RUNS, ENDED]


@pytest.mark.parametrize("lines, results, guest, enough, why", [
    (GOOD, CLEAN, FINE, 20_000, None),
    (GOOD, CLEAN, FINE, 20_001, "only 20,000 of 20,001"),
    (GOOD, CLEAN.replace("reports: 0", "reports: 1"), FINE, 0, "1 reports"),
    (GOOD, CLEAN.replace("violations: 0", "violations: 2"), FINE, 0, "2 violations"),
    (GOOD, CLEAN.replace("ok 1", "not ok 1"), FINE, 0, "not ok"),
    ([BEGIN, CAUGHT.replace("caught", "reported"), ENDED], CLEAN, FINE, 0, "LI reported"),
    (GOOD, CLEAN, {"reason": "splat", "exit": 3, "text": "splat: x",
                   "splats": [{"name": "memory leak", "line": "object"}]}, 0,
     "memory leak: object"),
    ([BEGIN, LOCKDEP, ENDED], CLEAN, FINE, 0, "lockdep: RCU"),
    ([BEGIN, RUNS], "", TIME, 0, "no results"),
    ([BEGIN, RUNS, "torture: hangs"], "", FINE | {"exit": 3}, 0, "hangs"),
    (GOOD, CLEAN, FINE | {"exit": 4}, 0, "cannot be unloaded"),
    (GOOD, CLEAN, TIME, 0, "time limit"),
    (GOOD, CLEAN.replace("rounds: 30", "found: 0"), FINE, 0, "no lookup found"),
    (GOOD, CLEAN.replace("rounds: 30", "disabled: KA"), FINE, 0, "KA is disabled"),
    ([], "", DIED, 0, "not run"),
])
def test_judgement_of_the_correct_rules(lines, results, guest, enough, why):
    run = torture_lab.judge_correct(heard(*lines, patient=True), results, guest, enough)
    assert run["clean"] == (why is None) and (why or "") in "; ".join(run["reasons"])


def test_refused_line_ends_the_run():
    console = heard(BEGIN, "[   10.000001] shadow_rmap: torture: threads=99: not a number",
                    "torture: refused: bust=SkipsSecondCheck threads=99")
    for judge in (torture_lab.judge_bust, torture_lab.judge_correct):
        with pytest.raises(Mistake, match="threads=99: not a number"):
            judge(console, "", FINE | {"exit": 2}, 0)


def test_console_limits_a_guest_whose_result_is_known():
    console = heard(BEGIN)
    assert [console(line) for line in (RUNS, CAUGHT, ENDED, None)] == [None, 10, 10, None]
    console = heard(BEGIN, patient=True)
    assert [console(line) for line in (RUNS, ENDED)] == [None, None]


def test_results_and_seeds():
    passed, said = torture_lab.parse_results(RESULTS)
    assert (passed, said["museum"], said["window_Found"], "torture" in said) == (
        True, "16, 17", "123 4", False)
    assert torture_lab.parse_results("") == (None, {})
    seeds = [torture_lab.derived(77, i) for i in range(200)]
    assert seeds[0] == 77 and len(set(seeds)) == 200


def run_of(bust, ms, caught=True, **more):
    return {"bust": bust, "rule": "R12", "museum": [16], "protocol": "rwsem", "vm": "um",
            "inspection": bust == "I", "admissible": ["LI"], "finding": False,
            "caught": caught, "how": "oracle" if caught else "missed",
            "oracle": "LI" if caught else None, "words": "words & more", "milliseconds": ms,
            "operations": 1000, "near_misses": 5, "diagnostics": {}} | more


def test_summary_of_runs():
    rows = report.summarize([run_of("A", 5), run_of("A", 100), run_of("A", 12_345)], 3)
    assert [(r["caught"], r["boots"], r["median_ms"], r["worst_ms"]) for r in rows] == [
        (3, 3, 100, 12_345)] and report.is_caught(rows[0])
    # Of several wanted boots none may miss; where one is wanted, another boot may be needed.
    assert not report.is_caught(report.summarize([run_of("A", 5), run_of("A", 1, False)], 2)[0])
    assert report.is_caught(report.summarize([run_of("A", 1, False), run_of("A", 5)], 1)[0])
    assert not report.is_caught(report.summarize([run_of("A", 1, False)], 1)[0])
    # A finding is none, whatever came after it.
    finding = run_of("A", 5, caught=False, finding=True, oracle="TS", how="oracle")
    rows = report.summarize([finding, run_of("A", 5), run_of("I", 5), run_of("B", 5)], 1)
    assert [report.is_caught(row) for row in rows] == [False, True, True]
    assert report.counts(rows) == {"harm": 1, "inspection": 1, "findings": 1}
    assert "FINDING, not LI" in "\n".join(report.table(rows))
    assert report.in_words(rows).startswith("1 bugs caught by harm alone, 1 by inspection")


def result_of(runs, planned, clean=True):
    return {"busts": report.summarize(runs, 1), "planned": planned, "seed": 1,
            "parameters": {"vm": "um"},
            "correct": [{"clean": clean, "protocol": "spin", "vm": "um", "load": "moves",
                         "operations": 5, "near_misses": 1, "seconds": 2}]}


def test_last_line_and_chart():
    result = result_of([run_of("A", 5), run_of("B", None, False), run_of("C", 70)], [3, 1])
    assert torture.last_line(result) == "torture: busted caught 2/3, correct clean 1/1"
    assert not torture.is_complete(result)
    assert torture.is_complete(result_of([run_of("A", 5)], [1, 1]))
    assert not torture.is_complete(result_of([run_of("A", 5)], [1, 1], clean=False))
    assert not torture.is_complete(result_of([run_of("A", 5)], [2, 1]))
    assert not torture.is_complete({"busts": [], "correct": [], "planned": [0, 0]})
    picture = ElementTree.fromstring(report.svg(result))
    dots = [float(e.get("cx")) for e in picture.iter() if e.tag.endswith("circle")]
    assert len(dots) == 2 and dots[0] < dots[1]
    assert "caught 0 of 1" in [e.text for e in picture.iter()]


def test_soak_continues(tmp_path):
    piece = {"vm": "um", "protocol": "spin", "clean": True, "operations": 5, "near_misses": 1,
             "seconds": 2, "cpu_seconds": 3, "load": None}
    rows = torture.totals([piece, piece | {"clean": False}, piece | {"protocol": "rwsem"}])
    assert [(r["pieces"], r["operations"], r["cpu_seconds"], r["clean"]) for r in rows] == [
        (2, 10, 6, False), (1, 5, 3, True)]
    path = tmp_path / "a/soak.json"
    write_json(path, {"key": {"um": "m1"}, "pieces": [piece]})
    assert torture.earlier_pieces(path, {"um": "m1"}) == [piece]
    assert torture.earlier_pieces(path, {"um": "m2"}) == [] and not path.exists()
    assert torture.earlier_pieces(path, {}) == [] and len(list(path.parent.iterdir())) == 1


def test_two_runs_in_one_folder(tmp_path):
    labs = [torture_lab.Lab(tmp_path, options()) for _ in range(2)]
    labs[0].claim()
    with pytest.raises(Mistake, match="in use"):
        labs[1].claim()


HIT = {"caught": True, "oracle": "LI", "milliseconds": 20, "operations": 1500, "violations": 3,
       "how": "oracle"}
MISS = HIT | {"caught": False, "how": "missed", "oracle": None, "milliseconds": None, "violations": 7}


def row(harm, *runs):
    made = experiments.Row("it is not", harm, "SkipsSecondCheck", "spin", "x86_64", "", "preempt=lazy")
    made.runs = list(runs)
    return made


def test_rows_of_an_experiment():
    assert [row(*told).is_as_expected(2) for told in (
        (True, HIT, HIT), (True, HIT, MISS), (False, MISS, MISS), (False, MISS, HIT),
        (False, MISS))] == [True, False, True, False, False]
    assert row(True, HIT, MISS).cells() == (
        "it is not", "spin, x86_64 preempt=lazy", "1/2", "LI", "20 ms", "3,000", "10")
    assert [row(False, MISS | {"how": how}).is_as_expected(1)
            for how in ("missed", "not run", "hang")] == [True, False, False]
    _, said = torture_lab.parse_results("# step: 4 thread 0 Found\n# step: 9 thread 2 Unlinked\n")
    assert [line.split() for line in experiments.interleaving({"diagnostics": said})] == [
        ["thread", "0", "thread", "2"], ["4", "Found"], ["9", "Unlinked"]]


class Judge:
    """A lab that judges a given console."""

    def __init__(self, lines, *told):
        self.wanted, self.told = {}, (heard(*lines, patient=True), *told)

    def correct(self, *_):
        return torture_lab.judge_correct(*self.told, 0) | {"replay": ""}


@pytest.mark.parametrize("lines, told, wanted", [
    (GOOD, (CLEAN, FINE), (False, "missed", True)),
    ([BEGIN, CAUGHT, ENDED], (CLEAN, FINE), (True, "LI reported", False)),
    ([BEGIN, LOCKDEP, ENDED], (CLEAN, FINE), (True, "lockdep", False)),
    ([], ("", DIED), (False, "not run", False))])
def test_correct_rules_in_an_experiment(lines, told, wanted):
    correct = experiments.Row("it is", False, "none", "spin")
    correct.run(Judge(lines, *told), {}, 1, "[1/1]")
    run = correct.runs[0]
    assert (run["caught"], run["how"].partition(":")[0], correct.is_as_expected(1)) == wanted
    assert len(correct.cells()) == 7


@pytest.mark.parametrize("words, said", [
    (["2011", "VM=x86_64"], "VM=x86_64: not"), (["2011", "KASAN=1"], "KASAN=1: not"),
    (["1999"], "1999"), ([], "required")])
def test_arguments_of_an_experiment(monkeypatch, capsys, words, said):
    monkeypatch.setattr("sys.argv", ["x", *words])
    with pytest.raises((Mistake, SystemExit)) as raised:
        experiments.main()
    assert said in str(raised.value) + capsys.readouterr().err

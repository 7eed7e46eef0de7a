#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Tests how scripts/torture.py judges, with guests of which the answer is known; KTAP.

scripts/torture.py --self-test runs it.  Nothing is booted.
"""

import io
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree

import experiments
import torture
import torture_report as report
import vm

BEGIN = "[   10.000000] torture: begins: bust=SkipsSecondCheck protocol=rwsem"
RUNS = "torture: state=running elapsed_ms=1500 operations=900 near_misses=7 reports=0"
CAUGHT = ("[   10.200000] shadow_rmap: torture: caught by LI (R13) after 123 ms, 4567 operations, "
          "near misses 89: the lock is another one")
KASAN = "[   10.250000] BUG: KASAN: slab-use-after-free in walk+0x1c/0x90"
LOCKDEP = "[   10.250000] WARNING: suspicious RCU usage"
PANIC = "[   10.300000] Kernel panic - not syncing: Segfault with no mm"
ENDED = "torture: ended"
RESULTS = """KTAP version 1
1..1
# name: SkipsSecondCheck
# museum: 16
# museum: 17
# caught: yes
# oracle: LI
# oracle_rule: R13
# words: the lock is another one
# milliseconds: 123
# operations: 4570
# rounds: 3
# near_misses: 90
# reports: 1
# violations: 1
# window_Found: 123 4
# torture: End of test: CAUGHT bust=SkipsSecondCheck
ok 1 SkipsSecondCheck
"""
MISSED = RESULTS.replace("caught: yes", "caught: no").replace("ok 1", "not ok 1")
CLEAN = """KTAP version 1
1..1
# name: none
# caught: no
# oracle: -
# words: -
# milliseconds: 10000
# operations: 20000
# rounds: 30
# near_misses: 500
# reports: 0
# violations: 0
ok 1 none
"""
FINE = {"reason": "exit", "exit": 0, "text": "exit status 0", "splats": []}
TIME = {"reason": "time-limit", "exit": 124, "text": "the time limit of 5 s was reached"}
DIED = {"reason": "died", "exit": 125, "text": "the guest went away without delivering a status"}


class Cases:
    """What was tried."""

    def __init__(self):
        self.cases = []

    def equal(self, name, got, wanted):
        self.cases.append((name, got == wanted, f"{got!r}, not {wanted!r}"))

    def raises(self, name, words, function, *args):
        try:
            got = function(*args)
        except torture.Mistake as mistake:
            got = str(mistake)
            if words in got and "\n" not in got:
                got = words
        self.equal(name, got, words)

    def show(self):
        print(f"KTAP version 1\n1..{len(self.cases)}")
        for number, (name, good, why) in enumerate(self.cases, 1):
            if not good:
                print(f"# {name}: {why.replace('#', '')}")
            print(f"{'ok' if good else 'not ok'} {number} {name}")
        return 0 if all(good for _, good, _ in self.cases) else 1


def console(*lines, merciful=False):
    heard = torture.Console("um", merciful=merciful)
    for line in lines:
        heard(line)
    return heard


def parameters(cases):
    parse = torture.parameters
    got = parse(["BUST=R12", "SECS=5", "SEED=0", "VM=x86_64-kasan", "MODE=pct", "DEPTH=2"])
    cases.equal("parameters: are parsed", [got[name] for name in (
        "BUST", "SECS", "SEED", "VM", "DEPTH", "REPEAT", "PROTOCOL")],
                ["R12", 5, 0, "x86_64-kasan", 2, 1, None])
    cases.equal("parameters: an empty one is none", parse(["SECS=", "BUST="]), parse([]))
    for word, words in (("SECS=0", "from 1"), ("SECS=x", "whole number"), ("SEED=-1", "SEED=-1"),
                        ("PROTOCOL=mutex", "rwsem, spin"), ("VM=arm", "um, um-bench"),
                        ("COLOR=red", "NAME=VALUE"), ("R12", "NAME=VALUE"), ("HOURS=0", "hours"),
                        ("DEPTH=3", "MODE=pct")):
        cases.raises(f"parameters: {word} is refused", words, parse, [word])
    cases.raises("options: one that is none is refused", "--color", torture.parse, ["--color"])
    lab = torture.Lab(torture.parse([]), parse(["LOAD=moves", "STAY=4", "FAIL=0", "SEED=1"]))
    cases.equal("parameters: the module is told those that are its own",
                lab.line("none", "spin", 5, 1),
                "bust=none protocol=spin secs=5 seed=1 load=moves stay=4 fail=0")
    cases.equal("parameters: a replay has them all", lab.replay("none", "spin", "um", 5, 1),
                "make torture BUST=none PROTOCOL=spin VM=um SECS=5 SEED=1 LOAD=moves STAY=4 FAIL=0")


CONTROL = """usage: bust=none|R12|museum:16|NAME [secs=10]
secs and ops: whichever is first
loads: all walkers moves
bust none - protocols=rwsem,spin,preemptible
bust SkipsSecondCheck R12 museum:16 protocols=rwsem,spin
bust AsksRefcount R12 museum:17 museum:18 protocols=spin
bust LeavesRcuEarly R9 museum:4 protocols=preemptible harmless=spin
bust PublishesFirst R30 museum:36 protocols= not-shown: x86 keeps stores in order
"""


def control(cases):
    busts, loads = torture.parse_control(CONTROL)
    cases.equal("control: loads", loads, ["all", "walkers", "moves"])
    names = [bust.name for bust in busts]
    cases.equal("control: names", names,
                ["none", "SkipsSecondCheck", "AsksRefcount", "LeavesRcuEarly", "PublishesFirst"])
    cases.equal("control: the museum", [bust.museum for bust in busts],
                [[], [16], [17, 18], [4], [36]])
    cases.equal("control: protocols", [bust.protocols for bust in busts][:2],
                [["rwsem", "spin", "preemptible"], ["rwsem", "spin"]])
    cases.equal("control: what cannot be shown", busts[4].not_shown, "x86 keeps stores in order")
    cases.equal("control: a line is shown as it was read", [f"bust {bust}" for bust in busts],
                [line for line in CONTROL.splitlines() if line.startswith("bust ")])
    cases.raises("control: nothing listed", "no bug", torture.parse_control, "usage: bust=R12\n")

    def pick(*words):
        return [[bust.name for bust in found] if kind == 0 else [bust.name for bust, _ in found]
                for kind, found in enumerate(torture.pick(busts, torture.parameters(words)))]

    for words, found in ((["BUST=all"], [names[1:4], [names[4]]]), (["BUST=none"], [[], []]),
                         (["BUST=R12"], [names[1:3], []]), (["BUST=museum:18"], [[names[2]], []]),
                         (["BUST=SkipsSecondCheck"], [[names[1]], []]),
                         (["PROTOCOL=spin"], [names[1:3], names[3:]]),
                         (["PROTOCOL=rwsem"], [names[1:2], names[2:]])):
        cases.equal(f"choice: {' '.join(words)}", pick(*words), found)
    for wanted in ("R1", "museum:1", "Skips", "museum:"):
        cases.raises(f"choice: {wanted} is none", "no such bug", pick, f"BUST={wanted}")
    for words, why in ((["BUST=museum:36"], "x86 keeps stores in order"),
                       (["BUST=R9", "PROTOCOL=spin"], "no harm is done under spin"),
                       (["BUST=AsksRefcount", "PROTOCOL=rwsem"], "not offered under rwsem")):
        cases.raises(f"choice: {' '.join(words)} says why not", why, pick, *words)

    def plan(short, *words):
        return torture.correct_plan(busts, loads, torture.parameters(words), short)

    def where(rows):
        return {(row[0], row[4]) for row in rows}

    rows = plan(False)
    cases.equal("plan: both machines, all loads, all protocols", (len(rows), where(rows)),
                (12, {("um-bench", None), ("x86_64-kasan", None), ("um", "walkers"),
                      ("um", "moves")}))
    cases.equal("plan: the short form", [(row[1], row[4]) for row in plan(True)],
                [("rwsem", None), ("spin", None), ("preemptible", None),
                 ("rwsem", "walkers"), ("spin", "moves")])
    cases.equal("plan: for so many seconds", plan(False, "BUST=none", "SECS=7", "PROTOCOL=spin"),
                [("um", "spin", 7, 0, None)])
    cases.equal("plan: one load", where(plan(False, "LOAD=moves")),
                {("um-bench", "moves"), ("x86_64-kasan", "moves")})
    for words, target in (([], "um-bench"), (["VM=um"], "um"), (["VM=x86_64"], "x86_64")):
        cases.equal(f"plan: the correct rules alone {' '.join(words)}",
                    where(plan(False, "BUST=none", *words)),
                    {(target, None), (words[0][3:] if words else "um", "walkers"),
                     (words[0][3:] if words else "um", "moves")})


def busts(cases):
    def judged(name, lines, results="", guest=FINE, **wanted):
        run = torture.judge_bust(console(*lines), results, guest)
        cases.equal(f"bust: {name}", {key: run[key] for key in wanted}, wanted)

    judged("the oracle", [BEGIN, RUNS, CAUGHT, ENDED], RESULTS, caught=True, how="oracle",
           oracle="LI", oracle_rule="R13", milliseconds=123, operations=4567, near_misses=89,
           words="the lock is another one")
    judged("the oracle, by the results alone", [BEGIN, ENDED], RESULTS, caught=True, how="oracle",
           oracle="LI", milliseconds=123, operations=4570)
    judged("the oracle, by the console alone", [BEGIN, CAUGHT.replace("R13", "-")], "", DIED,
           caught=True, how="oracle", oracle_rule=None)
    judged("the oracle, and then the kernel dies", [BEGIN, RUNS, CAUGHT, PANIC], "", DIED,
           caught=True, how="oracle", oracle="LI", milliseconds=123)
    judged("the oracle, and then it hangs", [BEGIN, RUNS, CAUGHT], "", TIME, caught=True,
           how="oracle", oracle="LI")
    judged("KASAN first", [BEGIN, RUNS, KASAN, CAUGHT.replace("10.2", "10.4"), ENDED], RESULTS,
           caught=True, how="kernel complained: KASAN", oracle="KA", milliseconds=250)
    judged("KASAN, which the module has heard of",
           [BEGIN, KASAN, CAUGHT.replace("LI (R13)", "LD (-)"), ENDED], RESULTS, oracle="KA",
           how="kernel complained: KASAN", milliseconds=250, oracle_rule=None)
    judged("lockdep, and the module has heard of it and names the rule",
           [BEGIN, LOCKDEP, CAUGHT.replace("LI (R13)", "LD (R11)"), ENDED], RESULTS, oracle="LD",
           how="kernel complained: lockdep: RCU", oracle_rule="R11")
    judged("lockdep", [BEGIN, RUNS, LOCKDEP, ENDED], MISSED, caught=True, oracle="LD",
           how="kernel complained: lockdep: RCU", operations=4570)
    judged("the kernel dies", [BEGIN, RUNS, PANIC], "", DIED, caught=True, oracle="KA",
           how="kernel died: panic", milliseconds=300, operations=900, near_misses=7)
    judged("the guest dies without a word", [BEGIN, RUNS], "", DIED, caught=False, oracle=None,
           how="kernel died: silently")
    judged("the guest hangs", [BEGIN, RUNS], "", TIME, caught=False, how="hang")
    judged("the torture hangs", [BEGIN, RUNS, "torture: hangs"], "", FINE | {"exit": 3},
           caught=False, how="hang")
    judged("missed", [BEGIN, RUNS, ENDED], MISSED, caught=False, how="missed", oracle=None)
    judged("missed, by the console alone",
           [BEGIN, *(f"[   40.000000] shadow_rmap: {line}" for line in MISSED.splitlines()), ENDED],
           "", caught=False, how="missed", rounds=3)
    judged("a guest that does not boot proves nothing", [], "", TIME, caught=False, how="not run")
    judged("a guest that dies as it boots proves nothing", [PANIC], "", DIED, caught=False,
           how="not run")
    refused = console(BEGIN, "[   10.000001] shadow_rmap: torture: threads=99: not a number",
                      "torture: refused: bust=SkipsSecondCheck threads=99")
    for judge in (torture.judge_bust, torture.judge_correct):
        more = [0] if judge is torture.judge_correct else []
        cases.raises(f"{judge.__name__}: what is refused is told, and why",
                     "threads=99: not a number", judge, refused, "", FINE | {"exit": 2}, *more)
    judged("a bug that can be unloaded", [BEGIN, "torture: wrong: the module can be unloaded"], "",
           FINE | {"exit": 2}, caught=False, how="not run", words="wrong: the module can be unloaded")
    judged("a program's words are no complaint",
           [BEGIN, "BUG: KASAN: not the kernel's", "shadow_rmap: torture: caught by LI", ENDED],
           MISSED, caught=False, how="missed")


def correct(cases):
    def judged(name, lines, results, guest=FINE, enough=0, why=""):
        run = torture.judge_correct(console(*lines, merciful=True), results, guest, enough)
        said = "; ".join(run["reasons"])
        cases.equal(f"correct: {name}", (run["clean"], bool(why) and why in said),
                    (not why, bool(why)))

    good = [BEGIN, RUNS, ENDED]
    judged("clean", good, CLEAN, enough=20_000)
    judged("too few operations", good, CLEAN, enough=20_001, why="only 20,000 of 20,001")
    judged("a report", good, CLEAN.replace("reports: 0", "reports: 1"), why="1 reports")
    judged("a violation", good, CLEAN.replace("violations: 0", "violations: 2"), why="2 violations")
    judged("not ok", good, CLEAN.replace("ok 1", "not ok 1"), why="not ok")
    judged("a report that was heard", [BEGIN, CAUGHT.replace("caught", "reported"), ENDED], CLEAN,
           why="LI reported")
    judged("a complaint", good, CLEAN, {"reason": "splat", "exit": 3, "text": "splat: x",
                                        "splats": [{"name": "memory leak", "line": "object"}]},
           why="memory leak: object")
    judged("a complaint on the console", [BEGIN, LOCKDEP, ENDED], CLEAN, why="lockdep: RCU")
    judged("no results", [BEGIN, RUNS], "", TIME, why="no results")
    judged("a hang", [BEGIN, RUNS, "torture: hangs"], "", FINE | {"exit": 3}, why="hangs")
    judged("a module that stays", good, CLEAN, FINE | {"exit": 4}, why="cannot be unloaded")
    judged("a guest that ends badly", good, CLEAN, TIME, why="time limit")
    judged("nothing was tried", good, CLEAN.replace("rounds: 30", "found: 0"),
           why="nothing was there")
    judged("a kernel that had complained before", good, CLEAN.replace("rounds: 30", "deaf: KA"),
           why="KA is deaf")
    judged("no boot", [], "", DIED, why="not run")


def run_of(bust, ms, caught=True, **more):
    return {"bust": bust, "rule": "R12", "museum": [16], "protocol": "rwsem", "vm": "um",
            "caught": caught, "how": "oracle" if caught else "missed",
            "oracle": "LI" if caught else None, "words": "words & more", "milliseconds": ms,
            "operations": 1000, "near_misses": 5} | more


def reports(cases):
    runs = [run_of("A", 5), run_of("A", 100), run_of("A", 12_345), run_of("B", None, caught=False),
            run_of("C", 7), run_of("C", 9, how="kernel died: panic", oracle="KA"),
            run_of("C", 1, caught=False)]
    rows = report.summarize(runs, 1)
    for row in rows:
        row["wanted"] = row["runs"]
    cases.equal("report: medians, worst",
                [(row["bust"], row["caught"], row["runs"], row["median_ms"], row["worst_ms"])
                 for row in rows],
                [("A", 3, 3, 100, 12_345), ("B", 0, 1, None, None), ("C", 2, 3, 8, 9)])
    cases.equal("report: a bug counts when no run misses it", [report.is_caught(r) for r in rows],
                [True, False, False])
    lines = list(report.table(rows))
    cases.equal("report: a table of several runs", [" ".join(line.split()) for line in lines], [
        "deliberate bug rule museum protocol caught by runs median ms worst ms operations near "
        "misses",
        "A R12 16 rwsem LI 3/3 100 12,345 1,000 5",
        "B R12 16 rwsem missed 0/1 - - - -",
        "C R12 16 rwsem LI KA (kernel died: panic) 2/3 8 9 1,000 5"])
    lines = list(report.table(report.summarize(runs[:1], 1)))
    cases.equal("report: a table of single runs", " ".join(lines[1].split()),
                "A R12 16 rwsem LI 5 1,000 5")
    result = {"seed": 1, "parameters": {"vm": "um"}, "busts": rows, "runs": runs,
              "planned": [3, 1],
              "correct": [{"clean": True, "protocol": "spin", "vm": "um", "load": "moves",
                           "reasons": []}],
              "not_shown": [{"bust": "D", "rule": "R30", "reason": "in order"}]}
    picture = ElementTree.fromstring("\n".join(report.svg(result)))
    circles = [float(e.get("cx")) for e in picture.iter() if e.tag.endswith("circle")]
    words = [e.text for e in picture.iter() if e.tag.endswith("text")]
    cases.equal("report: the picture has a dot for each bug that was caught, the worst rightmost",
                (len(circles), circles[0] > circles[1]), (2, True))
    cases.equal("report: and says what was missed", "caught 0 of 1" in words, True)
    document = list(torture.ktap(result))
    cases.equal("report: KTAP", [line for line in document if not line.startswith("#")], [
        "KTAP version 1", "1..5", "ok 1 A is caught (R12, rwsem, um)",
        "not ok 2 B is caught (R12, rwsem, um)", "not ok 3 C is caught (R12, rwsem, um)",
        "ok 4 correct rules are clean (spin, um, moves)", "ok 5 D # SKIP not shown here: in order"])
    cases.equal("report: the last line", torture.last_line(result),
                "torture: busted caught 1/3, correct clean 1/1")
    cases.equal("report: incomplete", torture.is_complete(result), False)
    good = result | {"busts": rows[:1]}
    cases.equal("report: complete", torture.is_complete(good | {"planned": [1, 1]}), True)
    cases.equal("report: stopped before the last", (
        torture.is_complete(good), torture.last_line(good), list(torture.ktap(good))[1]),
        (False, "torture: busted caught 1/3, correct clean 1/1", "1..5"))
    cases.equal("report: stopped before the last boot of a bug",
                report.is_caught(report.summarize(runs[:2], 3)[0]), False)
    partly = result | {"busts": report.summarize(runs[:2], 3), "runs": runs[:2]}
    cases.equal("report: and all say so", (
        "caught 2 of 3" in "".join(report.svg(partly)), " 2/3 " in list(report.table(
            partly["busts"]))[1], "# only 2 of 3 boots; " in list(torture.ktap(partly))),
        (True, True, True))
    cases.equal("report: nothing was run", torture.is_complete(
        {"busts": [], "correct": [], "planned": [0, 0]}), False)
    piece = {"vm": "um", "protocol": "spin", "clean": True, "operations": 5, "near_misses": 1,
             "seconds": 2, "cpu_seconds": 3, "module": "m1", "asked": {"LOAD": None}}
    cases.equal("soak: turns", [(len(turns), turns[-1]) for turns in map(torture.turns, (
        None, "um-bench", "x86_64"))],
        [(4, ("x86_64-kasan", "rwsem")), (2, ("um-bench", "rwsem")),
         (3, ("x86_64", "preemptible"))])
    done = [piece | {"vm": vm, "protocol": protocol} for vm, protocol in torture.TURNS]
    cases.equal("soak: whose turn it is", [torture.next_turn(pieces, torture.TURNS) for pieces in (
        [], done[:2], done[2:], done, done + done[:1])], [torture.TURNS[i] for i in (0, 2, 0, 0, 1)])
    others = [piece | other for other in ({"module": "m2"}, {"vm": "x86_64"},
                                          {"asked": {"LOAD": "all"}})]
    cases.equal("soak: what was done by another module, machine or load does not count",
                torture.counted([piece, *others], {"um": "m1", "x86_64": "m3"}, {"LOAD": None}),
                [piece])
    rows = torture.totals([piece, piece | {"clean": False}, piece | {"protocol": "rwsem"}])
    cases.equal("soak: totals", [(r["pieces"], r["operations"], r["cpu_seconds"], r["clean"])
                                 for r in rows], [(2, 10, 6, False), (1, 5, 3, True)])


def machinery(cases):
    seeds = [torture.derived(77, i) for i in range(200)]
    cases.equal("seeds: the first is what was asked for, all differ",
                (seeds[0], len(set(seeds)), seeds == [torture.derived(77, i) for i in range(200)]),
                (77, 200, True))
    passed, said = torture.parse_results(RESULTS)
    cases.equal("results: parsed",
                (passed, said["museum"], said["window_Found"], "torture" in said),
                (True, "16, 17", "123 4", False))
    cases.equal("results: none", torture.parse_results(""), (None, {}))
    heard = console(BEGIN)
    cases.equal("console: what ends a run is limited in time",
                [heard(line) for line in (RUNS, CAUGHT, ENDED, None)], [None, 10, 10, None])
    heard = console(BEGIN, merciful=True)
    cases.equal("console: the correct rules have time to be looked at",
                [heard(line) for line in (RUNS, ENDED)], [None, None])

    # A guest that says that it has ended, and stays.
    begin = time.monotonic()
    process = subprocess.Popen(["sh", "-c", f"echo '{BEGIN}'; echo '{CAUGHT}'; exec sleep 60"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               start_new_session=True)
    heard = torture.Console("um")
    heard.grace = 1
    args = vm.parse(["--target", "um", "--quiet", "--time-limit", "30", "--", "true"])
    try:
        timed_out = vm.watch(process, args, vm.Splats([], []), io.StringIO(), heard)
    finally:
        vm.stop(process, group=True)
    cases.equal("guest: one that stays is stopped, and that is no time-out",
                (timed_out, time.monotonic() - begin < 20, heard.caught["oracle"]),
                (False, True, "LI"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a/b.json"
        torture.write_json(path, {"n": 1})
        cases.equal("state: written and read", (torture.read_json(path), len(list(
            path.parent.iterdir()))), ({"n": 1}, 1))
        path.write_text('{"n": ')
        cases.equal("state: one that is broken", torture.read_json(path), {})
        for text in ('{"n": ', "[1]", '{"pieces": 1}', '{"pieces": [1]}',
                     '{"pieces": [{"vm": "um"}]}'):
            path.write_text(text)
            cases.raises(f"soak: {text} is not what it leaves", "move it away", torture.left_before,
                         path)
        cases.equal("soak: the first", torture.left_before(path.with_name("none")), [])
        labs = [torture.Lab(torture.parse(["--out", folder]), torture.parameters([]))
                for _ in range(2)]
        labs[0].claim()
        cases.raises("lab: a second run is refused", "in use", labs[1].claim)


def questions(cases):
    """What the tables of scripts/experiments.py say of runs that are known."""
    caught = {"caught": True, "oracle": "LI", "milliseconds": 20, "operations": 1500,
              "violations": 3}
    missed = caught | {"caught": False, "oracle": None, "milliseconds": None, "violations": 7}

    def row(harm, *runs):
        made = experiments.Row("it is not", harm, "SkipsSecondCheck", "spin", "x86_64", "",
                               "preempt=lazy")
        made.runs = list(runs)
        return made

    cases.equal("experiment: harm is expected of each boot or of none",
                [row(*told).is_as_expected(2) for told in (
                    (True, caught, caught), (True, caught, missed), (False, missed, missed),
                    (False, missed, caught), (False, missed))],
                [True, False, True, False, False])
    cases.equal("experiment: a row", row(True, caught, missed).cells(),
                ("it is not", "spin, x86_64 preempt=lazy", "1/2", "LI", "20 ms", "3,000", "10"))
    _, said = torture.parse_results(
        "# step: 4 thread 0 Found\n# step: 9 thread 2 Unlinked\n# step: 12 thread 0 Locked\n")
    cases.equal("experiment: an interleaving",
                [line.split() for line in experiments.interleaving({"diagnostics": said})],
                [["thread", "0", "thread", "2"], ["4", "Found"], ["9", "Unlinked"],
                 ["12", "Locked"]])
    columns = [line.index(line.split()[-1]) for line in
               list(experiments.interleaving({"diagnostics": said}))[1:]]
    cases.equal("experiment: a column for each thread",
                (columns[0] == columns[2], columns[0] < columns[1]), (True, True))
    cases.equal("experiment: a boot that has not run shows nothing",
                [row(False, missed | {"how": how}).is_as_expected(1)
                 for how in ("missed", "not run", "hang")], [True, False, False])
    fine = (CLEAN, FINE)
    for name, heard, told, wanted in (
            ("nobody says a word", [BEGIN, RUNS, ENDED], fine, (False, "missed", True)),
            ("an oracle speaks up", [BEGIN, CAUGHT, ENDED], fine, (True, "oracle", False)),
            ("the kernel complains", [BEGIN, LOCKDEP, ENDED], fine, (True, "oracle", False)),
            ("it does not boot", [], ("", DIED), (False, "not run", False))):
        heard = console(*heard, merciful=True)
        run = experiments.as_of_a_bug(heard, torture.judge_correct(heard, *told, 0))
        cases.equal(f"experiment: correct rules, {name}", (
            run["caught"], run["how"].partition(":")[0], row(False, run).is_as_expected(1)), wanted)
        cases.equal(f"experiment: correct rules, {name}, in a table",
                    len(row(False, run).cells()), 7)
    cases.equal("experiment: what was not tried is not as expected", row(False).is_as_expected(1),
                False)
    cases.raises("experiment: what would be ignored is refused", "VM= has no meaning here",
                 experiments.parse, ["2011", "VM=x86_64"])
    cases.equal("experiment: one more witness", experiments.parse(["2004", "KASAN=1"])[1]["KASAN"],
                "1")
    cases.raises("experiment: a witness that is not asked is refused", "KASAN= has no meaning",
                 experiments.parse, ["2011", "KASAN=1"])
    cases.raises("experiment: one that is none is refused", "which experiment? 2004, 2007",
                 experiments.parse, ["1999"])


def main():
    cases = Cases()
    for part in (parameters, control, busts, correct, reports, machinery, questions):
        part(cases)
    return cases.show()


if __name__ == "__main__":
    sys.exit(main())

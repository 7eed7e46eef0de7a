#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Runs each deliberate bug in a boot of its own and reports which oracle catches it and when; then
runs the correct rules under the same loads, where no oracle may report anything.

  scripts/torture.py [NAME=VALUE...]          as make torture
  scripts/torture.py --soak [HOURS=N]         as make soak

  BUST=all         all bugs, and the correct rules; or none (the correct rules alone), list, or some
                   bugs by rule (R12), museum number (museum:16) or type (SkipsSecondCheck); several
                   with commas (R1,R10)
  SECS=            how long each boot runs at most. By default the operations are limited: 200,000
                   on um, 30,000 on x86_64; with BUST=none see below
  SEED=            random seed of the first boot (default: random, printed); later boots derive
                   theirs from it
  THREADS=         worker threads (default: the module's)
  VM=um            or x86_64, x86_64-kasan, x86_64-kasan-recycle. Most operations of the correct
                   rules run on um-bench, which is um without lockdep, and, with BUST=all, on
                   x86_64-kasan; VM= with BUST=none selects one machine
  PROTOCOL=        rwsem, spin or preemptible (default: the one of the bug; the correct rules run
                   under each)
  MODE=random      or pct, with DEPTH=
  LOAD=            a load of torture/control instead of the bug's own
  STAY=128         one of so many passages of a window takes longer
  FAIL=64          one of so many allocations fails; 0 for none
  REPEAT=          each bug must be caught in so many boots; none may miss it
  HOURS=1          how long make soak runs, all its runs with this module taken together

A bug needs luck: two threads must meet. Without SECS= and REPEAT= a boot that misses the bug is
followed by another one with a new seed, five at most: 1,000,000 operations on um. Measured with the
guest and a busy loop on one core, ten boots each, the rarest bug, ReusesBusy, took 35,000 operations
on average (below 85,000 at a confidence of 99 %), the next one 9,400. As each operation is as likely
to meet, all five boots miss with a probability below exp(-1,000,000 / 85,000) = 0.00001.

A catch by an oracle that the bug does not list is a finding: it is shown, counted apart, and makes
the run fail. Bugs marked `inspection` are seen by a check beside the faulty step, before any harm.
Under the load of some bugs the correct rules do as many operations as the slowest catch took.

Leaves out/torture.json, out/torture.svg, and consoles in out/torture/. make soak leaves
out/soak.json and continues where it stopped, if module and parameters are the same. The last line is

  torture: busted caught X/Y, correct clean X/Y

and the exit status is 0 when both are complete.
"""

import hashlib
import re
import resource
import shutil
import sys
from pathlib import Path

import torture_report as report
from common import OUT, Mistake, command_line, machine, program, read_json, say, write_json
from torture_lab import PARAMETERS, PASSED_ON, PROTOCOLS, Lab, parameters

USED = [name for name in PARAMETERS if name not in ("HOURS", "KASAN")]
# Operations of a boot that looks for a bug, and boots that may be needed, see above. No guest runs
# longer than so many seconds, as slow as it may be.
OPERATIONS = {"um": 200_000, "x86_64": 30_000}
TRIES = 5
LONGEST = {"um": 600, "x86_64": 3600}
# Operations that the correct rules must survive under each protocol. User-Mode Linux does some
# 100,000 a second, 15,000 with lockdep, and x86_64 with KASAN 4,000.
ENOUGH = {"um-bench": 10_000_000, "um": 2_000_000, "x86_64": 350_000}
# The same in the short form, which is a part of make test, and the least under the load of some
# bugs.
SHORT_ENOUGH, LEAST_CONTROL = 60_000, 10_000
# A piece of a soak, in seconds: x86_64 does 30 times fewer operations a second.
PIECE = {"um": 120, "x86_64": 480}


def choose(busts, wanted):
    """Returns the bugs that BUST= names."""
    if wanted == "all":
        return [bust for bust in busts if bust.name != "none"]
    if wanted == "none":
        return []
    found = []
    for word in wanted.split(","):
        number = re.fullmatch(r"museum:(\d+)", word)
        named = [bust for bust in busts if word in (bust.name, bust.rule)
                 or number and int(number[1]) in bust.museum]
        if not named:
            raise Mistake(f"BUST={word}: no such bug; BUST=list shows them")
        found += [bust for bust in named if bust not in found]
    return found


def pick(busts, wanted):
    """Returns the bugs to run, by BUST= and PROTOCOL=, and those that are left out, with reasons."""
    protocol, chosen, left_out = wanted["PROTOCOL"], [], []
    for bust in choose(busts, wanted["BUST"]):
        if bust.not_shown:
            left_out.append((bust, bust.not_shown))
        elif protocol in bust.harmless:
            left_out.append((bust, f"harmless under {protocol}, see Documentation/torture.rst"))
        elif protocol and protocol not in bust.protocols:
            left_out.append((bust, f"not offered under {protocol}"))
        else:
            chosen.append(bust)
    if left_out and not chosen:
        raise Mistake("; ".join(f"{bust.name}: {why}" for bust, why in left_out))
    return chosen, left_out


def correct_plan(busts, loads, wanted, short):
    """Returns (target, protocol, seconds, operations, load) of each run of the correct rules. The
    operations are None where they are those of the slowest catch."""
    listed = next(bust.protocols for bust in busts if bust.name == "none")
    protocols = [wanted["PROTOCOL"]] if wanted["PROTOCOL"] else listed
    target, every, load = wanted["VM"], wanted["BUST"] == "all", wanted["LOAD"]
    if not every and wanted["SECS"]:
        return [(target or "um", protocol, wanted["SECS"], 0, load) for protocol in protocols]
    # A false alarm is most likely under a load that is made for a bug.
    others = [other for other in loads if other != "all"] if not load else []
    if short:
        return ([("um", protocol, LONGEST["um"], SHORT_ENOUGH, load) for protocol in protocols]
                + [("um", protocols[i % len(protocols)], LONGEST["um"], None, other)
                   for i, other in enumerate(others)])
    # um-bench is many times faster, because it has no lockdep; the other kernels check more.
    targets = [target or "um-bench"]
    if every and target in (None, "um"):
        targets = ["um-bench", "x86_64-kasan"]
    plan = [(where, protocol, LONGEST[machine(where)],
             ENOUGH.get(where) or ENOUGH[machine(where)], load)
            for where in targets for protocol in protocols]
    rest = target or "um"
    return plan + [(rest, protocol, LONGEST[machine(rest)], None, other)
                   for other in others for protocol in protocols]


def slowest_catch(runs, load, target):
    """Returns the operations that the slowest catch under a load took. Without any catch: as many
    as a boot may take. A guest that died early may not have said its load; its catch counts."""
    if not runs:
        return OPERATIONS[machine(target)]
    return max([LEAST_CONTROL, *(run["operations"] for run in runs if run["caught"]
                                 and run["diagnostics"].get("load", load) == load)])


def last_line(result):
    good = sum(map(report.is_caught, result["busts"]))
    clean = sum(run["clean"] for run in result["correct"])
    busts, correct = result["planned"]
    return f"torture: busted caught {good}/{busts}, correct clean {clean}/{correct}"


def is_complete(result):
    """Returns whether all that was planned was done and passed."""
    rows = [*map(report.is_caught, result["busts"]), *(run["clean"] for run in result["correct"])]
    return bool(rows) and all(rows) and len(rows) == sum(result["planned"])


def torture(args, wanted):
    target = wanted["VM"] or "um"
    lab = Lab(args.out, wanted)
    lab.claim()
    busts, loads = lab.offered(target)
    wanted["BUST"] = wanted["BUST"] or "all"
    if wanted["BUST"] == "list":
        say("\n".join(bust.line for bust in busts))
        return 0
    if wanted["LOAD"] not in (None, *loads):
        raise Mistake(f"LOAD={wanted['LOAD']}: not one of {', '.join(loads)}")
    chosen, left_out = pick(busts, wanted)
    for bust, why in left_out:
        say(f"not shown: {bust.name}: {why}")
    secs = wanted["SECS"] or LONGEST[machine(target)]
    operations = 0 if wanted["SECS"] else OPERATIONS[machine(target)]
    plan = []
    if wanted["BUST"] in ("all", "none"):
        plan = correct_plan(busts, loads, wanted, args.short)
    repeat, tries = wanted["REPEAT"] or 1, 1 if wanted["REPEAT"] or wanted["SECS"] else TRIES
    total = len(chosen) * repeat + len(plan)
    say(f"torture: {len(chosen)} deliberate bugs on {target}, {len(plan)} runs of the correct "
        f"rules; seed {lab.seed}")
    asked = {name.lower(): wanted[name] for name in USED if name != "SEED"}
    result = {"version": 2, "seed": lab.seed, "planned": [len(chosen), len(plan)],
              "parameters": asked | {"vm": target, "repeat": repeat, "tries": tries,
                                     "operations": operations},
              "runs": [], "busts": [], "correct": [],
              "not_shown": [{"bust": bust.name, "rule": bust.rule, "museum": bust.museum,
                             "reason": why} for bust, why in left_out]}
    for old in args.out.iterdir():
        if re.match(r"\d{3,}-", old.name):
            shutil.rmtree(old)
    done = 0
    try:
        for bust in chosen:
            for _ in range(repeat):
                for _ in range(tries):
                    run = lab.bust(bust, wanted["PROTOCOL"] or bust.protocols[0], target, secs,
                                   operations, f"[{done + 1}/{total}]")
                    result["runs"].append(run)
                    if run["oracle"]:
                        break
                done += 1
        for where, protocol, seconds, enough, load in plan:
            if enough is None:
                enough = slowest_catch(result["runs"], load, where)
            result["correct"].append(lab.correct(where, protocol, seconds, enough, load,
                                                 f"[{done + 1}/{total}]"))
            done += 1
    finally:
        if done:
            save(args.out, result | {"restarts": lab.restarts}, repeat)
        if 0 < done < total:
            say(f"torture: stopped after {done} of {total}; {args.out}.json has these")
    show(result, lab.restarts)
    return 0 if is_complete(result) else 1


def save(out, result, repeat):
    result["busts"][:] = report.summarize(result["runs"], repeat)
    result |= {"summary": last_line(result), "caught_by": report.counts(result["busts"])}
    write_json(out.with_suffix(".json"), result)
    picture = out.with_suffix(".svg")
    picture.unlink(missing_ok=True)
    if result["busts"]:
        picture.write_text(report.svg(result), encoding="utf-8")


def show(result, restarts):
    if result["busts"]:
        say("\n" + "\n".join(report.table(result["busts"])))
    if result["correct"]:
        say("\n" + "\n".join(report.correct_table(result["correct"])))
    for bust in result["not_shown"]:
        say(f"not shown: {bust['bust']} ({bust['rule']}): {bust['reason']}")
    if restarts:
        say(f"guests started again because they did not boot: {restarts}")
    if result["busts"]:
        say("\n" + report.in_words(result["busts"]))
    say(f"torture: End of test: {'SUCCESS' if is_complete(result) else 'FAILURE'} "
        + echo({"seed": result["seed"]} | result["parameters"]))
    say(last_line(result))


def echo(asked):
    return " ".join(f"{name}={'-' if value is None else value}" for name, value in asked.items())


# A soak runs these in turns.
TURNS = (("um-bench", "spin"), ("um-bench", "rwsem"),
         ("x86_64-kasan", "spin"), ("x86_64-kasan", "rwsem"))


def earlier_pieces(path, key):
    """Returns the pieces of an earlier soak with the same modules and parameters. Other pieces are
    moved away."""
    state = read_json(path)
    if state.get("key") == key:
        return state["pieces"]
    if path.exists():
        say(f"soak: {path.name} is of other modules or parameters, moved to {path.name}.old")
        path.replace(path.with_name(f"{path.name}.old"))
    return []


def totals(pieces):
    rows = []
    for target, protocol in dict.fromkeys((p["vm"], p["protocol"]) for p in pieces):
        own = [p for p in pieces if (p["vm"], p["protocol"]) == (target, protocol)]
        rows.append({"vm": target, "protocol": protocol, "load": own[0]["load"],
                     "pieces": len(own), "clean": all(p["clean"] for p in own)}
                    | {name: sum(p[name] for p in own)
                       for name in ("operations", "near_misses", "seconds", "cpu_seconds")})
    return rows


def cpu_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return round(used.ru_utime + used.ru_stime)


def soak(args, wanted):
    lab = Lab(args.out, wanted)
    lab.claim()
    turns = [turn for turn in TURNS if wanted["VM"] in (None, turn[0])] or [
        (wanted["VM"], protocol) for protocol in PROTOCOLS]
    asked = {name.lower(): wanted[name] for name in ("VM", *PASSED_ON)}
    for target, _ in turns:
        lab.prepare(target)
    key = asked | {target: hashlib.sha256(Path(path).read_bytes()).hexdigest()[:12]
                   for target, path in lab.modules.items()}
    state = args.out.with_suffix(".json")
    pieces, goal = earlier_pieces(state, key), float(wanted["HOURS"] or 1) * 3600
    # With the same SEED= later pieces have other seeds than the first.
    lab.boots, ends = len(pieces), "SUCCESS"
    try:
        while (done := sum(p["seconds"] for p in pieces)) < goal or len(pieces) < len(turns):
            target, protocol = turns[len(pieces) % len(turns)]
            before = cpu_seconds()
            run = lab.correct(target, protocol,
                              int(max(10, min(PIECE[machine(target)], goal - done))), 0,
                              wanted["LOAD"], f"[{done / 3600:.2f}/{goal / 3600:g} h]")
            if run["reasons"] and run["reasons"][0].startswith("not run"):
                raise Mistake(f"{target} does not boot; see {lab.out / run['folder']}")
            run.pop("diagnostics")
            pieces.append(run | {"cpu_seconds": cpu_seconds() - before})
            write_json(state, {"version": 2, "key": key, "totals": totals(pieces),
                               "pieces": pieces})
    except KeyboardInterrupt:
        ends = "STOPPED"
        say("\nsoak: stopped; the same command continues")
    rows = totals(pieces)
    result = {"busts": [], "correct": rows, "planned": [0, len(turns)]}
    if ends == "SUCCESS" and not is_complete(result):
        ends = "FAILURE"
    say("\n" + "\n".join(report.correct_table(rows)))
    say(f"{sum(row['operations'] for row in rows):,} operations in "
        f"{sum(row['cpu_seconds'] for row in rows):,} CPU seconds, {len(pieces)} pieces")
    say(f"soak: End of test: {ends} " + echo({"hours": goal / 3600, "seed": lab.seed} | asked))
    say(last_line(result))
    return {"SUCCESS": 0, "FAILURE": 1, "STOPPED": 130}[ends]


def parse(argv):
    parser = command_line(__doc__, usage="scripts/torture.py [options] [NAME=VALUE...]")
    add = parser.add_argument
    add("--short", action="store_true",
        help="fewer operations of the correct rules: a part of make test")
    add("--soak", action="store_true", help="the correct rules for hours")
    add("--out", type=Path, metavar="DIR",
        help="consoles; the results are in DIR.json and DIR.svg (default: out/torture, or out/soak)")
    add("words", nargs="*", metavar="NAME=VALUE")
    args = parser.parse_args(argv)
    args.out = (args.out or OUT / ("soak" if args.soak else "torture")).resolve()
    return args


def main():
    args = parse(sys.argv[1:])
    if args.soak:
        return soak(args, parameters(args.words, ("HOURS", "SEED", "VM", *PASSED_ON)))
    return torture(args, parameters(args.words, USED))


if __name__ == "__main__":
    program("torture", main)

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Explores the engine under schedules, in user space: each deliberate bug that is about an
interleaving is found by search and replayed; the correct rules are clean with the same effort.

Usage: scripts/schedules.py [BUG=NAME|none] [SEED=N] [SECS=N] [REPLAY=FILE] [--short]
  BUG=NAME     one bug; none: the correct rules alone; list: all of them
  SEED=N       of all random choices (default: a new one, which is printed)
  SECS=N       the most for one search (default: 60)
  REPLAY=FILE  replays a schedule of out/schedules/ 100 times
  --short      fixed seed, fewer schedules of the correct rules, fewer replays: as in `make test`

Small cores are explored in all executions of a weak memory model: scripts/orders.py.

Leaves out/schedules/NAME.schedule and out/schedules.json. The last line is
`schedules: busted caught X/Y, correct clean X/Y`; the exit status is 0 only when X is Y.
Documentation/schedules.rst says what is explored.
"""

import random
import time
from multiprocessing.pool import ThreadPool
from pathlib import Path

import explorer
import orders
from common import CORES, OUT, Mistake, command_line, program, say, write_json

CRATE = "schedules"
EXPLORE = explorer.path_of(CRATE, "explore")
SCHEDULES = OUT / "schedules"
WAYS = ("random", "pct:3")
LOCKS = ("rwsem", "spin")
ALONE = "alone"
# Bugs that are shown by trying all schedules: the scenario and the lock.
ALL_SCHEDULES = {"SkipsSecondCheck": ("small-recycle", "rwsem"),
                 "LeavesRcuEarly": ("small-give-back", "preemptible"),
                 "FreesRootFirst": ("small-child", "rwsem")}
EXHAUSTIVE = "dfs:windows"
# At least so many schedules of the correct rules for each scenario, scheduler and lock.
LEAST, LEAST_SHORT = 2000, 100
# Of the load of a torture, by one thread: each is as long as hundreds of others.
LEAST_ALONE = 30
REPLAYS, REPLAYS_SHORT = 100, 10
SEED_SHORT = 4


def build():
    explorer.build(CRATE)


def explore(*words, secs=60):
    """Runs a search or a replay. Returns its result."""
    return explorer.result_of([EXPLORE, *words], secs + 60)


def inventory():
    """Returns the names of all scenarios, and all bugs with what is known of them."""
    return explorer.inventory(EXPLORE, "scenario")


def bound(result, way):
    """Returns the least probability with which PCT meets a bug of its depth in one schedule."""
    if not way.startswith("pct:") or not result.get("k"):
        return None
    return 1 / (result["n"] * result["k"] ** (int(way[4:]) - 1))


def replayed(path, result, times):
    """Returns how often a schedule leads to the same report at the same step."""
    same = ("how", "oracle", "rule", "words", "steps")
    runs = (explore("replay", path) for _ in range(times))
    return sum(all(run.get(key) == result.get(key) for key in same) for run in runs)


def met(result):
    """Returns whether an oracle has reported, one of the bug's or another."""
    return result["how"] in ("caught", "finding")


class Run:
    """A run of this script: its parameters, and what it has found."""

    def __init__(self, seed, secs, short):
        self.seed, self.secs, self.short = seed, secs, short
        self.replays = REPLAYS_SHORT if short else REPLAYS
        self.needed = {}

    def search(self, bug, scenario, lock, way, most=10 ** 9, path="-"):
        return explore("search", bug, scenario, lock, way, self.seed, most, self.secs, path,
                       secs=self.secs)

    def find(self, bug):
        """Searches a bug, by its best scheduler first, and replays what is found."""
        begin, name, tries = time.monotonic(), bug["bug"], []
        ways = [bug["how"]] + [way for way in ("pct:2", *WAYS) if way != bug["how"]]
        path = SCHEDULES / f"{name}.schedule"
        path.unlink(missing_ok=True)
        for way in ways:
            result = self.search(name, bug["scenario"], bug["protocol"], way, path=path)
            tries.append({"way": way} | result | {"bound": bound(result, way)})
            if result["how"] != "clean":
                break
        last = tries[-1]
        caught = last["how"] == "caught"
        row = {"bug": name, "rule": bug["rule"], "way": last["way"],
               "schedules": sum(t.get("schedules", 0) for t in tries), "result": last,
               "tries": tries, "replays": self.replays,
               "replayed": replayed(path, last, self.replays) if caught else 0}
        row["caught"] = caught and row["replayed"] == self.replays
        if name in ALL_SCHEDULES:
            row["exhaustive"] = self.search(name, *ALL_SCHEDULES[name], EXHAUSTIVE)
            row["caught"] &= row["exhaustive"]["how"] == "caught"
        if not self.short:
            alone = self.search(name, ALONE, bug["protocol"], "random", 100)
            row["alone"] = met(alone)
        row["seconds"] = round(time.monotonic() - begin, 3)
        return row

    def alone(self, bug):
        """Lets one thread meet a bug that needs no interleaving."""
        result = self.search(bug["bug"], ALONE, "rwsem", "random")
        return {"bug": bug["bug"], "rule": bug["rule"], "why": bug["alone"], "result": result,
                "seen": met(result)}

    def clean(self, task):
        """Explores the correct rules in a scenario by a scheduler, under each lock."""
        scenario, way = task
        locks = (*LOCKS, "preemptible") if scenario == "give-back" else LOCKS
        most = max(self.needed.get(scenario, 0), LEAST_SHORT if self.short else LEAST)
        if scenario == ALONE:
            most = LEAST_ALONE
        if way == EXHAUSTIVE:
            most = 10 ** 9
            locks = [lock for name, lock in ALL_SCHEDULES.values() if name == scenario]
        results = [self.search("none", scenario, lock, way, most) for lock in locks]
        good = bool(results) and all(result["how"] == "clean" for result in results)
        if way == EXHAUSTIVE:
            good &= all(result.get("complete") for result in results)
        else:
            # The same effort, or it is not clean.
            good &= all(result.get("schedules") == most for result in results)
        return {"scenario": scenario, "way": way, "clean": good, "results": results}


def say_found(row):
    last = row["result"]
    text = (f"{last['oracle']} {last['rule']} by {row['way']}, {row['schedules']} schedules, "
            f"{last['preemptions']} preemptions, replayed {row['replayed']}/{row['replays']}"
            if row["caught"] else f"{last['how']}: {last.get('words')}, "
            f"replayed {row['replayed']}/{row['replays']}")
    exhaustive = row.get("exhaustive")
    if exhaustive and exhaustive["how"] != "caught":
        text += f", {EXHAUSTIVE}: {exhaustive['how']}"
    say(f"  {row['bug']}: {'caught' if row['caught'] else 'MISSED'}: {text}")


def say_alone(row):
    result = row["result"]
    text = f"seen by {result.get('oracle')}" if row["seen"] else f"NOT SEEN: {result['how']}"
    say(f"  {row['bug']}: {text}")


def say_clean(row):
    bad = [result for result in row["results"] if result["how"] != "clean"]
    number = sum(result.get("schedules", 0) for result in row["results"])
    text = f"clean, {number} schedules" if row["clean"] else \
        f"NOT CLEAN: {bad or row['results']}"
    say(f"  {row['scenario']}, {row['way']}: {text}")


def each(pool, work, items, tell):
    rows = []
    for row in pool.imap(work, items):
        tell(row)
        rows.append(row)
    return rows


def choose(bugs, name, also=()):
    """Returns the bugs that were asked for: those that are searched, those that need no search.
    `also` are names that are no mistake."""
    missing = [bug["bug"] for bug in bugs if "missing" in bug]
    if missing:
        raise Mistake(f"{', '.join(missing)}: neither searched nor left out; see src/bugs.rs")
    if name not in (None, "none", *also, *(bug["bug"] for bug in bugs)):
        raise Mistake(f"BUG={name}: no such bug; BUG=list shows all")
    chosen = [bug for bug in bugs if name in (None, bug["bug"])]
    return ([bug for bug in chosen if "scenario" in bug], [bug for bug in chosen if "alone" in bug])


def replay(path, name):
    """Replays a file, and prints how often that comes to the same report."""
    if not Path(path).is_file():
        raise Mistake(f"REPLAY={path}: no such file")
    first = explore("replay", Path(path).resolve())
    if name not in (None, first.get("bug", name)):
        raise Mistake(f"REPLAY={path}: a schedule of {first['bug']}, not of {name}")
    if "oracle" not in first:
        raise Mistake(f"REPLAY={path}: {first['how']}, at step {first.get('steps')}: the sources "
                      "have changed, or the file")
    count = replayed(Path(path).resolve(), first, REPLAYS) if first["oracle"] != "-" else 0
    say(f"{first.get('bug')}: {first['oracle']} {first['rule']}: {first['words']}, "
        f"after {first['steps']} steps")
    say(f"schedules: replayed {count}/{REPLAYS}")
    return 0 if count == REPLAYS else 1


def show(bugs, core_bugs):
    for bug in bugs:
        text = f"alone: {bug['alone']}" if "alone" in bug else \
            f"{bug['scenario']}, {bug['protocol']}, {bug['how']}"
        say(f"{bug['bug']:<20} {bug['rule']:<4} {text}")
    for bug in core_bugs:
        say(f"{bug['bug']:<20} {bug['rule']:<4} core {bug['core']}")
    return 0


def words():
    """Returns what was asked for, by name."""
    parser = command_line(__doc__)
    parser.add_argument("--short", action="store_true", help=" ")
    parser.add_argument("words", nargs="*", metavar="NAME=VALUE")
    options = parser.parse_args()
    asked = {"short": options.short}
    for word in options.words:
        name, equals, value = word.partition("=")
        if not equals or name not in ("BUG", "SEED", "SECS", "REPLAY"):
            raise Mistake(f"{word}: unknown; see scripts/schedules.py --help")
        if name in ("SEED", "SECS"):
            if not value.isdecimal() or int(value) >= (2 ** 31 if name == "SECS" else 2 ** 63):
                raise Mistake(f"{word}: not a number")
            value = int(value)
        asked[name] = value
    return asked


def main():
    asked = words()
    name, short = asked.get("BUG"), asked["short"]
    build()
    orders.build()
    scenarios, bugs = inventory()
    cores, core_bugs = orders.inventory(short)
    if name == "list":
        return show(bugs, core_bugs)
    searched, alone = choose(bugs, name, [bug["bug"] for bug in core_bugs])
    if "REPLAY" in asked:
        return replay(asked["REPLAY"], name)
    run = Run(asked.get("SEED", SEED_SHORT if short else random.getrandbits(32)),
              asked.get("SECS", 60), short)
    SCHEDULES.mkdir(parents=True, exist_ok=True)
    say(f"SEED={run.seed}")
    with ThreadPool(CORES) as pool:
        say("bugs that need an interleaving:")
        found = each(pool, run.find, searched, say_found)
        for row, bug in zip(found, searched):
            needed = run.needed.setdefault(bug["scenario"], 0)
            run.needed[bug["scenario"]] = max(needed, row["schedules"])
        say("bugs that one thread alone meets (not counted):")
        seen = each(pool, run.alone, alone, say_alone)
        say("the correct rules:")
        tasks = [(scenario, way) for scenario in scenarios
                 for way in ([EXHAUSTIVE] if scenario.startswith("small-") else
                             ["random"] if scenario == ALONE else WAYS)]
        clean = each(pool, run.clean, tasks if name in (None, "none") else [], say_clean)
        say("cores, in all executions of the memory model:")
        core_found = each(pool, orders.find, [bug for bug in core_bugs if name in (None, bug["bug"])],
                          orders.say_found)
        core_clean = each(pool, orders.clean, cores if name in (None, "none") else [],
                          orders.say_clean)
    all_found, all_clean = found + core_found, clean + core_clean
    caught = sum(row["caught"] for row in all_found)
    good = sum(row["clean"] for row in all_clean)
    write_json(OUT / "schedules.json", {
        "version": 1, "seed": run.seed, "secs": run.secs, "short": short, "bugs": found,
        "alone": seen, "correct": clean,
        "orders": {"bugs": core_found, "correct": core_clean}})
    say(f"schedules: busted caught {caught}/{len(all_found)}, "
        f"correct clean {good}/{len(all_clean)}")
    whole = (caught == len(all_found) and good == len(all_clean)
             and all(row["seen"] for row in seen))
    return 0 if whole else 1


if __name__ == "__main__":
    program("schedules", main)

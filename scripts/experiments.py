#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Questions that were asked in the mails that the rules come from, answered by experiment.

  scripts/experiments.py 2004    what does a plain cache do, and how soon?
  scripts/experiments.py 2007    does RCU have to be held until after unlock?
  scripts/experiments.py 2010    the merge, with and without the links that it moves
  scripts/experiments.py 2011    why is page_mapped asked again?

SEED=, SECS= (how long each boot lasts at most), REPEAT= (boots for each row) and KASAN=1 (2004: with
that witness as well, on x86_64) may follow; `make experiment E=2011` starts one.  Each row of the
table is a number of boots; Documentation/experiment-<year>.rst says what to make of them.  The table
is left in out/experiment-<year>.json, what was said in out/experiment/.  The exit status is 0 when
every row has come out as it says there.
"""

import signal
import statistics
import sys
from pathlib import Path

import torture

TOP = Path(__file__).resolve().parent.parent


class Row:
    """One way of doing it: what is expected, and how it went."""

    def __init__(self, words, harm, bust, protocol, target="um", load="", append=""):
        self.words, self.harm, self.bust, self.protocol = words, harm, bust, protocol
        self.target, self.load, self.append = target, load, append
        self.runs = []

    def run(self, lab, secs, place):
        lab.wanted = lab.wanted | {"LOAD": self.load or None}
        lab.append = self.append
        told, how = lab.torture("bust" if self.bust != "none" else "correct", self.bust, self.target,
                                self.protocol, secs, f"{place} {self.words}")
        console, results, guest = told
        # What an experiment asks for may be what make torture does not.
        del how["replay"]
        if self.bust == "none":
            run = as_of_a_bug(console, torture.judge_correct(console, results, guest, 0))
        else:
            run = torture.judge_bust(console, results, guest)
        self.runs.append(how | run)

    def caught(self):
        return [run for run in self.runs if run["caught"]]

    def is_as_expected(self, repeat):
        """A boot that has not run, or not come to an end, shows neither harm nor that there is none."""
        ran = len(self.runs) == repeat and all(
            run["caught"] or run.get("how", "missed") == "missed" for run in self.runs)
        return ran and len(self.caught()) == (len(self.runs) if self.harm else 0)

    def cells(self):
        caught = self.caught()
        times = sorted(run["milliseconds"] or 0 for run in caught)
        by = sorted({run.get("oracle") or "?" for run in caught})
        broken = sum(run["violations"] or 0 for run in self.runs)
        return (self.words, f"{self.protocol}, {self.target}{' ' + self.append if self.append else ''}",
                f"{len(caught)}/{len(self.runs)}", ", ".join(by) or "-",
                f"{statistics.median(times):.0f} ms" if times else "-",
                f"{sum(run['operations'] for run in self.runs):,}", f"{broken:,}")


def as_of_a_bug(console, run):
    """What came of the correct rules, in the words that are used of a bug: whatever was reported or
    complained of is harm.  A boot that was not clean for another reason shows nothing."""
    reported, splat = console.caught or {}, console.splat or {}
    harm = reported or splat or run["reports"]
    why = "; ".join(run["reasons"])
    return run | {"caught": bool(harm), "words": why, "oracle": reported.get("oracle"),
                  "oracle_rule": reported.get("oracle_rule"),
                  "how": "oracle" if harm else "missed" if run["clean"] else f"not run: {why}"}


HEAD = ("", "lock, machine", "harm", "seen by", "median", "operations", "rule broken")


def rows_2004(kasan):
    rows = [Row("type-safe cache", False, "none", "spin", load="emptying"),
            Row("plain cache", True, "PlainCache", "spin"),
            Row("type-safe cache", False, "none", "rwsem", load="emptying"),
            Row("plain cache", True, "PlainCache", "rwsem")]
    if kasan:
        rows += [Row("type-safe cache", False, "none", "spin", "x86_64-kasan", "emptying"),
                 Row("plain cache", True, "PlainCache", "spin", "x86_64-kasan")]
    return rows


def rows_2007(_):
    rows = []
    for lock, harm in (("spin", False), ("preemptible", True)):
        for target, append in (("um", ""), ("x86_64", "preempt=full"), ("x86_64", "preempt=lazy")):
            rows += [Row("RCU until after unlock", False, "none", lock, target, "emptying", append),
                     Row("RCU left once it is locked", harm, "LeavesRcuEarly", lock, target, "",
                         append)]
    return rows


def rows_2010(_):
    return [Row("links are moved", False, "none", "spin", load="shared_merges"),
            Row("links are dropped", True, "DropsLinksInMerge", "spin"),
            Row("links are made twice", True, "LinksTwice", "spin")]


def rows_2011(_):
    return [Row("page_mapped is asked again", False, "none", "rwsem", load="recycling"),
            Row("it is not", True, "SkipsSecondCheck", "rwsem"),
            Row("the reference count is asked", True, "AsksRefcount", "rwsem")]


EXPERIMENTS = {"2004": rows_2004, "2007": rows_2007, "2010": rows_2010, "2011": rows_2011}


def interleaving(run):
    """The last passages of windows, each thread in a column of its own; before each, how many there
    were until then, of which not all are remembered."""
    steps = [step.split() for step in run["diagnostics"].get("step", "").split(", ") if step]
    steps = [(when, int(thread), window) for when, _, thread, window in steps]
    threads = sorted({thread for _, thread, _ in steps})
    yield f"{'':10}" + "".join(f"thread {thread:<16}" for thread in threads)
    for when, thread, window in steps:
        yield f"{when:>8}  " + " " * 23 * threads.index(thread) + window


def table(rows):
    cells = [HEAD, *(row.cells() for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(HEAD))]
    for line in cells:
        yield "  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip()


def parse(words):
    if not words or words[0] not in EXPERIMENTS:
        raise torture.Mistake(f"which experiment? {', '.join(EXPERIMENTS)}; --help says more")
    wanted = torture.parameters(words[1:])
    torture.refuse_others(wanted, ("SECS", "SEED", "REPEAT",
                                   *(["KASAN"] if words[0] == "2004" else [])))
    return words[0], wanted


def experiment(name, wanted):
    args = torture.parse([])
    args.out = TOP / "out/experiment"
    lab = torture.Lab(args, wanted)
    lab.claim()
    rows = EXPERIMENTS[name](wanted["KASAN"])
    repeat = wanted["REPEAT"]
    torture.say(f"experiment {name}: {len(rows)} rows, {repeat} boots each; seed {lab.seed}")
    try:
        for number, row in enumerate(rows, 1):
            for _ in range(repeat):
                secs = wanted["SECS"] or (20 if row.target == "um" else 60)
                row.run(lab, secs, f"[{number}/{len(rows)}]")
            torture.say(f"[{number}/{len(rows)}] {'  '.join(filter(None, row.cells()))}")
    finally:
        if any(row.runs for row in rows):
            names = ("what", "where", "harm", "oracles", "median", "operations", "broken")
            torture.write_json(TOP / f"out/experiment-{name}.json", {
                "version": 1, "experiment": name, "seed": lab.seed, "repeat": repeat,
                "rows": [dict(zip(names, row.cells()), expected=row.harm,
                              as_expected=row.is_as_expected(repeat), runs=row.runs)
                         for row in rows]})
    torture.say("\n" + "\n".join(table(rows)))
    for row in rows:
        for run in row.caught()[:1] if name == "2011" else ():
            torture.say(f"\n{row.words}: the last steps, seed {run['seed']}; then {run['oracle']}"
                        f" ({run['oracle_rule']}): {run['words']}")
            torture.say("\n".join(interleaving(run)))
    good = sum(row.is_as_expected(repeat) for row in rows)
    asked = {"repeat": repeat, "secs": wanted["SECS"], "kasan": wanted["KASAN"], "seed": lab.seed}
    torture.say(f"\nexperiment {name}: End of test: {torture.echo(asked)}")
    torture.say(f"experiment {name}: {good}/{len(rows)} rows as expected")
    return 0 if good == len(rows) else 1


def main():
    signal.signal(signal.SIGTERM, torture.terminated)
    if "--help" in sys.argv[1:] or "-h" in sys.argv[1:]:
        print(__doc__.strip())
        return 0
    try:
        return experiment(*parse(sys.argv[1:]))
    except torture.Mistake as mistake:
        print(f"experiment: {mistake}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("experiment: stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())

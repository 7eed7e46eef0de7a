#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Answers questions from the mails that the rules come from, by experiment.

  scripts/experiments.py 2004    what does a plain cache do, and how soon?
  scripts/experiments.py 2007    must RCU be held until after the unlock?
  scripts/experiments.py 2010    the merge, with and without the links that it moves
  scripts/experiments.py 2011    why is page_mapped() called again?

SEED=, SECS= (the longest that a boot runs), REPEAT= (boots for each row) and KASAN=1 (2004: on x86_64
with KASAN as well) may follow; `make experiment E=2011` starts one. Documentation/experiment-<year>.rst
explains the rows. The table is left in out/experiment-<year>.json, consoles in out/experiment/. The
exit status is 0 when every row came out as expected.
"""

import statistics
from dataclasses import dataclass, field

import torture_report
from common import OUT, command_line, program, say, write_json
from torture import echo
from torture_lab import Lab, parameters


@dataclass
class Row:
    """One variant: what is expected, and the boots that were run."""

    words: str
    harm: bool
    bust: str
    protocol: str
    target: str = "um"
    load: str = ""
    append: str = ""
    runs: list = field(default_factory=list)

    def run(self, lab, busts, secs, place):
        """Boots once. Under the correct rules any report is harm."""
        lab.wanted, lab.append = lab.wanted | {"LOAD": self.load or None}, self.append
        say(f"{place} {self.words}")
        if self.bust == "none":
            run = lab.correct(self.target, self.protocol, secs, 0, self.load or None, place)
            run |= {"caught": bool(run["oracle"]), "how": "; ".join(run["reasons"]) or "missed"}
        else:
            run = lab.bust(busts[self.bust], self.protocol, self.target, secs, 0, place)
        # make torture cannot repeat each boot of an experiment.
        del run["replay"]
        self.runs.append(run)

    def caught(self):
        return [run for run in self.runs if run["caught"]]

    def is_as_expected(self, repeat):
        """A boot that did not run to its end shows neither harm nor its absence."""
        ran = len(self.runs) == repeat and all(
            run["caught"] or run["how"] == "missed" for run in self.runs)
        return ran and len(self.caught()) == (len(self.runs) if self.harm else 0)

    def cells(self):
        caught = self.caught()
        times = [run["milliseconds"] or 0 for run in caught]
        by = sorted({run["oracle"] for run in caught})
        return (self.words, f"{self.protocol}, {self.target} {self.append}".rstrip(),
                f"{len(caught)}/{len(self.runs)}", ", ".join(by) or "-",
                f"{statistics.median(times):.0f} ms" if times else "-",
                f"{sum(run['operations'] for run in self.runs):,}",
                f"{sum(run['violations'] or 0 for run in self.runs):,}")


HEAD = ("", "lock, machine", "harm", "seen by", "median", "operations", "rule broken")


def rows_2004(target):
    return [Row(*row, protocol, target, load) for protocol in ("spin", "rwsem") for *row, load in (
        ("type-safe cache", False, "none", "emptying"), ("plain cache", True, "PlainCache", ""))]


def rows_2007():
    return [Row(words, harm, bust, lock, target, load, append)
            for lock, harmful in (("spin", False), ("preemptible", True))
            for target, append in (("um", ""), ("x86_64", "preempt=full"), ("x86_64", "preempt=lazy"))
            for words, harm, bust, load in (
                ("RCU until after unlock", False, "none", "emptying"),
                ("RCU left once it is locked", harmful, "LeavesRcuEarly", ""))]


EXPERIMENTS = {
    "2004": rows_2004("um"),
    "2007": rows_2007(),
    "2010": [Row("links are moved", False, "none", "spin", load="shared_merges"),
             Row("links are dropped", True, "DropsLinksInMerge", "spin"),
             Row("links are made twice", True, "LinksTwice", "spin")],
    "2011": [Row("page_mapped() is called again", False, "none", "rwsem", load="recycling"),
             Row("it is not", True, "SkipsSecondCheck", "rwsem"),
             Row("the reference count is read", True, "AsksRefcount", "rwsem")],
}


def interleaving(run):
    """Yields the last passages of windows, a column for each thread, numbered by their order; not all
    passages are kept."""
    steps = [step.split() for step in run["diagnostics"].get("step", "").split(", ") if step]
    steps = [(when, int(thread), window) for when, _, thread, window in steps]
    threads = sorted({thread for _, thread, _ in steps})
    yield f"{'':10}" + "".join(f"thread {thread:<16}" for thread in threads)
    for when, thread, window in steps:
        yield f"{when:>8}  " + " " * 23 * threads.index(thread) + window


def experiment(name, wanted):
    lab = Lab(OUT / "experiment", wanted)
    lab.claim()
    rows, repeat = EXPERIMENTS[name], wanted["REPEAT"] or 1
    rows = rows + rows_2004("x86_64-kasan")[:2] if wanted["KASAN"] else rows
    say(f"experiment {name}: {len(rows)} rows, {repeat} boots each; seed {lab.seed}")
    busts = {bust.name: bust for bust in lab.offered("um")[0]}
    try:
        for number, row in enumerate(rows, 1):
            for _ in range(repeat):
                secs = wanted["SECS"] or (20 if row.target == "um" else 60)
                row.run(lab, busts, secs, f"[{number}/{len(rows)}]")
            say(f"[{number}/{len(rows)}] {'  '.join(filter(None, row.cells()))}")
    finally:
        if any(row.runs for row in rows):
            names = ("what", "where", "harm", "oracles", "median", "operations", "broken")
            write_json(OUT / f"experiment-{name}.json", {
                "version": 1, "experiment": name, "seed": lab.seed, "repeat": repeat,
                "rows": [dict(zip(names, row.cells()), expected=row.harm,
                              as_expected=row.is_as_expected(repeat), runs=row.runs)
                         for row in rows]})
    say("\n" + "\n".join(torture_report.columns(HEAD, [row.cells() for row in rows], ())))
    for row in rows:
        for run in row.caught()[:1] if name == "2011" else ():
            say(f"\n{row.words}: the last steps, seed {run['seed']}; then {run['oracle']}"
                f" ({run['oracle_rule']}): {run['words']}")
            say("\n".join(interleaving(run)))
    good = sum(row.is_as_expected(repeat) for row in rows)
    asked = {"repeat": repeat, "secs": wanted["SECS"], "kasan": wanted["KASAN"], "seed": lab.seed}
    say(f"\nexperiment {name}: End of test: {echo(asked)}")
    say(f"experiment {name}: {good}/{len(rows)} rows as expected")
    return 0 if good == len(rows) else 1


def main():
    parser = command_line(__doc__)
    parser.add_argument("experiment", choices=EXPERIMENTS)
    parser.add_argument("words", nargs="*", metavar="NAME=VALUE")
    args = parser.parse_args()
    used = ["SECS", "SEED", "REPEAT", *(["KASAN"] if args.experiment == "2004" else [])]
    return experiment(args.experiment, parameters(args.words, used))


if __name__ == "__main__":
    program("experiment", main)

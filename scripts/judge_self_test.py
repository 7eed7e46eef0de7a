#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Shows that scripts/judge.py notices a host that is broken, and accepts one that is not.

  1. Each patch of tools/userspace/mutants breaks one rule. Stage 1 of the judge must notice it, in
     SECS seconds of random steps with sanitizers or else in a minute of those with and without; a
     patch with a line `Survives: <why>` must not be noticed. The line `Rule:` says what is broken,
     `Expect:` is a pattern of what the judge says.
  2. The mutants of LIVE go through stage 2: their kernels are built, and live mappings notice them.
  3. The patches of tools/userspace/correct must pass both stages.
  4. The unpatched source must pass stage 1 with ten seeds.

out/judge-self-test.json has a row for each patch, out/judge-self-test/ what the judge left; of a
part of them it is judge-self-test-part.json. The last line is `judge: mutants killed X/Y`, of the
mutants with `Expect:`; when anything else is not as expected, it says so behind that. The exit status
is 0 only when X is Y and the line says no more.

With --live, all mutants with `Expect:` go through stage 2 instead, and nothing else is done. One that
live mappings cannot notice has a line `Live: <why>`. The results are in out/judge-live.json, the last
line is `judge: live mappings killed X/Y`, and what is not as expected is said behind that.
"""

import os
import re
import shutil
import sys
import time
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool
from pathlib import Path

from common import (CORES, OUT, SCRIPTS, TOP, Mistake, command_line, program, read,
                    read_json, say, stream, write_json)

PATCHES = TOP / "tools/userspace"
RESULTS = OUT / "judge-self-test"
# Those that stage 2 judges as well: each has another kind of consequence for live mappings.
LIVE = ("clone-copies-one-link", "fork-does-not-count-the-child", "page-has-the-offset-of-the-file",
        "reuse-by-degree", "reuse-with-two-children")
# Seconds of random steps, with and without sanitizers, for a mutant that the first ones have
# missed: what scripts/judge.py does without --secs.
LONG = 60
# The short form, for make test. One of them crashes when its processes exit.
SAMPLE = ("fork-keeps-its-own-root", "merge-forgets-the-links", "reuse-with-two-children",
          "split-keeps-the-offset", "prepare-takes-no-lock", "prepare-puts-the-link-in-no-tree")
SAMPLE_LIVE, SAMPLE_CORRECT, SEEDS = ("fork-does-not-count-the-child",), ("reordering",), 10


@dataclass
class Patch:
    """A patch with what its head says."""

    path: Path
    rule: str = ""
    expect: str = ""
    survives: str = ""
    # Why live mappings do not notice it.
    live: str = ""
    # The rule that a check of the host's own structures names.
    host: str = ""

    @classmethod
    def of(cls, path):
        head = read(path).partition("\n--- ")[0]
        found = dict(re.findall(r"^(Rule|Expect|Survives|Live|Host): (.+)$", head, re.M))
        patch = cls(path, found.get("Rule", ""), found.get("Expect", ""), found.get("Survives", ""),
                    found.get("Live", ""), found.get("Host", ""))
        if not re.fullmatch(r"R\d+", patch.rule) or bool(patch.expect) == bool(patch.survives):
            raise Mistake(f"{path}: it names no rule, or not either what notices it (Expect:) or why "
                          "nothing does (Survives:)")
        return patch


def mutants(names=None):
    return [Patch.of(path) for path in sorted((PATCHES / "mutants").glob("*.patch"))
            if names is None or path.stem in names]


def correct(names=None):
    return [path for path in sorted((PATCHES / "correct").glob("*.patch"))
            if names is None or path.stem in names]


def judge(name, stage, secs, seed, *options):
    """Runs the judge; returns what it found. The verdict is NONE when there is none."""
    out = RESULTS / name
    # What an earlier run has left is no verdict of this one.
    shutil.rmtree(out, ignore_errors=True)
    code, text = stream([sys.executable, SCRIPTS / "judge.py", "--stage", str(stage), "--secs",
                         str(secs), "--seed", str(seed), "--out", out, *options],
                        RESULTS / f"{name}.log", name, limit=3600, every=60)
    result = read_json(out / "verdict.json")
    if {"PASS": 0, "FAIL": 1}.get(result.get("verdict")) != code:
        last = (text.strip() or f"exit status {code}").splitlines()[-1]
        result = {"verdict": "NONE", "rule": "", "rules": [], "by": "", "what": last, "seconds": 0,
                  "steps": 0}
    return result


def wrong_with(patch, result, stage=1):
    """Returns what is not as the head of a mutant says; nothing when all is."""
    if result["verdict"] == "NONE":
        return f"no verdict: {result['what']}"
    survives = patch.survives or (patch.live if stage == 2 else "")
    if survives:
        return f"noticed, though: {survives}" if result["verdict"] == "FAIL" else ""
    if result["verdict"] != "FAIL":
        return "not noticed"
    if stage == 2:
        # Live mappings may see another consequence first.
        return ""
    said = f"{result['rule']} {result['what']}"
    return "" if re.search(patch.expect, said) else f"noticed by other words than {patch.expect}"


def wrong_with_host(patch, said):
    """Returns what is not as `Host:` says in what a guest's host/check has said."""
    if not patch.host:
        return ""
    if f"violation of {patch.host}:" not in said:
        return f"host/check does not name {patch.host}"
    return "" if "Structure needs cleaning" in said else "a write to host/check did not fail"


class SelfTest:
    """The rows so far."""

    def __init__(self, secs, long, seed):
        self.secs, self.long, self.seed, self.rows, self.failed = secs, long, seed, [], 0

    def add(self, row, wrong):
        self.rows.append(row | {"wrong": wrong})
        self.failed += bool(wrong)
        say(f"test {row['stage']}: {row['name']} ... {'FAILED' if wrong else 'ok'}")
        say(f"  {row['said'][:110]}" + (f": {wrong}" if wrong else ""))

    def mutant(self, patch, stage):
        name = patch.path.stem
        options = ["--patch", patch.path] + (["--variant", "sanitized"] if stage == 1 else [])
        result = judge(f"{name}-{stage}", stage, self.secs, self.seed, *options)
        if stage == 1 and result["verdict"] == "PASS" and self.long:
            first = result["seconds"]
            result = judge(f"{name}-long", 1, self.long, self.seed, "--patch", patch.path)
            result["seconds"] += first
        killed = result["verdict"] == "FAIL"
        self.add({"stage": f"mutant, stage {stage}", "name": name, "rule": patch.rule,
                  "survives": patch.survives, "live": patch.live, "killed": killed, "named": result["rules"],
                  "by": result["by"], "what": result["what"], "seconds": result["seconds"],
                  "steps": result["steps"],
                  "said": f"{result['by']}, {result['rule'] or 'no rule'} in {result['seconds']:.0f} s"
                  if killed else f"survives {result['seconds']:.0f} s"},
                 wrong_with(patch, result, stage)
                 or stage == 2 and wrong_with_host(patch, read(RESULTS / f"{name}-2/vm/host.txt")) or "")

    def passes(self, name, stage, seed, *options):
        result = judge(f"{name}-{stage}", stage, self.secs, seed, *options)
        self.add({"stage": f"correct, stage {stage}", "name": name, "seed": seed,
                  "killed": result["verdict"] == "FAIL", "what": result["what"],
                  "said": f"seed {seed}, {result['seconds']:.0f} s"},
                 "" if result["verdict"] == "PASS" else result["what"])


def summary(rows):
    """Returns the figures of the mutants that stage 1 judged."""
    all_rows = [row for row in rows if row["stage"] == "mutant, stage 1"]
    expected = [row for row in all_rows if not row["survives"]]
    killed = [row for row in expected if row["killed"]]
    seconds, steps = ([row[key] for row in killed if row[key]] for key in ("seconds", "steps"))
    return {"mutants": len(expected), "survivors": len(all_rows) - len(expected), "killed": len(killed),
            "right_rule": sum(row["rule"] in row["named"][:1] for row in killed),
            "right_rule_named": sum(row["rule"] in row["named"] for row in killed),
            "under_10_s": sum(row["seconds"] < 10 for row in killed),
            "median_seconds": sorted(seconds)[len(seconds) // 2] if seconds else 0,
            "shrunk": len(steps), "median_steps": sorted(steps)[len(steps) // 2] if steps else 0}


def last_line(figures, failed):
    """Returns the last line: it ends with X/Y only when all was as expected."""
    return f"judge: mutants killed {figures['killed']}/{figures['mutants']}" \
        + (f", {failed} not as expected" if failed else "")


def table(rows):
    """Returns the table of Documentation/judge.rst."""
    cells = [("patch", "rule", "noticed by", "named", "seconds", "steps")]
    for row in rows:
        if row["stage"] == "mutant, stage 1":
            by = ("nothing", "", "", "")
            if row["killed"]:
                by = (row["by"].partition(",")[0], " ".join(row["named"]) or "none",
                      f"{row['seconds']:.1f}", str(row["steps"] or ""))
            cells.append((row["name"], row["rule"], *by))
    widths = [max(map(len, column)) for column in zip(*cells)]
    line = "  ".join("=" * width for width in widths)
    text = ["  ".join(f"{cell:{width}}" for cell, width in zip(row, widths)).rstrip()
            for row in cells]
    return "\n".join([line, text[0], line, *sorted(text[1:]), line])


def main():
    parser = command_line(__doc__)
    parser.add_argument("--sample", action="store_true", help="the short form of make test")
    parser.add_argument("--live", action="store_true", help="stage 2 of all mutants")
    parser.add_argument("--table", action="store_true",
                        help="print the table of Documentation/judge.rst by the last run's results")
    parser.add_argument("--secs", type=int,
                        help="of each run of random steps; 10, or 5 with --sample")
    parser.add_argument("--seed", type=int, default=1, help="of the random steps; 1")
    parser.add_argument("mutants", nargs="*", metavar="MUTANT", help="stage 1, or 2 with --live, of these mutants alone")
    args = parser.parse_args()
    if args.table:
        print(table(read_json(OUT / "judge-self-test.json").get("rows", ())))
        return 0
    if os.environ.get("KDIR"):
        raise Mistake("KDIR= is set: the mutants are patches of the lab's source")
    args.secs = args.secs or (5 if args.sample else 10)
    unknown = set(args.mutants) - {patch.path.stem for patch in mutants()}
    if unknown:
        raise Mistake(f"no mutant {', '.join(sorted(unknown))}")
    return live_test(args) if args.live else self_test(args)


def live_test(args):
    """Judges the mutants by live mappings; returns the exit status."""
    test, begin = SelfTest(args.secs, 0, args.seed), time.monotonic()
    chosen = [patch for patch in mutants(args.mutants or None) if patch.expect]
    say(f"judge: live mappings, {len(chosen)} mutants, seed {args.seed}")
    for patch in chosen:
        test.mutant(patch, 2)
        say(f"  {len(test.rows)} of {len(chosen)}, {time.monotonic() - begin:.0f} s")
    write_json(OUT / ("judge-live-part.json" if args.mutants else "judge-live.json"), {
        "version": 1, "seed": args.seed, "secs": args.secs, "mutants": len(chosen),
        "killed": sum(row["killed"] for row in test.rows),
        "seconds": round(time.monotonic() - begin), "rows": test.rows})
    say(live_line(test.rows, test.failed))
    return 1 if test.failed else 0


def live_line(rows, failed):
    """Returns the last line of a test of live mappings."""
    killed = sum(row["killed"] for row in rows)
    return f"judge: live mappings killed {killed}/{len(rows)}" \
        + (f", {failed} not as expected" if failed else "")


def self_test(args):
    """Does what was asked for; returns the exit status."""
    test, begin = SelfTest(args.secs, 0 if args.sample else LONG, args.seed), time.monotonic()
    chosen = mutants(args.mutants or (SAMPLE if args.sample else None))
    say(f"judge: {len(chosen)} mutants, seed {args.seed}")
    with ThreadPool(1 if args.sample else CORES) as pool:
        pool.map(lambda patch: test.mutant(patch, 1), chosen, chunksize=1)
        if not args.mutants:
            clean = 1 if args.sample else SEEDS
            pool.map(lambda n: test.passes(f"unpatched-{n}", 1, args.seed + n, "--variant",
                                           "sanitized"), range(clean), chunksize=1)
    if not args.mutants:
        for patch in mutants(SAMPLE_LIVE if args.sample else LIVE):
            test.mutant(patch, 2)
        for path in correct(SAMPLE_CORRECT if args.sample else None):
            test.passes(path.stem, 1, args.seed, "--patch", path, "--variant", "sanitized")
            if not args.sample:
                test.passes(path.stem, 2, args.seed, "--patch", path)
    figures = summary(test.rows)
    part = "-part" if args.sample or args.mutants else ""
    write_json(OUT / f"judge-self-test{part}.json", {
        "version": 1, "seed": args.seed, "secs": args.secs, **figures,
        "seconds": round(time.monotonic() - begin), "rows": test.rows})
    say(f"{figures['right_rule']} of {figures['killed']} by the right rule, "
        f"{figures['right_rule_named']} named it, {figures['under_10_s']} "
        f"in under 10 s, median {figures['median_seconds']:.1f} s; {figures['shrunk']} with a "
        f"scenario, median {figures['median_steps']} steps; {time.monotonic() - begin:.0f} s in all; "
        f"{test.failed} not as expected")
    say(last_line(figures, test.failed))
    return 1 if test.failed else 0


if __name__ == "__main__":
    program("error", main)

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Judges a change of the kernel's anonymous reverse map.

  scripts/judge.py --patch my.patch      the lab's source with a patch
  KDIR=~/linux scripts/judge.py          another source tree, with or without --patch

Stage 1, in user space: the changed code of mm/ beside the shadow's engine, through random steps
(scripts/fuzz.py, with and without sanitizers at the same time), then the tests of
tools/userspace/host, and the tree's own tools/testing/vma. Stage 2: its User-Mode Linux kernel
with live mappings: samples, corner cases, random sequences, and each warning of the kernel.

The first finding ends it. The last line is `judge: PASS`, or `judge: FAIL <rule> <what>`; without
a rule that is known to be broken, what noticed it stands in its place. out/judge/report.txt says
what was tried; a scenario beside it shows the finding. Exit status: 0 for PASS, 1 for FAIL, 2 when
there is no verdict: the patch does not apply, the source does not compile.
"""

import os
import random
import re
import shutil
import time
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool
from pathlib import Path

import fuzz
import host_test
import host_userspace
import judge_kernel
from common import (OUT, SCRIPTS, TOP, Mistake, command_line, program, read, read_json, say,
                    script_lines, stop_all, stream, write_json)
from host_program import ensure_tools
from patches import patched
from results_folder import empty

VARIANTS = ("sanitized", "plain")
# Random steps of tests/soak.rs: those of the host alone, a state after each.
STEPS = 60_000
# Seeds that are tried when what is found names no rule.
MORE_SEEDS = 3

# The rule that a report is about which names none: the first that fits. Reports are a condition of
# the host that does not hold, AddressSanitizer's, a line of `compare`, a warning of the kernel. For a
# warning of the host in user space see conditions().
RULES = (
    (r"rwsem\.writers|rwsem_assert|held_write|lock.* not held", "R15"),
    (r"locks? (is|are) held after|is locked|taken twice", "R15"),
    (r"num_(children|active_vmas)|reuse at fork", "R24"),
    (r"refcount|rwsem_is_locked|anon_vma_free", "R16"),
    (r"anon_vma: \d+ are in use|objects? .* lost", "R18"),
    (r"mapcount|mapping again", "R3"),
    (r"AnonExclusive|exclusive", "R20"),
    (r"folio_anon_vma.*root|another root", "R19"),
    (r"pgoff|\bindex\b", "R41"),
    (r"folio_test_anon|\btag\b", "R1"),
    (r"check_anon_vma_clone|vma_is_fork_child", "R26"),
    (r"recursive locking|circular locking", "R34"),
    (r"chain: |tree: host |list_empty", "R21"),
)
# What is seen because another rule is broken, most often.
CONSEQUENCES = ("R18", "R35")
# The rules that a line of `compare` may be about, as in the table of Documentation/differences.rst.
LINES = {
    "vma": {"range": "R26 R41", "pgoff": "R26 R41", "anon_vma": "R24 R27 R28", "chain": "R21 R23 R25 R37"},
    "anon_vma": {"root": "R14 R23", "parent": "R14 R23", "refcount": "R16 R18", "num_children": "R24 R33",
                 "num_active_vmas": "R24 R33", "tree": "R21 R32", "foreign VMAs": "R21 R32",
                 "only": "R18 R27"},
    "page": {"index": "R41", "mapcount": "R3", "mapped by": "R3", "anon_vma": "R19 R20", "only": "R3 R41",
             "found by a walk": "R21 R32 R35"},
}


# A report about one of these is about that rule, whatever it names.
PLAIN = (
    (r"(anon_vma_prepare|anon_vma_fork)\(\): \S*rwsem\.writers", "R29"),
    (r"anon_vma_chain: \d+ are in use", "R37"),
    (r"^VMAs: ", "R26"),
)
# A step after which a VMA has another anon_vma than by the rules, and the rule that chooses it.
CHOICES = {"fork": "R24", "write": "R27"}


def conditions():
    """Returns the rules of the host's warnings, as tools/userspace/fuzz has them: (part of a condition,
    rule)."""
    table = read(fuzz.CRATE / "src/compare.rs").partition("const CONDITIONS: ")[2].partition("];")[0]
    return [(part, f"R{rule}") for part, rule in re.findall(r'\("(.+?)", (\d+)\)', table)]


def rules_of_line(text):
    """Returns the rules that a line of `compare` may be about; None if it is no such line."""
    line = re.match(r"(?:unknown )?(vma) \d+ \(.*?\) \[0x[0-9a-f]+, 0x[0-9a-f]+\): (.*)", text) or re.match(
        r"(?:the host's )?(anon_vma|page) \d+ \(.*?\)(?:, the host's \d+)?: (.*)", text)
    if not line:
        return None
    names = (re.match(r"only(?= the)|[a-zA-Z_ ]+(?=:)", part) for part in line[2].split("; "))
    rules = [LINES[line[1]].get(name[0], "").split() for name in names if name]
    return list(dict.fromkeys(rule for some in rules for rule in some))


def rule_of_report(text):
    """Returns the rule of a report that names none, or nothing."""
    warning = re.match(r"warning: \w+\(\): (.*?)(?: \(\S+:\d+\)|$)", text)
    if warning:
        return next((rule for part, rule in conditions() if part in warning[1]), "")
    return next((rule for pattern, rule in RULES if re.search(pattern, text)), "")


def rules_of(text, rule="", step=""):
    """Returns the rules that a report names, the one that is most likely the cause first. `step` is
    the last that was done."""
    if re.search(r"->anon_vma is Some\(\d+\) on the host, Some", text):
        rule = CHOICES.get(step.partition(" ")[0], rule)
    rule = next((plain for pattern, plain in PLAIN if re.search(pattern, text)), rule)
    named = [rule, *re.findall(r"\b(R[1-9]\d?)(?::| \(|\)| [a-z])", text),
             *(f"R{number}" for number in re.findall(r"\brule: (\d+)", text))]
    named = list(dict.fromkeys(filter(None, named)))
    if not named:
        named = rules_of_line(text)
    if named is None:
        named = list(filter(None, [rule_of_report(text)]))
    return sorted(named, key=lambda name: name in CONSEQUENCES)


@dataclass
class Finding:
    """What is wrong, and what shows it."""

    rules: list
    what: str
    by: str
    scenario: Path = None
    steps: int = 0
    replay: str = ""

    @property
    def rule(self):
        return self.rules[0] if self.rules else ""

    def lines(self):
        """Returns what is wrong, a line for each thing, as far as a page has room for it."""
        return re.sub(r"; (?:also )?(?=R\d+: )", "\n", self.what.strip()).splitlines()[:40]

    def verdict(self):
        """Returns the last line."""
        what = " ".join(self.what.split()).removeprefix(f"{self.rule}: ")
        by = self.by.partition(",")[0].replace(" ", "-")
        return f"judge: FAIL {self.rule or by} {what[:200]}"


def rule_title(rule):
    """Returns what a rule says, as in the table of the engine."""
    title = re.search(rf'^    {rule} "(.*)";$', read(TOP / "rust/rmap/rules.rs"), re.M)
    return title[1] if title else ""


def rule_of_test(name):
    """Returns the rule that the comment of a test of tools/userspace/host names."""
    for path in sorted((host_test.CRATE / "tests").glob("*.rs")):
        found = re.search(rf"((?:^///.*\n)*)^#\[test\]\nfn {name}\(", read(path), re.M)
        if found:
            return next(iter(re.findall(r"R\d+", found[1])), "")
    return ""


class Judge:
    """One source that is judged, and what was tried so far."""

    def __init__(self, tree, patch, seed, secs, out):
        self.base, self.patch, self.seed, self.secs, self.out = tree, patch, seed, secs, out
        self.tree = patched(tree, patch, host_userspace.LINKED) if patch else tree
        self.tried = []
        # The other run of random steps is ended, for one of them has found something.
        self.over = False

    def did(self, text):
        self.tried.append(text)
        say(f"  {text}")

    def source(self):
        """Returns the words of a command that choose the same source."""
        other = os.environ.get("KDIR") or os.environ.get("KERNEL_TARBALL")
        words = [f"--tree {self.base}"] if other else []
        return " ".join(words + ([f"--patch {self.patch}"] if self.patch else []))

    def compile(self, variants=VARIANTS):
        """Compiles the host's code: an error is no verdict."""
        words = [word for variant in variants for word in ("--variant", variant)]
        code, text = stream([SCRIPTS / "host_userspace.py", "--skip-tests", "--tree", self.tree,
                             *words], self.out / "compile.log", "compiling the host's own mm/")
        if code:
            lines = [line for line in text.splitlines() if line.startswith("error: ")]
            raise Mistake(lines[-1].removeprefix("error: ") if lines else text[-300:])
        # Its time is none of the judge's.
        fuzz.build(self.out / "fuzz").unlink()

    def fuzz(self, variant, seed):
        """Runs the host's code beside the shadow; returns a finding or nothing."""
        out = self.out / f"fuzz-{variant}-{seed}"
        shutil.rmtree(out, ignore_errors=True)
        words = ["--variant", variant, "--secs", str(self.secs), "--seed", str(seed)]
        code, text = stream([SCRIPTS / "fuzz.py", "--tree", self.tree, "--skip-tests", *words,
                             "--jobs", "1", "--out", out], self.out / f"{out.name}.log",
                            f"random steps, {variant}", limit=self.secs * 3 + 600)
        # Copies of the programs.
        shutil.rmtree(out / "run", ignore_errors=True)
        result = read_json(out / "fuzz.json")
        if code == 0:
            self.did(f"{variant}: {result.get('steps', 0)} random steps beside the shadow, seed "
                     f"{seed}: no difference")
            return None
        if self.over:
            return None
        if code != 1 or not result.get("differences"):
            last = (text.strip() or f"exit status {code}").splitlines()[-1]
            raise Mistake(f"scripts/fuzz.py failed: {last}")
        first = result["differences"][0]
        self.did(f"{variant}: {result.get('steps', 0)} random steps beside the shadow, seed "
                 f"{seed}: a difference")
        scenario, steps = (out / first["scenario"]).with_suffix(".scn"), len(first["steps"])
        kept = self.out / f"{seed}-{scenario.name.partition('-')[2]}"
        for suffix in (".scn", ".steps"):
            shutil.copy(scenario.with_suffix(suffix), kept.with_suffix(suffix))
        step = (first["steps"] or [""])[-1]
        return Finding(rules_of(first["words"], first["rule"], step), first["words"],
                       f"random steps, {variant}", kept, steps,
                       f"scripts/fuzz.py {self.source()} --skip-tests --variant {variant} "
                       f"--replay {kept.with_suffix('.steps')}")

    def random_steps(self, variants=VARIANTS):
        """Runs scripts/fuzz.py for each variant at the same time. A host that crashes breaks a rule
        before it does, in the same step: other seeds may meet a step that shows the rule."""
        finding = self.first(variants, self.seed)
        for seed in range(self.seed + 1, self.seed + 1 + MORE_SEEDS):
            if not finding or finding.rules:
                break
            try:
                other = self.first(variants, seed)
            except Mistake as mistake:
                # What was found stays found.
                self.did(f"seed {seed}: {mistake}")
                break
            finding = other if other and other.rules else finding
        return finding

    def first(self, variants, seed):
        """Runs the variants; the first finding ends all. One may fail that the other does not need:
        its error counts when nothing is found."""
        def run(variant):
            try:
                return self.fuzz(variant, seed)
            except Mistake as mistake:
                return mistake
        self.over, failed = False, None
        with ThreadPool(len(variants)) as pool:
            for result in pool.imap_unordered(run, variants):
                if isinstance(result, Finding):
                    self.over = True
                    stop_all()
                    return result
                failed = failed or result
        if failed:
            raise failed
        return None

    def host_tests(self, tests):
        """Runs the tests of tools/userspace/host that each host must pass."""
        library = tests.library("sanitized", "--tree", self.tree, "--skip-tests")
        tests.env["SOAK_SEED"] = str(self.seed)
        for name in ("rules", "memory", "soak"):
            code, text = tests.run(name, library, "sanitized", STEPS, logs=self.out)
            failed = re.findall(r"^test (\w+) \.\.\. FAILED", text, re.M)
            self.did(f"tests/{name}.rs: {text.count('... ok')} passed, "
                     f"{len(failed) or ('the program died' if code else 0)} failed")
            if code:
                return self.test_finding(name, failed, text, code == 124)
        return None

    def test_finding(self, name, failed, text, hangs=False):
        """Returns what a failed test says, or one that does not end."""
        ran = failed or re.findall(r"^test (\w+) \.\.\. ", text, re.M)[-1:]
        test = ran[0] if ran else name
        panic = re.search(r"panicked at .*\n((?:(?!note:|test |thread |\n).*\n){0,3})", text)
        report = re.search(r"AddressSanitizer: .*|R\d+: .*|warning: .*", text)
        words = report[0] if report else panic[1].strip() if panic else \
            "it does not end" if hangs else "it died"
        rules = rules_of(words)
        if not re.search(r"\bR\d+:|rule: \d", words):
            rules = list(filter(None, [rule_of_test(test)])) or rules
        return Finding(rules, f"{test}: {words}", f"tests/{name}.rs",
                       replay=f"the output is in {self.out / name}-sanitized.log")

    def vma_tests(self):
        """Runs the tree's own tests of mm/vma.c."""
        build = host_userspace.Build(self.tree)
        try:
            build.ensure_tested()
        except host_userspace.TestsFail as failure:
            self.did("tools/testing/vma of the tree: failed")
            return Finding([], str(failure).partition(" (--skip")[0], "vma-tests")
        self.did(f"tools/testing/vma of the tree: {read(build.tested).strip().splitlines()[-1]}")
        return None

    def user_space(self, tests, variants=VARIANTS):
        """Stage 1."""
        return self.random_steps(variants) or self.host_tests(tests) or self.vma_tests()

    def live(self):
        """Stage 2."""
        rmapctl = script_lines("rmapctl.sh")[-1]
        with judge_kernel.built(self.base, self.patch, self.out) as kernel:
            self.did(f"its User-Mode Linux kernel was built in {kernel.seconds:.0f} s: {kernel.what}")
            ran, failed = judge_kernel.live(kernel, rmapctl, self.seed, self.secs, self.out / "vm")
        self.did(f"live mappings: {len(ran)} tests passed: {', '.join(ran)}")
        if not failed:
            return None
        by, text, scenario = failed
        kept = Path(shutil.copy(scenario, self.out)) if scenario else None
        again = f"scripts/judge.py {self.source()} --stage 2 --secs {self.secs} --seed {self.seed}"
        if kept:
            again += ("; the scenario alone, until another kernel is judged: scripts/vm.py --target um "
                      f"--kernel {kernel.folder} --module {kernel.module} --file {rmapctl} --file {kept} -- "
                      "./rmapctl run failed.scn")
        return Finding(rules_of(text), text, by, kept, replay=again)

    def report(self, finding, seconds):
        """Writes out/judge/report.txt; returns the last line."""
        lines = ["What was judged:", f"  source  {self.base}"]
        lines += [f"  patch   {self.patch}"] if self.patch else []
        lines += [f"  seed    {self.seed}", "", "What was tried:", *(f"  {t}" for t in self.tried), ""]
        if finding:
            lines += [f"What was found, after {seconds:.0f} s:",
                      f"  by        {finding.by}",
                      f"  rule      {finding.rule} {rule_title(finding.rule)}".rstrip()
                      if finding.rule else "  rule      none that is known",
                      *(f"  {'what' if n == 0 else '':8}  {line}"
                        for n, line in enumerate(finding.lines()))]
            if finding.scenario:
                steps = f" ({finding.steps} steps)" if finding.steps else ""
                lines += [f"  scenario  {finding.scenario}{steps}"]
            lines += [f"  again     {finding.replay}"] if finding.replay else []
            lines += [""]
        verdict = finding.verdict() if finding else "judge: PASS"
        text = "\n".join([*lines, verdict]).replace(f"{TOP}/", "")
        (self.out / "report.txt").write_text(text + "\n", encoding="utf-8")
        write_json(self.out / "verdict.json", {
            "version": 1, "verdict": "FAIL" if finding else "PASS", "seed": self.seed,
            "seconds": round(seconds, 1), "tried": self.tried,
            "rules": finding.rules if finding else [],
            **{name: getattr(finding, name, "") for name in ("rule", "what", "by", "replay")},
            "scenario": str(finding.scenario) if finding and finding.scenario else "",
            "steps": finding.steps if finding else 0})
        return verdict


def main():
    parser = command_line(__doc__)
    parser.add_argument("--patch", type=Path, metavar="FILE", help="applied to a copy of the source")
    parser.add_argument("--tree", type=Path, help="the source (default: KDIR=, or the lab's)")
    parser.add_argument("--secs", type=fuzz.number, default=60, help="of each kind of random steps; 60")
    parser.add_argument("--seed", type=fuzz.number, default=random.getrandbits(31),
                        help="of the random steps (default: random, shown)")
    parser.add_argument("--stage", type=int, choices=(1, 2), help="this stage alone")
    parser.add_argument("--variant", choices=VARIANTS, help="of stage 1 (default: both)")
    parser.add_argument("--out", type=Path, default=OUT / "judge", help="results (out/judge)")
    args = parser.parse_args()
    begin = time.monotonic()
    if args.secs < 1:
        raise Mistake(f"--secs {args.secs}: at least 1")
    if args.stage != 1 and re.search(r'[\s,"]', str(args.out.resolve())):
        raise Mistake(f"--out {args.out}: a name that the command line of a kernel cannot hold")
    ensure_tools()
    if args.tree:
        os.environ["KDIR"] = str(args.tree)
    tree = Path(script_lines("source.sh")[-1])
    judge = Judge(tree, args.patch, args.seed, args.secs, args.out)
    if args.stage != 2:
        # A tree that stage 1 cannot compile is an error before an older result is removed.
        host_userspace.Build(judge.tree)
    empty(args.out, OUT / "judge", args.patch, tree)
    say(f"judge: seed {args.seed}, {tree}" + (f" with {args.patch}" if args.patch else ""))
    finding = None
    if args.stage != 2:
        variants = [args.variant] if args.variant else VARIANTS
        judge.compile(variants)
        tests, begin = host_test.Tests(None), time.monotonic()
        finding = judge.user_space(tests, variants)
    if args.stage != 1 and not finding:
        finding = judge.live()
    verdict = judge.report(finding, time.monotonic() - begin)
    say(f"{args.out / 'report.txt'} says what was tried.")
    say(verdict)
    return 1 if finding else 0


if __name__ == "__main__":
    program("error", main)

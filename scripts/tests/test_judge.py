# SPDX-License-Identifier: GPL-2.0
"""Tests what scripts/judge.py makes of its findings and of bad input, and that its copies of a
kernel leave the lab's as it is. Whether it notices broken hosts is tested by
scripts/judge_self_test.py."""

import os
import subprocess
import time

import pytest

import common
import judge
import judge_kernel
from common import SCRIPTS, Mistake, read_json, write_json

PATCH = "--- a/mm/x.c\n+++ b/mm/x.c\n@@ -1 +1 @@\n-old\n+new\n"


@pytest.mark.parametrize("text, rule", [
    ("R24: anon_vma 0: num_children 1, expected 2", "R24"),
    ("vma 4: reuse at fork (R23): host none, shadow number 1 of the parent", "R23"),
    ("R12 page_mapped before and after locking: violations=2", "R12"),
    ("warning: anon_vma_fork(): !__tree->root->rwsem.writers (mm/rmap.c:440)", "R29"),
    ("warning: unlink_anon_vmas(): !__tree->root->rwsem.writers (mm/rmap.c:500)", "R15"),
    ("WARNING: possible recursive locking detected", "R34"),
    ("2 locks are held after the operation", "R15"),
    ("anon_vma 2: refcount: host 1, shadow 2", "R16"),
    ("anon_vma_chain: 3 are in use, of {}", "R37"),
    ("anon_vma: 3 are in use, of {}", "R18"),
    ("warning: assert_sane_pgoff(): pgoff != vma->vm_start >> 12", "R41"),
    ("the host crashes: ERROR: AddressSanitizer: heap-use-after-free on address 0x6060", ""),
    ("the guest ended without a status", ""),
])
def test_the_rule_of_a_report(text, rule):
    assert judge.rules_of(text) == ([rule] if rule else [])


# As rust/snapshot/compare/ writes them; the rules are those of the table in Documentation/differences.rst.
@pytest.mark.parametrize("text, rules", [
    ("vma 11 (pid 41 a (b): c) [0x1000, 0x4000): range: host [0x1000, 0x2000), shadow [0x1000, 0x4000)", "R26 R41"),
    ("vma 13 (pid 42 child) [0x1000, 0x4000): pgoff: host 4, shadow 3", "R26 R41"),
    ("vma 13 (pid 42 child) [0x1000, 0x4000): anon_vma: should be anon_vma 1, is anon_vma 2", "R24 R27 R28"),
    ("vma 4 (pid 5 child) [0x1000, 0x4000): chain: host links 2 anon_vmas, shadow 1", "R21 R23 R25 R37"),
    ("vma 4 (pid 5 child) [0x1000, 0x4000): merge (R26): the host has merged vma 17 into it", "R26"),
    ("unknown vma 0 (pid 42 child) [0x1000, 0x4000): only the host has it", ""),
    ("anon_vma 3 (child of 2), the host's 1: root: should be anon_vma 1 (the host's 3), is anon_vma 2", "R14 R23"),
    ("anon_vma 6 (child of 4), the host's 6: parent: should be anon_vma 3, is anon_vma 4", "R14 R23"),
    ("anon_vma 1 (root), the host's 1: num_children: host 1, shadow 2", "R24 R33"),
    ("anon_vma 1 (root), the host's 1: num_active_vmas: host 1, shadow 2", "R24 R33"),
    ("anon_vma 1 (root), the host's 1: refcount: host 1, shadow 2", "R16 R18"),
    ("anon_vma 2 (child of 1), the host's 2: tree: host 2 VMAs, shadow 2: vma 12 is missing", "R21 R32"),
    ("anon_vma 2 (child of 1), the host's 2: foreign VMAs: host 0, shadow 1", "R21 R32"),
    ("anon_vma 4 (child of 2): only the shadow has it", "R27 R18"),
    ("page 1 (index 7): anon_vma: should be anon_vma 1 (the host's 3), is anon_vma 2", "R19 R20"),
    ("page 1 (index 7): index: host 0, shadow 7", "R41"),
    ("page 1 (index 7): mapcount: host 3, shadow 2", "R3"),
    ("the host's page 2 (index 2): only the host has it", "R3 R41"),
    ("page 2 (index 1): found by a walk: host 2 VMAs, shadow 0: vma 12 is missing", "R21 R32 R35"),
    ("the host's page 2 (index 1): mapped by: host 2 VMAs, shadow 3; found by a walk: host 2 VMAs, shadow 0",
     "R3 R21 R32 R35"),
])
def test_the_rules_of_a_line(text, rules):
    assert judge.rules_of(text) == sorted(rules.split(), key=lambda rule: rule in judge.CONSEQUENCES)


def test_a_warning_is_about_the_same_rule_everywhere():
    table = judge.conditions()
    assert len(table) >= 7 and ("num_children", "R24") in table
    for part, rule in table:
        assert judge.rules_of(f"warning: f(): {part} (/x/anon_vma/refcount.c:1)") == [rule]
        # The kernel's own words lead to the same rule, or to none.
        assert set(judge.rules_of(f"WARNING: {part}")) <= {rule}
    assert judge.rules_of("warning: unlink_anon_vmas(): x (/anon_vma/rmap.c:1)") == []


def test_the_cause_comes_before_its_consequences():
    assert judge.rules_of("the host: page 0: mapping leads to no anon_vma; also R21: the host: no",
                          "R18") == ["R21", "R18"]
    assert judge.rules_of("Violation { rule: 18, what: }, Violation { rule: 21, what: }") == \
        ["R21", "R18"]
    assert judge.rules_of("anon_vma_chain: 3 are in use", "R18") == ["R37"]
    assert judge.rules_of("warning: __anon_vma_prepare(): !__tree->root->rwsem.writers", "R15") == \
        ["R29"]
    assert judge.rules_of("VMAs: only the host has process 1 9..11", "R32") == ["R26"]
    assert judge.rules_of("page 1: tag 0", "R1") == ["R1"]


def test_a_choice_is_about_the_rule_that_makes_it():
    text = "VMA 1..2: the chain is [1, 0] on the host, [2, 1, 0] by the rules; also R26: VMA 1..2: " \
        "->anon_vma is Some(1) on the host, Some(2) by the rules"
    assert judge.rules_of(text, "R21", "fork 1") == ["R24", "R26"]
    assert judge.rules_of(text, "R21", "write 1 27") == ["R27", "R26"]
    assert judge.rules_of(text, "R21", "map 1 2 3 rw") == ["R21", "R26"]


def test_the_rule_of_a_test():
    assert judge.rule_of_test("a_failed_merge_leaves_no_pointer") == "R37"
    assert judge.rule_of_test("a_write_copies_a_shared_page_and_moves_the_last") == "R19"
    assert judge.rule_of_test("a_sealed_mapping_stays") == ""
    assert judge.rule_of_test("no_such_test") == ""


def test_the_last_line():
    finding = judge.Finding(["R21"], "vma 4:\n  no link " + "x" * 300, "random steps, plain")
    assert finding.verdict().startswith("judge: FAIL R21 vma 4: no link xxx")
    assert "\n" not in finding.verdict() and len(finding.verdict()) < 230
    assert judge.Finding(["R3"], "R3: page 1", "x").verdict() == "judge: FAIL R3 page 1"
    assert judge.Finding([], "1 of 26 failed", "vma-tests").verdict() == \
        "judge: FAIL vma-tests 1 of 26 failed"
    assert judge.Finding([], "no boot", "the guest").verdict() == "judge: FAIL the-guest no boot"


@pytest.fixture(name="judged")
def fixture_judged(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    return judge.Judge(tmp_path / "tree", None, 7, 5, out)


def test_a_report(judged):
    judged.did("1000 steps")
    finding = judge.Finding(["R21"], "one\ntwo; also R3: three", "random steps, plain", judged.out / "a.scn", 4,
                            "do it again")
    assert judged.report(finding, 3).startswith("judge: FAIL R21 one two; also R3: three")
    text = (judged.out / "report.txt").read_text()
    for part in ("seed    7", "  1000 steps", "R21 every VMA mapping a page is linked to it",
                 "a.scn (4 steps)", "again     do it again", "\n            R3: three\n"):
        assert part in text
    assert text.splitlines()[-1] == "judge: FAIL R21 one two; also R3: three"
    result = read_json(judged.out / "verdict.json")
    assert result["verdict"] == "FAIL" and result["rule"] == "R21" and result["steps"] == 4
    assert judged.report(None, 3) == "judge: PASS"
    assert read_json(judged.out / "verdict.json")["verdict"] == "PASS"


def test_a_failed_test_names_its_rule(judged):
    panic = "thread 'x' panicked at tests/memory.rs:1:2:\n{}\ntest x ... FAILED\n"
    finding = judged.test_finding("memory", ["a_failed_merge_leaves_no_pointer"],
                                  panic.format("R33: vma 1: anon_vma Some(0), chain []"))
    assert finding.rule == "R33" and finding.what.startswith("a_failed_merge_leaves_no_pointer: R33")
    finding = judged.test_finding("memory", ["a_failed_merge_leaves_no_pointer"],
                                  panic.format("assertion failed: host.ok"))
    assert finding.rule == "R37" and "assertion failed" in finding.what
    crash = "test a_move_keeps_the_index ... ==1==ERROR: AddressSanitizer: heap-use-after-free\n"
    finding = judged.test_finding("rules", [], crash)
    assert finding.rule == "R41" and "use-after-free" in finding.what
    finding = judged.test_finding("rules", [], "test a_move_keeps_the_index ... \n", hangs=True)
    assert finding.what == "a_move_keeps_the_index: it does not end"


def test_a_test_that_does_not_end(tmp_path, monkeypatch):
    program = tmp_path / "rules"
    monkeypatch.setattr(judge.host_test, "LONGEST", 1)
    monkeypatch.setattr(judge.host_test.host_program, "environment", lambda *_, **__: {})
    tests = judge.host_test.Tests.__new__(judge.host_test.Tests)
    tests.env, tests.programs = dict(os.environ), {"rules": program}

    def ends(command):
        program.write_text(f"#!/bin/sh\necho test a ... \n{command}\n")
        program.chmod(0o755)
        return tests.run("rules", None, "plain", 1, logs=tmp_path)
    assert ends("sleep 300") == (124, "test a ...\n") and not common.RUNNING
    assert ends("exit 101")[0] == 101
    with pytest.raises(Mistake, match="rules over the plain host was killed"):
        ends("kill -KILL $$")


def test_a_failure_of_the_trees_own_tests(judged, monkeypatch):
    def fails(kind, text):
        def ensure_tested(_self):
            raise kind(text)
        monkeypatch.setattr(judge.host_userspace.Build, "ensure_tested", ensure_tested)
    monkeypatch.setattr(judge.host_userspace.Build, "__init__", lambda *_: None)
    fails(judge.host_userspace.TestsFail,
          "tools/testing/vma of this tree fails: 26 tests run, 1 failed (--skip-tests ...)")
    assert judged.vma_tests().verdict() == \
        "judge: FAIL vma-tests tools/testing/vma of this tree fails: 26 tests run, 1 failed"
    # That they cannot be compiled is no finding.
    fails(Mistake, "the compiler failed")
    with pytest.raises(Mistake, match="the compiler failed"):
        judged.vma_tests()


def fuzzed(judged, monkeypatch, code, differences):
    """Runs the random steps with a scripts/fuzz.py that ends like this."""
    def ends(command, *_, **__):
        out = command[command.index("--out") + 1]
        write_json(out / "fuzz.json", {"steps": 99, "differences": differences})
        for name in ("1-r21.scn", "1-r21.steps"):
            (out / name).write_text("touch\n")
        return code, "compiling\nerror: no host"
    monkeypatch.setattr(judge, "stream", ends)
    return judged.random_steps(["plain"])


def test_a_difference_of_the_random_steps(judged, monkeypatch):
    found = {"rule": "R21", "words": "R21: vma 1 has no link", "steps": ["a", "b"],
             "scenario": "1-r21.scn"}
    finding = fuzzed(judged, monkeypatch, 1, [found])
    assert (finding.rule, finding.steps, finding.by) == ("R21", 2, "random steps, plain")
    assert finding.scenario == judged.out / "7-r21.scn" and finding.scenario.is_file()
    assert finding.replay.endswith(f"--replay {judged.out / '7-r21.steps'}")
    assert (judged.out / "7-r21.steps").is_file()
    crash = found | {"rule": None, "words": "refcount of anon_vma 1: host 2, shadow 1"}
    assert fuzzed(judged, monkeypatch, 1, [crash]).rule == "R16"
    assert fuzzed(judged, monkeypatch, 0, []) is None
    assert judged.tried[-1].startswith("plain: 99 random steps beside the shadow, seed 7: no diff")
    with pytest.raises(Mistake, match="fuzz.py failed.*no host"):
        fuzzed(judged, monkeypatch, 2, [])
    with pytest.raises(Mistake, match="fuzz.py failed"):
        fuzzed(judged, monkeypatch, 1, [])


def test_a_crash_is_followed_by_other_seeds(judged, monkeypatch):
    crash, seeds = judge.Finding([], "the host crashes: AddressSanitizer", "random steps, plain"), []
    named = judge.Finding(["R21"], "R21: no link", "random steps, plain")
    monkeypatch.setattr(judge.Judge, "fuzz", lambda _self, _variant, seed: (
        seeds.append(seed), {7: crash, 8: None, 9: named}.get(seed))[1])
    assert judged.random_steps(["plain"]) is named and seeds == [7, 8, 9]
    # What names a rule needs no other, and a crash stays one where no seed names a rule.
    monkeypatch.setattr(judge.Judge, "fuzz", lambda *_: named)
    assert judged.random_steps(["plain"]) is named
    monkeypatch.setattr(judge.Judge, "fuzz", lambda _self, _variant, seed: (
        seeds.append(seed), crash)[1])
    assert judged.random_steps(["plain"]) is crash and seeds[3:] == [7, 8, 9, 10]


def test_a_finding_stays_one_when_another_run_fails(judged, monkeypatch):
    crash = judge.Finding([], "the host crashes: AddressSanitizer", "random steps, plain")

    def fuzz(_self, variant, seed):
        if (variant, seed) == ("plain", 7):
            return crash
        raise Mistake("no memory")
    monkeypatch.setattr(judge.Judge, "fuzz", fuzz)
    monkeypatch.setattr(judge, "stop_all", lambda: None)
    for variants in (["plain"], ["plain", "sanitized"], ["sanitized", "plain"]):
        assert judged.random_steps(variants) is crash
        assert judged.tried[-1] == "seed 8: no memory"
    with pytest.raises(Mistake, match="no memory"):
        judged.random_steps(["sanitized"])


def guest(out, tests, said="", **result):
    out.mkdir(exist_ok=True)
    (out / "tests.txt").write_text(tests)
    (out / "said.txt").write_text(said)
    write_json(out / "vm.json", {"exit": 0, "reason": "exit", "text": "exit status 0", "splats": []}
               | result)
    return judge_kernel.judge_guest(out)


def test_the_results_of_a_guest(tmp_path):
    out, splat = tmp_path / "vm", {"splats": [{"name": "WARNING", "line": "WARNING: mm/rmap.c:5"}]}
    good = "ok: the module loads\nok: a.scn\ntests: done\n"
    assert guest(out, good) == (["the module loads", "a.scn"], None)
    assert guest(out, good, reason="splat", exit=3, **splat)[1] == \
        ("the kernel", "WARNING: mm/rmap.c:5", None)
    # It ended too early, or left nothing.
    assert guest(out, "ok: a.scn\n")[1][0] == "the guest"
    for reason in ("time-limit", "boot", "died"):
        assert guest(out, good, reason=reason, exit=124, text="too long")[1][:2] == \
            ("the guest", "too long")
    # Nothing was run: that is about this machine.
    with pytest.raises(Mistake, match="no guest was run: no image"):
        guest(out, "", reason="setup", text="no image")
    (out / "vm.json").unlink()
    with pytest.raises(Mistake, match="vm.py left no result"):
        judge_kernel.judge_guest(out)
    bad = "ok: a.scn\nnot ok: b.scn: exit status 1: check: differences=1\ntests: done\n"
    (out / "failed.scn").touch()
    said = "check: vmas=1\n  vma 3 (pid 5 main): chain: host links 1\nb.scn:4: check: differences=1\n"
    assert guest(out, bad, said, reason="splat", exit=3, **splat)[1] == \
        ("b.scn", "vma 3 (pid 5 main): chain: host links 1", out / "failed.scn")
    assert guest(out, bad, "some words\n")[1][1] == "some words"
    for line in ("the host's page 1 (index 3): only the host has it", "host: 4 VMAs that it has removed without",
                 "unknown vma 0 (pid 42 child) [0x1, 0x2): only the host has it"):
        assert guest(out, bad, f"check: vmas=1\n  {line}\nb.scn:4: check: differences=1\n")[1][1] == line
    # What host/check finds, without the words in front of the rule.
    said = "host check\nviolation of R24: pid 5 sh [0x5000, 0x6000): num_children is 3\nhost check: violations=1\n"
    assert guest(out, bad, said)[1][1] == "R24: pid 5 sh [0x5000, 0x6000): num_children is 3"


def test_a_guest_that_ends_early_is_no_finding_by_itself(tmp_path, monkeypatch):
    early, late, passed = ("the guest", "no boot", None), ("a.scn", "R21: no link", None), None
    kernel = type("Kernel", (), {"sound": lambda _self: "sound"})()
    booted = []

    def live(*ends):
        """Runs guests that end like this."""
        booted.clear()
        ends = iter(ends)
        monkeypatch.setattr(judge_kernel, "boot", lambda kernel, *_: (
            booted.append(kernel), ([], next(ends)))[1])
        return judge_kernel.live(kernel, "rmapctl", 1, 1, tmp_path / "vm")[1]
    assert live(late) == late and live(passed) is None and booted == [kernel]
    assert live(early, late) == late
    assert live(early, early, passed) == early and booted == [kernel, kernel, "sound"]
    with pytest.raises(Mistake, match="not a second time: no boot"):
        live(early, passed)
    with pytest.raises(Mistake, match="does not run here either: no boot"):
        live(early, early, early)


def test_a_kernel_that_is_not_in_doubt(tmp_path, monkeypatch):
    for name in ("copy_source", "copy_build"):
        monkeypatch.setattr(judge_kernel, name, lambda *_: None)
    monkeypatch.setattr(judge_kernel, "TOP", tmp_path)
    monkeypatch.setattr(judge_kernel, "make", lambda *_: ["mm/rmap.o"])
    monkeypatch.setattr(judge_kernel, "kernel_folder", lambda _: "/in-doubt")
    monkeypatch.setattr(judge_kernel, "modules", lambda _, KDIR, VARIANT: (
        place.mkdir(parents=True, exist_ok=True), {"shadow_rmap": f"{KDIR}/{VARIANT}.ko"})[1])
    monkeypatch.setattr(judge_kernel, "script_lines", lambda *_, **env: ["/lab" if env == {
        "KDIR": "", "KERNEL_TARBALL": ""} else "/other"])
    monkeypatch.delenv("KDIR", raising=False)
    place, header, code = tmp_path / "build/um-judge", tmp_path / "h.patch", tmp_path / "c.patch"
    header.write_text("--- a/mm/vma.h\n+++ b/mm/vma.h\n")
    code.write_text("--- a/mm/vma.c\n+++ b/mm/vma.c\n")
    changed = judge_kernel.FOLDER / "build"
    for patch, folder, headers, sound in ((header, changed, changed, "/in-doubt"),
                                          (code, changed, "/in-doubt", "/in-doubt"),
                                          (None, "/in-doubt", "/in-doubt", "/lab")):
        place.mkdir(parents=True, exist_ok=True)
        kernel = judge_kernel.Kernel(tmp_path, patch, tmp_path)
        assert (str(kernel.folder), kernel.module) == (str(folder), f"{headers}/judge.ko")
        place.mkdir(parents=True, exist_ok=True)
        other = kernel.sound()
        assert (str(other.folder), other.module) == (sound, f"{sound}/judge.ko")


def test_a_module_is_kept_for_the_same_headers(tmp_path, monkeypatch):
    place = tmp_path / "build/um-judge"
    monkeypatch.setattr(judge_kernel, "TOP", tmp_path)
    monkeypatch.setattr(judge_kernel, "modules", lambda *_, **__: (
        place.mkdir(parents=True, exist_ok=True), {"shadow_rmap": place / "x.ko"})[1])
    for folder, keep, kept in (("/a", True, False), ("/a", True, True), ("/b", True, False),
                               ("/b", False, False), ("/b", True, False), ("/b", True, True)):
        judge_kernel.module(folder, keep=keep)
        assert (place / "object").exists() is kept, folder
        (place / "object").touch()


def test_a_copy_leaves_the_source_as_it_is(tmp_path):
    tree, patch, copy = tmp_path / "tree", tmp_path / "x.patch", tmp_path / "copy"
    (tree / "mm").mkdir(parents=True)
    (tree / "mm/x.c").write_text("old\n")
    (tree / "mm/y.c").write_text("same\n")
    patch.write_text(PATCH)
    for _ in range(2):
        judge_kernel.copy_source(tree, patch, copy)
        assert (tree / "mm/x.c").read_text() == "old\n"
        assert (copy / "mm/x.c").read_text() == "new\n"
        assert (copy / "mm/y.c").samefile(tree / "mm/y.c")
    patch.write_text(PATCH.replace("-old", "-other"))
    with pytest.raises(Mistake, match="does not apply"):
        judge_kernel.copy_source(tree, patch, copy)


def test_a_copied_build_belongs_to_the_copied_source(tmp_path):
    build, tree = tmp_path / "build", tmp_path / "tree"
    build.mkdir()
    (build / "source").symlink_to(tree)
    (build / ".x.o.cmd").write_text(f"savedcmd_x.o := gcc -I{tree}/include -o x.o {tree}/x.c\n")
    (build / "x.o").write_text(f"object of {tree}")
    for path in build.glob("*.*"):
        os.utime(path, (time.time() - 1000,) * 2)
    to, source = tmp_path / "judge/build", tmp_path / "judge/source"
    to.parent.mkdir()
    judge_kernel.copy_build(build, tree, to, source)
    assert (to / ".x.o.cmd").read_text() == \
        f"savedcmd_x.o := gcc -I{source}/include -o x.o {source}/x.c\n"
    assert (to / "x.o").read_text() == f"object of {tree}"
    assert os.readlink(to / "source") == str(source) and os.readlink(build / "source") == str(tree)
    for name in (".x.o.cmd", "x.o"):
        assert (to / name).stat().st_mtime_ns == (build / name).stat().st_mtime_ns


def run(*words, **env):
    done = subprocess.run([SCRIPTS / "judge.py", *words], capture_output=True, text=True, check=False,
                          env=os.environ | env)
    return done.returncode, done.stderr.strip().splitlines()[-1]


def test_bad_input(tmp_path):
    out = ("--out", tmp_path / "out")
    (tmp_path / "x.patch").write_text(PATCH.replace("x.c", "rmap.c"))
    code, text = run("--patch", tmp_path / "x.patch", *out)
    assert code == 2 and text.startswith("error: ") and "does not apply" in text
    code, text = run("--patch", tmp_path / "none.patch", *out)
    assert code == 2 and "No such file" in text
    code, text = run("--tree", tmp_path, *out)
    assert code == 2 and text.startswith("error: scripts/source.sh")
    (tmp_path / "old/mm").mkdir(parents=True)
    (tmp_path / "old/mm/rmap.c").touch()
    code, text = run("--tree", tmp_path / "old", "--stage", "1", *out)
    assert code == 2 and "has no tools/testing/vma/vma_internal.h" in text
    assert run("--secs", "0", *out)[0] == 2
    code, text = run("--patch", tmp_path / "x.patch", "--out", tmp_path / "my out")
    assert code == 2 and "a name that the command line of a kernel cannot hold" in text


def test_bad_input_removes_nothing(tmp_path):
    out, patch = tmp_path / "out", tmp_path / "x.patch"
    judge.empty(out, tmp_path)
    (out / "report.txt").touch()
    patch.write_text(PATCH.replace("x.c", "rmap.c"))
    for stage in "12":
        assert run("--stage", stage, "--patch", patch, "--out", out)[0] == 2
        assert (out / "report.txt").exists()

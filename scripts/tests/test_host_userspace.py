# SPDX-License-Identifier: GPL-2.0
"""Tests how scripts/c_text.py finds definitions, and what scripts/host_userspace.py says of a tree
that it cannot compile."""

import subprocess
from pathlib import Path

import pytest

import c_text
import host_program
import host_userspace
from common import SCRIPTS, Mistake, script_lines

SOURCE = r'''
#include <linux/list.h>
#include <linux/mm.h>

static struct cache *cachep;	/* not { a definition */

#define EACH(x)		\
	for (;;) { (x)++; }

static inline int first(int a);

INTERVAL_TREE_DEFINE(struct node, rb, long, last,
		     start, end, static, my_tree)

/* Text with a brace: { and "quotes" */
static __always_inline int first(int a)
{
	const char *s = "}";	// and }

	if (a == '{')
		return 1;
	return *s;
}

struct pair {
	int a;
	struct { int b; } inner;
} __randomize_layout;

static const struct ops table = {
	.call = first,
};

#ifdef CONFIG_X
void second(void)
{
}
#else
void second(void) { }
#endif
EXPORT_SYMBOL(second);

int __printf(1, 2) third(const char *format, ...)
{
	return 0;
}
'''


@pytest.fixture(name="file")
def fixture_file(tmp_path):
    path = tmp_path / "file.c"
    path.write_text(SOURCE)
    return c_text.CFile(path, "mm/file.c")


def test_definitions_are_found_by_name(file):
    assert [d.name for d in file.definitions] == ["my_tree", "first", "pair", "second", "second",
                                                  "third"]
    text = file.cut("third", "first")
    assert text.index("first(int a)\n{") < text.index("third(")
    assert "return *s;\n}" in text and "struct pair" not in text
    line = SOURCE.split("\n").index("static __always_inline int first(int a)") + 1
    assert f'#line {line} "' in text
    assert file.cut("pair").rstrip().endswith("} __randomize_layout;")
    assert file.cut("my_tree").rstrip().endswith("static, my_tree)")
    assert file.macros("EACH").rstrip().endswith("{ (x)++; }")


def test_ranges_have_what_is_between(file):
    text = file.between("pair", "second")
    assert "table = {" in text and text.rstrip().endswith("void second(void) { }")
    assert file.after_includes("first").count("cachep") == 1
    with pytest.raises(Mistake, match="before"):
        file.between("third", "first")


def test_removal_keeps_the_lines(file):
    text = file.without("first", "second", fields={"pair": "int extra;"})
    assert "return *s" not in text and "second(void)" not in text
    assert "struct pair { int extra;" in text
    assert text.count("\n") == SOURCE.count("\n") + 1


def test_a_name_that_is_missing(file):
    with pytest.raises(Mistake, match=r"mm/file.c of this tree has no fourth\(\)"):
        file.cut("fourth")
    with pytest.raises(Mistake, match="no macro OTHER"):
        file.macros("OTHER")


def patched(tmp_path, name, old, new):
    """Returns a patch of the lab's source that replaces a line."""
    lines = (script_source() / name).read_text().splitlines(keepends=True)
    at = [number for number, line in enumerate(lines) if line == old + "\n"]
    assert len(at) == 1, f"{name} has {len(at)} lines {old!r}"
    patch = tmp_path / "change.patch"
    patch.write_text(f"--- a/{name}\n+++ b/{name}\n@@ -{at[0] + 1} +{at[0] + 1} @@\n"
                     f"-{old}\n+{new}\n")
    return patch


def script_source():
    return Path(script_lines("source.sh")[-1])


def run(*options):
    done = subprocess.run([SCRIPTS / "host_userspace.py", "--variant", "plain", "--skip-tests",
                           *options], capture_output=True, text=True, check=False)
    return done.returncode, done.stderr.strip().splitlines()[-1]


def test_a_tree_without_a_function(tmp_path):
    patch = patched(tmp_path, "mm/rmap.c",
                    "int anon_vma_clone(struct vm_area_struct *dst, struct vm_area_struct *src,",
                    "int anon_vma_copy(struct vm_area_struct *dst, struct vm_area_struct *src,")
    assert run("--patch", patch) == (2,
                                       "error: mm/rmap.c of this tree has no anon_vma_clone()")


def test_a_function_that_does_not_compile(tmp_path):
    patch = patched(tmp_path, "mm/rmap.c", "	get_anon_vma(anon_vma->root);",
                    "	get_anon_vma_of(anon_vma->root);")
    code, text = run("--patch", patch)
    assert code == 2 and "anon_vma_fork() of mm/rmap.c, line " in text and "get_anon_vma_of" in text


def test_what_is_no_tree_and_no_patch(tmp_path):
    code, text = run("--tree", tmp_path)
    assert code == 2 and "has no tools/testing/vma/vma_internal.h: " in text
    code, text = run("--patch", tmp_path / "none.patch")
    assert code == 2 and "No such file" in text
    (tmp_path / "bad.patch").write_text("--- a/mm/rmap.c\n+++ b/mm/rmap.c\n@@ -1 +1 @@\n-x\n+y\n")
    code, text = run("--patch", tmp_path / "bad.patch")
    assert code == 2 and "does not apply" in text


@pytest.fixture(name="build")
def fixture_build(tmp_path, monkeypatch):
    """Returns a Build whose results are empty files, but for the tests of the tree."""
    made = host_userspace.Build(script_source())
    made.folder, made.common, made.tested = tmp_path / "a", tmp_path / "b", tmp_path / "tested"
    monkeypatch.setattr(made, "_build", lambda _variant, path: path.touch())
    return made


def test_tests_that_were_left_out_run_later(build, monkeypatch):
    ran = []
    monkeypatch.setattr(build, "ensure_tested", lambda: ran.append(1))
    build.skip_tests = True
    path = build.library("plain")
    assert path.is_file() and not ran
    build.skip_tests = False
    assert build.library("plain") == path and ran


@pytest.mark.parametrize("command, kind, text", [
    ("echo 3 tests run, 3 passed, 0 failed.", None, ""),
    ("echo 3 tests run, 2 passed, 1 failed.; exit 1", host_userspace.TestsFail, "2 passed, 1 failed"),
    ("echo 0 tests run, 0 passed, 0 failed.", host_userspace.TestsFail, "0 tests run"),
    ("kill -SEGV $$", host_userspace.TestsFail, "exit status -11"),
    ("sleep 300", host_userspace.TestsFail, "no end in 1 s"),
    ("kill -KILL $$", Mistake, "was killed")])
def test_how_the_tests_of_a_tree_end(build, monkeypatch, command, kind, text):
    build.folder.mkdir()
    (build.folder / "vma").write_text(f"#!/bin/sh\n{command}\n")
    (build.folder / "vma").chmod(0o755)
    monkeypatch.setattr(build, "compile", lambda *_: [])
    monkeypatch.setattr(host_userspace, "link", lambda _: None)
    monkeypatch.setattr(host_userspace, "OWN_TESTS", 1)
    if not kind:
        build.own_tests()
        assert build.tested.read_text() == "3 tests run, 3 passed, 0 failed.\n"
        return
    with pytest.raises(Mistake, match=text) as caught:
        build.own_tests()
    assert caught.type is kind and not build.tested.exists()


def test_a_compiler_that_is_not_there_is_named(monkeypatch):
    """scripts/setup.sh may find its package installed, and the program is still not in PATH."""
    calls = []
    monkeypatch.setattr(host_program.shutil, "which", lambda name: None if name == "gcc" else f"/bin/{name}")
    monkeypatch.setattr(host_program.subprocess, "run", lambda command, **_: calls.append(Path(command[0]).name))
    with pytest.raises(Mistake, match="has not installed gcc"):
        host_program.ensure_tools()
    assert calls == ["setup.sh"]


def test_nothing_is_installed_where_all_is_there(monkeypatch):
    monkeypatch.setattr(host_program, "missing_tools", lambda: [])
    monkeypatch.setattr(host_program.subprocess, "run", None)
    host_program.ensure_tools()

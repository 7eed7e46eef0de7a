# SPDX-License-Identifier: GPL-2.0
"""Tests how scripts/c_text.py finds definitions, and what scripts/host_userspace.py says of a tree
that it cannot compile."""

import subprocess
from pathlib import Path

import pytest

import c_text
import host_userspace
import patches
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


def build(*options):
    done = subprocess.run([SCRIPTS / "host_userspace.py", "--variant", "plain", "--skip-tests",
                           *options], capture_output=True, text=True, check=False)
    return done.returncode, done.stderr.strip().splitlines()[-1]


def test_a_tree_without_a_function(tmp_path):
    patch = patched(tmp_path, "mm/rmap.c",
                    "int anon_vma_clone(struct vm_area_struct *dst, struct vm_area_struct *src,",
                    "int anon_vma_copy(struct vm_area_struct *dst, struct vm_area_struct *src,")
    assert build("--patch", patch) == (1,
                                       "error: mm/rmap.c of this tree has no anon_vma_clone()")


def test_a_function_that_does_not_compile(tmp_path):
    patch = patched(tmp_path, "mm/rmap.c", "	get_anon_vma(anon_vma->root);",
                    "	get_anon_vma_of(anon_vma->root);")
    code, text = build("--patch", patch)
    assert code == 1 and "anon_vma_fork() of mm/rmap.c, line " in text and "get_anon_vma_of" in text


def test_what_is_no_tree_and_no_patch(tmp_path):
    code, text = build("--tree", tmp_path)
    assert code == 1 and "has no tools/testing/vma/vma_internal.h: " in text
    code, text = build("--patch", tmp_path / "none.patch")
    assert code == 1 and "No such file" in text
    (tmp_path / "bad.patch").write_text("--- a/mm/rmap.c\n+++ b/mm/rmap.c\n@@ -1 +1 @@\n-x\n+y\n")
    code, text = build("--patch", tmp_path / "bad.patch")
    assert code == 1 and "does not apply" in text


def test_a_tree_that_has_changed_is_copied_again(tmp_path, monkeypatch):
    tree, patch = tmp_path / "tree", tmp_path / "change.patch"
    monkeypatch.setattr(patches, "CACHE", tmp_path / "cache")
    for folder in host_userspace.LINKED:
        (tree / folder).mkdir(parents=True, exist_ok=True)
    patch.write_text("--- a/mm/x.c\n+++ b/mm/x.c\n@@ -2 +2 @@\n-b\n+c\n")
    for first in ("old", "new"):
        (tree / "mm/x.c").write_text(f"{first}\nb\n")
        copy = patches.patched(tree, patch, host_userspace.LINKED)
        assert (copy / "mm/x.c").read_text() == f"{first}\nc\n"

# SPDX-License-Identifier: GPL-2.0
"""Tests of scripts/patches.py: what a copy of a tree with a patch has."""

from multiprocessing.pool import ThreadPool

import pytest

import patches
from common import Mistake

FOLDERS = ("include", "mm")
HUNK = "@@ -1 +1 @@\n-old\n+new\n"


@pytest.fixture(name="tree")
def fixture_tree(tmp_path, monkeypatch):
    monkeypatch.setattr(patches, "CACHE", tmp_path / "cache")
    tree = tmp_path / "tree"
    for name, text in (("mm/x.c", "old\n"), ("mm/y.c", "same\n"), ("include/x.h", "x\n")):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    return tree


def patched(tree, text):
    patch = tree.with_name("change.patch")
    patch.write_text(text)
    return patches.patched(tree, patch, FOLDERS)


@pytest.mark.parametrize("head", [
    "--- a/mm/x.c\n+++ b/mm/x.c\n",
    "--- a/mm/x.c~a-name\n+++ a/mm/x.c\n",
    "--- linux.orig/mm/x.c\t2026-01-01 00:00:00\n+++ linux/mm/x.c\t2026-01-02 00:00:00\n",
    "Index: linux/mm/x.c\n===\n--- linux.orig/mm/x.c\n+++ linux/mm/x.c\n",
    "diff --git a/mm/x.c b/mm/x.c\nindex 1..2 100644\n--- a/mm/x.c\n+++ b/mm/x.c\n",
])
def test_the_forms_of_a_patch(tree, head):
    copy = patched(tree, head + HUNK)
    assert (copy / "mm/x.c").read_text() == "new\n" and (tree / "mm/x.c").read_text() == "old\n"
    assert (copy / "mm/y.c").resolve() == tree / "mm/y.c"


def test_a_file_that_a_patch_adds(tree):
    copy = patched(tree, "--- /dev/null\n+++ b/mm/z.h\n@@ -0,0 +1 @@\n+new\n")
    assert (copy / "mm/z.h").read_text() == "new\n" and not (tree / "mm/z.h").exists()


@pytest.mark.parametrize("head, alone", [
    ("--- a/mm/x.c\n+++ b/mm/x.c\n", True),
    ("--- a/mm/x.c\n+++ b/mm/x.c\n" + HUNK + "--- a/mm/vma.h\n+++ b/mm/vma.h\n", False),
    ("--- /dev/null\n+++ b/mm/z.h\n", False), ("--- a/mm/z.h\n+++ /dev/null\n", False),
    ("--- a/mm/Kconfig\n+++ b/mm/Kconfig\n", False), ("no patch\n", False)])
def test_whether_a_patch_changes_a_header(tmp_path, head, alone):
    patch = tmp_path / "change.patch"
    patch.write_text(head + HUNK)
    assert patches.changes_c_alone(patch) is alone


def test_nothing_outside_of_a_tree_is_taken_for_a_part_of_it(tree):
    (tree.parent / "other.c").write_text("old\n")
    with pytest.raises(Mistake, match="does not apply"):
        patched(tree, f"--- a/../other.c\n+++ b/../other.c\n{HUNK}")
    assert (tree.parent / "other.c").read_text() == "old\n"


def test_a_changed_tree_is_copied_again(tree):
    change = "--- a/mm/x.c\n+++ b/mm/x.c\n" + HUNK
    first = patched(tree, change)
    assert patched(tree, change) == first
    (tree / "mm/added.h").write_text("added\n")
    assert (patched(tree, change) / "mm/added.h").read_text() == "added\n"
    (tree / "mm/y.c").unlink()
    assert not (patched(tree, change) / "mm/y.c").exists()


def test_two_copies_at_the_same_time(tree):
    patch = tree.with_name("change.patch")
    patch.write_text("--- a/mm/x.c\n+++ b/mm/x.c\n" + HUNK)
    with ThreadPool(4) as pool:
        copies = pool.map(lambda _: (patches.patched(tree, patch, FOLDERS) / "mm/x.c").read_text(),
                          range(8), chunksize=1)
    assert copies == ["new\n"] * 8

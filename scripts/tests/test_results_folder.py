# SPDX-License-Identifier: GPL-2.0
"""Tests of scripts/results_folder.py: what it removes, and what it leaves."""

import pytest

from common import Mistake
from results_folder import empty


def test_results_are_replaced(tmp_path):
    own, other = tmp_path / "out/own", tmp_path / "other"
    own.mkdir(parents=True)
    for folder in (own, other):
        for _ in range(2):
            empty(folder, own)
            assert not [path for path in folder.iterdir() if path.name != ".results"]
            (folder / "report.txt").touch()


def test_no_folder_of_others_is_emptied(tmp_path):
    own = tmp_path / "out/own"
    (tmp_path / "out/other").mkdir(parents=True)
    (tmp_path / "out/other/mine.scn").touch()
    for folder in (tmp_path / "out", tmp_path / "out/other", tmp_path / "out/other/mine.scn"):
        with pytest.raises(Mistake, match="it is not an empty folder"):
            empty(folder, own)
    assert (tmp_path / "out/other/mine.scn").exists()


def test_what_is_needed_stays(tmp_path):
    patch = tmp_path / "own/run/x.patch"
    patch.parent.mkdir(parents=True)
    patch.touch()
    with pytest.raises(Mistake, match="x.patch: it is in the folder of --out"):
        empty(tmp_path / "own", tmp_path / "own", None, patch)
    assert patch.exists()
    empty(tmp_path / "own", tmp_path / "own", None, tmp_path / "x.patch")
    assert not patch.exists()

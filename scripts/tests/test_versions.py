# SPDX-License-Identifier: GPL-2.0
"""Tests what scripts/test.py runs with which version of the kernel."""

import pytest

import versions
from common import Mistake
from steps import ALONE, STEPS


def test_version_of_a_source(tmp_path):
    (tmp_path / "Makefile").write_text("VERSION = 7\nPATCHLEVEL = 2\nSUBLEVEL = 12\n")
    assert versions.version_of(tmp_path) == "7.2"
    (tmp_path / "Makefile").write_text("VERSION = 7\n")
    with pytest.raises(Mistake):
        versions.version_of(tmp_path)


def test_older_version_is_tested_in_a_short_form():
    names = [*STEPS, *ALONE]
    assert versions.steps_for(names, versions.NEWEST) == names
    assert versions.steps_for(names, "7.4") == names
    for version in versions.OLDER:
        assert sorted(versions.steps_for(names, version)) == sorted(versions.SHORT)
        assert version in versions.without_user_space(version)
    assert not versions.without_user_space(versions.NEWEST)

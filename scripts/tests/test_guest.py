# SPDX-License-Identifier: GPL-2.0
"""Tests what the scripts of the guest share, on this machine."""

import subprocess

import pytest

from common import SCRIPTS

RULES = [f"R{n} words steps=1 checks=1 violations=0" for n in range(1, 42)]


def rules_hold(path):
    return subprocess.run(["busybox", "sh", "-c", f'. {SCRIPTS}/guest/try.sh; rules_hold "$0"', path],
                          capture_output=True, text=True, check=False)


def test_rules_that_hold(tmp_path):
    path = tmp_path / "rules"
    path.write_text("\n".join(RULES) + "\n")
    assert rules_hold(path).returncode == 0


@pytest.mark.parametrize("lines", [
    [], RULES[1:], [*RULES, "R42 words steps=1 checks=1 violations=0"], [*RULES[1:], "words violations=0"],
    [*RULES[1:], "R1 words steps=1 checks=1 violations=1"], [*RULES, "error"], None])
def test_rules_that_are_broken_or_missing(tmp_path, lines):
    path = tmp_path / "rules"
    if lines is not None:
        path.write_text("".join(f"{line}\n" for line in lines))
    assert rules_hold(path).returncode == 1

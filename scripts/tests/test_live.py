# SPDX-License-Identifier: GPL-2.0
"""Tests what scripts/live.py has a guest do. No guest is booted."""

import subprocess
from argparse import Namespace

import pytest

import live
from common import SCRIPTS


def random_words(steps):
    found, limit = live.words(Namespace(command="random", steps=steps, seed=7, shifts=False, fail=False))
    assert found[:3] == ["random", "--seed", 7] and found[-2:] == ["--check-every", 1]
    assert limit > steps / live.SLOWEST
    return found[found.index("--seeds") + 1], found[found.index("--steps") + 1]


@pytest.mark.parametrize("steps, sequences, each", [
    (1, 1, 1), (2000, 1, 2000), (2001, 2, 1001), (1_000_000, 500, 2000)])
def test_no_fewer_steps_than_asked(steps, sequences, each):
    assert random_words(steps) == (sequences, each)


def test_rounds_of_shifts_have_their_own_checks():
    found, _ = live.words(Namespace(command="random", steps=9, seed=7, shifts=True, fail=False))
    assert found[-1] == "--shifts" and "--check-every" not in found


def test_allocations_fail_beside_checks():
    found, _ = live.words(Namespace(command="random", steps=9, seed=7, shifts=False, fail=True))
    assert found[-3:] == ["--check-every", 1, "--fail"]


def test_a_stress_has_time_to_end():
    found, limit = live.words(Namespace(command="stress", secs=600, seed=1))
    assert found == ["stress", "--secs", 600, "--seed", 1] and limit > 600


@pytest.mark.parametrize("arguments, words", [
    (["walk"], "invalid choice: 'walk'"),
    (["random", "--steps", "0"], "--steps: not from 1 to"),
    (["stress", "--secs", "-1"], "--secs: not from 1 to"),
    (["stress", "--target", "vax"], "invalid choice: 'vax'")])
def test_wrong_arguments_are_refused(arguments, words):
    done = subprocess.run([SCRIPTS / "live.py", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr

# SPDX-License-Identifier: GPL-2.0
"""Tests the arguments of scripts/userspace.sh."""

import subprocess

import pytest

from common import SCRIPTS


def run(*arguments):
    done = subprocess.run([SCRIPTS / "userspace.sh", *arguments], check=False, text=True,
                          capture_output=True)
    return done.returncode, done.stdout, done.stderr


def test_help():
    code, output, _ = run("--help")
    assert code == 0 and output.startswith("Runs the KUnit suites in user space")


@pytest.mark.parametrize("arguments, words", [
    (["SEED=x"], "SEED=x: not a number"), (["SEED="], "SEED=: not a number"),
    (["SECS=3"], "SECS=3: unknown"), (["--all"], "--all: unknown"),
    (["a", "b"], "more than one NAME: a, b")])
def test_bad_input(arguments, words):
    code, output, error = run(*arguments)
    assert (code, output) == (1, "") and error.startswith(f"error: {words}")

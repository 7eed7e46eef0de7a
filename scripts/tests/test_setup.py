# SPDX-License-Identifier: GPL-2.0
"""Tests which programs scripts/setup.sh chooses, and which the scripts then use. Nothing is installed."""

import fcntl
import os
import subprocess

import pytest

from common import SCRIPTS, toolchain_env


@pytest.fixture(name="env")
def _env(tmp_path):
    """The environment of a caller: an empty cache, and the names of both programs, so that nothing is fetched."""
    lab = toolchain_env()
    return os.environ | {"XDG_CACHE_HOME": str(tmp_path), "RUSTC": lab["RUSTC"], "BINDGEN": lab["BINDGEN"]}


def used(env):
    """Returns what a script uses."""
    done = subprocess.run(
        ["bash", "-c", f'source {SCRIPTS}/lab.sh; toolchain; echo "$RUSTC $BINDGEN ${{PATH%%:*}}"'],
        capture_output=True, text=True, check=False, env=env)
    return done.returncode, done.stdout.split(), done.stderr


def programs(folder):
    """Makes a compiler and a bindgen which do nothing."""
    folder.mkdir()
    for name in ("rustc", "bindgen"):
        (folder / name).symlink_to("/bin/true")
    return {"RUSTC": str(folder / "rustc"), "BINDGEN": str(folder / "bindgen")}


def test_what_the_caller_sets_is_used_with_a_cache(env, tmp_path):
    assert used(env)[:2] == (0, [env["RUSTC"], env["BINDGEN"], os.path.dirname(env["RUSTC"])])
    other = programs(tmp_path / "bin")
    assert used(env | other)[:2] == (0, [*other.values(), str(tmp_path / "bin")])
    # The choice itself stays.
    nothing = {name: value for name, value in env.items() if name not in ("RUSTC", "BINDGEN")}
    assert used(nothing)[:2] == (0, [env["RUSTC"], env["BINDGEN"], os.path.dirname(env["RUSTC"])])


def test_a_name_is_looked_for_in_the_path(env, tmp_path):
    assert used(env)[0] == 0
    programs(tmp_path / "bin")
    env |= {"PATH": f"{tmp_path}/bin:{env['PATH']}", "RUSTC": "rustc"}
    assert used(env)[:2] == (0, ["rustc", env["BINDGEN"], f"{tmp_path}/bin"])


@pytest.mark.parametrize("name", ["RUSTC", "BINDGEN"])
def test_what_cannot_be_used_is_an_error(env, name):
    assert used(env)[0] == 0
    code, _, errors = used(env | {name: "/no/such/program"})
    assert (code, errors) == (1, f"error: {name}=/no/such/program: no such program\n")
    done = subprocess.run([SCRIPTS / "setup.sh"], capture_output=True, text=True, check=False,
                          env=env | {name: "/bin/true"})
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {name}=/bin/true: this is not {name.lower()} >= ")


def test_two_set_ups_run_one_after_the_other(env, tmp_path):
    (tmp_path / "shadow-rmap").mkdir()
    with open(tmp_path / "shadow-rmap/setup.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with subprocess.Popen([SCRIPTS / "setup.sh"], stderr=subprocess.PIPE, text=True, env=env) as second:
            assert second.stderr.readline().startswith("waiting for another run")
            assert not (tmp_path / "shadow-rmap/toolchain.env").exists()
            fcntl.flock(lock, fcntl.LOCK_UN)
            assert second.wait(60) == 0
    assert (tmp_path / "shadow-rmap/toolchain.env").exists()

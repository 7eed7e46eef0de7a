# SPDX-License-Identifier: GPL-2.0
"""Tests the last line of scripts/demo.sh where it ends early. Nothing is built, no guest is booted."""

import os
import shutil
import subprocess

import pytest

from common import SCRIPTS

SET_UP = "demo: FAIL the set-up, see above"


def demo(*arguments, folder=SCRIPTS, **env):
    done = subprocess.run([folder / "demo.sh", *arguments], capture_output=True, text=True, check=False,
                          env=os.environ | env)
    return done.returncode, done.stdout.splitlines()


@pytest.fixture(name="copy")
def _copy(tmp_path):
    """A checkout in which all that demo.sh calls is `true`; the guest leaves a picture."""
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    for name in ("demo.sh", "lab.sh", "build_folder.sh"):
        shutil.copy(SCRIPTS / name, scripts)
    for name in ("setup.sh", "module.sh", "rmapctl.sh"):
        (scripts / name).symlink_to("/bin/true")
    guest = f"""#!/bin/sh
mkdir -p {tmp_path}/out/demo && cd {tmp_path}/out/demo && echo 'graph {{}}' >chains.dot && echo '{{}}' >chains.json
"""
    (scripts / "vm.py").write_text(guest)
    (scripts / "vm.py").chmod(0o755)
    return scripts


def test_the_copy_passes(copy):
    code, lines = demo(folder=copy, XDG_CACHE_HOME=str(copy))
    assert (code, lines[-1]) == (0, "demo: PASS")


def test_wrong_settings_end_with_fail():
    assert demo(KERNEL="6.1") == (1, [SET_UP])
    assert demo("sparc") == (1, ["demo: FAIL no machine sparc: there are um, x86_64 and debian"])
    code, lines = demo("--help")
    assert code == 0 and not [line for line in lines if line.startswith("demo: ")]


@pytest.mark.parametrize("name", ["setup.sh", "module.sh", "rmapctl.sh"])
def test_a_set_up_that_fails_ends_with_fail(copy, name):
    (copy / name).unlink()
    (copy / name).symlink_to("/bin/false")
    assert demo(folder=copy, XDG_CACHE_HOME=str(copy)) == (1, [SET_UP])


@pytest.mark.parametrize("name, words", [("chains.dot", "there is no picture"),
                                         ("chains.json", "there is no out/chains.json")])
def test_a_guest_that_leaves_too_little_ends_with_fail(copy, name, words):
    (copy / "vm.py").write_text((copy / "vm.py").read_text() + f"rm {name}\n")
    code, lines = demo(folder=copy, XDG_CACHE_HOME=str(copy))
    assert (code, lines[-1]) == (1, f"demo: FAIL {words}")

# SPDX-License-Identifier: GPL-2.0
"""Tests which version of the kernel the lab takes: KERNEL=, and an archive that lacks one."""

import os
import subprocess

import pytest

from common import SCRIPTS


@pytest.fixture(name="choose")
def _choose(tmp_path):
    """Chooses a source from suites with these packages; `fetched` has the suites that were read."""
    def choose(*cached, backports="", forky="", sid="", **env):
        cache = tmp_path / "shadow-rmap"
        for package in cached:
            (cache / f"source-{package}").mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            ["bash", "-c", f"""
                source {SCRIPTS}/lab.sh
                source {SCRIPTS}/choose.sh
                private_apt() {{ apt_folder=$CACHE/none apt_options=("$1"); echo "$1" >>"$CACHE/fetched"; }}
                sources() {{
                    case ${{apt_options[0]}} in
                    trixie-backports) printf '%s\n' {backports} ;;
                    forky) printf '%s\n' {forky} ;;
                    sid) printf '%s\n' {sid} ;;
                    esac
                }}
                choose_source
                echo "$package" "${{suite:-cache}}" """],
            text=True, check=False, capture_output=True,
            env=os.environ | {"XDG_CACHE_HOME": str(tmp_path), "KDIR": "", "KERNEL_TARBALL": "",
                              "KERNEL": ""} | env)
        fetched = cache / "fetched"
        read = fetched.read_text().split() if fetched.exists() else []
        fetched.unlink(missing_ok=True)
        return done.returncode, done.stdout.split(), done.stderr, read
    return choose


def test_best_version_is_taken(choose):
    both = "linux-source-7.2 linux-source-7.3"
    assert choose(backports=both)[:3] == (0, ["linux-source-7.3", "trixie-backports"], "")
    assert choose("linux-source-7.3") == (0, ["linux-source-7.3", "cache"], "", [])


def test_version_that_is_asked_for_is_taken(choose):
    both = "linux-source-7.2 linux-source-7.3"
    assert choose(backports=both, KERNEL="7.2")[:2] == (0, ["linux-source-7.2", "trixie-backports"])
    assert choose("linux-source-7.3", backports=both, KERNEL="7.2")[1][0] == "linux-source-7.2"
    assert choose("linux-source-7.2", KERNEL="7.2")[:3] == (0, ["linux-source-7.2", "cache"], "")


def test_older_version_is_taken_where_there_is_no_other(choose):
    old = {"backports": "linux-source-7.2 linux-source-7.20", "forky": "linux-source-7.4",
           "sid": "linux-source-7.4"}
    code, output, errors, read = choose(**old)
    assert (code, output) == (0, ["linux-source-7.2", "trixie-backports"])
    assert "has no linux-source-7.3: taking linux-source-7.2 (KERNEL=7.2) instead" in errors
    assert read == ["trixie-backports", "forky", "sid", "trixie-backports"]
    # It is said each time; the archive is not asked again on the same day.
    code, output, errors, read = choose("linux-source-7.2", **old)
    assert (code, output, read) == (0, ["linux-source-7.2", "cache"], [])
    assert "taking linux-source-7.2" in errors


def test_what_the_archive_lacks_is_looked_for_again_on_the_next_day(choose, tmp_path):
    old = {"backports": "linux-source-7.2", "forky": "linux-source-7.2", "sid": "linux-source-7.2"}
    assert choose("linux-source-7.2", **old)[1] == ["linux-source-7.2", "cache"]
    os.utime(tmp_path / "shadow-rmap/no-linux-source-7.3", (1, 1))
    old["sid"] += " linux-source-7.3"
    assert choose("linux-source-7.2", **old)[:3] == (0, ["linux-source-7.3", "sid"], "")


def test_archive_with_neither_version(choose):
    code, output, errors, _ = choose(backports="linux-source-7.4", forky="linux-source-7.5",
                                     sid="linux-source-7.6")
    assert (code, output) == (1, [])
    assert "no source of Linux 7.3 or 7.2;" in errors and "forky: linux-source-7.5;" in errors
    # The second time the archive is not read, and the error is one all the same.
    code, output, errors, read = choose()
    assert (code, output, read) == (1, [], []) and "no source of Linux 7.3 or 7.2;" in errors


def test_version_that_is_asked_for_has_no_substitute(choose):
    new = {suite: "linux-source-7.3" for suite in ("backports", "forky", "sid")}
    code, output, errors, _ = choose(KERNEL="7.2", **new)
    assert (code, output) == (1, []) and "no source of Linux 7.2;" in errors


def test_archive_that_cannot_be_read_is_no_archive_without_the_package(choose, tmp_path):
    code, output, errors, _ = choose()
    assert (code, output) == (1, []) and "is the archive reachable?" in errors
    assert not (tmp_path / "shadow-rmap/no-linux-source-7.3").exists()


@pytest.mark.parametrize("env, words", [
    ({"KERNEL": "7.1"}, "KERNEL=7.1: the lab is for Linux 7.3 7.2"),
    ({"KERNEL": "7"}, "KERNEL=7: "),
    ({"KERNEL": "7.2", "KDIR": "/usr/src/linux"}, "give one of them"),
    ({"KERNEL": "7.2", "KERNEL_TARBALL": "x.tar"}, "give one of them")])
def test_wrong_versions_are_errors(env, words):
    done = subprocess.run([SCRIPTS / "source.sh"], text=True, check=False, capture_output=True,
                          env=os.environ | {"KERNEL_TARBALL": "", "KDIR": ""} | env)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: KERNEL=") and words in done.stderr

# SPDX-License-Identifier: GPL-2.0
"""Tests what the scripts share."""

import os
import signal
import subprocess
import sys
import time

import pytest

import common
from common import SCRIPTS, Mistake, finish, read

# It runs a command in another thread.
SCRIPT = """
import sys
from multiprocessing.pool import ThreadPool
from pathlib import Path
import common

def command(_):
    common.stream(["sh", "-c", "echo $$ >pid; exec sleep 300"], Path("log"), "a command", cwd=".")

def main():
    with ThreadPool(1) as pool:
        pool.map(command, [0])
    return 0

common.program("error", main)
"""


@pytest.mark.parametrize("name", ["TERM", "INT"])
def test_an_interrupted_script_ends_its_commands(tmp_path, name):
    # A shell starts a job in the background with SIGINT ignored, and so are the tests, perhaps.
    process = subprocess.Popen([sys.executable, "-c", SCRIPT], cwd=tmp_path,
                               env=os.environ | {"PYTHONPATH": str(SCRIPTS)},
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    end = time.monotonic() + 60
    while not read(tmp_path / "pid").strip() and time.monotonic() < end:
        time.sleep(0.1)
    command = int(read(tmp_path / "pid"))
    os.kill(command, 0)
    subprocess.run(["kill", f"-{name}", str(process.pid)], check=True)
    assert process.wait(60) in (128 + 2, 128 + 15)
    with pytest.raises(ProcessLookupError):
        os.kill(command, 0)


def test_a_command_that_prints_for_itself_is_asked_to_end(tmp_path):
    asked = "trap 'echo asked >said; exit 3' TERM; echo $$ >pid; while :; do sleep 0.1; done"
    script = f"import common\ncommon.program('error', lambda: common.attached(['sh', '-c', {asked!r}]))"
    process = subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path,
                               env=os.environ | {"PYTHONPATH": str(SCRIPTS)})
    end = time.monotonic() + 60
    while not read(tmp_path / "pid").strip() and time.monotonic() < end:
        time.sleep(0.1)
    process.terminate()
    assert process.wait(60) == 128 + 15 and read(tmp_path / "said") == "asked\n"
    assert common.attached(["sh", "-c", "exit 4"]) == 4 and not common.RUNNING


def test_only_a_result_is_exit_status_1(capsys, monkeypatch):
    monkeypatch.setattr(common, "exit_on_sigterm", lambda: None)

    def program(error):
        def main():
            if error:
                raise error
            return 1
        with pytest.raises(SystemExit) as caught:
            common.program("name", main)
        return caught.value.code, (capsys.readouterr().err.splitlines() or [""])[-1]
    assert program(None) == (1, "")
    assert program(Mistake("no file")) == (2, "name: no file")
    assert program(OSError(28, "no space")) == (2, "name: OSError: [Errno 28] no space")
    assert program(subprocess.CalledProcessError(1, "setup.sh"))[0] == 2


def test_a_command_that_is_waited_for():
    assert finish(["sh", "-c", "echo a; echo b >&2; exit 3"]) == (3, "a\n", "b\n")
    begin = time.monotonic()
    assert finish(["sh", "-c", "echo a; sleep 300"], limit=1) == (124, "a\n", "")
    assert time.monotonic() - begin < 60 and not common.RUNNING

# SPDX-License-Identifier: GPL-2.0
"""Tests what the scripts share."""

import os
import subprocess
import sys
import time

import pytest

from common import SCRIPTS, read

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
    process = subprocess.Popen([sys.executable, "-c", SCRIPT], cwd=tmp_path,
                               env=os.environ | {"PYTHONPATH": str(SCRIPTS)})
    end = time.monotonic() + 60
    while not read(tmp_path / "pid").strip() and time.monotonic() < end:
        time.sleep(0.1)
    command = int(read(tmp_path / "pid"))
    os.kill(command, 0)
    subprocess.run(["kill", f"-{name}", str(process.pid)], check=True)
    assert process.wait(60) in (128 + 2, 128 + 15)
    with pytest.raises(ProcessLookupError):
        os.kill(command, 0)

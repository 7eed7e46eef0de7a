# SPDX-License-Identifier: GPL-2.0
"""What the programs over the host's own code share: how it is compiled, and how they run. It is
imported, not run."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from common import CACHE, SCRIPTS, Mistake, stream


def script_output(command):
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def missing_tools():
    """Returns the names of those that this machine does not have."""
    missing = [name for name in ("gcc", "patch") if not shutil.which(name)]
    header = ["gcc", "-E", "-include", "urcu.h", "-x", "c", os.devnull, "-o", os.devnull]
    if "gcc" not in missing and subprocess.run(header, stderr=subprocess.DEVNULL, check=False).returncode:
        missing.append("the header urcu.h")
    if not (CACHE / "toolchain.env").is_file():
        missing.append("the Rust toolchain")
    return missing


def ensure_tools():
    """Installs what is missing: most often nothing."""
    if missing_tools():
        subprocess.run([SCRIPTS / "setup.sh"], stdout=sys.stderr, check=True)
        missing = missing_tools()
        if missing:
            raise Mistake(f"scripts/setup.sh has not installed {', '.join(missing)}")


def library(variant, *options):
    """Returns the path of the shared object that scripts/host_userspace.py makes."""
    with tempfile.NamedTemporaryFile() as log:
        code, text = stream([SCRIPTS / "host_userspace.py", "--variant", variant, *options], Path(log.name),
                            f"compiling the host's code ({variant})", limit=3600)
    lines = text.splitlines()
    if code:
        errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        # The last one is of the script that called the one which failed.
        last = " ".join(lines[-1:])
        raise Mistake("; ".join(errors[:-1] or errors) or f"host_userspace.py: exit status {code}: {last}")
    return lines[-1]


def environment(path, variant, leaks=False):
    """Returns what a program over the shared object `path` must have in its environment."""
    env = {"HOST_LIBRARY": str(path), "RUST_BACKTRACE": "0"}
    if variant == "sanitized":
        # The sanitizers must be the first to see malloc().
        env |= {"LD_PRELOAD": script_output(["gcc", "-print-file-name=libasan.so"]).strip(),
                "ASAN_OPTIONS": f"detect_leaks={int(leaks)}"}
    return env

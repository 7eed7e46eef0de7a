# SPDX-License-Identifier: GPL-2.0
"""Programs of this machine for a guest that has no libraries. It is imported, not run."""

import re
import shutil
import subprocess
from pathlib import Path

from common import SCRIPTS


def packed(name, option):
    """Returns a program, its libraries and its loader, by their names in the guest: all are in the folder `name`.
    Without the program `setup.sh OPTION` installs it."""
    if not shutil.which(name):
        subprocess.run([SCRIPTS / "setup.sh", option], check=True)
    path = shutil.which(name)
    needs = subprocess.run(["ldd", path], stdout=subprocess.PIPE, text=True, check=True).stdout
    return {f"{name}/{Path(file).name}": file for file in [path, *re.findall(r"(/\S+) \(0x", needs)]}

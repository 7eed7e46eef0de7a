# SPDX-License-Identifier: GPL-2.0
"""Programs of this machine for a guest, which may have no libraries. It is imported, not run."""

import re
import shutil
import subprocess
from pathlib import Path

from common import SCRIPTS


def installed(name, option):
    """Returns the path of a program; `setup.sh OPTION` installs it if it is not there."""
    if not shutil.which(name):
        subprocess.run([SCRIPTS / "setup.sh", option], check=True)
    return shutil.which(name)


def packed(name, option):
    """Returns a program that is installed(), its libraries and its loader, by their names in the guest: all are in
    the folder `name`."""
    path = installed(name, option)
    needs = subprocess.run(["ldd", path], stdout=subprocess.PIPE, text=True, check=True).stdout
    return {f"{name}/{Path(file).name}": file for file in [path, *re.findall(r"(/\S+) \(0x", needs)]}

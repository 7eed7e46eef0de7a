# SPDX-License-Identifier: GPL-2.0
"""Programs of this machine for a guest, which may have no libraries. It is imported, not run."""

import re
import shutil
import subprocess
from pathlib import Path

from common import SCRIPTS

# Prints the files of all modules that are loaded when the script in the working folder could begin.
MODULES = """
import runpy, sys
runpy.run_path(sys.argv[1])
for module in [*sys.modules.values()]:
    for name in ("__file__", "__cached__"):
        print(getattr(module, name, None) or "")
"""


def installed(name, option):
    """Returns the path of a program; `setup.sh OPTION` installs it if it is not there."""
    if not shutil.which(name):
        subprocess.run([SCRIPTS / "setup.sh", option], check=True)
    return shutil.which(name)


def packed(name, option):
    """Returns a program that is installed(), its libraries and its loader, by their names in the guest: all are in
    the folder `name`."""
    path = installed(name, option)
    return {f"{name}/{Path(file).name}": file for file in [path, *libraries(path)]}


def libraries(path):
    """Returns the libraries of a program or library, and its loader."""
    needs = subprocess.run(["ldd", path], stdout=subprocess.PIPE, text=True, check=True).stdout
    return re.findall(r"(/\S+) \(0x", needs)


def packed_python(python, script, *packages):
    """Returns the Python of a virtual environment and what a script imports, all of `packages` included, by their
    names in the guest: with `root` before them they have the names that they have here."""
    loaded = subprocess.run([python, "-c", MODULES, script.name], cwd=script.parent, stdout=subprocess.PIPE,
                            text=True, check=True).stdout.split("\n")
    files = {Path(file) for file in loaded if Path(file).is_file()}
    files = {file for file in files if script.parent not in file.parents}
    for package in packages:
        folder = next(file for file in files if file.match(f"{package}/__init__.py")).parent
        files |= {*folder.rglob("*.py")}
    files |= {Path(python), Path(python).parents[1] / "pyvenv.cfg"}
    objects = [file for file in files if file.suffix == ".so"]
    files |= {Path(library) for file in [Path(python), *objects] for library in libraries(file)}
    return {f"root{file}": file for file in files}

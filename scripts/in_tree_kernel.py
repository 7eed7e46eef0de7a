# SPDX-License-Identifier: GPL-2.0
"""A UML kernel with the modules in its own tree, as scripts/in_tree.sh adds them. It is imported, not run.

As for a patch that is judged, the kernel is built from copies of the lab's source and build folder, so
that only what the modules change is compiled.
"""

import contextlib
import subprocess
from pathlib import Path

from common import CACHE, SCRIPTS, Mistake, kernel_folder, locked, read, script_lines
from judge_kernel import copy_build, copy_source, kmake, make

FOLDER = CACHE / "in-tree-kernel"
# The modules, in the kernel's tree.
MODULES = "drivers/misc/shadow_rmap"
# Built in, and as a module: each has rules of its own in the Kbuild file.
OPTIONS = {"SHADOW_RMAP": "y", "SHADOW_RMAP_TORTURE_TEST": "m"}


def configure(source, build, log):
    config = build / ".config"
    words = [word for name, value in OPTIONS.items() for word in ("--set-val", name, value)]
    subprocess.run([source / "scripts/config", "--file", config, *words], check=True)
    code, _ = kmake(source, build, log, "configuring the kernel", "olddefconfig")
    lost = [name for name, value in OPTIONS.items() if f"CONFIG_{name}={value}" not in read(config).splitlines()]
    if code or lost:
        raise Mistake(f"the kernel cannot be configured with {', '.join(lost) or OPTIONS} (see {log})")


@contextlib.contextmanager
def built(out):
    """Builds the kernel: its folder, which no other run changes until the block ends, and the files that were
    compiled."""
    out.mkdir(parents=True, exist_ok=True)
    tree, patch = Path(script_lines("source.sh")[-1]), out / "in-tree.patch"
    with open(patch, "w", encoding="utf-8") as file:
        subprocess.run([SCRIPTS / "in_tree.sh", tree], stdout=file, check=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    source, build = FOLDER / "source", FOLDER / "build"
    with locked(FOLDER):
        copy_source(tree, patch, source)
        copy_build(Path(kernel_folder("um")), tree, build, source)
        configure(source, build, out / "configure.log")
        yield build, make(source, build, out / "kernel.log")

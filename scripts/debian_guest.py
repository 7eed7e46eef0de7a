# SPDX-License-Identifier: GPL-2.0
"""The steps debian-guest and debian-drgn of scripts/test.py: the module on Debian's own kernel, and what drgn
reads of that. It is imported, not run."""

import os
from pathlib import Path

from common import OUT, SCRIPTS, TOP, kernel_folder, modules, read, read_json
from packed import packed
from results import add_results

# Of each of two random sequences: emulated, a step takes some hundredths of a second.
STEPS = 120


def debian_guest(step, boot):
    """Prepares and boots Debian's kernel, and counts the tests of scripts/guest/debian.sh. `boot` is that of
    scripts/test.py."""
    if not wanted(step, "Debian's kernel"):
        return
    folder = step.lab.kernels["debian"] = Path(kernel_folder("debian"))
    files = {"shadow_rmap.ko": modules("debian")["shadow_rmap"], "rmapctl": step.lab.rmapctl}
    files["other.ko"] = step.lab.modules["x86_64"]["shadow_rmap"]
    samples = [*(TOP / "samples").glob("*.scn"), *(TOP / "samples/swap").glob("*.scn")]
    files |= {path.relative_to(TOP): path for path in samples}
    files |= {path.relative_to(folder): path for path in (folder / "swap").iterdir()}
    files |= {f"{name}.sh": SCRIPTS / f"guest/{name}.sh" for name in ("memory", "moving")}
    files |= packed("trace-cmd", "--trace-cmd")
    release = read(folder / "include/config/kernel.release").strip()
    boot(step, files, "debian.sh", release, step.lab.seed, STEPS, options=("--nodes", "2"))


def debian_drgn(step):
    """Compares what drgn reads of a guest, and of a dump of it, with what the module has written there."""
    if not wanted(step, "drgn"):
        return
    add_results(step, *step.stream([SCRIPTS / "drgn_test.py"], r"^test .* FAILED|^error"))
    step.restarts += read_json(OUT / "drgn/vm.json").get("restarts", 0)


def wanted(step, name):
    """Returns whether Debian's kernel is tested; counts a test if not."""
    other = os.environ.get("KDIR") or os.environ.get("KERNEL_TARBALL")
    if other:
        step.add(name, "skipped", "KDIR or KERNEL_TARBALL is another kernel")
    return not other

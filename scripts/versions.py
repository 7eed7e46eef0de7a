# SPDX-License-Identifier: GPL-2.0
"""Which version of Linux a source is, and what is tested with one that is not the newest. It is
imported, not run."""

import re

from common import SCRIPTS, Mistake, read

# The first words of KERNEL_VERSIONS in scripts/build_folder.sh: the best version first.
NEWEST, *OLDER = re.search(r"^KERNEL_VERSIONS=\((.*)\)$", read(SCRIPTS / "build_folder.sh"),
                           re.M)[1].split()
# With an older version: what the module does in a guest. Why the others are left out:
SHORT = ("um-guest", "host-mm", "host-fuzz")
USER_SPACE = (f"tools/userspace/host has adaptors for the source of Linux {NEWEST} alone, and this "
              "is {}")


def version_of(source):
    """Returns the first two numbers of the version of a source tree."""
    makefile = read(source / "Makefile")
    numbers = [re.search(rf"^{name} = (\d+)$", makefile, re.M) for name in ("VERSION", "PATCHLEVEL")]
    if not all(numbers):
        raise Mistake(f"{source}/Makefile has no version of a kernel")
    return ".".join(number[1] for number in numbers)


def steps_for(names, version):
    """Returns those of the steps that are run with this version."""
    return [name for name in names if name in SHORT] if version in OLDER else names


def without_user_space(version):
    """Says why the host's own mm/ is not tested in user space, or nothing."""
    return USER_SPACE.format(version) if version in OLDER else ""

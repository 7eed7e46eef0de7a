#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Runs unmodified programs with the memory of /dev/shadow_rmap, on User-Mode Linux.

The programs are those of this machine: python3, cc, stress-ng, and some of the kernel's own
tools/testing/selftests/mm, built from the lab's source. Documentation/real-programs.rst says what
is demanded of each. Results go to out/preload/guest/; the exit status is 0 if each test has passed.
"""

import subprocess
import sys
from pathlib import Path

from common import OUT, SCRIPTS, TOP, Mistake, attached, command_line, modules, program, script_lines
from packed import installed

FOLDER = OUT / "preload"
SHIM = TOP / "samples/preload"
# Others need libraries or options that the lab does not have, see Documentation/real-programs.rst.
SELF_TESTS = ("merge", "cow", "mremap_dontunmap")


def compile_program(what, command):
    """Runs a compiler or make; a failure is one line and the whole output."""
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        print(done.stdout, file=sys.stderr)
        raise Mistake(f"{what} cannot be built")


def build_self_test(name, source):
    """Builds a self-test of the kernel, as its Makefile does where there is no liburing."""
    tests, path = source / "tools/testing/selftests", FOLDER / name
    # The helpers of 7.3 and, with thp_settings, of kernels before.
    helpers = [file for file in ("vm_util", "hugepage_settings", "thp_settings")
               if (tests / f"mm/{file}.c").exists()]
    compile_program(name, [
        "cc", "-O2", "-w", "-D_GNU_SOURCE=", "-U_FORTIFY_SOURCE", f"-I{FOLDER}", f"-I{tests}",
        f"-I{source}", "-isystem", source / "tools/include/uapi", "-o", path,
        *(tests / "mm" / f"{file}.c" for file in (name, *helpers)),
        "-lrt", "-lpthread", "-lm"])
    return path


def build_shim():
    compile_program("the shim", ["make", "-C", SHIM, f"O={FOLDER}",
                                 "CFLAGS=-O2 -g -Wall -Wextra -Werror"])
    return FOLDER / "shadow_preload.so"


def files(correct, busted):
    """Returns what scripts/guest/preload.sh needs: paths by the names in the guest. `correct` and
    `busted` are paths of shadow_rmap.ko, the second one built with SHADOW_RMAP_BUST=1."""
    source = Path(script_lines("source.sh")[-1])
    installed("stress-ng", "--programs")
    shim = build_shim()
    (FOLDER / "local_config.h_gen").write_text("/* There is no liburing. */\n")
    built = {name: build_self_test(name, source) for name in SELF_TESTS}
    own = [shim, SCRIPTS / "guest/try.sh", TOP / "samples/check.c",
           TOP / "include/uapi/shadow_rmap.h", *SHIM.glob("*.py")]
    return built | {path.name: path for path in own} | {
        "shadow_rmap.ko": correct, "busted.ko": busted}


def main():
    command_line(__doc__).parse_args()
    wanted = files(modules("um")["shadow_rmap"],
                   modules("um", "SHADOW_RMAP_BUST=1")["shadow_rmap"])
    copies = [word for name, path in wanted.items() for word in ("--file", f"{path}:{name}")]
    return attached([SCRIPTS / "vm.py", "--target", "um", "--time-limit", "1800", "--out",
                     FOLDER / "guest", *copies, "--", SCRIPTS / "guest/preload.sh"])


if __name__ == "__main__":
    program("preload", main)

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Checks that the modules of rust/ use each other in one direction only.

  scripts/layering.py [FOLDER]        which contains rust/

ORDER lists the modules, lowest first. Each may use those before it: `use crate::...` and other paths
from the crate root. So there is no cycle. The files in tests/ may use everything. `roots` are the
files of the crates themselves, rust/shadow_rmap*.rs.
"""

import re
import sys
from pathlib import Path

from common import TOP, command_line

ORDER = ("bindings", "ffi", "kernel_ext", "stats", "trace", "rmap", "snapshot", "model", "host", "device",
         "torture", "bench", "debugfs", "roots")
# What crate roots define for all of the crate: by module!(); the steps of live mappings, which are
# the correct ones in every module that is not deliberately wrong (SHADOW_RMAP_BUST), and what such a
# module calls; windows, in which only tests act; and for the suites.
ROOT_ITEMS = {"LocalModule", "THIS_MODULE", "LiveFlavour", "is_chosen", "UsualWindows", "silence", "sample"}
# Lines of comment. A path behind code, in a comment or a string, counts: there is none.
COMMENT = re.compile(r"^\s*//.*", re.M)
PATH = re.compile(r"\bcrate\s*::\s*(?:(\w+)|(\{))|\b((?:super\s*::\s*)+)(\w+)")


def module_of(path):
    """Returns the module that a file below rust/ belongs to."""
    name = path.parts[0].removesuffix(".rs")
    return "roots" if name.startswith("shadow_rmap") else name


def first_names(text, at):
    """Yields (name, position) of each path in the braces before `at`, as in `{a::b, c::{d, e}}`."""
    depth, expected = 1, True
    for token in re.compile(r"\w+|[{},]").finditer(text, at):
        if depth == 1 and expected and token[0] not in "{},":
            yield token[0], token.start()
        expected = token[0] == ","
        depth += {"{": 1, "}": -1}.get(token[0], 0)
        if not depth:
            return


def used(text, depth):
    """Yields (name, line) of what code uses from the crate root; the file is `depth` modules deep."""
    for found in PATH.finditer(text):
        if found[2]:
            names = first_names(text, found.end())
        elif found[1]:
            names = [(found[1], found.start())]
        else:
            names = [(found[4], found.start())] if found[3].count("super") >= depth else []
        for name, at in names:
            yield name, text.count("\n", 0, at) + 1


def check(top):
    """Returns the list of faults, and the number of files."""
    texts = {path.relative_to(top / "rust"): COMMENT.sub("", path.read_text())
             for path in sorted((top / "rust").rglob("*.rs"))}
    present = {module_of(path) for path in texts}
    faults = [f"rust/{name}: not in ORDER of scripts/layering.py" for name in present - set(ORDER)]
    for path, text in texts.items():
        own = module_of(path)
        if own not in ORDER or "tests" in path.parts:
            continue
        depth = 0 if own == "roots" else len(path.parts) - (path.stem == "mod")
        for name, line in used(text, max(1, depth)):
            # What is no module is an item of the crate root.
            other = name if name in present else "roots"
            if name not in ROOT_ITEMS and other in ORDER and ORDER.index(other) > ORDER.index(own):
                faults.append(f"rust/{path}:{line}: {own} uses {other} (crate::{name})")
    return faults, len(texts)


if __name__ == "__main__":
    parser = command_line(__doc__)
    parser.add_argument("top", nargs="?", type=Path, default=TOP, metavar="FOLDER")
    found, files = check(parser.parse_args().top)
    print("\n".join(found) or f"{files} files are as they should be")
    sys.exit(1 if found or not files else 0)

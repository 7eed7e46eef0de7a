#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Checks that the modules of rust/ use each other in one direction only.

  scripts/layering.py [--top FOLDER]

ORDER lists the modules, lowest first. Each may use those before it: `use crate::...` and other paths
from the crate root, in code that is not for tests. So there is no cycle. `roots` are the files of
the crates themselves, rust/shadow_rmap*.rs.
"""

import re
import sys
from pathlib import Path

import rust_text

ORDER = ("bindings", "ffi", "kernel_ext", "stats", "rmap", "snapshot", "model", "host", "device",
         "torture", "bench", "debugfs", "roots")
# What each crate root defines for all of the crate: by module!(), and the steps of live mappings,
# which are the correct ones in every module that is not deliberately wrong (SHADOW_RMAP_BUST).
ROOT_ITEMS = {"LocalModule", "LiveFlavour"}
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
    rust, texts, test_files = top / "rust", {}, set()
    for path in sorted(rust.rglob("*.rs")):
        texts[path], names = rust_text.without_tests(rust_text.code(path.read_text()))
        folder = path.parent if path.stem == "mod" or path.parent == rust else path.with_suffix("")
        test_files |= {folder / name for name in names}
    present = {module_of(path.relative_to(rust)) for path in texts}
    faults = [f"rust/{name}: not in ORDER of scripts/layering.py" for name in present - set(ORDER)]
    for path, text in texts.items():
        parts = path.relative_to(rust).parts
        own = module_of(Path(*parts))
        if own not in ORDER or test_files & {path.with_suffix(""), *path.parents}:
            continue
        depth = 0 if own == "roots" else len(parts) - (path.stem == "mod")
        for name, line in used(text, max(1, depth)):
            # What is no module is an item of the crate root.
            other = name if name in present else "roots"
            if name not in ROOT_ITEMS and other in ORDER and ORDER.index(other) > ORDER.index(own):
                faults.append(f"rust/{'/'.join(parts)}:{line}: {own} uses {other} (crate::{name})")
    return faults, len(texts)


if __name__ == "__main__":
    sys.exit(rust_text.gate(__doc__, check))

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Checks that `unsafe` stands only in the files of the list ROOMS.

  scripts/unsafe_rooms.py [--top FOLDER]

Each crate root must deny `unsafe_code`, and only a room may lift this for a whole file. The token
`unsafe` may stand in no other file: one item may lift the lint for what a macro of the kernel expands
to, and then contains no such token. Clippy demands the `SAFETY:` comments and `# Safety` sections
(undocumented_unsafe_blocks, missing_safety_doc).
"""

import fnmatch
import re
import sys

import rust_text

ROOMS = (
    "rust/ffi.rs",
    "rust/bindings/*",
    "rust/kernel_ext/*",
    "rust/rmap/anon_vma.rs",
    "rust/rmap/chain.rs",
    "rust/rmap/family.rs",
    "rust/rmap/free.rs",
    "rust/rmap/lock.rs",
    "rust/rmap/lookup.rs",
    "rust/rmap/merge.rs",
    "rust/rmap/page.rs",
    "rust/rmap/steps.rs",
    "rust/rmap/testing/world.rs",
    "rust/rmap/unlink.rs",
    "rust/rmap/vma.rs",
    "rust/rmap/walk.rs",
    "rust/rmap/tests/*",
    "rust/model/mapping.rs",
    "rust/model/tests/remap.rs",
    "rust/model/tests/walk.rs",
    "rust/host/*",
    "rust/device/vm_ops.rs",
    "rust/device/live/mapping.rs",
    "rust/bench/shadow.rs",
    "rust/torture/preemptible.rs",
    "rust/torture/busted/*",
)
LIFTED = re.compile(r"#!\[\s*(?:expect|allow|warn)\s*\([^\]]*\bunsafe_code\b")
DENIED = re.compile(r"#!\[\s*(?:deny|forbid)\s*\([^\]]*\bunsafe_code\b")


def check(top):
    """Returns the list of faults, and the number of files."""
    faults, roots, files = [], 0, 0
    for path in sorted((top / "rust").rglob("*.rs")):
        code, name = rust_text.code(path.read_text()), str(path.relative_to(top))
        files += 1
        if re.search(r"\bmodule!\s*\{", code):
            roots += 1
            if not DENIED.search(code):
                faults.append(f"{name}:1: a crate root must have #![deny(unsafe_code)]")
        if any(fnmatch.fnmatch(name, room) for room in ROOMS):
            continue
        for pattern, what in ((LIFTED, "only a room may lift deny(unsafe_code) for its file"),
                              (re.compile(r"\bunsafe\b"), "`unsafe` outside its rooms")):
            faults += [f"{name}:{code.count(chr(10), 0, found.start()) + 1}: {what}"
                       for found in pattern.finditer(code)]
    return faults + ([] if roots else ["rust/: no crate root was found"]), files


if __name__ == "__main__":
    sys.exit(rust_text.gate(__doc__, check))

# SPDX-License-Identifier: GPL-2.0
"""Copies of a kernel's tree with a patch. It is imported, not run."""

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

from common import CACHE, Mistake, locked


def changed_files(tree, text):
    """Returns the paths of a tree that a patch changes, of those that are there. One of the two names
    may be that of a copy: mm/rmap.c~, linux.orig/mm/rmap.c."""
    names = re.findall(r"^(?:---|\+\+\+) [^/\s]+/(\S+)", text.decode(errors="replace"), re.M)
    return [tree / name for name in dict.fromkeys(names)
            if ".." not in name.split("/") and (tree / name).is_file()]


def changes_c_alone(patch):
    """Returns whether a patch changes, adds and removes *.c files alone."""
    text = read_patch(patch).decode(errors="replace")
    names = re.findall(r"^(?:---|\+\+\+) [^/\s]+/(\S+)", text, re.M)
    return bool(names) and all(name.endswith(".c") for name in names)


def read_patch(patch):
    try:
        return patch.read_bytes()
    except OSError as error:
        raise Mistake(f"{patch}: {error.strerror}") from error


def apply(tree, patch, copy):
    """Applies a patch to a copy of a tree, which may consist of links to it."""
    for path in changed_files(tree, read_patch(patch)):
        place = copy / path.relative_to(tree)
        place.unlink(missing_ok=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
    done = subprocess.run(["patch", "-p1", "--batch", "--forward", "-d", copy, "-i",
                           patch.resolve()], capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stdout.strip().splitlines() or [done.stderr.strip()]
        raise Mistake(f"{patch} does not apply to {tree}: {'; '.join(lines[-2:])}")


def listing(tree, folders):
    """Returns the names of all files below some folders of a tree."""
    return sorted(os.fsencode(Path(place) / name) for folder in folders
                  for place, _, names in os.walk(tree / folder) for name in names)


def patched(tree, patch, folders):
    """Returns a copy of some folders of a tree, with a patch; unchanged files are links."""
    text = read_patch(patch)
    # The names, and the files that are no links, must be those of the tree as it is now.
    parts = [bytes(tree), text, *(path.read_bytes() for path in changed_files(tree, text)),
             *listing(tree, folders)]
    key = hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
    place = CACHE / f"host-tree-{key}"
    copy, done = place / "tree", place / "patched"
    place.mkdir(parents=True, exist_ok=True)
    with locked(place):
        if not done.is_file():
            shutil.rmtree(copy, ignore_errors=True)
            for folder in folders:
                (copy / folder).parent.mkdir(parents=True, exist_ok=True)
                subprocess.run(["cp", "-as", tree / folder, copy / folder], check=True)
            apply(tree, patch, copy)
            done.touch()
    return copy

# SPDX-License-Identifier: GPL-2.0
"""Copies of a kernel's tree with a patch. It is imported, not run."""

import hashlib
import re
import shutil
import subprocess

from common import CACHE, Mistake


def changed_files(tree, text):
    """Returns the paths of a tree that a patch changes, of those that are there."""
    names = re.findall(r"^--- a/(\S+)", text.decode(errors="replace"), re.M)
    return [tree / name for name in names if (tree / name).is_file()]


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


def patched(tree, patch, folders):
    """Returns a copy of some folders and files of a tree, with a patch; unchanged files are links."""
    text = read_patch(patch)
    # The files that are no links must be those of the tree as it is now.
    parts = [bytes(tree), text, *(path.read_bytes() for path in changed_files(tree, text))]
    key = hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
    copy = CACHE / f"host-tree-{key}"
    if (copy / "patched").is_file():
        return copy
    shutil.rmtree(copy, ignore_errors=True)
    for folder in folders:
        (copy / folder).parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-as", tree / folder, copy / folder], check=True)
    apply(tree, patch, copy)
    (copy / "patched").touch()
    return copy

# SPDX-License-Identifier: GPL-2.0
"""The folder that a script empties for its results. It is imported, not run."""

import shutil

from common import Mistake

# Says that a folder was made for results: nothing else is removed.
MARK = ".results"


def empty(folder, own, *needed):
    """Makes an empty folder for results. One that has files is only emptied if it is `own`, the
    folder that the script has by default, or was made here; and not if it has what is `needed`."""
    for path in filter(None, needed):
        if path.resolve().is_relative_to(folder.resolve()):
            raise Mistake(f"{path}: it is in the folder of --out, which is emptied")
    if folder.resolve() == own.resolve() or (folder / MARK).is_file():
        shutil.rmtree(folder, ignore_errors=True)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Mistake(f"--out {folder}: it is not an empty folder")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).touch()

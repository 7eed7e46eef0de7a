# SPDX-License-Identifier: GPL-2.0
"""Prints lines. It is imported, not run."""

import os
import sys


def print_lines(lines):
    """Prints lines. A reader that has closed standard output, as head does, has read enough."""
    try:
        print(*lines, sep="\n", flush=True)
    except OSError as error:
        # Python writes what is left once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            raise

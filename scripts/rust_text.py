# SPDX-License-Identifier: GPL-2.0
"""Reads Rust source as far as scripts/layering.py and scripts/unsafe_rooms.py need it."""

import argparse
import re
from pathlib import Path

from common import TOP

# A character literal needs its closing quote, otherwise it is a lifetime.
NO_CODE = re.compile(
    r"""//[^\n]*
    |(?P<block>/\*)
    |\b(?:br|cr|r)(?P<hashes>\#*)".*?"(?P=hashes)
    |\b[bc]?"(?:\\.|[^"\\])*"|"(?:\\.|[^"\\])*"
    |b?'(?:\\.[^']*|[^'\\\n])'
    """, re.X | re.S)
TEST = re.compile(r"#!?\[\s*(?:cfg\s*\((?!\s*not\b)[^\]]*\b(?:test|\w*kunit)\b[^\]]*|(?:\w+::)*"
                  r"kunit_tests\b[^\]]*|test\s*)\]", re.I)
ATTRIBUTE = re.compile(r"\s*#\[[^\]]*\]")


def blank(text):
    return re.sub(r"[^\n]", " ", text)


def code(text):
    """Returns the text with comments and literals blanked; lines and columns stay."""
    parts, at = [], 0
    while found := NO_CODE.search(text, at):
        end = found.end()
        if found["block"]:
            depth = 1
            while depth and (mark := re.compile(r"/\*|\*/").search(text, end)):
                depth, end = depth + (1 if mark[0] == "/*" else -1), mark.end()
            end = end if not depth else len(text)
        parts += [text[at:found.start()], blank(text[found.start():end])]
        at = end
    return "".join([*parts, text[at:]])


def item_end(text, at):
    """Returns where the item at `at` ends: after its `;`, or after its braces."""
    depth = 0
    for i in range(at, len(text)):
        if text[i] in "{[(":
            depth += 1
        elif text[i] in "}])":
            depth -= 1
            if not depth and text[i] == "}":
                return i + 1
        elif text[i] == ";" and not depth:
            return i + 1
    return len(text)


def without_tests(text):
    """Returns code with the items for tests blanked, and the names of the modules that are files of
    tests. A file that is for tests as a whole (`#![cfg(...)]`) is blank."""
    files = set()
    while found := TEST.search(text):
        if found[0].startswith("#!"):
            return blank(text), files
        at = found.end()
        while attribute := ATTRIBUTE.match(text, at):
            at = attribute.end()
        end = item_end(text, at)
        if name := re.search(r"\bmod\s+(\w+)\s*;$", text[at:end]):
            files.add(name[1])
        text = text[:found.start()] + blank(text[found.start():end]) + text[end:]
    return text, files


def gate(description, check):
    """Runs `check(top)`, which returns the faults and the number of files, as a program."""
    parser = argparse.ArgumentParser(description=description,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--top", type=Path, default=TOP, metavar="FOLDER", help="contains rust/")
    faults, files = check(parser.parse_args().top.resolve())
    print("\n".join(faults) if faults else f"{files} files are as they should be")
    return 1 if faults or not files else 0

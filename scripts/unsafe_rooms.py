#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Keeps `unsafe` in its rooms.

  scripts/unsafe_rooms.py [--list] [FILE.rs | FOLDER]...    default: rust/

Fails when
  - the token `unsafe` stands in a file that is no room (ROOMS below);
  - an unsafe block or impl has no `SAFETY:` comment right before it, or an unsafe fn or trait has
    neither that nor a `# Safety` section;
  - the crate root does not deny `unsafe_code`, or a file that is no room lifts the denial for all
    of itself, or a room uses unsafe without saying so with `#![expect(unsafe_code)]` (or allow),
    in the file or in its folder's mod.rs.
An attribute on one item, `#[expect(unsafe_code)]`, is fine anywhere: without the token it can only
be about what a macro of the kernel expands to.
"""

import argparse
import fnmatch
import re
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
ROOT = "rust/shadow_rmap_main.rs"
ROOMS = (
    "rust/ffi.rs",
    "rust/bindings/*",
    "rust/kernel_ext/*",
    "rust/rmap/anon_vma.rs",
    "rust/rmap/chain.rs",
    "rust/host/*",
    "rust/device/vm_ops.rs",
)

# What a Rust file is made of, as far as it matters here.  A character literal needs its closing
# quote, or it is a lifetime.
PIECES = re.compile(
    r"""(?P<line>//[^\n]*)
    |(?P<block>/\*)
    |(?P<raw>\b(?:br|cr|r)(?P<hashes>\#*)".*?"(?P=hashes))
    |(?P<string>\b[bc]?"(?:\\.|[^"\\])*"|"(?:\\.|[^"\\])*")
    |(?P<char>b?'(?:\\.[^']*|[^'\\\n])')
    """, re.X | re.S)


def split(text):
    """Returns (code, comments): the text twice, each with the other's characters (and in both
    those of strings) blanked, so that lines and columns stay."""
    code, comments = list(text), [c if c == "\n" else " " for c in text]

    def blank(begin, end, comment):
        for i in range(begin, end):
            if text[i] != "\n":
                code[i] = " "
                if comment:
                    comments[i] = text[i]

    at = 0
    while found := PIECES.search(text, at):
        end = found.end()
        if found.group("block"):
            depth = 1
            while depth and end < len(text):
                if text.startswith("/*", end):
                    depth, end = depth + 1, end + 2
                elif text.startswith("*/", end):
                    depth, end = depth - 1, end + 2
                else:
                    end += 1
        blank(found.start(), end, bool(found.group("line") or found.group("block")))
        at = end
    return "".join(code), "".join(comments)


def comment_before(code, comments, line):
    """The comment that belongs to the statement or item on `line` (from 0)."""
    said = []
    here = comments[line].strip()
    if here:
        said.append(here)
    at = line - 1
    while at >= 0:
        c, comment = code[at].strip(), comments[at].strip()
        if not c and comment:
            while at >= 0 and not code[at].strip() and comments[at].strip():
                said.append(comments[at].strip())
                at -= 1
            # An attribute may stand between the documentation and the item.
            break
        # The statement before ends here, or nothing is near.
        if not c or (c[-1] in ";{}" or c.endswith("},")) and not c.startswith("#"):
            break
        at -= 1
    return "\n".join(reversed(said))


LIFTED = re.compile(r"#!\[(?:expect|allow|warn)\s*\([^\]]*\bunsafe_code\b")


def lifted_above(path):
    """A folder's mod.rs speaks for the files beside it."""
    parent = path.parent / "mod.rs"
    return parent.is_file() and LIFTED.search(split(parent.read_text())[0])


def check_file(path, name, is_room, is_root):
    """Returns a list of 'name:line: trouble'."""
    text = path.read_text()
    code, comments = split(text)
    code_lines, comment_lines = code.split("\n"), comments.split("\n")
    trouble = []

    def say(line, what):
        trouble.append(f"{name}:{line + 1}: {what}")

    lifted = LIFTED.search(code)
    if is_root and not re.search(r"#!\[deny\s*\([^\]]*\bunsafe_code\b", code):
        say(0, "the crate root must have #![deny(unsafe_code)]")
    if lifted and not is_room:
        say(code.count("\n", 0, lifted.start()), "only a room may lift deny(unsafe_code)")
    seen = False
    for found in re.finditer(r"\bunsafe\b", code):
        line = code.count("\n", 0, found.start())
        seen = True
        if not is_room:
            say(line, "`unsafe` outside its rooms (scripts/unsafe_rooms.py --list)")
            continue
        after = code[found.end():].lstrip()
        said = comment_before(code_lines, comment_lines, line)
        if re.match(r'(extern\s+)?fn\s*\(', re.sub(r"\s+", " ", after)):
            continue  # the type of a function pointer
        if after.startswith("("):
            continue  # #[unsafe(no_mangle)] and the like
        if re.match(r"extern\s*\{", after):
            continue  # a block of foreign items; each use needs its own comment
        if after.startswith(("{", "impl")):
            if "SAFETY:" not in said:
                say(line, "no `SAFETY:` comment right before this")
        elif "SAFETY:" not in said and "# Safety" not in said:
            say(line, "an unsafe item needs a `# Safety` section")
    if seen and is_room and not (lifted or lifted_above(path)):
        say(0, "a room says so: #![expect(unsafe_code, reason = ...)]")
    return trouble


def rust_files(paths):
    for path in paths:
        yield from sorted(path.rglob("*.rs")) if path.is_dir() else [path]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="show the rooms and leave")
    parser.add_argument("--top", type=Path, default=TOP, help="the names of rooms start here")
    parser.add_argument("paths", nargs="*", type=Path)
    args = parser.parse_args()
    if args.list:
        print("\n".join(ROOMS))
        return 0
    top = args.top.resolve()
    trouble, files = [], 0
    for path in rust_files([p.resolve() for p in args.paths] or [top / "rust"]):
        text = path.read_text()
        if "automatically generated by rust-bindgen" in text[:200]:
            continue
        name = str(path.relative_to(top)) if path.is_relative_to(top) else str(path)
        files += 1
        is_room = any(fnmatch.fnmatch(name, room) for room in ROOMS)
        trouble += check_file(path, name, is_room, name == ROOT)
    print("\n".join(trouble) if trouble else f"unsafe rooms: {files} files are as they should be")
    if not files:
        print("unsafe rooms: no Rust file was found")
    return 1 if trouble or not files else 0


if __name__ == "__main__":
    sys.exit(main())

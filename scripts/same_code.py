#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Shows that the torture changes nothing for those who do not run it.

  scripts/same_code.py                   compiles the crate for um without the torture and with it
  scripts/same_code.py WITHOUT.o WITH.o  compares what is there already
  scripts/same_code.py --self-test       changes a small crate: what differs is found (KTAP)

Every function and every static variable that is there without the torture must be there with it,
byte for byte.  Where the linker fills in an address, both must mean the same: the same function or
variable by its name, or a constant of the same contents, followed as far as it refers to others.
So all that such a function calls is the same, too, but for what DIFFERS names.

Both are compiled in a way that is not quite the module's (SHADOW_RMAP_APART of scripts/module.sh),
without the KUnit suites:
  - Equal functions are not merged: which of them stays depends on those that the torture adds.
  - Each function and each constant has a section of its own: so it is known where a constant ends,
    and nothing is called but by its name.
  - What scripts/same_code.rs names has one more caller.  A function that is not generic over its
    kind may be called by the torture as well; with one caller it would be inlined, or fitted to
    what that caller passes.  If one is reported for that reason, that is where its name belongs.

Not compared: where a function or variable is placed, how it is aligned, and what is there only with
the torture.
"""

import argparse
import difflib
import os
import re
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
BUILD = (TOP / "scripts/module.sh", "um", "SHADOW_RMAP_TESTS=n",
         f"SHADOW_RMAP_APART={TOP / 'scripts/same_code.rs'}")
SHOWN = 3  # of what differs, so many are shown
LINES = 40  # and so much of each

# What differs by intent, and why.  An entry that differs no more has to go; it may be inlined in
# another, or in both objects: the compiler sees more callers, or longer ones.
DIFFERS = {
    "init_module":
        "makes the torture's files in debugfs; the module's set-up is inlined here",
    "<shadow_rmap_main::debugfs::DebugFs>::new":
        "makes the torture's files",
    "core::ptr::drop_in_place::<shadow_rmap_main::debugfs::DebugFs>":
        "removes the torture's files",
    "core::ptr::drop_in_place::<pin_init::__internal::DropGuard<pin_init::__internal::Unpinned, "
    "shadow_rmap_main::debugfs::DebugFs>>":
        "the same, where the module's set-up has failed",
    "shadow_rmap_main::__module_init::__module_init::__MOD":
        "the module's own data; holds the torture's files",
    "cleanup_module":
        "drops what is in __MOD, some of it in another place",
}

# What <elf.h> calls them.
SHT_SYMTAB, SHT_RELA, SHT_NOBITS = 2, 4, 8
SHF_WRITE, SHF_ALLOC, SHF_EXECINSTR, SHF_MERGE, SHF_STRINGS = 1, 2, 4, 16, 32
STT_OBJECT, STT_FUNC, STT_SECTION = 1, 2, 3
R_X86_64_64 = 1


class Trouble(Exception):
    """Nothing can be said of the code."""


def demangled(name):
    """The name as Rust has it, without the hashes of crates."""
    done = subprocess.run(["c++filt", name], stdout=subprocess.PIPE, text=True, check=True)
    return re.sub(r"\[[0-9a-f]{8,16}\]", "", done.stdout.strip())


class Section:
    """A section of an object file."""

    def __init__(self, name, header, file):
        self.name = name
        _, self.type, self.flags, _, begin, self.size, self.link, self.info, _, self.unit = header
        self.data = b"" if self.type == SHT_NOBITS else file[begin:begin + self.size]
        self.symbols = []
        # What the linker fills in: (place, type, number of the symbol, distance from it).
        self.addresses = []


class Object:
    """An object file."""

    def __init__(self, path):
        self.path = path
        # Of each symbol (name, type, number of the section, place, size).
        self.symbols = []
        # Those of the functions and variables that are defined here.
        self.defined = {}
        try:
            self.read(path.read_bytes())
            self.contents = {name: self.slice(self.sections[symbol[2]], *symbol[3:])
                             for name, symbol in self.defined.items()}
        except (OSError, ValueError, IndexError, RecursionError, struct.error) as error:
            raise Trouble(f"{path}: {error}") from None

    def read(self, file):
        if file[:6] != b"\x7fELF\x02\x01":
            raise ValueError("no object file of 64 bits, little endian")
        table, = struct.unpack_from("<Q", file, 40)
        count, names = struct.unpack_from("<HH", file, 60)
        headers = [struct.unpack_from("<IIQQQQIIQQ", file, table + 64 * i) for i in range(count)]

        def word(strings, at):
            begin = headers[strings][4] + at
            return file[begin:file.index(b"\0", begin)].decode()

        self.sections = [Section(word(names, header[0]), header, file) for header in headers]
        for table in self.sections:
            if table.type == SHT_SYMTAB:
                for name, info, _, number, begin, size in struct.iter_unpack("<IBBHQQ", table.data):
                    self.add((word(table.link, name), info & 15, number, begin, size))
        for table in self.sections:
            section = self.sections[table.info] if table.type == SHT_RELA else table
            if table.type == SHT_RELA and section.flags & SHF_ALLOC:
                for at, info, distance in struct.iter_unpack("<QQq", table.data):
                    section.addresses.append((at, info & 0xffffffff, info >> 32, distance))
                section.addresses.sort()

    def add(self, symbol):
        """Adds one symbol."""
        name, kind, number, *_ = symbol
        self.symbols.append(symbol)
        if number and kind in (STT_OBJECT, STT_FUNC):
            if name in self.defined:
                raise ValueError(f"{name} is there twice")
            section = self.sections[number]
            if section.flags & SHF_EXECINSTR and section.symbols:
                # One could call the other without a name.
                raise ValueError(f"{section.name} holds two functions, {section.symbols[0][0]} "
                                 f"and {name}: each has to be compiled by itself")
            self.defined[name] = symbol
            section.symbols.append(symbol)

    def slice(self, section, begin, size):
        """The bytes of a function, variable or constant, and what the addresses in it mean."""
        if section.type == SHT_NOBITS:
            return size, ()
        addresses = []
        for at, kind, symbol, distance in section.addresses:
            if begin <= at < begin + size:
                if kind != R_X86_64_64:
                    raise ValueError(f"{section.name}+{at:#x}: no plain address of 64 bits")
                addresses.append((at - begin, *self.meaning(symbol, distance)))
        return section.data[begin:begin + size], tuple(addresses)

    def meaning(self, symbol, distance):
        """What an address points at, by name or by contents, and how far into it."""
        name, kind, number, begin, _ = self.symbols[symbol]
        if kind != STT_SECTION:
            return name, distance
        section, at = self.sections[number], begin + distance
        for name, _, _, begin, size in section.symbols:
            if begin <= at < begin + size or at == begin + size == section.size:
                return name, at - begin
        begin, end = 0, section.size
        if section.flags & SHF_STRINGS:
            begin, end = at, section.data.index(b"\0", at) + 1
        elif section.flags & SHF_MERGE:
            begin = at - at % section.unit
            end = begin + section.unit
        if section.flags & (SHF_WRITE | SHF_EXECINSTR) or not begin <= at <= end:
            raise ValueError(f"{section.name}+{at:#x}: what is meant has no name")
        return self.slice(section, begin, end - begin), at - begin

    def is_function(self, name):
        return self.defined[name][1] == STT_FUNC

    def text(self, name, targets):
        """A function or variable to be read, line by line; with the targets of jumps, or not."""
        if not self.is_function(name):
            return constant(self.contents[name])
        section = self.sections[self.defined[name][2]]
        done = subprocess.run(["objdump", "-d", "--no-show-raw-insn", "-j", section.name,
                               self.path], stdout=subprocess.PIPE, text=True, check=True)
        lines, addresses = [], list(self.contents[name][1])
        for at, code in re.findall(r"^ +([0-9a-f]+):\t(.*)$", done.stdout, re.M):
            while addresses and addresses[0][0] < int(at, 16):
                lines += [f"    {line}" for line in address(*addresses.pop(0)[1:])]
            lines.append(re.sub(r"\b[0-9a-f]+ <[^>]*?(\+0x[0-9a-f]+)?>",
                                r"\1" if targets else "...", code))
        for last in addresses:
            lines += [f"    {line}" for line in address(*last[1:])]
        return lines


def address(meaning, distance):
    """An address to be read, line by line."""
    lines = [demangled(meaning)] if isinstance(meaning, str) else constant(meaning)
    return [lines[0] + (f", at {distance:#x}" if distance else ""), *lines[1:]]


def constant(contents):
    """A variable or constant to be read, line by line."""
    data, addresses = contents
    if isinstance(data, int):
        return [f"{data} bytes, all of them 0"]
    lines = [f"{len(data)} bytes {data[:100]!r}"]
    for at, *what in addresses:
        first, *others = address(*what)
        lines += [f"  at {at:#x}: {first}", *(f"    {line}" for line in others)]
    return lines


def names(contents):
    """What a function, variable or constant refers to by name."""
    found = set()
    for _, meaning, _ in contents[1]:
        found |= {meaning} if isinstance(meaning, str) else names(meaning)
    return found


class Comparison:
    """What became of all that is there without the torture."""

    def __init__(self, without, with_it, differs):
        self.without, self.with_it = without, with_it
        self.functions = self.variables = self.size = 0
        self.intended, self.trouble, shown, same = [], [], 0, set()
        for name, contents in without.contents.items():
            other = with_it.contents.get(name)
            if contents == other:
                same.add(name)
                if without.is_function(name):
                    self.functions += 1
                    self.size += len(contents[0])
                else:
                    self.variables += 1
                continue
            rust_name = demangled(name)
            if rust_name in differs:
                self.intended.append(rust_name)
                continue
            self.trouble.append(f"{rust_name} {'differs' if other else 'is missing'}")
            if other and shown < SHOWN:
                self.show(name)
                shown += 1
        for name in differs.keys() & set(map(demangled, same)):
            self.trouble.append(f"{name} is named in DIFFERS, and is the same")
        if not self.functions:
            self.trouble.append("no function is the same")

    def diff(self, name, targets):
        return list(difflib.unified_diff(
            self.without.text(name, targets), self.with_it.text(name, targets),
            "without the torture", "with it", n=2, lineterm=""))

    def show(self, name):
        """Says how the two differ."""
        old, new = (names(side.contents[name]) for side in (self.without, self.with_it))
        for what, which in (("refers no more to", old - new), ("now refers to", new - old)):
            for other in sorted(map(demangled, which))[:SHOWN]:
                self.trouble.append(f"  {what} {other}")
        lines = self.diff(name, targets=False) or self.diff(name, targets=True)
        self.trouble += [f"    {line}" for line in lines[:LINES]]
        if len(lines) > LINES:
            self.trouble.append(f"    and {len(lines) - LINES} lines more")


def build(variant, *arguments):
    """Compiles the crate, and returns the object file."""
    env = {name: value for name, value in os.environ.items() if name != "KDIR"}
    done = subprocess.run([*BUILD, *arguments], env={**env, "VARIANT": variant},
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise Trouble(f"the crate does not compile, see build/um-{variant}/build.log")
    return Path(done.stdout.strip())


SMALL = """#![no_std]
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
pub static LIMIT: AtomicU32 = AtomicU32::new(7);
#[inline(never)]
pub fn first(x: u32) -> u32 { x ^ 5 }
#[inline(never)]
pub fn second(x: u32) -> u32 { x ^ 5 }
pub fn calls(x: u32) -> u32 { first(x) + LIMIT.load(Relaxed) }
#[inline(never)]
pub fn says() -> &'static [&'static str] { &["one", "two"] }
"""
MORE = """pub static ZERO: AtomicU32 = AtomicU32::new(3);
pub fn another() -> (&'static [&'static str], u32) { (&["two", "one"], calls(2)) }
"""
FIRST = {"small::first": ""}
CHANGE_FIRST = ("first(x: u32) -> u32 { x ^ 5", "first(x: u32) -> u32 { x ^ 6")
# (what is shown, what is replaced by what, DIFFERS, what is said of it)
CASES = (
    ("the same", ("", ""), {}, None),
    ("the same, with more beside it", ("pub static LIMIT", MORE + "pub static LIMIT"), {}, None),
    ("a changed instruction", ("{ first(x) + ", "{ first(x) - "), {}, "small::calls differs"),
    ("a changed number", CHANGE_FIRST, {}, "small::first differs"),
    ("a changed constant, behind another", ('"two"', '"too"'), {}, "small::says differs"),
    ("a constant of another length", ('"two"]', '"two", "three"]'), {}, "small::says differs"),
    ("a variable that begins with another value", ("new(7)", "new(8)"), {}, "small::LIMIT differs"),
    ("an equal function is called", ("{ first(x)", "{ second(x)"), {},
     "now refers to small::second"),
    ("a missing function", ("pub fn says", "pub fn said"), {}, "small::says is missing"),
    ("a missing variable", ("LIMIT", "BOUND"), {}, "small::LIMIT is missing"),
    ("it may differ", CHANGE_FIRST, FIRST, None),
    ("it may be gone, its caller is told", ("first", "third"), FIRST, "small::calls differs"),
    ("it may differ, and does not", ("", ""), FIRST, "small::first is named in DIFFERS"),
)


def self_test():
    """Compares a small crate with what is made of it."""
    flags = ("-Zfunction-sections=y", "-Zmerge-functions=disabled")

    def compiled(folder, text, apart=flags):
        source, result = Path(folder, "small.rs"), Path(folder, "small.o")
        source.write_text(text)
        subprocess.run(["rustc", "--edition=2021", "--crate-type=lib", "--emit=obj", "-o", result,
                        "-Copt-level=2", "-Cpanic=abort", "-Ccodegen-units=1",
                        "-Csymbol-mangling-version=v0", "-Crelocation-model=static",
                        "-Ccode-model=large", *apart, source],
                       env={**os.environ, "RUSTC_BOOTSTRAP": "1"}, check=True)
        return Object(result)

    failed = 0

    def result(number, what, wrong):
        nonlocal failed
        failed += bool(wrong)
        print("".join(f"# {line}\n" for line in wrong), end="")
        print(f"{'not ok' if wrong else 'ok'} {number} {what}", flush=True)

    print(f"KTAP version 1\n1..{len(CASES) + 1}")
    with tempfile.TemporaryDirectory() as old, tempfile.TemporaryDirectory() as new:
        without = compiled(old, SMALL)
        for number, (what, change, differs, said) in enumerate(CASES, 1):
            seen = Comparison(without, compiled(new, SMALL.replace(*change)), differs).trouble
            right = any(said in line for line in seen) if said else not seen
            result(number, what, [] if right else [f"not said: {said}", *seen])
        try:
            compiled(new, SMALL, apart=())
            wrong = ["nothing is said"]
        except Trouble as trouble:
            wrong = [] if "each has to be compiled by itself" in str(trouble) else [str(trouble)]
        result(len(CASES) + 1, "functions that are not compiled by themselves", wrong)
    return 1 if failed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--self-test", action="store_true", help="compiles no kernel module")
    parser.add_argument("objects", nargs="*", type=Path, metavar="OBJECT")
    args = parser.parse_args()
    if args.self_test:
        return self_test()
    if len(args.objects) not in (0, 2):
        parser.error("two object files are needed, or none")
    try:
        paths = args.objects or (build("same-without", "SHADOW_RMAP_TORTURE=n"),
                                 build("same-with"))
        result = Comparison(*map(Object, paths), DIFFERS)
    except Trouble as trouble:
        print(f"same_code: {trouble}")
        return 1
    for line in result.trouble:
        print(f"same_code: {line}")
    print(f"same_code: {result.functions} functions of the correct path ({result.size} bytes) and "
          f"{result.variables} variables are the same with and without the torture; "
          f"{len(result.intended)} differ by intent: {', '.join(result.intended) or '-'}")
    return 1 if result.trouble else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Keeps the table rule, check, test of Documentation/rules.rst in step with the code.

  scripts/rules_table.py            writes the table anew, and says what is missing
  scripts/rules_table.py --check    fails when it is out of date, or when something is missing

The rules are those of rust/rmap/rules.rs.  Each needs a row in the part of the document that is
written by hand, and, in rust/, at least one of each of these.  They are found by their words, so
the words have to be there: `Rule::R12`, and no other name for it.

check   In code that is no test:
          `Rule::R12.check(X)` or `Rule::R12.holds(X)`, where X is more than `true`;
          `Rule::R12.violated()`; or `check(Rule::R12, X, ...)` or
          `holds(Rule::R12, X)`, a function or method.
        `Rule::R12.checked(n)` alone looks at nothing, and is none.
broken  A test in which the check is seen to fire.  It says `Rule::R12.expect_violations(...)`; or
        it names R12, says `Rule::R12`, and either says `.expect_violations(` of something else
        or calls a function of the tests that does.
held    A test that names R12 and passes only when the rule holds, and so does not break it.

A test is a `#[test]` function in a `#[kunit_tests(...)]` module.  It names rules in its
documentation, in a parenthesis of their own before a full stop: `(R12).` or `(R5, R9-R13).`

Code that is there only where CONFIG_KUNIT is set, and code that is expected to be dead where it
is not, belongs to the tests.  Cases in scripts/compile-fail/ that name rules (`// R12: ...`) are
listed as well.
"""

import argparse
import re
import sys
import textwrap
from pathlib import Path

from unsafe_rooms import split

TOP = Path(__file__).resolve().parent.parent
RULES = "rust/rmap/rules.rs"
DOCUMENT = "Documentation/rules.rst"
BEGIN = ".. What follows is written by scripts/rules_table.py."
END = ".. What follows is written by hand."
SUITES = "shadow_rmap_"
WIDTH = 90

TOKEN = re.compile(r"#!?\[|[{};]|\b(?:mod|trait|fn|impl)\b")
CLOSING = {"(": ")", "[": "]", "{": "}"}
TEST_CODE = re.compile(r"cfg\((?:all\()?(?:test|shadow_rmap_kunit)\b|cfg_attr\(not\(shadow_rmap_kunit\b")
NAMED = re.compile(r"\((R\d+(?:-R\d+)?(?:, R\d+(?:-R\d+)?)*)\)\.")
METHOD = re.compile(r"\bRule\s*::\s*(R\d+)\s*\.\s*(check|holds|violated|expect_violations)\s*\(")
CHECK_OF = re.compile(r"(?<!fn )\b(?:check|holds)\s*\(")
TOKENS_OF_RULES = re.compile(r"\bRule\s*::\s*(R\d+)\b")
CALL = re.compile(r"\b(\w+)\s*(?:::\s*<[^()]*>\s*)?\(")
EXPECTS = re.compile(r"\.\s*expect_violations\s*\(")


class Trouble(Exception):
    """Nothing can be said of the code."""


class Scope:
    """What stands between two braces."""

    def __init__(self, kind, name, attributes, above):
        self.kind, self.name, self.above = kind, name, above
        self.for_tests = bool(above and above.for_tests)
        self.suite = None
        for attribute in attributes:
            suite = re.search(r"\bkunit_tests\((\w+)\)", attribute)
            self.suite = suite.group(1) if suite else self.suite
            self.for_tests |= bool(suite or TEST_CODE.search(attribute))

    def type_name(self):
        """The type whose function it is, with `::`, or nothing."""
        above = self.above
        return f"{above.name}::" if above and above.kind in ("impl", "trait") else ""


class Function:
    """A function with a body."""

    def __init__(self, scope, attributes, comment, begin):
        self.name, self.full_name = scope.name, scope.type_name() + scope.name
        self.for_tests = scope.for_tests
        self.suite = scope.above.suite if any(a == "#[test]" for a in attributes) else None
        self.named = set()
        for rules in NAMED.findall(comment):
            for first, last in re.findall(r"R(\d+)(?:-R(\d+))?", rules):
                self.named.update(f"R{n}" for n in range(int(first), int(last or first) + 1))
        self.begin = self.end = begin


def closing(code, at):
    """The place of the bracket that closes the one at `at`."""
    open_ones = []
    for i in range(at, len(code)):
        if code[i] in CLOSING:
            open_ones.append(CLOSING[code[i]])
        elif open_ones and code[i] == open_ones[-1]:
            open_ones.pop()
            if not open_ones:
                return i
    raise Trouble("a bracket is not closed")


def arguments(code, at):
    """What stands between the commas of the parenthesis that opens at `at`."""
    end, begin, found, i = closing(code, at), at + 1, [], at + 1
    while i < end:
        if code[i] in CLOSING:
            i = closing(code, i)
        elif code[i] == ",":
            found.append(code[begin:i].strip())
            begin = i + 1
        i += 1
    return found + [code[begin:end].strip()]


def header_end(code, at):
    """The brace or semicolon that ends the head of an item."""
    while at < len(code):
        if code[at] in "([":
            at = closing(code, at)
        elif code[at] in "{;":
            return at
        at += 1
    raise Trouble("an item has no end")


def type_of(header):
    """The type that `impl ...` is for."""
    header = header.partition(" where ")[0]
    while re.search(r"<[^<>]*>", header):
        header = re.sub(r"(?<!-)<[^<>]*>", " ", header.replace("->", "  "))
    words = re.sub(r"\b(?:const|dyn|mut)\b", " ", header.rpartition(" for ")[2])
    return words.split("::")[-1].strip(" &")


class Source:
    """One file of rust/."""

    def __init__(self, text, for_tests=False):
        self.code, self.comments = split(text)
        self.functions, self.test_files = [], []
        self.scopes(for_tests)

    def scopes(self, for_tests):
        """Finds all functions."""
        code, root = self.code, Scope("file", "", [], None)
        root.for_tests = for_tests
        scope, open_functions, attributes, begin, at = root, [], [], 0, 0
        while found := TOKEN.search(code, at):
            token, at = found.group(), found.end()
            if token.startswith("#"):
                end = closing(code, at - 1)
                attribute = re.sub(r"\s+", " ", code[found.start():end + 1])
                at = end + 1
                if token == "#![":
                    scope.for_tests |= bool(TEST_CODE.search(attribute))
                else:
                    attributes.append(attribute)
                continue
            kind, name = "block", ""
            if token == "impl":
                # As an item, and not as the type of an argument.
                if not re.search(r"(?:^|[;{}\]]|\bunsafe)\s*$", code[begin:found.start()][-80:]):
                    if code[begin:found.start()].strip():
                        continue
                end = header_end(code, at)
                kind, name = token, type_of(code[at:end].replace("\n", " "))
                at, token = end + 1, code[end]
            elif token not in "{};":
                named = re.compile(r"\s+(\w+)").match(code, at)
                if not named:
                    continue  # the type of a function pointer, or a macro's `fn $name`
                end = header_end(code, at)
                kind, name, at, token = token, named.group(1), end + 1, code[end]
            if token == "{":
                scope = Scope(kind, name, attributes, scope)
                if kind == "fn":
                    comment = " ".join(
                        line.strip()[3:].strip()
                        for line in self.comments[begin:found.start()].split("\n")
                        if line.strip().startswith("///"))
                    function = Function(scope, attributes, comment, end)
                    self.functions.append(function)
                    open_functions.append(function)
            elif token == "}":
                if scope.kind == "fn":
                    open_functions.pop().end = at
                scope = scope.above
                if not scope:
                    raise Trouble("a brace too many is closed")
            elif kind == "mod" and Scope(kind, name, attributes, scope).for_tests:
                self.test_files.append(name)
            attributes, begin = [], at
        if scope is not root:
            raise Trouble("a brace is not closed")

    def function_at(self, at):
        """The innermost function around a place."""
        around = [f for f in self.functions if f.begin <= at < f.end]
        return min(around, key=lambda f: f.end - f.begin, default=None)

    def body(self, function):
        return self.code[function.begin:function.end]

    def helpers(self):
        """Functions that tests may call to break a rule; not those within one test."""
        tests = [f for f in self.functions if f.suite]
        return [f for f in self.functions if f.for_tests and EXPECTS.search(self.body(f))
                and not any(t.begin <= f.begin < t.end for t in tests)]

    def checks(self):
        """Pairs (rule, function) of each check that is no test's."""
        found = []
        for call in METHOD.finditer(self.code):
            looks = call.group(2) == "violated" or (
                call.group(2) in ("check", "holds") and
                arguments(self.code, call.end() - 1)[0] != "true")
            if looks:
                found.append((call.start(), [call.group(1)]))
        for call in CHECK_OF.finditer(self.code):
            what = arguments(self.code, call.end() - 1)
            if what[1:] and what[1] != "true":
                found.append((call.start(), TOKENS_OF_RULES.findall(what[0])))
        for at, rules in sorted(found):
            function = self.function_at(at)
            if function and not function.for_tests:
                for rule in rules:
                    yield rule, function.full_name


class Table:
    """All that is known of each rule."""

    def __init__(self, top):
        self.trouble = []
        rules = top / RULES
        if not rules.is_file():
            raise Trouble(f"{RULES} is not there")
        self.titles = dict(re.findall(r'^\s+(R\d+) "([^"]*)";$', rules.read_text(), re.M))
        if list(self.titles) != [f"R{n + 1}" for n in range(len(self.titles))] or not self.titles:
            raise Trouble(f"{RULES}: the rules are not R1, R2 and so on")
        # For each rule pairs (group, name), in the order in which they were found.
        self.checked, self.holds, self.broken, self.refused = (
            {rule: [] for rule in self.titles} for _ in range(4))
        sources = self.read(top)
        helpers = {f.name for source in sources.values() for f in source.helpers()}
        for name, source in sources.items():
            for rule, function in source.checks():
                self.add(self.checked, rule, name.removeprefix("rust/"), function, name)
            for function in source.functions:
                if function.suite:
                    self.add_test(name, source, function, helpers)
        for path in sorted((top / "scripts/compile-fail").glob("*.rs")):
            for named in re.findall(r"^// (R[\dR, -]*):", path.read_text(), re.M):
                for rule in re.findall(r"R\d+", named):
                    self.add(self.refused, rule, "", path.stem, path.name)

    @staticmethod
    def read(top):
        """All files, and for each whether a file above says that it is the tests' alone."""
        sources, for_tests = {}, set()
        # A folder's mod.rs speaks for the files beside and below it, so it comes first.
        paths = sorted((top / "rust").rglob("*.rs"), key=lambda p: (
            len(p.relative_to(top).parts) - (p.name == "mod.rs"), str(p)))
        for path in paths:
            folder = path.parent if path.stem in ("mod", "shadow_rmap_main") else \
                path.with_suffix("")
            own = any(p in for_tests for p in (path.with_suffix(""), *path.parents))
            try:
                source = Source(path.read_text(), own)
            except Trouble as trouble:
                raise Trouble(f"{path.relative_to(top)}: {trouble}") from None
            for_tests.update(folder / name for name in source.test_files)
            sources[str(path.relative_to(top))] = source
        return dict(sorted(sources.items()))

    def add(self, column, rule, group, name, where):
        if rule not in column:
            self.trouble.append(f"{where}: {name}: there is no rule {rule}")
        elif (group, name) not in column[rule]:
            column[rule].append((group, name))

    def add_test(self, name, source, test, helpers):
        body, suite = source.body(test), test.suite.removeprefix(SUITES)
        broken = {rule for rule, what in METHOD.findall(body) if what == "expect_violations"}
        direct = re.sub(METHOD, " ", body)
        if EXPECTS.search(direct) or helpers.intersection(CALL.findall(body)):
            broken |= test.named.intersection(TOKENS_OF_RULES.findall(body))
        where = f"{name}: {suite}"
        for rule in broken:
            self.add(self.broken, rule, suite, test.name, where)
        for rule in test.named - broken:
            self.add(self.holds, rule, suite, test.name, where)

    def missing(self):
        """What each rule lacks."""
        for rule, title in self.titles.items():
            for column, what in ((self.checked, "nothing checks it"),
                                 (self.holds, f"no test that it holds names it, `({rule}).`"),
                                 (self.broken, "no test breaks it on purpose")):
                if not column[rule]:
                    yield f"{rule} ({title}): {what}"

    def text(self):
        """The generated part of the document."""
        lines = [".. list-table::", "   :header-rows: 1", "   :widths: 20 22 24 20 14", ""]
        row("Rule", "Checked by", "Holds in", "Broken on purpose in", "Does not compile",
            lines=lines)
        for rule, title in self.titles.items():
            row(f"{rule}: {title}",
                *(cell(column[rule]) or "**nothing**"
                  for column in (self.checked, self.holds, self.broken)),
                cell(self.refused[rule]), lines=lines)
        return "\n".join(lines) + "\n"


def cell(pairs):
    """`group: ``name``, ``name``; group: ...`"""
    groups = {}
    for group, name in pairs:
        groups.setdefault(group, []).append(f"``{name}``")
    return "; ".join((f"{group}: " if group else "") + ", ".join(names)
                     for group, names in sorted(groups.items()))


def row(*cells, lines):
    for number, text in enumerate(cells):
        lines += textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False,
                               initial_indent="     - " if number else "   * - ",
                               subsequent_indent=" " * 7) or ["     -"]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail")
    parser.add_argument("--top", type=Path, default=TOP, help="the folder with rust/")
    args = parser.parse_args()
    path = args.top / DOCUMENT
    try:
        table = Table(args.top)
        if not path.is_file():
            raise Trouble(f"{DOCUMENT} is not there")
        text = path.read_text()
        parts = re.split(f"^({re.escape(BEGIN)}|{re.escape(END)})\n", text, flags=re.M)
        if parts[1::2] != [BEGIN, END]:
            raise Trouble(f"{DOCUMENT} needs these two lines, once each:\n  {BEGIN}\n  {END}")
    except Trouble as trouble:
        print(f"rules table: {trouble}")
        return 1
    before, _, old, _, after = parts
    trouble = table.trouble + list(table.missing())
    for rule in table.titles:
        rows = len(re.findall(rf"^   \* - {rule}$", before + after, re.M))
        if rows != 1:
            trouble.append(f"{DOCUMENT}: {rule} has {rows} rows that are written by hand, not 1")
    new = f"\n{table.text()}\n"
    if args.check and old != new:
        trouble.append(f"{DOCUMENT} is out of date: run scripts/rules_table.py")
    elif old != new:
        path.write_text(f"{before}{BEGIN}\n{new}{END}\n{after}")
    for line in trouble:
        print(f"rules table: {line}")
    if not trouble:
        print(f"rules table: {len(table.titles)} rules are checked, hold and are broken in tests")
    return 1 if args.check and trouble else 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: GPL-2.0
"""Finds the definitions of a C file by name: functions, types, uses of macros that define others.

It knows as much of C as the kernel's coding style needs. It is imported, not run."""

import re
from bisect import bisect_right

from common import Mistake

# What stands before the name of a function, and looks like a function itself.
ATTRIBUTE = re.compile(r"__attribute__|__printf|__must_hold|__acquires|__releases|__cold|__section")
HIDDEN = re.compile(r"""
    /\*.*?\*/ | //[^\n]*                        # comments
    | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*'   # strings and characters
    | ^[ \t]*\#(?:[^\n\\]|\\.|\\\n)*              # directives, with the lines that they go on in
    """, re.X | re.S | re.M)


def _hide(text):
    """Returns the text with blanks for what is no code: same length, same lines."""
    return HIDDEN.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)


class Definition:
    """A definition: `name`, its bounds in the text, its first line."""

    def __init__(self, name, start, end, line):
        self.name, self.start, self.end, self.line = name, start, end, line


class CFile:
    """The definitions of one file. `shown` is the path that an error names."""

    def __init__(self, path, shown):
        self.path, self.shown = path, shown
        try:
            self.text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise Mistake(f"this tree has no {shown}: {error.strerror}") from error
        self.code = _hide(self.text)
        self.breaks = [found.start() for found in re.finditer("\n", self.text)]
        self.definitions = list(self._scan())

    def line_of(self, offset):
        return bisect_right(self.breaks, offset - 1) + 1

    def _scan(self):
        start, braces, parens, head = None, 0, 0, None
        for found in re.finditer(r"[(){};]|[^\s(){};]+", self.code):
            if start is None:
                start, head = found.start(), None
            token, end = found[0], found.end()
            parens += (token == "(") - (token == ")")
            braces += (token == "{") - (token == "}")
            if token == "{" and braces == 1 and head is None:
                head = self.code[start:found.start()]
            ends = not braces and not parens and (
                token == ";" or (token == "}" and self._is_function(head))
                or (token == ")" and self._is_macro(start, end)))
            if ends:
                name = self._name(head if head is not None else self.code[start:end], token)
                if name:
                    yield Definition(name, start, end, self.line_of(start))
                start = None

    @staticmethod
    def _is_function(head):
        return head is not None and "(" in head and "=" not in head

    def _is_macro(self, start, end):
        """Returns whether a use of a macro ends here, as INTERVAL_TREE_DEFINE() without `;`."""
        after = self.code[end:].lstrip()[:1]
        return bool(re.match(r"[A-Z][A-Z0-9_]+\s*\(", self.code[start:end])) and after not in "{;,)"

    @staticmethod
    def _name(head, last):
        if last == ")":
            return re.findall(r"\w+", head)[-1]
        aggregate = re.match(r"\s*(?:struct|enum|union)\s+(\w+)\s*$", head)
        if aggregate and last == ";":
            return aggregate[1]
        if last != "}":
            return None
        for found in re.finditer(r"(\w+)\s*\(", head):
            if not ATTRIBUTE.fullmatch(found[1]):
                return found[1]
        return None

    def find(self, name):
        """Returns each definition of this name: more than one where #ifdef chooses."""
        found = [d for d in self.definitions if d.name == name]
        if not found:
            raise Mistake(f"{self.shown} of this tree has no {name}()")
        return found

    def _emit(self, start, end, line):
        return f'#line {line} "{self.path}"\n{self.text[start:end]}\n'

    def cut(self, *names):
        """Returns the text of these definitions, in the order of the file."""
        wanted = sorted((d for name in names for d in self.find(name)), key=lambda d: d.start)
        return "\n".join(self._emit(d.start, d.end, d.line) for d in wanted)

    def macros(self, *names):
        """Returns the text of these macros."""
        texts = []
        for name in names:
            found = re.search(rf"^#[ \t]*define {name}\b(?:[^\n\\]|\\\n|\\.)*", self.text, re.M)
            if not found:
                raise Mistake(f"{self.shown} of this tree has no macro {name}")
            texts.append(self._emit(*found.span(), self.line_of(found.start())))
        return "\n".join(texts)

    def between(self, first, last):
        """Returns the text from one definition to another, with all that is between them."""
        start, end = self.find(first)[0], self.find(last)[-1]
        if end.end < start.start:
            raise Mistake(f"{self.shown} of this tree has {last}() before {first}()")
        return self._emit(start.start, end.end, start.line)

    def after_includes(self, last):
        """Returns the text from below the last #include to the end of a definition."""
        includes = list(re.finditer(r"^[ \t]*#[ \t]*include\b[^\n]*\n", self.text, re.M))
        start = includes[-1].end() if includes else 0
        end = self.find(last)[-1].end
        return self._emit(start, end, self.line_of(start))

    def without(self, *names, fields=None):
        """Returns the text without these definitions. `fields` adds a line on top of structs."""
        edits = [(d.start, d.end, "") for name in names for d in self.find(name)]
        for name, line in (fields or {}).items():
            for d in self.find(name):
                brace = self.code.index("{", d.start) + 1
                edits.append((brace, brace, f" {line}"))
        text = self.text
        for start, end, new in sorted(edits, reverse=True):
            lines = "\n" * text[start:end].count("\n")
            text = text[:start] + new + lines + text[end:]
        return f'#line 1 "{self.path}"\n{text}'

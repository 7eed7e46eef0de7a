#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Leaves out each check of the reverse map in turn, and shows which KUnit tests fail without it.

The module is built once; a parameter says which check does not report. In the end every check of
rust/rmap/ must have a test that fails. The last line is `silence: noticed N/N`.
"""

import argparse
import re
import sys

from common import OUT, SCRIPTS, TOP, Mistake, Progress, kernel_folder, modules, say, stream

# The suites that check nothing of the kind need not run.
SUITES = "kunit.filter_glob=*.*noticed*"
CHECK = re.compile(r"\.(?:holds|check)\((?!self\)|rule, holds\))")


def number(name, line):
    """Returns the number by which rust/rmap/rules.rs knows a check."""
    total = 0
    for byte in name.encode():
        total = (total * 31 + byte) & 0xffffffff
    return total << 32 | line


def checks():
    """Returns the place of each check in the engine, and its number."""
    for path in sorted((TOP / "rust/rmap").glob("*.rs")):
        if path.name in ("rules.rs", "oracle.rs", "testing.rs"):
            continue
        for line, text in enumerate(path.read_text().splitlines(), 1):
            if CHECK.search(text) and not text.lstrip().startswith("//"):
                yield f"{path.name}:{line}", number(path.name, line)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--module", help="shadow_rmap_kunit.ko, otherwise it is built")
    args = parser.parse_args()
    module = args.module or modules("um", "kunit")["shadow_rmap_kunit"]
    places = [("none", 0), *checks()]
    out = OUT / "silence"
    out.mkdir(parents=True, exist_ok=True)
    (out / "checks").write_text("".join(f"{place} {n}\n" for place, n in places))
    _, text = stream([SCRIPTS / "vm.py", "--target", "um", "--kernel", kernel_folder("um"), "--out",
                      out, "--append", SUITES, "--time-limit", "3000",
                      "--file", f"{module}:shadow_rmap_kunit.ko", "--file", f"{out}/checks:checks",
                      "--", SCRIPTS / "guest/silence.sh"], out.with_suffix(".log"),
                     Progress("silence", len(places)), re.compile(r"^silence: "), limit=3600)
    failed = dict(re.findall(r"^silence: (\S+):(.*)$", text, re.M))
    for place, _ in places:
        if not failed.get(place, "").strip() and place != "none":
            say(f"{place}: {'no test fails' if place in failed else 'was not tried'}")
    if failed.get("none", "x").strip():
        raise Mistake("tests fail although no check is left out")
    noticed = sum(bool(failed.get(place, "").strip()) for place, _ in places[1:])
    say(f"silence: noticed {noticed}/{len(places) - 1}")
    return 0 if noticed == len(places) - 1 else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Mistake as error:
        sys.exit(f"silence: {error}")

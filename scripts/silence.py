#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Leaves out each check of the reverse map in turn, and shows which KUnit tests fail without it.

The module is built once; a parameter says which check does not report. In the end every check of
rust/rmap/ must have a test that fails. The last line is `silence: noticed N/N`.
"""

import re
from concurrent.futures import ThreadPoolExecutor

from common import OUT, SCRIPTS, TOP, Mistake, command_line, kernel_folder, modules, program, say, stream

# The suites wait for grace periods most of the time.
GUESTS = 4
# Tests in whose names nothing is noticed need not run.
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
        if path.name in ("rules.rs", "oracle.rs"):
            continue
        for line, text in enumerate(path.read_text().splitlines(), 1):
            if CHECK.search(text) and not text.lstrip().startswith("//"):
                yield f"{path.name}:{line}", number(path.name, line)


def run(module, guest, places):
    """Boots a guest, and returns the names of the tests that failed, by check."""
    out = OUT / "silence" / str(guest)
    out.mkdir(parents=True, exist_ok=True)
    (out / "checks").write_text("".join(f"{place} {n}\n" for place, n in places))
    _, text = stream([SCRIPTS / "vm.py", "--target", "um", "--kernel", kernel_folder("um"), "--out",
                      out, "--append", SUITES, "--time-limit", "7000",
                      "--file", f"{module}:shadow_rmap_kunit.ko", "--file", f"{out}/checks:checks",
                      "--", SCRIPTS / "guest/silence.sh"], out.with_suffix(".log"),
                     f"silence: guest {guest} of {GUESTS}, {len(places)} checks",
                     re.compile(r"^silence: \S+:|^vm: "), limit=7200, every=60)
    return dict(re.findall(r"^silence: (\S+):(.*)$", text, re.M))


def main():
    command_line(__doc__).parse_args()
    module = modules("um", "kunit")["shadow_rmap_kunit"]
    places = [("none", 0), *checks()]
    with ThreadPoolExecutor(GUESTS) as pool:
        shares = [places[guest::GUESTS] for guest in range(GUESTS)]
        results = list(pool.map(lambda guest: run(module, guest, shares[guest]), range(GUESTS)))
    failed = {place: tests.split() for result in results for place, tests in result.items()}
    for place, _ in places[1:]:
        if not failed.get(place):
            say(f"{place}: {'no test fails' if place in failed else 'was not tried'}")
    if failed.get("none") != []:
        raise Mistake("tests fail although no check is left out")
    noticed = sum(bool(failed.get(place)) for place, _ in places[1:])
    say(f"silence: noticed {noticed}/{len(places) - 1}")
    return 0 if noticed == len(places) - 1 else 1


if __name__ == "__main__":
    program("silence", main)

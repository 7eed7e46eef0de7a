#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What came of a torture: a table for people, and a picture of how long each bug took.

scripts/torture.py hands over its runs; by itself this draws again what is in out/torture.json:

  scripts/torture_report.py [--svg FILE] [TORTURE.json]
"""

import argparse
import json
import math
import sys
from pathlib import Path
from statistics import median
from xml.sax.saxutils import escape

TOP = Path(__file__).resolve().parent.parent


def summarize(runs, repeat):
    """One row for each bug under each protocol, in the order in which they were first tried; each
    was to be tried `repeat` times."""
    rows = {}
    for run in runs:
        row = rows.setdefault((run["bust"], run["protocol"]), {
            "bust": run["bust"], "rule": run["rule"], "museum": run["museum"],
            "protocol": run["protocol"], "vm": run["vm"], "runs": [], "oracles": []})
        row["runs"].append(run)
        if run["caught"] and run["oracle"] not in row["oracles"]:
            row["oracles"].append(run["oracle"])
    for row in rows.values():
        runs = row.pop("runs")
        caught = [run for run in runs if run["caught"]]
        times = [run["milliseconds"] for run in caught if run["milliseconds"] is not None]
        row |= {
            "runs": len(runs),
            "wanted": repeat,
            "caught": len(caught),
            "median_ms": round(median(times)) if times else None,
            "worst_ms": max(times) if times else None,
            "operations": round(median(run["operations"] for run in caught)) if caught else None,
            "near_misses": round(median(run["near_misses"] for run in caught)) if caught else None,
            "how": sorted({run["how"] for run in runs}),
        }
    return list(rows.values())


def is_caught(row):
    """A bug counts only when no run of it went unnoticed, and none was left out."""
    return row["caught"] == row["wanted"]


def number(value):
    return "-" if value is None else f"{value:,}"


def museum(numbers):
    return ", ".join(map(str, numbers)) or "-"


def columns(head, rows, right):
    """Lines, each column as wide as its widest word."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    for row in [head, *rows]:
        yield "  ".join(word.rjust(width) if i in right else word.ljust(width)
                        for i, (word, width) in enumerate(zip(row, widths))).rstrip()


def by_whom(row):
    """Which oracle, or what the kernel said."""
    if not row["caught"]:
        return "; ".join(row["how"])
    words = " ".join(row["oracles"])
    others = [how for how in row["how"] if how not in ("oracle", "missed")]
    return f"{words} ({', '.join(others)})" if others else words


def table(rows):
    several = any(row["runs"] > 1 for row in rows)
    head = ["deliberate bug", "rule", "museum", "protocol", "caught by"]
    head += ["runs", "median ms", "worst ms"] if several else ["ms"]
    lines = []
    for row in rows:
        line = [row["bust"], row["rule"] or "-", museum(row["museum"]), row["protocol"],
                by_whom(row)]
        if several:
            line += [f"{row['caught']}/{row['wanted']}", number(row["median_ms"])]
        lines.append([*line, number(row["worst_ms"]), number(row["operations"]),
                      number(row["near_misses"])])
    yield from columns([*head, "operations", "near misses"], lines,
                       range(5, len(head) + 2))


def correct_table(rows):
    head = ["correct rules", "protocol", "load", "clean", "operations", "near misses", "seconds"]
    yield from columns(head, [[row["vm"], row["protocol"], row.get("load") or "all",
                               "yes" if row["clean"] else "NO",
                               number(row["operations"]), number(row["near_misses"]),
                               number(row["seconds"])] for row in rows], range(4, 7))


# The picture: a bar for each bug, as long as the logarithm of the median, and a dot at the worst.
WIDTH, LEFT, RIGHT, HEAD, ROW, BAR = 860, 300, 150, 84, 22, 12
FOUND, KERNEL, MISSED, INK, PALE = "#3b7a57", "#31669e", "#b5301d", "#222", "#888"


def svg(result):
    rows = result["busts"]
    # From a millisecond to the next power of ten.
    longest = max([1000, *(row["worst_ms"] for row in rows if row["worst_ms"] is not None)])
    decades = math.ceil(math.log10(longest) - 1e-9)
    scale = (WIDTH - LEFT - RIGHT) / decades
    bottom = HEAD + ROW * len(rows)

    def at(milliseconds):
        return LEFT + scale * math.log10(max(1, milliseconds))

    def text(x, y, content, size=12, fill=INK, anchor="start"):
        return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}" '
                f'text-anchor="{anchor}">{escape(content)}</text>')

    yield (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{bottom + 50}" '
           f'viewBox="0 0 {WIDTH} {bottom + 50}" font-family="sans-serif">')
    yield f'<rect width="{WIDTH}" height="{bottom + 50}" fill="#fff"/>'
    yield text(16, 26, "shadow_rmap: how long each deliberate bug goes unnoticed", 16)
    yield text(16, 46, f"{result['parameters']['vm']}, seed {result['seed']}; bar: median, dot: "
                       "worst, letters: the oracle; shorter is better", 12, PALE)
    for decade in range(decades + 1):
        x = at(10 ** decade)
        name = f"{10 ** decade} ms" if decade < 3 else f"{10 ** (decade - 3):,} s"
        yield f'<line x1="{x:.1f}" y1="{HEAD - 8}" x2="{x:.1f}" y2="{bottom}" stroke="#ddd"/>'
        yield text(x, HEAD - 14, name, 11, PALE, "middle")
    for i, row in enumerate(rows):
        y = HEAD + ROW * i
        middle = y + BAR / 2 + 4
        words = ", ".join(filter(None, [row["rule"], f"museum {museum(row['museum'])}"
                                        if row["museum"] else ""]))
        yield text(LEFT - 10, middle, f"{row['bust']} ({words})" if words else row["bust"],
                   anchor="end")
        end = LEFT
        if row["worst_ms"] is not None:
            color = KERNEL if any("kernel" in how or how == "hang" for how in row["how"]) else FOUND
            end = at(row["worst_ms"])
            yield (f'<rect x="{LEFT}" y="{y}" width="{max(2, at(row["median_ms"]) - LEFT):.1f}" '
                   f'height="{BAR}" fill="{color}"/>')
            yield f'<circle cx="{end:.1f}" cy="{y + BAR / 2:.1f}" r="4" fill="{color}"/>'
            label = f"{' '.join(row['oracles'])}  {number(row['worst_ms'])} ms"
            yield text(end + 9, middle, label)
        if not is_caught(row):
            yield text(WIDTH - 16, middle, f"caught {row['caught']} of {row['wanted']}", 12, MISSED,
                       "end")
    yield text(16, bottom + 28, "green: by the module's oracles", 12, FOUND)
    yield text(260, bottom + 28, "blue: by what the kernel complained or died of, or a hang", 12,
               KERNEL)
    yield "</svg>"


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="?", default=TOP / "out/torture.json",
                        metavar="TORTURE.json")
    parser.add_argument("--svg", type=Path, metavar="FILE")
    args = parser.parse_args()
    try:
        result = json.loads(args.results.read_text(encoding="utf-8"))
        lines = [*table(result["busts"]), *correct_table(result["correct"])]
        picture = "\n".join(svg(result)) + "\n"
        if args.svg:
            args.svg.write_text(picture, encoding="utf-8")
    except (OSError, ValueError, KeyError) as error:
        print(f"torture: {args.results}: {error}", file=sys.stderr)
        return 1
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: GPL-2.0
"""The result of a torture: a table, and a chart of the time that each bug took. scripts/torture.py
uses it."""

import math
from statistics import median

import chart


def summarize(runs, repeat):
    """Returns a row for each bug under each protocol; each was to be caught `repeat` times."""
    rows = {}
    for run in runs:
        row = rows.setdefault((run["bust"], run["protocol"]), {
            name: run[name] for name in ("bust", "rule", "museum", "protocol", "vm", "inspection",
                                         "admissible")} | {"runs": []})
        row["runs"].append(run)
    for row in rows.values():
        runs = row.pop("runs")
        caught = [run for run in runs if run["caught"]]
        times = [run["milliseconds"] for run in caught if run["milliseconds"] is not None]
        row |= {
            "oracles": list(dict.fromkeys(run["oracle"] for run in runs if run["oracle"])),
            "boots": len(runs),
            "wanted": repeat,
            "caught": len(caught),
            "findings": sum(run["finding"] for run in runs),
            "median_ms": round(median(times)) if times else None,
            "worst_ms": max(times) if times else None,
            "operations": round(median(run["operations"] for run in caught)) if caught else None,
            "near_misses": round(median(run["near_misses"] for run in caught)) if caught else None,
            "how": sorted({run["how"] for run in runs}),
        }
    return list(rows.values())


def is_caught(row):
    """A bug is caught when the boots that were wanted have caught it, and none had a finding."""
    return row["caught"] == row["wanted"] and not row["findings"]


def counts(rows):
    """Returns how many bugs are caught by harm, how many by inspection, and how many findings."""
    caught = [row for row in rows if is_caught(row)]
    inspected = sum(row["inspection"] for row in caught)
    return {"harm": len(caught) - inspected, "inspection": inspected,
            "findings": sum(row["findings"] for row in rows)}


def in_words(rows):
    n = counts(rows)
    return (f"{n['harm']} bugs caught by harm alone, {n['inspection']} by inspection; "
            f"{n['findings']} findings")


def number(value):
    return "-" if value is None else f"{value:,}"


def museum(numbers):
    return ", ".join(map(str, numbers)) or "-"


def columns(head, rows, right):
    """Yields lines, each column as wide as its widest cell."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    for row in [head, *rows]:
        yield "  ".join(word.rjust(width) if i in right else word.ljust(width)
                        for i, (word, width) in enumerate(zip(row, widths))).rstrip()


def seen_by(row):
    """Returns the oracles, and what else there is to say about how the bug was seen."""
    others = [how for how in row["how"] if how != "oracle" and not (how == "missed" and row["caught"])]
    words = " ".join(row["oracles"]) or "-"
    words += f" ({', '.join(others)})" if others else ""
    return words + (f" FINDING, not {' or '.join(row['admissible'])}" if row["findings"] else "")


def table(rows):
    several = any(row["wanted"] > 1 for row in rows)
    head = ["deliberate bug", "rule", "museum", "protocol", "seen by", "inspection", "boots",
            *(["median ms", "worst ms"] if several else ["ms"]), "operations", "near misses"]
    lines = [[row["bust"], row["rule"] or "-", museum(row["museum"]), row["protocol"], seen_by(row),
              "yes" if row["inspection"] else "", f"{row['caught']}/{row['boots']}",
              *([number(row["median_ms"])] if several else []), number(row["worst_ms"]),
              number(row["operations"]), number(row["near_misses"])] for row in rows]
    yield from columns(head, lines, range(6, len(head)))


def correct_table(rows):
    head = ["correct rules", "protocol", "load", "clean", "operations", "near misses", "seconds"]
    yield from columns(head, [[row["vm"], row["protocol"], row.get("load") or "all",
                               "yes" if row["clean"] else "NO",
                               number(row["operations"]), number(row["near_misses"]),
                               number(row["seconds"])] for row in rows], range(4, 7))


def svg(result):
    """Returns the chart: a bar is the median on a logarithmic scale, a dot the worst."""
    rows = result["busts"]
    longest = max([1000, *(row["worst_ms"] for row in rows if row["worst_ms"] is not None)])
    decades = math.ceil(math.log10(longest) - 1e-9)
    drawn = []
    for row in rows:
        words = ", ".join(filter(None, [row["rule"], f"museum {museum(row['museum'])}"
                                        if row["museum"] else ""]))
        by_kernel = any("kernel" in how for how in row["how"])
        one = {"name": f"{row['bust']} ({words})" if words else row["bust"], "length": 0,
               "color": chart.BLUE if by_kernel else chart.GREEN, "label": "", "ink": chart.RED}
        if row["worst_ms"] is not None:
            one |= {"length": math.log10(max(1.05, row["median_ms"])) / decades,
                    "dot": math.log10(max(1, row["worst_ms"])) / decades,
                    "label": f"{' '.join(row['oracles'])}  {number(row['worst_ms'])} ms"}
        if not is_caught(row):
            one["note"] = f"caught {row['caught']} of {row['wanted']}"
        elif row["inspection"]:
            one |= {"note": "by inspection", "ink": chart.PALE}
        drawn.append(one)
    ticks = [(n / decades, f"{10 ** n} ms" if n < 3 else f"{10 ** (n - 3):,} s")
             for n in range(decades + 1)]
    return chart.bars("shadow_rmap: time until each deliberate bug is detected",
                      f"{result['parameters']['vm']}, seed {result['seed']}; bar: median, dot: "
                      "worst, letters: the oracle; shorter is better", drawn, ticks,
                      [("green: by an oracle of the module", chart.GREEN),
                       ("blue: by a report of the kernel", chart.BLUE)], right=230)

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Times the shadow's reverse map beside the host's own mm/rmap.c, in turns in one boot of User-Mode
Linux without debugging options. Shows a table, and leaves out/bench.json and out/bench.svg.

The ratio of an operation is the median of the ratios of all rounds, shadow to host: above 1 the shadow
costs more. Documentation/bench.rst defines each field. The last line is
`bench: worst ratio R (operation)`, or `bench: FAIL <why>`.
"""

import json
import re
import sys
from pathlib import Path
from statistics import median, quantiles

import chart
import vm
from common import OUT, SCRIPTS, Mistake, command_line, exit_on_sigterm, modules, write_json

# The titles of the rows.
NAMES = {
    "lookup": "lock a page's anon_vma, unlock",
    "prepare-unlink": "prepare, unlink",
    "fork-unlink": "fork, unlink, {n} deep",
    "split-unlink": "split, unlink, {n} link{s}",
    "page-new": "new page, remove",
    "page-add": "one more PTE, one less",
    "page-move": "one more PTE, one less, move",
    "walk": "walk of {n} VMA{s}",
    "anon_vma": "bytes of an anon_vma",
    "anon_vma_chain": "bytes of a link",
}


def title(name, n):
    return NAMES.get(name, name).format(n=n, s="" if n == 1 else "s")


def quartiles(figures):
    if len(figures) < 2:
        return figures[0], figures[0]
    low, _, high = quantiles(figures, n=4, method="inclusive")
    return low, high


def timed(record):
    """An operation, in nanoseconds."""
    name, n, iterations = record["operation"], record["n"], record["iterations"]
    shadow = [total / iterations for total in record["shadow"]]
    host = [total / iterations for total in record["host"]]
    ratios = [ours / theirs for ours, theirs in zip(shadow, host, strict=True)]
    low, high = quartiles(ratios)
    spread = {side: (quartiles(times)[1] - quartiles(times)[0]) / median(times)
              for side, times in (("shadow", shadow), ("host", host))}
    return {
        "op": f"{name}-{n}" if "{n}" in NAMES.get(name, "{n}") else name,
        "title": title(name, n),
        "iterations": iterations,
        "shadow_ns": round(median(shadow), 2),
        "host_ns": round(median(host), 2),
        "shadow_spread": round(spread["shadow"], 3),
        "host_spread": round(spread["host"], 3),
        "ratio": round(median(ratios), 3),
        "ratio_low": round(low, 3),
        "ratio_high": round(high, 3),
    }


def sized(record):
    """The size of a structure, in bytes."""
    return {
        "op": f"bytes-{record['size']}",
        "title": title(record["size"], 1),
        "shadow_bytes": record["shadow"],
        "host_bytes": record["host"],
        "ratio": round(record["shadow"] / record["host"], 3),
    }


def read(path):
    result = {"version": 1, "kernel": None, "machine": None, "rounds": None,
              "operations": [], "sizes": [], "worst": None}
    for line in path.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        if "operation" in record:
            result["operations"].append(timed(record))
            result["rounds"] = len(record["shadow"])
        elif "size" in record:
            result["sizes"].append(sized(record))
        else:
            result.update(record)
    if not result["operations"] or not result["sizes"]:
        raise ValueError("nothing was measured")
    worst = max(result["operations"] + result["sizes"], key=lambda row: row["ratio"])
    result["worst"] = {"op": worst["op"], "ratio": worst["ratio"]}
    return result


def figures(row):
    """(shadow, host) with their unit."""
    if "shadow_bytes" in row:
        return f"{row['shadow_bytes']} B", f"{row['host_bytes']} B"
    return tuple(f"{row[side]:.{0 if row[side] >= 1000 else 1}f} ns"
                 for side in ("shadow_ns", "host_ns"))


def table(result):
    yield (f"Linux {result['kernel']}, User-Mode Linux on {result['machine'] or 'a machine'}, "
           f"{result['rounds']} rounds")
    yield f"{'':34}{'shadow':>12}{'host':>12}{'ratio':>8}   middle half of the rounds"
    for row in result["operations"] + result["sizes"]:
        shadow, host = figures(row)
        line = f"{row['title']:34}{shadow:>12}{host:>12}{row['ratio']:8.2f}"
        if "ratio_low" in row:
            line += f"   {row['ratio_low']:.2f} to {row['ratio_high']:.2f}"
        yield line


def svg(result):
    """Returns the chart: a bar is the ratio, with a line where shadow and host are equal."""
    rows = result["operations"] + result["sizes"]
    longest = max(1.25, *(row["ratio"] for row in rows))
    drawn = [{"name": row["title"], "length": row["ratio"] / longest, "label": f"{row['ratio']:.2f}",
              "color": chart.ORANGE if row["ratio"] > 1.005 else chart.GREEN,
              "note": " / ".join(figures(row))} for row in rows]
    return chart.bars("shadow_rmap: cost of the shadow, the host's own being 1",
                      f"Linux {result['kernel']}, User-Mode Linux, medians of {result['rounds']} "
                      "rounds in one boot; shorter is better; right: shadow / host",
                      drawn, [(0, "0"), (1 / longest, "1.00: as the host")], left=230, right=240)


def measure(rounds):
    """Boots a guest; returns what it has measured."""
    module = modules("um-bench")["shadow_rmap"]
    # One CPU: another one's idle loop would compete for the machine's.
    code = vm.run(vm.parse(["--target", "um-bench", "--cpus", "1", "--time-limit", "300", "--quiet",
                            "--file", str(module), "--out", str(OUT / "bench"), "--",
                            str(SCRIPTS / "guest/bench.sh"), str(rounds)]))
    if code:
        raise Mistake(f"the guest: exit status {code}, see out/bench/console.log")
    models = re.findall(r"^model name.*: (.*)", Path("/proc/cpuinfo").read_text(), re.M)
    return read(OUT / "bench/bench.jsonl") | {"machine": next(iter(models), None)}


def main():
    parser = command_line(__doc__)
    parser.add_argument("rounds", nargs="?", type=int, default=15, help="1 to 31, default 15")
    args = parser.parse_args()
    exit_on_sigterm()
    try:
        result = measure(args.rounds)
    except (Mistake, OSError, ValueError, KeyError, ZeroDivisionError) as error:
        print(f"bench: FAIL {error}")
        return 1
    write_json(OUT / "bench.json", result)
    (OUT / "bench.svg").write_text(svg(result), encoding="utf-8")
    print("\n".join(table(result)))
    print(f"bench: worst ratio {result['worst']['ratio']:.2f} ({result['worst']['op']})")
    return 0


if __name__ == "__main__":
    sys.exit(main())

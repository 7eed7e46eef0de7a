#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Compares two files in the form of host/chains.json, which show the same processes at the same time.

  tools/drgn/compare.py ONE OTHER

Numbers of objects may differ: VMAs are identified by pid and address, anon_vmas by a VMA and their place
on its chain. Prints each difference. Exit status: 0 if there is none, 1 if there are, 2 after an error.
"""

import argparse
import json
import sys

from output import print_lines


def facts_of(graph):
    """Returns what is known of each object, by its name: a dictionary of dictionaries."""
    vmas, anon_vmas, facts = {}, {}, {}
    for mm in sorted(graph["mms"], key=lambda mm: mm["pid"]):
        facts[f"pid {mm['pid']}"] = {"name": mm["comm"]}
        for vma in sorted(mm["vmas"], key=lambda vma: vma["start"]):
            name = vmas[vma["id"]] = f"pid {mm['pid']} {vma['start']:#x}"
            for place, number in enumerate(vma["chain"], 1):
                anon_vmas.setdefault(number, f"anon_vma {place} of {name}")
            facts[name] = {"end": vma["end"], "pgoff": vma["pgoff"],
                           "anon_vma": anon_vmas.get(vma["anon_vma"]),
                           "chain": [anon_vmas[number] for number in vma["chain"]]}
    for node in graph["anon_vmas"]:
        name = anon_vmas.get(node["id"], f"anon_vma {node['id']}, on no chain")
        facts[name] = {key: node[key] for key in ("refcount", "num_children", "num_active_vmas")}
        facts[name] |= {key: anon_vmas.get(node[key], node[key]) for key in ("root", "parent")}
        facts[name]["tree"] = [vmas.get(number, number) for number in node["vmas"]]
    return facts


def differences(one, other):
    """Yields what differs between two graphs, in words."""
    one, other = facts_of(one), facts_of(other)
    for name in one.keys() | other.keys():
        if name not in one or name not in other:
            yield f"{name}: only in the {'first' if name in one else 'second'}"
            continue
        for key, value in one[name].items():
            if value != other[name][key]:
                yield f"{name}: {key}: {value}, {other[name][key]}"


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("one")
    parser.add_argument("other")
    args = parser.parse_args()
    try:
        one, other = load(args.one), load(args.other)
        found = sorted(differences(one, other))
        print_lines([*found, f"compare: mms={len(one['mms'])} anon_vmas={len(one['anon_vmas'])} "
                     f"differences={len(found)}"])
    # Python's own status after an exception is that of a difference.
    except Exception as error:  # pylint: disable=broad-except
        print(f"error: {type(error).__name__}: {error}", file=sys.stderr)
        return 2
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

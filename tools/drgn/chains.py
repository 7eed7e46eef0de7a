#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Prints the kernel's own anon_vma chains, as debugfs host/chains does, without the module.

  tools/drgn/chains.py                        of this machine (/proc/kcore)
  tools/drgn/chains.py --core FILE            of a core dump
  tools/drgn/chains.py --qmp SOCKET           of a guest of QEMU that runs

It needs drgn: scripts/drgn.sh installs it and adds --types. Exit status: 0; with --folios 1 if there are
differences; 2 after an error.
"""

import argparse
import json
import sys

from output import print_lines

try:
    import graph
    import target
    from folios import check_folios
except ImportError as missing:
    print(f"error: {missing}: scripts/drgn.sh installs drgn", file=sys.stderr)
    sys.exit(2)


def numbers(vmas):
    """Returns ` none`, ` vma 4` or ` vmas 1-3 7`: three or more successive numbers become a range."""
    runs = []
    for number in vmas:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    words = [str(first) if first == last else f"{first}{'-' if last > first + 1 else ' '}{last}"
             for first, last in runs]
    return " ".join(["", "vma" if len(vmas) == 1 else "vmas", *words]) if vmas else " none"


def text(found):
    """Yields the lines of host/chains."""
    vmas = [vma for mm in found["mms"] for vma in mm["vmas"]]
    yield (f"host: mms={len(found['mms'])} vmas={len(vmas)} anon_vmas={len(found['anon_vmas'])} "
           f"chains={sum(len(vma['chain']) for vma in vmas)} pages=0")
    for mm in found["mms"]:
        yield f"mm {mm['id']} (pid {mm['pid']} {mm['comm'].encode('unicode_escape').decode()})"
        for vma in mm["vmas"]:
            active = f"anon_vma {vma['anon_vma']}" if vma["anon_vma"] else "no anon_vma"
            chain = f", chain {' -> '.join(map(str, vma['chain']))}" if vma["chain"] else ""
            yield (f"  vma {vma['id']} [{vma['start']:#x}, {vma['end']:#x}) pgoff {vma['pgoff']}: "
                   f"{active}{chain}")
    for node in found["anon_vmas"]:
        place = "root" if node["parent"] == node["id"] else f"child of {node['parent']}"
        foreign = f", {node['foreign']} foreign" if node["foreign"] else ""
        yield (f"anon_vma {node['id']} ({place}): refcount={node['refcount']} "
               f"num_children={node['num_children']} num_active_vmas={node['num_active_vmas']}"
               f"{numbers(node['vmas'])}{foreign}")


def as_json(found):
    nodes = [{key: node[key] for key in node if key != "foreign"} for node in found["anon_vmas"]]
    return json.dumps(found | {"anon_vmas": nodes}, separators=(",", ":"), ensure_ascii=False)


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--core", metavar="FILE", help="a core dump of a kernel")
    source.add_argument("--qmp", metavar="SOCKET", help="the QMP socket of a running QEMU")
    parser.add_argument("--types", metavar="FILE",
                        help="types.o, where no vmlinux with debug information is at hand")
    parser.add_argument("--pid", type=int, default=0, help="one process (default: all)")
    parser.add_argument("--json", action="store_true", help="the form of host/chains.json")
    parser.add_argument("--folios", action="store_true",
                        help="instead: compares page tables and reverse map of each anonymous folio")
    args = parser.parse_args(argv)
    if args.pid < 0:
        parser.error("--pid: a pid is not negative")
    if args.folios and (args.json or args.pid):
        parser.error("--folios is about all processes, and text")
    return args


def run(args):
    prog = target.open_kernel(args.core, args.qmp, args.types)
    if args.folios:
        folios, places, differences = check_folios(prog)
        print_lines([*differences, f"folios: checked={folios} mapped={places} "
                     f"differences={len(differences)}"])
        return 1 if differences else 0
    found = graph.read_graph(prog, args.pid)
    print_lines([as_json(found)] if args.json else text(found))
    return 0


def main(argv=None):
    args = parse(argv)
    try:
        return run(args)
    except target.Mistake as mistake:
        print(f"error: {mistake}", file=sys.stderr)
    except target.drgn.FaultError as error:
        print(f"error: the memory cannot be read: {error}", file=sys.stderr)
    # Python's own status after any other exception is that of a difference. This kernel may lack a
    # type, a member or a variable.
    except Exception as error:  # pylint: disable=broad-except
        print(f"error: {type(error).__name__}: {error}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())

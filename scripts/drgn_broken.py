# SPDX-License-Identifier: GPL-2.0
"""Runs tools/drgn/chains.py with a helper that is wrong on purpose: scripts/drgn_test.py must see it.

  PYTHON scripts/drgn_broken.py NAME ARGUMENT...

PYTHON is that of scripts/drgn.sh --prepare. NAME is one of BROKEN.
"""

import sys
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools/drgn"))

# Each has the name of a helper, and returns a wrong one.
BROKEN = {
    "chain-ends-early":
        ("for_each_anon_vma_chain", lambda right: lambda vma: islice(right(vma), 1)),
    "chain-is-reversed":
        ("for_each_anon_vma_chain", lambda right: lambda vma: reversed([*right(vma)])),
    "root-is-itself":
        ("anon_vma_root", lambda right: lambda anon_vma: anon_vma),
    "tree-ends-early":
        ("anon_vma_interval_tree_foreach", lambda right: lambda *args: islice(right(*args), 1)),
    "pgoff-is-of-the-file":
        ("vma_start_anon_pgoff", lambda right: lambda vma: vma.vm_pgoff.value_()),
    "page-tables-are-not-asked":
        ("_vma_maps", lambda right: lambda vma, address, pfns: True),
}


def main():
    if sys.argv[1:2] == ["--help"]:
        print(__doc__)
        return 0
    if len(sys.argv) < 2 or sys.argv[1] not in BROKEN:
        sys.exit(f"error: NAME is one of {', '.join(BROKEN)}")
    import chains
    import folios
    import graph
    import rmap
    name, wrong = BROKEN[sys.argv[1]]
    wrong = wrong(getattr(rmap, name))
    for module in (rmap, graph, folios):
        if hasattr(module, name):
            setattr(module, name, wrong)
    return chains.main(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())

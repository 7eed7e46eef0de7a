# SPDX-License-Identifier: GPL-2.0
"""Compares, for each anonymous folio that a process maps, the VMAs that map it by the page tables with
those that the reverse map leads to. It is imported, not run."""

import os

from drgn import FaultError, ProgramFlags, cast
from drgn.helpers.linux.mm import compound_head, follow_page, for_each_vma
from drgn.helpers.linux.pid import find_task

from graph import processes
from rmap import folio_anon_vma, for_each_vma_of_folio, vma_pages


def mapped_folios(vma):
    """Yields the anonymous folios that the page tables map in this VMA, a large one several times."""
    for at in range(vma_pages(vma)):
        try:
            page = follow_page(vma.vm_mm, vma.vm_start + (at << vma.prog_["PAGE_SHIFT"]))
        except FaultError:
            # Nothing is mapped there.
            continue
        folio = cast("struct folio *", compound_head(page))
        if folio_anon_vma(folio):
            yield folio


def own_mm(prog):
    """Returns the address of this program's own mm, where the kernel is that of this machine."""
    here = ProgramFlags.IS_LIVE | ProgramFlags.IS_LOCAL
    return find_task(prog, os.getpid()).mm.value_() if prog.flags & here == here else None


def check_folios(prog):
    """Returns the number of folios, that of their places in VMAs, and the differences in words. This
    program's own memory is left out: it changes while it is read."""
    vmas, mapped, own = {}, {}, own_mm(prog)
    for pid, _, mm in processes(prog):
        for vma in for_each_vma(mm):
            if vma.anon_vma and mm.value_() != own:
                vmas[vma.value_()] = f"pid {pid} {vma.vm_start.value_():#x}"
                for folio in mapped_folios(vma):
                    mapped.setdefault(folio.value_(), (folio, set()))[1].add(vma.value_())
    differences = []
    for folio, by_tables in mapped.values():
        by_walk = {vma.value_() for vma in for_each_vma_of_folio(folio) if vma.vm_mm.value_() != own}
        for what, those in (("maps it, but is not found", by_tables - by_walk),
                            ("is found, but does not map it", by_walk - by_tables)):
            differences += [f"folio with index {folio.index.value_()}: "
                            f"{vmas.get(vma, 'a VMA of no process')} {what}" for vma in those]
    return len(mapped), sum(len(those) for _, those in mapped.values()), differences

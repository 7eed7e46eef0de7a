# SPDX-License-Identifier: GPL-2.0
"""
Reverse Mapping
---------------

Helpers for the reverse map of anonymous memory: :linux:`include/linux/rmap.h`, :linux:`mm/rmap.c`.

No lock is taken. In a kernel that runs, an object may be changed or freed while it is read.
"""

from typing import Iterator, Optional

from drgn import NULL, FaultError, IntegerLike, Object, container_of
from drgn.helpers.linux.list import list_for_each_entry
from drgn.helpers.linux.mm import compound_nr, follow_pfn, page_to_pfn

__all__ = (
    "anon_vma_interval_tree_foreach",
    "anon_vma_root",
    "folio_anon_vma",
    "for_each_anon_vma_chain",
    "for_each_vma_of_anon_vma",
    "for_each_vma_of_folio",
    "vma_anon_address",
    "vma_pages",
    "vma_start_anon_pgoff",
)

# The low bits of folio->mapping, and their value for a folio that has an anon_vma.
_FOLIO_MAPPING_FLAGS = 0x3
_FOLIO_MAPPING_ANON = 0x1


def vma_pages(vma: Object) -> int:
    """
    Return the number of pages of a VMA.

    :param vma: ``struct vm_area_struct *``
    """
    size = vma.vm_end.value_() - vma.vm_start.value_()
    return size >> vma.prog_["PAGE_SHIFT"].value_()


def vma_start_anon_pgoff(vma: Object) -> int:
    """
    Return the anonymous page offset of the first page of a VMA. It is the key of the VMA in the
    trees of its anon_vmas.

    :param vma: ``struct vm_area_struct *``
    """
    try:
        low = vma.member_("__vm_anon_pgoff_lo").value_()
    except LookupError:
        # Before Linux 7.3, the offset in the file is used for private file mappings as well.
        return vma.vm_pgoff.value_()
    try:
        return vma.member_("__vm_anon_pgoff_hi").value_() << 32 | low
    except LookupError:
        # Only 64-bit kernels have the upper half.
        return low


def vma_anon_address(vma: Object, pgoff: IntegerLike, nr_pages: IntegerLike = 1) -> Optional[int]:
    """
    Return the address at which a VMA has the first of the anonymous pages ``[pgoff, pgoff +
    nr_pages)`` that are in its range, or ``None`` if none is.

    :param vma: ``struct vm_area_struct *``
    :param pgoff: Anonymous page offset.
    :param nr_pages: Number of pages.
    """
    begin = vma_start_anon_pgoff(vma)
    first = max(int(pgoff), begin)
    if first >= min(int(pgoff) + int(nr_pages), begin + vma_pages(vma)):
        return None
    return vma.vm_start.value_() + ((first - begin) << vma.prog_["PAGE_SHIFT"].value_())


def for_each_anon_vma_chain(vma: Object) -> Iterator[Object]:
    """
    Iterate over the links of a VMA to its anon_vmas, in the order of the list.

    :param vma: ``struct vm_area_struct *``
    :return: Iterator of ``struct anon_vma_chain *`` objects.
    """
    return list_for_each_entry(
        "struct anon_vma_chain", vma.anon_vma_chain.address_of_(), "same_vma"
    )


def anon_vma_root(anon_vma: Object) -> Object:
    """
    Return the root of the family of an anon_vma. The ``rwsem`` of the root protects the interval
    trees of the whole family.

    :param anon_vma: ``struct anon_vma *``
    :return: ``struct anon_vma *``
    """
    return anon_vma.root.read_()


def anon_vma_interval_tree_foreach(
    anon_vma: Object, first: IntegerLike = 0, last: Optional[IntegerLike] = None
) -> Iterator[Object]:
    """
    Iterate over the entries of the interval tree of an anon_vma that overlap the anonymous page
    offsets ``[first, last]``, by ascending start. By default these are all entries.

    :param anon_vma: ``struct anon_vma *``
    :param first: First page offset.
    :param last: Last page offset (inclusive). Defaults to the largest one.
    :return: Iterator of ``struct anon_vma_chain *`` objects.
    """
    low, high = int(first), None if last is None else int(last)

    def overlapping(node: Object) -> Iterator[Object]:
        if not node:
            return
        avc = container_of(node, "struct anon_vma_chain", "rb")
        if avc.rb_subtree_last.value_() < low:
            return
        yield from overlapping(node.rb_left.read_())
        start = vma_start_anon_pgoff(avc.vma)
        if high is not None and start > high:
            return
        if start + vma_pages(avc.vma) > low:
            yield avc
        yield from overlapping(node.rb_right.read_())

    root = anon_vma.rb_root
    try:
        # Since Linux kernel commit f808c13fd373 ("lib/interval_tree: fast overlap detection") (in
        # v4.14), the tree has a cache of its leftmost node.
        root = root.rb_root
    except AttributeError:
        pass
    node = root.rb_node.read_()
    # mm_take_all_locks() marks a tree by the lowest bit of this pointer.
    yield from overlapping(Object(anon_vma.prog_, node.type_, node.value_() & ~1))


def for_each_vma_of_anon_vma(anon_vma: Object) -> Iterator[Object]:
    """
    Iterate over the VMAs that are linked to an anon_vma, by ascending page offset.

    :param anon_vma: ``struct anon_vma *``
    :return: Iterator of ``struct vm_area_struct *`` objects.
    """
    for avc in anon_vma_interval_tree_foreach(anon_vma):
        yield avc.vma.read_()


def folio_anon_vma(folio: Object) -> Object:
    """
    Return the anon_vma that the mapping of a folio points to.

    :param folio: ``struct folio *``
    :return: ``struct anon_vma *`` (``NULL`` if the folio is not anonymous, or belongs to KSM)
    """
    prog, mapping = folio.prog_, folio.mapping.value_()
    if mapping & _FOLIO_MAPPING_FLAGS != _FOLIO_MAPPING_ANON:
        return NULL(prog, "struct anon_vma *")
    return Object(prog, "struct anon_vma *", mapping - _FOLIO_MAPPING_ANON)


def _vma_maps(vma: Object, address: int, pfns: range) -> bool:
    step = 1 << vma.prog_["PAGE_SHIFT"].value_()
    for at in range(address, min(vma.vm_end.value_(), address + len(pfns) * step), step):
        try:
            if follow_pfn(vma.vm_mm, at).value_() in pfns:
                return True
        except FaultError:
            # Nothing is mapped there, or it is swapped or under migration.
            pass
    return False


def for_each_vma_of_folio(folio: Object) -> Iterator[Object]:
    """
    Iterate over the VMAs that map a page of an anonymous folio, as a walk of the reverse map finds
    them: the tree of the anon_vma says where a page may be, and the page tables whether it is.

    :param folio: ``struct folio *``
    :return: Iterator of ``struct vm_area_struct *`` objects. It is empty if the folio is not
        anonymous, or belongs to KSM.
    """
    anon_vma = folio_anon_vma(folio)
    if not anon_vma:
        return
    page = folio.page.address_of_()
    index, nr_pages = folio.index.value_(), compound_nr(page).value_()
    pfn = page_to_pfn(page).value_()
    for avc in anon_vma_interval_tree_foreach(anon_vma, index, index + nr_pages - 1):
        vma = avc.vma.read_()
        address = vma_anon_address(vma, index, nr_pages)
        if address is not None and _vma_maps(vma, address, range(pfn, pfn + nr_pages)):
            yield vma

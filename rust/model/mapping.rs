// SPDX-License-Identifier: GPL-2.0

//! PTEs that map pages, each made and counted in one place.
//!
//! C: `set_pte_at()` with `folio_add_new_anon_rmap()`, `folio_add_anon_rmap_pte()`,
//! `folio_move_anon_rmap()`; `copy_present_ptes()` of [`mm/memory.c`](srctree/mm/memory.c).
//!
//! The reverse map relies on invariant (8) of `rmap/page.rs`: a VMA with a PTE that maps a page is
//! linked to the page's anon_vma until that PTE is gone. The functions here keep it, and take what
//! they can as proof:
//!
//! 1. A PTE of an address space lies in the range of one of its VMAs; it is made under the page
//!    table's lock, and under `mmap_lock`, `vma_lock`, or the lock of the family that the VMA is
//!    linked to. So the VMA is not unlinked meanwhile.
//! 2. A VMA is unlinked only after `zap()` has cleared its PTEs under `mmap_lock` for
//!    writing, or when it has none: see [`emptied`].
//! 3. A fork, a split and a move link the new VMA to all anon_vmas of the old one before they copy
//!    or move a PTE (R21).

#![allow(unsafe_code, reason = "keeps the reverse map's promise about PTEs")]

use super::{
    page::Page,
    space::Vma,
    table::{
        Pte,
        Ptes, //
    },
    Modelled, //
};
use crate::rmap::{
    family::LockedAnonVma,
    mm::{
        MmapLocked,
        MmapWrite, //
    },
    unlink::Emptied, //
};
use kernel::sync::Arc;

/// Maps a page that was never mapped before at `address` of `vma`, whose page table `ptes` is
/// (R20).
///
/// Returns what was there, to be dropped when the lock has been released; `None` if it was not
/// mapped: the VMA has no anon_vma, does not cover the address, or the page was anonymous before.
pub(super) fn map_new<R: Modelled>(
    ptes: &mut Ptes<'_, R>,
    (vma, address): (&Vma<R>, usize),
    page: &Arc<Page<R>>,
    exclusive: bool,
    writable: bool,
    mmap: &(impl MmapLocked<R> + ?Sized),
) -> Option<Pte<R>> {
    let (first, last) = vma.addresses(mmap);
    let here = ptes.are_of(&vma.core.mm().space().table) && first <= address && address <= last;
    // SAFETY: The PTE is made below, under its lock, at an address of this VMA: (1), (2).
    let mapped = here && unsafe { vma.core.add_new_anon_rmap(&page.rmap, exclusive, mmap) };
    mapped.then(|| {
        page.set_exclusive(exclusive, ptes);
        ptes.set(
            address,
            Pte::Present {
                page: page.clone(),
                writable,
            },
        )
    })
}

/// Maps a page where a PTE of the VMA has an entry that stands for it: swapping in, and the end of
/// a migration. Returns the entry, to be dropped when the lock has been released.
///
/// The page leads to where it led when the entry was made, or to an anon_vma that all users of the
/// entry are linked to (R39).
pub(super) fn map_again<R: Modelled>(
    ptes: &mut Ptes<'_, R>,
    address: usize,
    page: &Arc<Page<R>>,
    writable: bool,
) -> Option<Pte<R>> {
    match ptes.get(address) {
        // Others may have entries as well.
        Pte::Swap(_) => page.set_exclusive(false, ptes),
        Pte::Migration { .. } => {}
        Pte::None | Pte::Present { .. } => return None,
    }
    // SAFETY: The VMA of the entry is linked to the page's anon_vma (3), and is not unlinked before
    // the entry, or the PTE that replaces it, is gone (2).
    unsafe { page.rmap.add_anon_rmap() };
    Some(ptes.set(
        address,
        Pte::Present {
            page: page.clone(),
            writable,
        },
    ))
}

/// Gives a page that `vma` alone maps, at `address`, to the VMA's own anon_vma, and makes the PTE
/// writable (R19). `_locked` is the page's lock.
///
/// Returns the old PTE, to be dropped when the lock has been released; `None` if that is not
/// allowed.
pub(super) fn reuse<R: Modelled>(
    ptes: &mut Ptes<'_, R>,
    (vma, address): (&Vma<R>, usize),
    page: &Arc<Page<R>>,
    _locked: &super::page::PageGuard<'_, R>,
    mmap: &impl MmapLocked<R>,
) -> Option<Pte<R>> {
    let alone = ptes.are_of(&vma.core.mm().space().table)
        && ptes.get(address).maps(page)
        && page.rmap.mapcount() == 1;
    // SAFETY: The one PTE that maps the page is this VMA's, and stays so: only a fork of this
    // address space could make another, and the page's lock keeps the page where it is.
    let moved = alone && unsafe { vma.core.move_anon_rmap(&page.rmap, mmap) };
    moved.then(|| {
        page.set_exclusive(true, ptes);
        ptes.set(
            address,
            Pte::Present {
                page: page.clone(),
                writable: true,
            },
        )
    })
}

/// Copies a PTE at fork. The child's VMA has been linked to all anon_vmas of the parent's (3).
pub(super) fn copy_pte<R: Modelled>(from: &mut Ptes<'_, R>, to: &mut Ptes<'_, R>, address: usize) {
    from.wrprotect(address);
    let pte = from.get(address).clone();
    if let Some(page) = pte.page() {
        // SAFETY: The PTE is made below. By (3) the child's VMA is linked to the page's anon_vma.
        unsafe { page.rmap.add_anon_rmap() };
        page.set_exclusive(false, from);
    }
    // Nothing was there: the child is new.
    let _ = to.set(address, pte);
}

/// Lets `new` lead to where `old` leads, whose place it takes. Both are locked, and `old` is in no
/// page table.
pub(super) fn replace<R: Modelled>(new: &Page<R>, old: &Page<R>) {
    // SAFETY: A migration maps the new page only where entries of the old one are, in VMAs that are
    // linked to its anon_vma; if there is none left, nothing maps it.
    unsafe { new.rmap.take_mapping_of(&old.rmap) };
    new.take_exclusive_of(old);
}

/// Lets a page that is read in again lead to where it was before: all users of its swap slot are
/// linked there (R39).
pub(super) fn lead_back<R: Modelled>(page: &Page<R>, anon_vma: &LockedAnonVma<'_, R>) {
    // SAFETY: By (3) every VMA that has an entry is linked to the anon_vma of the slot.
    unsafe { page.rmap.lead_to(anon_vma) };
}

/// Says that `vma` maps nothing: its PTEs have been cleared, or moved to another VMA, under `mmap`,
/// or it never had any.
pub(super) fn emptied<'a, 'm, R: Modelled>(
    vma: &'a Vma<R>,
    mmap: &'a mut MmapWrite<'m, R>,
) -> Emptied<'a, 'm, R> {
    // SAFETY: (2): the callers have cleared or moved the VMA's PTEs, and `mmap_lock` for writing
    // keeps faults away.
    unsafe { Emptied::new(&vma.core, mmap) }
}

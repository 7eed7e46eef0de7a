// SPDX-License-Identifier: GPL-2.0

//! PTEs that map pages, each made, counted and cleared in one place.
//!
//! C: `set_pte_at()` with `folio_add_new_anon_rmap()` and its like; `copy_present_ptes()`,
//! `zap_present_ptes()` of [`mm/memory.c`](srctree/mm/memory.c).
//!
//! The reverse map relies on invariant (8) of `rmap/page.rs`: a VMA with a PTE that maps a page is
//! linked to the page's anon_vma until that PTE is gone and counted. Nothing else changes a PTE
//! ([`table`]), and the functions here check what (8) needs:
//!
//! 1. A PTE of an address space lies in the range of one of its VMAs ([`Layout`]). It is made under the page
//!    table's lock, and under `mmap_lock`, `vma_lock`, or the lock of the family that the VMA is
//!    linked to. So the VMA is not unlinked meanwhile.
//! 2. A VMA is unlinked, or dropped with links, only after [`zap`] has cleared and counted the PTEs
//!    in its range under `mmap_lock` for writing, or when they are those of the VMA that it is
//!    merged into: see [`emptied`] and [`merge`].
//! 3. A PTE that maps a page is made only if the VMA is linked to the page's anon_vma (R21), and
//!    where a page leads changes only while the page is locked. A page is mapped again only while
//!    it is locked, and copied only under the lock of a page table that maps it.

#![allow(unsafe_code, reason = "keeps the reverse map's promise about PTEs")]

pub(crate) mod table;

use super::{
    page::{
        Page,
        PageGuard, //
    },
    space::Vma,
    steps::ModelSteps,
    Modelled, //
};
use crate::rmap::{
    self,
    family::LockedAnonVma,
    merge::anon_vma_merge,
    mm::{
        MmapLocked,
        MmapWrite, //
    },
    prepare::Sharing,
    unlink::Emptied,
    walk::Visited,
    window::Window, //
};
use kernel::sync::Arc;
use table::{
    Pte,
    Ptes, //
};

/// Shows that a change of a VMA's range, or of its addresses, is one of this module: a PTE belongs to
/// the VMA that covers its address, and must not be left where no VMA is (1).
pub(crate) struct Layout(());

impl Layout {
    /// For the files of the model, which move PTEs along, or have cleared them.
    pub(super) const fn kept() -> Self {
        Self(())
    }
}

/// The number of PTEs that are cleared at a time.
const BATCH: usize = 16;

/// Returns whether `pages` addresses from `first` on are in the range of `vma` (1).
fn covers<R: Modelled>(
    vma: &Vma<R>,
    first: usize,
    pages: usize,
    mmap: &(impl MmapLocked<R> + ?Sized),
) -> bool {
    let (start, last) = vma.addresses(mmap);
    start <= first && first <= last && pages <= last - first + 1
}

/// Returns whether `ptes` has `address`, which is in the range of `vma` (1).
fn is_here<R: Modelled>(
    ptes: &Ptes<'_, R>,
    (vma, address): (&Vma<R>, usize),
    mmap: &(impl MmapLocked<R> + ?Sized),
) -> bool {
    ptes.are_of(&vma.core.mm().space().table) && ptes.has(address) && covers(vma, address, 1, mmap)
}

/// Counts a PTE that was replaced, if it mapped a page.
fn count_gone<R: Modelled>(pte: &Pte<R>) {
    pte.page().inspect(|page| page.rmap.remove_rmap());
}

/// Puts `pte` at an address. Returns what was there, which is counted.
fn put<R: Modelled>(ptes: &mut Ptes<'_, R>, address: usize, pte: Pte<R>) -> Pte<R> {
    let there = ptes.set(address, pte);
    count_gone(&there);
    there
}

/// Maps a page that was never mapped before at `address` of `vma`, whose page table `ptes` is
/// (R20). `locked` is the page's lock.
///
/// Returns what was there, to be dropped when the lock has been released; `None` if it was not
/// mapped: the VMA has no anon_vma, does not cover the address, or the page was anonymous before.
pub(super) fn map_new<R: Modelled>(
    ptes: &mut Ptes<'_, R>,
    (vma, address): (&Vma<R>, usize),
    (page, locked): (&Arc<Page<R>>, &PageGuard<'_, R>),
    exclusive: bool,
    writable: bool,
    mmap: &(impl MmapLocked<R> + ?Sized),
) -> Option<Pte<R>> {
    let here = is_here(ptes, (vma, address), mmap) && page.covered_by(locked);
    // SAFETY: The PTE is made below, under its lock, at an address of this VMA: (1), (2).
    let mapped = here && unsafe { vma.core.add_new_anon_rmap(&page.rmap, exclusive, mmap) };
    mapped.then(|| {
        page.set_exclusive(exclusive, ptes);
        let page = page.clone();
        put(ptes, address, Pte::Present { page, writable })
    })
}

/// Maps a page where a PTE of `vma` has an entry that stands for it: swapping in. `locked` is the
/// page's lock.
///
/// Returns the entry, to be dropped when the lock has been released; `None` if it was not mapped:
/// there is no entry, or the VMA is not linked to the page's anon_vma (R21).
pub(super) fn map_again<R: Modelled>(
    ptes: &mut Ptes<'_, R>,
    (vma, address): (&Vma<R>, usize),
    page: (&Arc<Page<R>>, &PageGuard<'_, R>),
    writable: bool,
    mmap: &impl MmapLocked<R>,
) -> Option<Pte<R>> {
    let linked = |key| vma.core.is_linked_to(key, mmap);
    let here = is_here(ptes, (vma, address), mmap);
    // SAFETY: (1) `mmap_lock` or `vma_lock` is held, and `linked` asks this VMA.
    here.then(|| unsafe { replace_entry(ptes, address, page, writable, linked) })
        .flatten()
}

/// As [`map_again`], in a walk: swapoff, and the end of a migration.
pub(super) fn map_again_in_walk<R: Modelled>(
    ptes: &mut Ptes<'_, R>,
    vma: &Visited<'_, R>,
    page: (&Arc<Page<R>>, &PageGuard<'_, R>),
    writable: bool,
) -> Option<Pte<R>> {
    let index = page.0.rmap.index();
    let address = vma.address(index);
    let here = ptes.are_of(&vma.mm().space().table) && ptes.has(address) && vma.covers(index);
    // SAFETY: (1) The lock of the VMA's family is held, and `linked` asks this VMA.
    here.then(|| unsafe {
        replace_entry(ptes, address, page, writable, |key| vma.is_linked_to(key))
    })
    .flatten()
}

/// Maps a page where a PTE has an entry.
///
/// # Safety
///
/// The address is that of a VMA that is not unlinked meanwhile, and `linked` returns whether the
/// VMA is linked to the anon_vma with this key.
unsafe fn replace_entry<R: Modelled>(
    ptes: &mut Ptes<'_, R>,
    address: usize,
    (page, locked): (&Arc<Page<R>>, &PageGuard<'_, R>),
    writable: bool,
    linked: impl FnOnce(usize) -> bool,
) -> Option<Pte<R>> {
    let swapped = match ptes.get(address) {
        Pte::Swap(_) => true,
        Pte::Migration { .. } => false,
        Pte::None | Pte::Present { .. } => return None,
    };
    let linked = page.covered_by(locked) && page.rmap.anon_vma_key().is_some_and(linked);
    if !R::model_steps().may_map(linked) {
        return None;
    }
    if swapped {
        // Others may have entries as well.
        page.set_exclusive(false, ptes);
    }
    // SAFETY: By the caller's promise and (3) the VMA is linked to where the page leads; it is not
    // unlinked before the PTE that is made below is gone (2).
    unsafe { page.rmap.add_anon_rmap() };
    let page = page.clone();
    Some(put(ptes, address, Pte::Present { page, writable }))
}

/// Replaces the PTE at `address`, which maps `page`, by an entry, and counts that (R3).
///
/// Returns what was there, to be dropped when the lock has been released; the entry itself if the
/// PTE does not map the page.
pub(super) fn unmap<R: Modelled>(
    ptes: &mut Ptes<'_, R>,
    address: usize,
    page: &Page<R>,
    entry: Pte<R>,
) -> Pte<R> {
    let maps = ptes.get(address).maps(page);
    if entry.page().is_some() || !R::model_steps().acts_on(maps) {
        return entry;
    }
    let there = ptes.set(address, entry);
    R::window(Window::PteCleared);
    R::model_steps().unmap_pte(page);
    there
}

/// Gives a page that `vma` alone maps, at `address`, to the VMA's own anon_vma, and makes the PTE
/// writable (R19). `locked` is the page's lock.
///
/// Returns the old PTE, to be dropped when the lock has been released; `None` if that is not
/// allowed.
pub(super) fn reuse<R: Modelled>(
    ptes: &mut Ptes<'_, R>,
    (vma, address): (&Vma<R>, usize),
    (page, locked): (&Arc<Page<R>>, &PageGuard<'_, R>),
    mmap: &impl MmapLocked<R>,
) -> Option<Pte<R>> {
    let alone = is_here(ptes, (vma, address), mmap)
        && page.covered_by(locked)
        && ptes.get(address).maps(page)
        && page.rmap.mapcount() == 1;
    // SAFETY: The one PTE that maps the page is this VMA's, and stays so: only a fork of this
    // address space could make another, under the page table's lock, and the page's lock keeps the
    // page where it is (3).
    let moved = alone && unsafe { vma.core.move_anon_rmap(&page.rmap, mmap) };
    moved.then(|| {
        page.set_exclusive(true, ptes);
        // The page was mapped here, and still is: its mapcount stays.
        ptes.set(
            address,
            Pte::Present {
                page: page.clone(),
                writable: true,
            },
        )
    })
}

/// Copies a PTE at fork to the child's `vma`, which has been linked to all anon_vmas of the
/// parent's (R21). A page to which it is not linked is not mapped.
pub(super) fn copy_pte<R: Modelled>(
    from: &mut Ptes<'_, R>,
    to: &mut Ptes<'_, R>,
    (vma, address): (&Vma<R>, usize),
    mmap: &MmapWrite<'_, R>,
) {
    from.wrprotect(address);
    let pte = from.get(address).clone();
    if !is_here(to, (vma, address), mmap) || !to.get(address).is_none() {
        return;
    }
    if let Some(page) = pte.page() {
        let anon_vma = page.rmap.anon_vma_key();
        let linked = anon_vma.is_some_and(|key| vma.core.is_linked_to(key, mmap));
        if !R::model_steps().may_map(linked) {
            return;
        }
        // SAFETY: The PTE is made below, and the child's VMA is linked to the page's anon_vma (3).
        unsafe { page.rmap.add_anon_rmap() };
        page.set_exclusive(false, from);
    }
    // Nothing was there.
    let _ = to.set(address, pte);
}

/// Moves PTEs of one VMA to empty addresses of another one, or of the same, which is linked to all
/// anon_vmas of the first (R21). Others stay where they are.
pub(super) fn move_ptes<R: Modelled>(
    (from, old): (&Vma<R>, usize),
    (to, new): (&Vma<R>, usize),
    pages: usize,
    mmap: &MmapWrite<'_, R>,
) {
    let space = from.core.mm().space();
    let allowed = covers(from, old, pages, mmap)
        && covers(to, new, pages, mmap)
        && R::model_steps().may_map(to.core.is_linked_to_all_of(&from.core, mmap));
    space.invalidate(|| {
        let mut ptes = space.table.lock();
        for (old, new) in (old..).zip(new..).take(if allowed { pages } else { 0 }) {
            if ptes.has(new) && ptes.get(new).is_none() {
                // (3) The count of a page that it maps goes with it.
                let pte = ptes.clear(old);
                let _ = ptes.set(new, pte);
            }
        }
    });
}

/// Lets `new` lead to where `old` leads, whose place it takes. Both are locked, and `old` is in no
/// page table.
pub(super) fn replace<R: Modelled>(
    (new, new_locked): (&Page<R>, &PageGuard<'_, R>),
    (old, old_locked): (&Page<R>, &PageGuard<'_, R>),
) {
    if new.covered_by(new_locked) && old.covered_by(old_locked) {
        // SAFETY: The new page is locked and mapped by no PTE. By (3) a VMA maps it only if it is
        // linked to the anon_vma.
        unsafe { new.rmap.take_mapping_of(&old.rmap) };
        new.take_exclusive_of(old);
    }
}

/// Lets a locked page that is read in again lead to where it was before: all users of its swap slot
/// are linked there (R39).
pub(super) fn lead_back<R: Modelled>(
    (page, locked): (&Page<R>, &PageGuard<'_, R>),
    anon_vma: &LockedAnonVma<'_, R>,
) {
    if page.covered_by(locked) {
        // SAFETY: By (3) a VMA maps the page only if it is linked to the anon_vma.
        unsafe { page.rmap.lead_to(anon_vma) };
    }
}

/// `zap_page_range()`: clears the PTEs of `first..=last`, and counts the pages that they mapped.
/// Sleeps.
pub(super) fn zap<R: Modelled>(mm: &rmap::mm::Mm<R>, first: usize, last: usize) {
    let space = mm.space();
    let mut from = first;
    while from <= last {
        let mut gone = [const { Pte::None }; BATCH];
        space.invalidate(|| {
            let mut ptes = space.table.lock();
            for pte in gone.iter_mut().take(last - from + 1) {
                *pte = ptes.clear(from);
                R::window(Window::PteCleared);
                count_gone(pte);
                from += 1;
            }
        });
        // These may be the last references: dropped without a lock.
        drop(gone);
    }
}

/// Clears the PTEs of `vma`, if it has any, so that it may be unlinked (R33). Sleeps.
pub(super) fn emptied<'a, 'm, R: Modelled>(
    vma: &'a Vma<R>,
    mmap: &'a mut MmapWrite<'m, R>,
) -> Emptied<'a, 'm, R> {
    if vma.core.range(mmap).is_some() {
        let (first, last) = vma.addresses(mmap);
        zap(vma.core.mm(), first, last);
    }
    // SAFETY: (2) None is left, and `mmap_lock` for writing keeps faults away.
    unsafe { Emptied::new(&vma.core, mmap) }
}

/// Merges `gone` into `survivor`, to which its PTEs belong now (R25, R26), and unlinks it. Sleeps.
///
/// If the survivor does not cover them, or may not map their pages, they are cleared.
pub(super) fn merge<R: Modelled>(survivor: &Vma<R>, gone: &Vma<R>, mmap: &mut MmapWrite<'_, R>) {
    let (first, last) = gone.addresses(mmap);
    let sharing = gone.core.mm().space().sharing;
    let linked = match sharing {
        Sharing::Singleton => survivor.core.is_linked_to_all_of(&gone.core, mmap),
        // The survivor gets the links that it does not have before the other VMA loses them.
        Sharing::Any => {
            let root = |vma: &Vma<R>| {
                vma.core
                    .anon_vma(mmap)
                    .map(|anon_vma| anon_vma.root().key())
            };
            gone.core.nr_links() == 0 || root(survivor) == root(gone)
        }
    };
    let taken = covers(survivor, first, last - first + 1, mmap) && R::model_steps().may_map(linked);
    let emptied = if taken {
        // SAFETY: (2) The PTEs are in the range of the survivor, which is linked to all anon_vmas
        // of their pages before `gone` is unlinked.
        unsafe { Emptied::new(&gone.core, mmap) }
    } else {
        emptied(gone, mmap)
    };
    anon_vma_merge(&survivor.core, emptied, sharing);
}

/// Puts any `pte` at an address, for tests of what finds mistakes. Returns the old one.
///
/// # Safety
///
/// The caller sees to it that no page that is counted as mapped leads to an anon_vma that is gone.
#[cfg(shadow_rmap_kunit)]
pub(super) unsafe fn overwrite<R: Modelled>(
    ptes: &mut Ptes<'_, R>,
    address: usize,
    pte: Pte<R>,
) -> Pte<R> {
    ptes.set(address, pte)
}

#[cfg(shadow_rmap_kunit)]
#[path = "tests/mapping.rs"]
mod tests;

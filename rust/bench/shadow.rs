// SPDX-License-Identifier: GPL-2.0

//! The shadow's side of the measured operations: address spaces, VMAs and pages without page
//! tables.

#![allow(unsafe_code, reason = "maps pages without page tables")]

use super::operations::RANGE;
use crate::rmap::{
    anon_vma::Cache,
    clone::{
        anon_vma_clone,
        Operation,
        Reuse, //
    },
    fork::anon_vma_fork,
    kind::Live,
    mm::{
        Mm,
        MmapWrite, //
    },
    page::PageRmap,
    unlink::{
        unlink_anon_vmas,
        Emptied, //
    },
    vma::Vma, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// Creates an address space.
pub(super) fn mm() -> Result<Arc<Mm>> {
    let cache = Arc::new(Cache::<Live>::new()?, GFP_KERNEL)?;
    Arc::pin_init(Mm::new(cache, ()), GFP_KERNEL)
}

/// Creates a VMA without links.
pub(super) fn vma(mm: &Arc<Mm>) -> Result<Pin<KBox<Vma>>> {
    KBox::pin_init(Vma::new(mm.clone(), RANGE, 0, 0), GFP_KERNEL)
}

/// Forks `parent`.
pub(super) fn fork(child: &Vma, parent: &Vma, mmap: &MmapWrite<'_>) -> Result {
    anon_vma_fork(child, mmap, parent, mmap, Reuse::ByRule)
}

/// Gives `copy`, which has no links, those of `source`, as a split does.
pub(super) fn split(copy: &Vma, source: &Vma, mmap: &MmapWrite<'_>) -> Result {
    anon_vma_clone(copy, mmap, source, mmap, Operation::Copy)
}

/// Unlinks a VMA.
pub(super) fn unlink(vma: &Vma, mmap: &mut MmapWrite<'_>) {
    // SAFETY: Pages are mapped only within `with_page`, which holds the lock meanwhile.
    unlink_anon_vmas(unsafe { Emptied::new(vma, mmap) });
}

/// Calls `f` with a new page at offset `index` that `vma` maps while `f` runs.
///
/// # Errors
///
/// `EINVAL` if the VMA has no anon_vma, and those of `f`.
#[inline]
pub(super) fn with_page<T>(
    vma: &Vma,
    index: usize,
    mmap: &MmapWrite<'_>,
    f: impl FnOnce(&PageRmap) -> Result<T>,
) -> Result<T> {
    let page = PageRmap::new(index);
    // SAFETY: The page is unmapped below, while `mmap` keeps the VMA linked.
    if !unsafe { vma.add_new_anon_rmap(&page, true, mmap) } {
        return Err(EINVAL);
    }
    let result = f(&page);
    page.remove_rmap();
    result
}

/// Counts one more PTE of a page that `with_page` maps, and one less.
#[inline]
pub(super) fn add_and_remove(page: &PageRmap) {
    // SAFETY: The VMA that maps the page is linked, and the PTE is gone before it is unlinked.
    unsafe { page.add_anon_rmap() };
    page.remove_rmap();
}

/// Moves a page that `with_page` maps to the anon_vma of its VMA, where it is.
#[inline]
pub(super) fn relocate(vma: &Vma, page: &PageRmap, mmap: &MmapWrite<'_>) -> bool {
    // SAFETY: `vma` alone maps the page, and nothing else works on it.
    unsafe { vma.move_anon_rmap(page, mmap) }
}

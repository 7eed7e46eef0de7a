// SPDX-License-Identifier: GPL-2.0

//! The anonymous pages that one VMA maps: a new one, and one that the VMA has for itself.
//!
//! C: `folio_add_new_anon_rmap()` and `folio_move_anon_rmap()` of [`mm/rmap.c`](srctree/mm/rmap.c).
//!
//! The invariants are those of [`anon_vma`](super::anon_vma), [`page`](super::page), and
//! [`chain`](super::chain).

#![allow(unsafe_code, reason = "pages are mapped by the caller's PTE")]

use super::{
    kind::Rmap,
    mm::MmapLocked,
    page::PageRmap,
    path,
    rules::Rule,
    steps::Steps,
    vma::Vma, //
};
use crate::{
    kernel_ext::rwonce::ReadWriteOnce,
    trace, //
};

impl<R: Rmap> Vma<R> {
    /// `folio_add_new_anon_rmap()`: a fault has made a page, and maps it here (R20).
    ///
    /// An `exclusive` page is this VMA's alone, and goes to its `->anon_vma`. A page that other
    /// VMAs of the family may come to map goes to the root, which all of them are linked to.
    ///
    /// Returns whether it did: not if the VMA has no `->anon_vma`, or the page was anonymous
    /// before.
    ///
    /// # Safety
    ///
    /// The caller makes the PTE, under its lock, and keeps (8): it removes the PTE, and counts
    /// that, before the VMA is unlinked.
    pub(crate) unsafe fn add_new_anon_rmap(
        &self,
        page: &PageRmap<R>,
        exclusive: bool,
        mmap: &(impl MmapLocked<R> + ?Sized),
    ) -> bool {
        let Some(anon_vma) = self.anon_vma(mmap) else {
            return Rule::R20.guard(false);
        };
        let anon_vma = R::steps().anon_vma_for_page(anon_vma, exclusive);
        Rule::R20.holds(exclusive || anon_vma.is_root());
        path::PAGE_NEW.count();
        // SAFETY: By invariant (7) this VMA is linked to its `->anon_vma`, and by R23 to the root, or by
        // the rules of 2010 to a child that keeps the root (1); the rest is the caller's promise.
        unsafe { page.add_new_anon_rmap(anon_vma) }
    }

    /// `folio_add_anon_rmap_pte()` after `do_swap_page()`: the page was anonymous before it was swapped
    /// out, and leads to the anon_vma with this key, which the VMA must be linked to (R21, R39).
    ///
    /// Returns whether it did.
    ///
    /// # Safety
    ///
    /// As for [`add_new_anon_rmap`](Self::add_new_anon_rmap).
    pub(crate) unsafe fn add_swapped_anon_rmap(
        &self,
        page: &PageRmap<R>,
        key: usize,
        mmap: &(impl MmapLocked<R> + ?Sized),
    ) -> bool {
        let Some(anon_vma) = self.links(mmap).find(|anon_vma| anon_vma.key() == key) else {
            return Rule::R21.guard(false);
        };
        path::PAGE_READ_IN.count();
        // SAFETY: This VMA is linked to the anon_vma; the rest is the caller's promise.
        unsafe { page.add_new_anon_rmap(anon_vma) }
    }

    /// `folio_move_anon_rmap()`: this VMA is the only one left that maps `page`, so the page goes
    /// to its `->anon_vma`. Takes no lock.
    ///
    /// Returns whether that is allowed (R19); it is not done otherwise. A reader that looked the
    /// page up before goes on walking where it was, so this VMA must be linked there.
    ///
    /// # Safety
    ///
    /// This VMA alone maps the page. The caller holds the page's lock, or sees to it in another way
    /// that the page is neither mapped nor moved meanwhile.
    pub(crate) unsafe fn move_anon_rmap(
        &self,
        page: &PageRmap<R>,
        mmap: &impl MmapLocked<R>,
    ) -> bool {
        let mapping = page.mapping.read_once();
        let Some(to) = self.anon_vma(mmap).filter(|_| mapping != 0) else {
            return Rule::R19.check(false);
        };
        let mut links = self.links(mmap);
        let linked = Rule::R19.check(links.any(|from| PageRmap::tagged(from) == mapping));
        if linked {
            // INVARIANT: (9) The caller's promise, and by (7) this VMA is linked to `to`.
            // SAFETY: As above.
            unsafe { R::steps().store_mapping(page, to) };
            Rule::R19.step();
            trace::move_page(|| (self.id(), page.index()));
        }
        linked
    }
}

#[cfg(shadow_rmap_kunit)]
#[path = "tests/vma_pages.rs"]
mod tests;

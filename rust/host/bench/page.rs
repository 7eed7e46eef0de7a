// SPDX-License-Identifier: GPL-2.0

//! A page of no process, for the host's reverse map to work on.
//!
//! The invariants are those of [`bench`](super).

use super::{
    Functions,
    Vma, //
};
use crate::ffi;
use core::ptr;
use kernel::{
    page::PAGE_SHIFT,
    prelude::*, //
};

/// A page whose fields say that a [`Vma`] maps it; no page table does.
pub(crate) struct Page<'a> {
    page: kernel::page::Page,
    index: usize,
    vma: &'a Vma<'a>,
}

impl<'a> Page<'a> {
    /// Creates a page at page offset `index` of `vma`. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EINVAL` if the VMA has no anon_vma.
    pub(crate) fn new(vma: &'a Vma<'a>, index: usize) -> Result<Self> {
        // SAFETY: By invariant (3) no other thread changes it.
        let anon_vma = unsafe { (*vma.vma.get()).anon_vma };
        if anon_vma.is_null() {
            return Err(EINVAL);
        }
        let page = kernel::page::Page::alloc_page(GFP_KERNEL)?;
        // INVARIANT: (4) The VMA is borrowed, and an unlink needs a mutable reference.
        // SAFETY: The page was allocated just now.
        unsafe { ffi::shadow_rmap_bench_map_page(page.as_ptr(), anon_vma.cast(), index) };
        Ok(Self { page, index, vma })
    }

    /// `folio_lock_anon_vma_read()`. Sleeps.
    #[inline]
    pub(crate) fn lock_anon_vma(&self) -> Option<LockedAnonVma<'_>> {
        let host = self.vma.space.host;
        let folio = self.page.as_ptr().cast::<ffi::folio>();
        // SAFETY: By invariants (1) and (4); a single page is a folio.
        let anon_vma = unsafe { (host.lock)(folio, ptr::null_mut()) };
        if anon_vma.is_null() {
            return None;
        }
        Some(LockedAnonVma {
            host,
            anon_vma,
            _page: self,
        })
    }
}

impl Page<'_> {
    /// Its folio, and the address at which the VMA maps it.
    fn folio(&self) -> (*mut ffi::folio, usize) {
        (self.page.as_ptr().cast(), self.index << PAGE_SHIFT)
    }

    /// `folio_remove_rmap_pte()` of the one PTE, and `folio_add_new_anon_rmap()` as of a new page,
    /// exclusive.
    #[inline]
    pub(crate) fn map_anew(&mut self) {
        let (folio, address) = self.folio();
        let (page, vma) = (self.page.as_ptr(), self.vma.vma.get());
        let host = self.vma.space.host;
        // SAFETY: By invariants (1), (3) and (4); it is mapped again before anything sees it.
        unsafe {
            (host.remove)(folio, page, 1, vma);
            (host.add_new)(folio, vma, address, ffi::SR_RMAP_EXCLUSIVE);
        }
    }

    /// `folio_add_anon_rmap_pte()` of another PTE, and `folio_remove_rmap_pte()` of it.
    #[inline]
    pub(crate) fn add_and_remove(&self) {
        let (folio, address) = self.folio();
        let (page, vma) = (self.page.as_ptr(), self.vma.vma.get());
        let host = self.vma.space.host;
        // SAFETY: By invariants (1), (3) and (4).
        unsafe {
            (host.add)(folio, page, 1, vma, address, ffi::SR_RMAP_NONE);
            (host.remove)(folio, page, 1, vma);
        }
    }

    /// `folio_move_anon_rmap()`, to the anon_vma of the VMA, where it is.
    #[inline]
    pub(crate) fn relocate(&mut self) {
        let (folio, _) = self.folio();
        // SAFETY: By invariants (1), (3) and (4): the VMA alone maps the page.
        unsafe { (self.vma.space.host.relocate)(folio, self.vma.vma.get()) };
    }
}

impl Drop for Page<'_> {
    fn drop(&mut self) {
        // SAFETY: By invariant (4) the page is mapped and locked.
        unsafe { ffi::shadow_rmap_bench_unmap_page(self.page.as_ptr()) };
    }
}

/// An anon_vma of the host, whose root is locked for reading.
///
/// # Invariants
///
/// This value owns the read hold; the anon_vma is linked to the VMA that maps the page.
pub(crate) struct LockedAnonVma<'a> {
    host: &'a Functions,
    anon_vma: *mut ffi::anon_vma,
    _page: &'a Page<'a>,
}

impl LockedAnonVma<'_> {
    /// Calls `f` for each link to a VMA that covers any of the page offsets `first..=last`.
    #[inline]
    pub(crate) fn for_each_link(&self, first: usize, last: usize, mut f: impl FnMut()) {
        // SAFETY: By the type invariant the tree is locked.
        let mut link = unsafe { (self.host.first)(self.anon_vma, first, last) };
        while !link.is_null() {
            f();
            // SAFETY: As above.
            link = unsafe { (self.host.next)(link, first, last) };
        }
    }
}

impl Drop for LockedAnonVma<'_> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant; a linked anon_vma has a reference on its root.
        unsafe { ffi::up_read(&raw mut (*(*self.anon_vma).root).rwsem) };
    }
}

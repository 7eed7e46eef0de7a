// SPDX-License-Identifier: GPL-2.0

//! The end of a VMA's links.
//!
//! C: `unlink_anon_vmas()` of [`mm/rmap.c`](srctree/mm/rmap.c).

#![allow(unsafe_code, reason = "a promise about page tables")]

use super::{
    kind::{
        Live,
        Rmap, //
    },
    mm::{
        Locked,
        MmapWrite, //
    },
    vma::Vma,
    window::Window, //
};

/// A VMA none of whose PTEs maps a page: only such a VMA is unlinked (R21, R33).
///
/// # Invariants
///
/// No PTE of `vma` is counted in the mapcount of a page, and none will be while `mmap` is held.
pub(crate) struct Emptied<'a, 'm, R: Rmap = Live> {
    vma: &'a Vma<R>,
    mmap: &'a mut MmapWrite<'m, R>,
}

impl<'a, 'm, R: Rmap> Emptied<'a, 'm, R> {
    /// Says that `vma` maps no page.
    ///
    /// # Safety
    ///
    /// The page table of `mmap`'s address space has no PTE of `vma` that maps a page, or the VMA never
    /// had one; and the caller makes none while `mmap` is held.
    pub(crate) unsafe fn new(vma: &'a Vma<R>, mmap: &'a mut MmapWrite<'m, R>) -> Self {
        // INVARIANT: The caller's promise.
        Self { vma, mmap }
    }

    /// Returns the VMA.
    pub(super) fn vma(&self) -> &Vma<R> {
        self.vma
    }

    /// Returns the lock of its address space.
    pub(super) fn mmap(&self) -> &MmapWrite<'m, R> {
        self.mmap
    }
}

/// `unlink_anon_vmas()`: takes all links of a VMA away. anon_vmas that no VMA is linked to any more are
/// freed. Sleeps.
pub(crate) fn unlink_anon_vmas<R: Rmap>(emptied: Emptied<'_, '_, R>) {
    let Emptied { vma, mmap } = emptied;
    if !vma.covered_by(mmap.mm()) {
        return;
    }
    // SAFETY: `mmap_lock` is held for writing.
    unsafe { vma.unlink_all() };
    R::window(Window::Unlinked);
}

#[cfg(shadow_rmap_kunit)]
#[path = "tests/unlink.rs"]
mod tests;

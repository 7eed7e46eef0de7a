// SPDX-License-Identifier: GPL-2.0

//! The end of a VMA's links.
//!
//! C: `unlink_anon_vmas()` of [`mm/rmap.c`](srctree/mm/rmap.c).
//!
//! The invariants are those of [`anon_vma`](super::anon_vma) and [`chain`](super::chain).

#![allow(
    unsafe_code,
    reason = "intrusive objects, and a promise about page tables"
)]

use super::{
    chain::LINKS,
    free::{
        put,
        Put, //
    },
    kind::{
        Live,
        Rmap, //
    },
    mm::{
        Locked,
        MmapWrite, //
    },
    oracle::Oracle,
    path,
    rules::Rule,
    steps::Steps,
    vma::Vma,
    window::Window, //
};
use crate::{
    kernel_ext::{
        rwonce::ReadWriteOnce,
        slab::SlabBox, //
    },
    trace,
};
use core::ptr::{
    self,
    NonNull, //
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
    /// The page table of `mmap`'s address space has no PTE of `vma` that maps a page, or the VMA
    /// never had one; and the caller makes none while `mmap` is held.
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

/// `unlink_anon_vmas()`: takes all links of a VMA away. anon_vmas that no VMA is linked to any more
/// are freed. Sleeps.
pub(crate) fn unlink_anon_vmas<R: Rmap>(emptied: Emptied<'_, '_, R>) {
    let Emptied { vma, mmap } = emptied;
    if !vma.covered_by(mmap.mm()) {
        return;
    }
    // SAFETY: `mmap_lock` is held for writing.
    unsafe { vma.unlink_all() };
    R::window(Window::Unlinked);
}

impl<R: Rmap> Vma<R> {
    /// Takes all links away, and `->anon_vma`; frees the links, and the anon_vmas that no VMA is
    /// linked to any more, once the family's lock has been released. Sleeps.
    ///
    /// # Safety
    ///
    /// The chain is the caller's: `mmap_lock` is held for writing, or the VMA is being dropped.
    pub(super) unsafe fn unlink_all(&self) {
        // SAFETY: The caller's promise.
        let Some(any) = (unsafe { self.first_link() }) else {
            return;
        };
        let mut family = any.lock_write();
        // SAFETY: The caller's promise.
        let active = unsafe { R::steps().read_anon_vma(self) };
        let has_active = Oracle::Topology.holds(Rule::R33, active.is_some());
        // INVARIANT: (5), (7) All links go at once, and `->anon_vma` with them.
        let first = self.chain.read_once();
        self.chain.write_once(ptr::null_mut());
        self.nr_links.write_once(0);
        let mut link = first;
        while !link.is_null() {
            // SAFETY: The link was on the chain, which is ours (5); the family's lock is ours (3).
            // A parent is the root, or this VMA was linked to it, too (1): it is freed below, at the
            // earliest.
            unsafe {
                let anon_vma = &*(*link).anon_vma;
                anon_vma.tree().remove(&raw mut (*link).node);
                if anon_vma.tree().is_empty() {
                    family.child_gone(&*anon_vma.parent_ptr());
                } else {
                    // Other VMAs are linked to it, and keep its reference (2).
                    (*link).anon_vma = ptr::null();
                }
                link = (*link).next.read_once();
            }
        }
        if let Some(active) = active {
            family.protects(active);
            family.deactivate(active);
        }
        // SAFETY: The links are gone.
        unsafe { R::steps().reset_anon_vma(self) };
        // A free waits for this very lock (R17), so it is released first.
        drop(family);

        let (mut n, mut emptied, mut roots, mut children) = (0, 0, 0, 0);
        let mut link = first;
        while let Some(raw) = NonNull::new(link) {
            // SAFETY: From `SlabBox::into_raw()` in `LinkReserve::new`, and on no chain any more.
            let this = unsafe { SlabBox::from_raw(raw) };
            link = this.next.read_once();
            let anon_vma = this.anon_vma.cast_mut();
            // SAFETY: All links come from this cache.
            unsafe { LINKS.free(this) };
            if let Some(anon_vma) = NonNull::new(anon_vma) {
                emptied += 1;
                // SAFETY: The tree is empty: its reference (2) is ours to drop.
                if let Put::Last { is_root, freed } = unsafe { put(anon_vma, || ()) } {
                    roots += usize::from(freed && is_root);
                    children += usize::from(freed && !is_root);
                }
            }
            n += 1;
        }
        path::UNLINK_RUN.count([has_active.into(), n, roots, children]);
        trace::unlink(|| (self.id(), n, emptied));
    }

    /// Forgets `->anon_vma` (R33).
    ///
    /// # Safety
    ///
    /// The VMA has no links: one that has is taken for unfaulted, and its pages would be handed over
    /// without the links that keep their anon_vmas.
    pub(crate) unsafe fn reset_anon_vma(&self) {
        self.anon_vma.write_once(ptr::null_mut());
    }
}

#[cfg(shadow_rmap_kunit)]
#[path = "tests/unlink.rs"]
mod tests;

// SPDX-License-Identifier: GPL-2.0

//! Deliberate bugs in the first anon_vma of a VMA.

#![allow(unsafe_code, reason = "deliberate bugs")]

use super::no_model_step;
use crate::rmap::{
    anon_vma::AnonVma,
    family::FamilyWrite,
    kind::Rmap,
    mm::{
        MmapLocked,
        PageTableGuard, //
    },
    steps::Steps,
    vma::Vma,
    window::Window, //
};

/// Deliberate bug: shares the anon_vma of a VMA with more links (R27, museum 9).
pub(crate) struct SharesForked;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Rmap> Steps<R> for SharesForked {
    fn may_share(&self, _neighbour: &Vma<R>) -> bool {
        true
    }
}

/// Deliberate bug: does not test again under the locks (R28).
pub(crate) struct TestsOnce;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Rmap> Steps<R> for TestsOnce {
    fn is_first(&self, _vma: &Vma<R>, _anon_vma: &AnonVma<R>) -> bool {
        true
    }
}

/// Deliberate bug: publishes an anon_vma, releases the locks, and links afterwards (R21).
///
/// Under the locks this order is correct: the host has it since 7.3.
pub(crate) struct PublishesFirst;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Rmap> Steps<R> for PublishesFirst {
    fn before_first_link(&self, vma: &Vma<R>, anon_vma: &AnonVma<R>, mmap: &dyn MmapLocked<R>) {
        let mut family = anon_vma.lock_write();
        let page_table = mmap.lock_page_table();
        if vma.is_unfaulted() {
            // SAFETY: The caller keeps the anon_vma. Incorrect, on purpose: other faults use it.
            unsafe { family.publish_unlinked(vma, anon_vma, &page_table) };
        }
        drop(page_table);
        drop(family);
        R::window(Window::Published);
    }

    fn is_first(&self, vma: &Vma<R>, anon_vma: &AnonVma<R>) -> bool {
        core::ptr::eq(vma.anon_vma_ptr(), anon_vma) && vma.nr_links() == 0
    }

    fn publish_first(
        &self,
        _family: &mut FamilyWrite<'_, R>,
        _vma: &Vma<R>,
        _anon_vma: &AnonVma<R>,
        _page_table: &PageTableGuard<'_, R>,
    ) {
    }

    /// # Safety
    ///
    /// As the trait says.
    unsafe fn read_anon_vma<'a>(&self, vma: &Vma<R>) -> Option<&'a AnonVma<R>> {
        // SAFETY: The caller's promise.
        unsafe { super::vma::read_without_link(vma) }
    }
}

no_model_step!(SharesForked TestsOnce PublishesFirst);

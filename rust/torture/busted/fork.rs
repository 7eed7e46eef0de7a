// SPDX-License-Identifier: GPL-2.0

//! Deliberate bugs in clone and fork.

#![allow(unsafe_code, reason = "deliberate bugs")]

use super::{
    no_model_step,
    vma::read_without_link, //
};
use crate::rmap::{
    anon_vma::{
        AnonVma,
        FreshAnonVma, //
    },
    chain::LinkReserve,
    clone::Operation,
    family::FamilyWrite,
    kind::Rmap,
    mm::MmapWrite,
    steps::{
        Correct,
        Steps, //
    },
    vma::Vma, //
};

/// Deliberate bug: fork does not link the child to the root of its parent's family (R21, R23).
pub(crate) struct ForgetsRootLink;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Rmap> Steps<R> for ForgetsRootLink {
    fn clone_link(
        &self,
        family: &mut FamilyWrite<'_, R>,
        links: &mut LinkReserve<R>,
        dst: &Vma<R>,
        anon_vma: &AnonVma<R>,
        dst_mmap: &MmapWrite<'_, R>,
        operation: Operation,
    ) -> bool {
        let forgotten = matches!(operation, Operation::Fork(_)) && anon_vma.is_root();
        !forgotten && Correct.clone_link(family, links, dst, anon_vma, dst_mmap, operation)
    }
}

/// Deliberate bug: a child shares the anon_vma of its parent (R23, museum 28).
pub(crate) struct SharesWithParent;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Rmap> Steps<R> for SharesWithParent {
    fn give_own(
        &self,
        vma: &Vma<R>,
        mmap: &MmapWrite<'_, R>,
        parent: &AnonVma<R>,
        anon_vma: FreshAnonVma<R>,
        _links: LinkReserve<R>,
    ) {
        // It is not linked, and freed at once.
        drop(anon_vma.into_child_of(parent));
        parent.lock_write().publish(vma, parent, mmap);
    }
}

/// Deliberate bug: fork never reuses an anon_vma (R24, museum 24).
pub(crate) struct NeverReuses;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Rmap> Steps<R> for NeverReuses {
    fn may_reuse(&self, _anon_vma: &AnonVma<R>, _active: &AnonVma<R>) -> bool {
        false
    }
}

/// Deliberate bug: fork reuses an anon_vma with an active VMA (R24, museum 31).
///
/// Until 2022 one counter stood for children and VMAs.
pub(crate) struct ReusesBusy;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Rmap> Steps<R> for ReusesBusy {
    fn may_reuse(&self, anon_vma: &AnonVma<R>, active: &AnonVma<R>) -> bool {
        let degree = anon_vma.num_active_vmas() + anon_vma.num_children();
        anon_vma.key() != active.key() && degree < 2
    }
}

/// Deliberate bug: a copy in the same address space reuses an idle ancestor, and gets another
/// anon_vma afterwards (R24, museum 25).
pub(crate) struct ReusesInCopy;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Rmap> Steps<R> for ReusesInCopy {
    fn share_anon_vma(
        &self,
        family: &mut FamilyWrite<'_, R>,
        dst: &Vma<R>,
        active: &AnonVma<R>,
        dst_mmap: &MmapWrite<'_, R>,
    ) {
        let reused = dst.links(dst_mmap).find(|anon_vma| anon_vma.is_reusable());
        family.publish(dst, active, dst_mmap);
        if let Some(reused) = reused {
            // The VMA is counted at one anon_vma, and has another.
            family.activate(reused);
            family.deactivate(active);
        }
    }
}

/// Deliberate bug: a clone that fails leaves the copy with an anon_vma (R37, museum 26).
///
/// The anon_vma counts a VMA that is not in its tree.
pub(crate) struct LeavesHalfAClone;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Rmap> Steps<R> for LeavesHalfAClone {
    fn clone_failed(&self, dst: &Vma<R>, active: &AnonVma<R>, dst_mmap: &MmapWrite<'_, R>) {
        // SAFETY: Incorrect, on purpose: without a link nothing keeps it.
        unsafe { active.lock_write().publish_unlinked(dst, active, dst_mmap) };
    }

    /// # Safety
    ///
    /// As the trait says.
    unsafe fn read_anon_vma<'a>(&self, vma: &Vma<R>) -> Option<&'a AnonVma<R>> {
        // SAFETY: The caller's promise.
        unsafe { read_without_link(vma) }
    }
}

no_model_step!(ForgetsRootLink SharesWithParent NeverReuses ReusesBusy ReusesInCopy LeavesHalfAClone);

// SPDX-License-Identifier: GPL-2.0

//! Deliberate bugs in merging VMAs.

#![allow(unsafe_code, reason = "deliberate bugs")]

use super::{
    maps_all_the_same,
    no_model_step,
    no_rmap_step,
    vma::read_without_link, //
};
use crate::{
    model::{
        merge::{
            inherit,
            Plan, //
        },
        space,
        steps::ModelSteps,
        Modelled, //
    },
    rmap::{
        anon_vma::AnonVma,
        kind::Rmap,
        merge::dup_anon_vma,
        mm::{
            MmapLocked,
            MmapWrite, //
        },
        steps::Steps,
        unlink::Emptied,
        vma::Vma,
        window::Window, //
    },
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// Deliberate bug: a merge drops the links that only the VMA that goes has (R25).
pub(crate) struct DropsLinksInMerge;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Rmap> Steps<R> for DropsLinksInMerge {
    /// # Safety
    ///
    /// As the trait says.
    unsafe fn move_links(&self, _survivor: &Vma<R>, _goes: &Vma<R>, _mmap: &MmapWrite<'_, R>) {}
}

/// Deliberate bug: a merge links a VMA to an anon_vma that it is linked to already (R25, museum
/// 10).
///
/// Two links do the harm; without that limit their number would double with each merge.
pub(crate) struct LinksTwice;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Rmap> Steps<R> for LinksTwice {
    /// # Safety
    ///
    /// As the trait says.
    unsafe fn move_links(&self, survivor: &Vma<R>, goes: &Vma<R>, mmap: &MmapWrite<'_, R>) {
        let active = goes.anon_vma(mmap);
        // SAFETY: The caller's promise.
        unsafe { survivor.take_links_of(goes, mmap, |has| has < 2) };
        // Without links the VMA would stay counted.
        if let (Some(active), 0) = (active, goes.nr_links()) {
            active.lock_write().deactivate(active);
            // SAFETY: It has no links.
            unsafe { goes.reset_anon_vma() };
        }
    }
}

/// Deliberate bug: merges VMAs of different anon_vmas (R26).
pub(crate) struct MergesDifferent;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Rmap> Steps<R> for MergesDifferent {
    fn may_merge(&self, _ours: &AnonVma<R>, _theirs: &AnonVma<R>) -> bool {
        true
    }
}

/// Deliberate bug: an unfaulted VMA inherits the links of a fork child (R26, museum 39).
pub(crate) struct MergesForked;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Rmap> Steps<R> for MergesForked {
    fn may_inherit_from(&self, _vma: &Vma<R>) -> bool {
        true
    }
}

/// Deliberate bug: a merge that fails keeps the links that it has cloned (R37, museum 35).
pub(crate) struct KeepsClonedLinks;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Rmap> Steps<R> for KeepsClonedLinks {
    fn undo_dup(&self, _emptied: Emptied<'_, '_, R>) {}
}

no_model_step!(DropsLinksInMerge LinksTwice MergesDifferent MergesForked KeepsClonedLinks);

/// What [`ModelSteps::inherit`] returns: the VMA that inherited.
type Inherited<R> = Result<Option<Arc<space::Vma<R>>>>;

/// Deliberate bug: a VMA that a boundary shifts into does not inherit the links (R21, museum 11).
pub(crate) struct ShiftsWithoutLinks;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Modelled> ModelSteps<R> for ShiftsWithoutLinks {
    maps_all_the_same!();

    fn inherit(&self, plan: &Plan<R>, mmap: &mut MmapWrite<'_, R>) -> Inherited<R> {
        if plan.shrunk.is_some() {
            return Ok(None);
        }
        inherit(plan, plan.sources(), mmap)
    }
}

/// Deliberate bug: links are copied the wrong way round if the lower of two VMAs shrinks (R21,
/// museum 34).
pub(crate) struct CopiesBackwards;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Modelled> ModelSteps<R> for CopiesBackwards {
    maps_all_the_same!();

    fn inherit(&self, plan: &Plan<R>, mmap: &mut MmapWrite<'_, R>) -> Inherited<R> {
        let lower_shrinks =
            matches!(&plan.shrunk, Some((_, (start, _))) if *start < plan.addresses.0);
        if !lower_shrinks {
            return inherit(plan, plan.sources(), mmap);
        }
        let (target, mut inherited) = (&plan.target, None);
        let sharing = target.core.mm().space().sharing;
        for source in plan.sources().into_iter().flatten() {
            if dup_anon_vma(&source.core, &target.core, mmap, sharing)? {
                inherited = Some(source.clone());
            }
        }
        Ok(inherited)
    }
}

/// Deliberate bug: what is moved into an unfaulted VMA leaves its links behind (R21, museum 38).
pub(crate) struct MovesWithoutLinks;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Modelled> ModelSteps<R> for MovesWithoutLinks {
    maps_all_the_same!();

    fn inherit(&self, plan: &Plan<R>, mmap: &mut MmapWrite<'_, R>) -> Inherited<R> {
        let [next, source] = plan.sources();
        inherit(plan, [next, source.filter(|_| !plan.is_move)], mmap)
    }
}

/// Deliberate bug: a merge gives a VMA an anon_vma before it keeps faults away (R31, museum 33).
///
/// Until 2023 `dup_anon_vma()` set `->anon_vma` first, cloned the links then, and locked the VMA
/// last.
pub(crate) struct MergesUnlocked;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Modelled> ModelSteps<R> for MergesUnlocked {
    maps_all_the_same!();

    fn inherit(&self, plan: &Plan<R>, mmap: &mut MmapWrite<'_, R>) -> Inherited<R> {
        for source in plan.sources().into_iter().flatten() {
            publish_before_links(&plan.target.core, &source.core, mmap);
        }
        inherit(plan, plan.sources(), mmap)
    }
}

/// Lets faults in while `target` has the anon_vma that it is to inherit, and no link to it. Sleeps.
fn publish_before_links<R: Rmap>(target: &Vma<R>, source: &Vma<R>, mmap: &mut MmapWrite<'_, R>) {
    if !target.is_unfaulted() {
        return;
    }
    mmap.with_vmas_unlocked(|mmap| {
        let Some(anon_vma) = source.anon_vma(mmap) else {
            return;
        };
        let mut family = anon_vma.lock_write();
        // SAFETY: Incorrect, on purpose: a fault may use it meanwhile. The source VMA keeps it.
        unsafe { family.publish_unlinked(target, anon_vma, &mmap.lock_page_table()) };
        drop(family);
        R::window(Window::Published);
        anon_vma.lock_write().deactivate(anon_vma);
        // SAFETY: Incorrect, on purpose: a fault may use it meanwhile. The target has no links.
        unsafe { target.reset_anon_vma() };
    });
}

// A fault that comes in meanwhile uses the anon_vma.
// SAFETY: Incorrect, on purpose.
unsafe impl<R: Rmap> Steps<R> for MergesUnlocked {
    /// # Safety
    ///
    /// As the trait says.
    unsafe fn read_anon_vma<'a>(&self, vma: &Vma<R>) -> Option<&'a AnonVma<R>> {
        // SAFETY: The caller's promise.
        unsafe { read_without_link(vma) }
    }
}

no_rmap_step!(ShiftsWithoutLinks CopiesBackwards MovesWithoutLinks);

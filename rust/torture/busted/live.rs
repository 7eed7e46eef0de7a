// SPDX-License-Identifier: GPL-2.0

//! Slips of a line in what a live mapping does. The kernel has had none of them: they show that the
//! comparison with the host notices each fact that it compares.

#![allow(unsafe_code, reason = "deliberate bugs")]

use crate::rmap::{
    anon_vma::{
        AnonVma,
        FreshAnonVma, //
    },
    chain::LinkReserve,
    family::FamilyWrite,
    kind::Rmap,
    mm::MmapWrite,
    page::PageRmap,
    steps::{
        Correct,
        Steps, //
    },
    vma::Vma, //
};

/// Deliberate bug: fork names the root as the parent (R23).
pub(crate) struct NamesTheRoot;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Rmap> Steps<R> for NamesTheRoot {
    fn give_own(
        &self,
        vma: &Vma<R>,
        mmap: &MmapWrite<'_, R>,
        parent: &AnonVma<R>,
        anon_vma: FreshAnonVma<R>,
        links: LinkReserve<R>,
    ) {
        Correct.give_own(vma, mmap, parent.root(), anon_vma, links);
    }
}

/// Deliberate bug: a copy in the same address space is not counted as a user (R24).
pub(crate) struct CountsNoCopy;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Rmap> Steps<R> for CountsNoCopy {
    fn share_anon_vma(
        &self,
        family: &mut FamilyWrite<'_, R>,
        dst: &Vma<R>,
        active: &AnonVma<R>,
        dst_mmap: &MmapWrite<'_, R>,
    ) {
        family.publish(dst, active, dst_mmap);
        family.deactivate(active);
    }
}

/// Deliberate bug: a new page goes to the root (R20).
pub(crate) struct LeadsToTheRoot;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Rmap> Steps<R> for LeadsToTheRoot {
    fn anon_vma_for_page<'a>(&self, anon_vma: &'a AnonVma<R>, _exclusive: bool) -> &'a AnonVma<R> {
        anon_vma.root()
    }
}

/// Deliberate bug: an unmap is not counted (R3).
pub(crate) struct CountsNoUnmap;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Rmap> Steps<R> for CountsNoUnmap {
    fn remove_rmap(&self, page: &PageRmap<R>) -> i32 {
        page.mapcount() - 1
    }
}

/// Deliberate bug of the host, as it looks to the driver: VMAs are copied without a call of `open`.
/// The shadow's steps are correct.
pub(crate) struct HostForgetsOpen;

// SAFETY: The steps are those that are provided.
unsafe impl<R: Rmap> Steps<R> for HostForgetsOpen {}

/// Deliberate bug of the host, as it looks to the driver: VMAs are removed without a call of
/// `close`. The shadow's steps are correct.
pub(crate) struct HostForgetsClose;

// SAFETY: The steps are those that are provided.
unsafe impl<R: Rmap> Steps<R> for HostForgetsClose {}

/// Deliberate bug of the host, as its structures look to `host/check`: VMAs have lost their anon_vmas (R21).
/// The shadow's steps are correct.
pub(crate) struct HostHidesAnonVmas;

// SAFETY: The steps are those that are provided.
unsafe impl<R: Rmap> Steps<R> for HostHidesAnonVmas {}

/// Deliberate bug of the host, as its structures look to a check: `rb_subtree_last` is less than the last offset
/// below an entry (R32). The shadow's steps are correct.
pub(crate) struct HostForgetsTheLast;

// SAFETY: The steps are those that are provided.
unsafe impl<R: Rmap> Steps<R> for HostForgetsTheLast {}

/// Deliberate bug of the host, as it looks to the driver: no page is marked as exclusive (R20). The
/// shadow's steps are correct.
pub(crate) struct HostHidesMarks;

// SAFETY: The steps are those that are provided.
unsafe impl<R: Rmap> Steps<R> for HostHidesMarks {}

/// Deliberate bug of the host, as it looks to the driver: the index of a page is not that of its
/// place (R41). The shadow's steps are correct.
pub(crate) struct HostMisplacesPages;

// SAFETY: The steps are those that are provided.
unsafe impl<R: Rmap> Steps<R> for HostMisplacesPages {}

/// Deliberate bug of the host, as its structures look to a check: the root of an anon_vma is its parent
/// (R14). The shadow's steps are correct.
pub(crate) struct HostNamesTheParent;

// SAFETY: The steps are those that are provided.
unsafe impl<R: Rmap> Steps<R> for HostNamesTheParent {}

/// Deliberate bug: at a split the shadow does not note that the VMA has lost addresses (R41). It is in the
/// driver; the steps are correct.
pub(crate) struct KeepsThePlace;

// SAFETY: The steps are those that are provided.
unsafe impl<R: Rmap> Steps<R> for KeepsThePlace {}

/// Deliberate bug: VMAs that share an anon_vma may not become one (R26).
pub(crate) struct MergesNothing;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Rmap> Steps<R> for MergesNothing {
    fn may_merge(&self, _ours: &AnonVma<R>, _theirs: &AnonVma<R>) -> bool {
        false
    }
}

/// Deliberate bug: an unfaulted VMA never inherits the links of a VMA that is merged into it (R21).
pub(crate) struct InheritsNothing;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Rmap> Steps<R> for InheritsNothing {
    fn may_inherit_from(&self, _vma: &Vma<R>) -> bool {
        false
    }
}

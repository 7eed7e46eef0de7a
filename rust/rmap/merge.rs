// SPDX-License-Identifier: GPL-2.0

//! Which VMAs may become one, and what becomes of their links.
//!
//! C: `is_mergeable_anon_vma()` and `dup_anon_vma()` of [`mm/vma.c`](srctree/mm/vma.c), and for
//! [`Sharing::Any`] the `anon_vma_merge()` that was proposed in April 2010.
//!
//! There are two answers to the question what must hold so that no page is lost. Today's: a VMA may
//! share another's anon_vma only if that VMA has a single link. So VMAs with one `->anon_vma` have
//! equal chains, and either may go (R26, R27). That of 2010: share freely, and move the links that
//! only the VMA that goes has (R25).
//!
//! The invariants are those of [`anon_vma`](super::anon_vma) and [`chain`](super::chain).

#![allow(
    unsafe_code,
    reason = "intrusive objects, and a VMA that is about to be unlinked"
)]

use super::{
    anon_vma::AnonVma,
    clone::{
        anon_vma_clone,
        Operation, //
    },
    kind::Rmap,
    mm::{
        Locked,
        MmapLocked,
        MmapWrite, //
    },
    oracle::Oracle,
    path,
    prepare::Sharing,
    rules::Rule,
    steps::Steps,
    unlink::{
        unlink_anon_vmas,
        Emptied, //
    },
    vma::Vma,
    window::Window, //
};
use crate::{
    kernel_ext::{
        interval_tree::Node,
        rwonce::ReadWriteOnce, //
    },
    trace,
};
use core::ptr::{
    self,
    NonNull, //
};
use kernel::prelude::*;

/// `vma_is_fork_child()`: it may map pages of the process that it was forked from.
pub(crate) fn is_fork_child<R: Rmap>(vma: &Vma<R>) -> bool {
    vma.nr_links() > 1
}

/// `is_mergeable_anon_vma()`: whether `target` may take in addresses whose pages are those of
/// `anon`'s anon_vma, or that have none yet.
///
/// `forked` is the VMA that must not be a fork child if `target` is to inherit its links: that
/// would tie VMAs to the lock of a family that they have nothing to do with.
pub(crate) fn is_mergeable_anon_vma<R: Rmap>(
    target: &Vma<R>,
    anon: Option<&Vma<R>>,
    forked: Option<&Vma<R>>,
    mmap: &impl MmapLocked<R>,
    sharing: Sharing,
) -> bool {
    let theirs = anon.and_then(|vma| vma.anon_vma(mmap));
    let may_inherit = |vma| sharing == Sharing::Any || R::steps().may_inherit_from(vma);
    match (target.anon_vma(mmap), theirs) {
        (None, None) => true,
        (None, Some(_)) => forked.is_none_or(may_inherit),
        (Some(_), None) => may_inherit(target),
        (Some(ours), Some(theirs)) => R::steps().may_merge(ours, theirs),
    }
}

/// Returns whether two VMAs on either side of a third may become one with it.
pub(crate) fn are_compatible<R: Rmap>(a: &Vma<R>, b: &Vma<R>, mmap: &impl MmapLocked<R>) -> bool {
    match (a.anon_vma(mmap), b.anon_vma(mmap)) {
        (Some(a), Some(b)) => R::steps().may_merge(a, b),
        _ => true,
    }
}

/// `dup_anon_vma()`: `target` is to take in what `source` maps, so it inherits its links if it has
/// none. Returns whether it did, which [`undo_dup`] takes back. Sleeps.
///
/// # Errors
///
/// `ENOMEM`; then nothing has changed.
pub(crate) fn dup_anon_vma<R: Rmap>(
    target: &Vma<R>,
    source: &Vma<R>,
    mmap: &MmapWrite<'_, R>,
    sharing: Sharing,
) -> Result<bool> {
    if !target.is_unfaulted() || source.is_unfaulted() {
        return Ok(false);
    }
    anon_vma_clone(target, mmap, source, mmap, Operation::Copy)?;
    // By today's rules no VMA inherits the links of a fork child.
    let single = sharing == Sharing::Any || target.nr_links() == 1;
    Oracle::Topology.check(Rule::R26, single);
    Ok(true)
}

/// Takes back what [`dup_anon_vma`] did: the merge has failed after all (R37). Sleeps.
///
/// `target` was unfaulted before, so `emptied` is easily had.
pub(crate) fn undo_dup<R: Rmap>(target: &Vma<R>, emptied: Emptied<'_, '_, R>) {
    R::steps().undo_dup(emptied);
    Oracle::Refcount.check(Rule::R37, target.is_unfaulted() && target.nr_links() == 0);
}

/// `anon_vma_merge()`: unlinks `goes`, whose pages are in the range of `survivor` by now. Sleeps;
/// allocates nothing.
///
/// By today's rules both have the same links (R26). By those of 2010 either may have more; links
/// that only `goes` has are moved (R25).
pub(crate) fn anon_vma_merge<R: Rmap>(
    survivor: &Vma<R>,
    emptied: Emptied<'_, '_, R>,
    sharing: Sharing,
) {
    R::window(Window::MergeChosen);
    let (goes, mmap) = (emptied.vma(), emptied.mmap());
    if goes.is_unfaulted() {
        return;
    }
    trace::merge(|| (survivor.id(), goes.id(), goes.nr_links()));
    match sharing {
        Sharing::Singleton => {
            Rule::R26.step();
            check_equal(survivor, goes, mmap);
        }
        Sharing::Any => {
            Rule::R25.step();
            // SAFETY: `goes` is unlinked below.
            unsafe { R::steps().move_links(survivor, goes, mmap) };
            Rule::R25.check(survivor.is_linked_to_all_of(goes, mmap));
        }
    }
    unlink_anon_vmas(emptied);
}

/// Looks whether two VMAs that merge have the same anon_vma and the same links (R26).
fn check_equal<R: Rmap>(survivor: &Vma<R>, goes: &Vma<R>, mmap: &MmapWrite<'_, R>) {
    let equal = survivor.anon_vma(mmap).map(AnonVma::key) == goes.anon_vma(mmap).map(AnonVma::key)
        && survivor.nr_links() == goes.nr_links()
        && survivor.is_linked_to_all_of(goes, mmap);
    Rule::R26.check(equal);
}

impl<R: Rmap> Vma<R> {
    /// Returns whether this VMA is linked to all anon_vmas that `other`, of the same address space,
    /// is linked to.
    pub(crate) fn is_linked_to_all_of(&self, other: &Self, mmap: &impl MmapLocked<R>) -> bool {
        self.covered_by(mmap.mm())
            && other
                .links(mmap)
                .all(|theirs| self.links(mmap).any(|ours| ptr::eq(ours, theirs)))
    }

    /// Moves links over from `goes`, of the same address space and family: those for which `wanted`
    /// says so, given how many links this VMA has to the same anon_vma (R25). Sleeps; allocates
    /// nothing.
    ///
    /// # Safety
    ///
    /// `goes`, whose `->anon_vma` may have lost its link, is unlinked before `mmap` is released.
    pub(crate) unsafe fn take_links_of(
        &self,
        goes: &Self,
        mmap: &MmapWrite<'_, R>,
        wanted: impl Fn(usize) -> bool,
    ) {
        if !self.covered_by(mmap.mm()) || !goes.covered_by(mmap.mm()) {
            return;
        }
        let (Some(ours), Some(theirs)) = (self.anon_vma(mmap), goes.anon_vma(mmap)) else {
            return;
        };
        let family = ours.lock_write();
        path::TAKE_LINKS.count();
        if !family.protects(theirs) {
            return;
        }
        let mut place = &goes.chain;
        while let Some(link) = NonNull::new(place.read_once()) {
            let link = link.as_ptr();
            // SAFETY: Both chains are ours by `mmap`, and all their links are of the family that is
            // locked (3), (5). A link leaves one chain and the tree, gets the other VMA's range,
            // and joins the other chain and the tree again.
            unsafe {
                let anon_vma = &*(*link).anon_vma;
                let has = self.links(mmap).filter(|ours| ptr::eq(*ours, anon_vma));
                if !wanted(has.count()) {
                    place = &(*link).next;
                    continue;
                }
                place.write_once((*link).next.read_once());
                goes.add_to_nr_links(u32::MAX);
                anon_vma.tree().remove(&raw mut (*link).node);
                (*link).node = Node::new(self.range_ptr());
                anon_vma.tree().insert(&raw mut (*link).node);
                (*link).next.write_once(ptr::null_mut());
                self.end_of_chain().write_once(link);
                self.add_to_nr_links(1);
            }
        }
    }
}

#[cfg(shadow_rmap_kunit)]
#[path = "tests/merge.rs"]
mod tests;

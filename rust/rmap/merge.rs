// SPDX-License-Identifier: GPL-2.0

//! Which VMAs may become one, and what becomes of their links.
//!
//! C: `is_mergeable_anon_vma()` and `dup_anon_vma()` of [`mm/vma.c`](srctree/mm/vma.c), and for
//! [`Sharing::Any`] the `anon_vma_merge()` that was proposed in April 2010.
//!
//! Two answers have been given to the question what must hold so that no page is lost.  Today's:
//! a VMA may share another's anon_vma only if that one's chain is a singleton, so equal
//! `->anon_vma` means equal chains, and whichever VMA goes takes nothing with it (R26, R27).  That
//! of 2010: share freely, and move what only the VMA that goes is linked to (R25).

use super::{
    anon_vma::AnonVma,
    chain::Vma,
    kind::Rmap,
    link::{
        anon_vma_clone,
        unlink_anon_vmas,
        Operation,
        Sharing, //
    },
    mm::{
        MmapLocked,
        MmapWrite, //
    },
    oracle::Oracle,
    rules::{
        Rule,
        Rules,
        Window, //
    },
};
use core::ptr;
use kernel::prelude::*;

/// `vma_is_fork_child()`: it may map pages of the process that it was forked from.
pub(crate) fn is_fork_child<R: Rmap>(vma: &Vma<R>, mmap: &impl MmapLocked<R>) -> bool {
    vma.links(mmap) > 1
}

/// `is_mergeable_anon_vma()`: whether `target` may take in addresses whose pages are those of
/// `anon`'s anon_vma, or that have none yet.
///
/// `forked` is the VMA that is not to be a fork child if `target` is to inherit its links: that
/// would tie VMAs to a family's lock that have nothing to do with it.
pub(crate) fn is_mergeable_anon_vma<R: Rmap>(
    target: &Vma<R>,
    anon: Option<&Vma<R>>,
    forked: Option<&Vma<R>>,
    mmap: &impl MmapLocked<R>,
    sharing: Sharing,
) -> bool {
    let theirs = anon.and_then(|vma| vma.anon_vma(mmap));
    let may_inherit = sharing == Sharing::Any || !R::Rules::forked_stay_apart();
    match (target.anon_vma(mmap), theirs) {
        (None, None) => true,
        (None, Some(_)) => may_inherit || !forked.is_some_and(|vma| is_fork_child(vma, mmap)),
        (Some(_), None) => may_inherit || !is_fork_child(target, mmap),
        (Some(ours), Some(theirs)) => !R::Rules::merge_needs_equal() || ptr::eq(ours, theirs),
    }
}

/// Whether two VMAs on either side of a third may become one with it.
pub(crate) fn are_compatible<R: Rmap>(a: &Vma<R>, b: &Vma<R>, mmap: &impl MmapLocked<R>) -> bool {
    match (a.anon_vma(mmap), b.anon_vma(mmap)) {
        (Some(a), Some(b)) => !R::Rules::merge_needs_equal() || ptr::eq(a, b),
        _ => true,
    }
}

/// `dup_anon_vma()`: `target` is to take in what `source` maps, so it inherits its links if it has
/// none.  Returns whether it did, which [`undo`](undo_dup) takes back.  Sleeps.
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
    // By today's rules nobody is tied to a family that only a fork child has to do with.
    let single = sharing == Sharing::Any || target.links(mmap) == 1;
    Oracle::Topology.holds(Rule::R26, single);
    Ok(true)
}

/// Has a fault come in when `target` has the anon_vma that it is to inherit, and no link to it: as
/// `dup_anon_vma()` did until 2023, which set `->anon_vma` first, cloned the links then, and locked
/// the VMA last.  For a deliberate bug (R31).  Sleeps.
///
/// `target` is left without an anon_vma, as it is where there is no memory for the links.
pub(crate) fn publish_before_links<R: Rmap>(
    target: &Vma<R>,
    source: &Vma<R>,
    mmap: &mut MmapWrite<'_, R>,
) {
    if !target.is_unfaulted() || source.is_unfaulted() {
        return;
    }
    mmap.with_vmas_unlocked(|mmap| {
        if let Some(anon_vma) = source.anon_vma(mmap) {
            anon_vma.lock_write().publish(target, anon_vma, mmap);
        }
        R::Rules::window(Window::Published);
    });
    unlink_anon_vmas(target, mmap);
}

/// Takes back what [`dup_anon_vma`] did: the merge has failed after all (R37).  Sleeps.
pub(crate) fn undo_dup<R: Rmap>(target: &Vma<R>, mmap: &mut MmapWrite<'_, R>) {
    if R::Rules::merge_undoes() {
        unlink_anon_vmas(target, mmap);
    }
    Oracle::Refcount.check(Rule::R37, target.is_unfaulted());
}

/// `anon_vma_merge()`: `goes` is about to be unlinked, and what it maps is `survivor`'s from here
/// on.  Sleeps, allocates nothing.
///
/// By today's rules both have the same links (R26).  By those of 2010 either is the superset: where
/// `goes` is, its further links are moved (R25).
pub(crate) fn anon_vma_merge<R: Rmap>(
    survivor: &Vma<R>,
    goes: &Vma<R>,
    mmap: &mut MmapWrite<'_, R>,
    sharing: Sharing,
) {
    R::Rules::window(Window::MergeChosen);
    if goes.is_unfaulted() {
        return;
    }
    match sharing {
        Sharing::Singleton => {
            let equal = survivor.anon_vma(mmap).map(AnonVma::key)
                == goes.anon_vma(mmap).map(AnonVma::key)
                && survivor.links(mmap) == goes.links(mmap)
                && survivor.is_linked_to_all_of(goes, mmap);
            Oracle::Topology.check(Rule::R26, equal);
        }
        Sharing::Any => {
            if R::Rules::merge_moves_links() {
                survivor.take_links_of(goes, mmap);
            }
            Rule::R25.check(survivor.is_linked_to_all_of(goes, mmap));
        }
    }
    unlink_anon_vmas(goes, mmap);
}

#[cfg(shadow_rmap_kunit)]
#[path = "tests/merge.rs"]
mod tests;

// SPDX-License-Identifier: GPL-2.0

//! How VMAs come to be linked to anon_vmas, and how they part: prepare, clone, fork, unlink.
//!
//! C: `__anon_vma_prepare()`, `anon_vma_clone()`, `anon_vma_fork()` and `unlink_anon_vmas()` of
//! [`mm/rmap.c`](srctree/mm/rmap.c).
//!
//! Everything that can fail is done before the first lock is taken.

use super::{
    anon_vma::{
        AnonVma,
        FamilyWrite, //
    },
    chain::{
        Links,
        Vma, //
    },
    mm::{
        MmapLocked,
        MmapWrite, //
    },
    rules::{
        Rule,
        Rules, //
    },
};
use crate::stats;
use kernel::prelude::*;

/// What a VMA is cloned for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// A part of a VMA becomes one of its own, or a VMA is moved: source and copy are of one
    /// address space, and share `->anon_vma`.
    Copy,
    /// The child's VMA at fork.
    Fork,
}

/// `__anon_vma_prepare()`: gives `vma` an anon_vma to put new pages in, unless it has one.
///
/// `neighbours` are asked in turn for theirs: the VMAs that `vma` could be merged with, the next
/// one first, as in `find_mergeable_anon_vma()`.  Sleeps.
///
/// # Errors
///
/// `ENOMEM`; then nothing has changed.
pub(crate) fn anon_vma_prepare(
    vma: &Vma,
    mmap: &impl MmapLocked,
    neighbours: [Option<&Vma>; 2],
) -> Result {
    if vma.anon_vma(mmap).is_some() {
        return Ok(());
    }
    let links = Links::reserve(1)?;
    let shared = neighbours
        .into_iter()
        .flatten()
        .find_map(|neighbour| reusable_anon_vma(neighbour, mmap));
    match shared {
        Some(anon_vma) => attach(vma, mmap, links, &mut anon_vma.lock_write(), anon_vma),
        None => AnonVma::alloc()?
            .into_root()
            .lock_and_link(|family, anon_vma| attach(vma, mmap, links, family, anon_vma)),
    }
    Ok(())
}

/// `reusable_anon_vma()`: the anon_vma of a VMA that was never forked (R27).
///
/// With a longer chain the pages of both would not be reachable by the same links, and merging the
/// two VMAs would lose some.
fn reusable_anon_vma<'a>(neighbour: &Vma, mmap: &'a impl MmapLocked) -> Option<&'a AnonVma> {
    let anon_vma = neighbour.anon_vma(mmap)?;
    Rule::R27.checked(1);
    (neighbour.links(mmap) == 1).then_some(anon_vma)
}

/// The part of a prepare that is done under the locks.
fn attach(
    vma: &Vma,
    mmap: &impl MmapLocked,
    mut links: Links,
    family: &mut FamilyWrite<'_>,
    anon_vma: &AnonVma,
) {
    let page_table = mmap.lock_page_table();
    // Another thread's fault may have been faster; its loser frees what it allocated (R28).
    Rule::R28.checked(1);
    if !vma.is_unfaulted() {
        stats::PREPARE_RACES.inc();
        return;
    }
    if family.link(&mut links, vma, anon_vma, &page_table) {
        family.publish(vma, anon_vma, &page_table);
    }
}

/// `anon_vma_clone()`: links `dst`, which has no links, to each anon_vma that `src` is linked to.
///
/// A copy shares `src->anon_vma`; at fork `dst` is left without one unless an ancestor can be
/// reused (R24).  The chain of the copy runs the other way round: so does the host's since 7.3, and
/// which of several reusable ancestors is found first depends on it (R22).  For a copy both locks
/// are the same.  Sleeps.
///
/// # Errors
///
/// `ENOMEM`; then `dst` has no links and no anon_vma, and no counter has changed (R37).
pub(crate) fn anon_vma_clone<R: Rules>(
    dst: &Vma,
    dst_mmap: &MmapWrite<'_>,
    src: &Vma,
    src_mmap: &MmapWrite<'_>,
    operation: Operation,
) -> Result {
    let Some(active) = src.anon_vma(src_mmap) else {
        return Ok(());
    };
    let mut chain = KVec::with_capacity(src.links(src_mmap), GFP_KERNEL)?;
    src.for_each_link(src_mmap, |anon_vma| {
        chain.push(anon_vma, GFP_KERNEL).map_err(Into::into)
    })?;
    let mut links = Links::reserve(chain.len())?;

    let mut family = active.lock_write();
    for anon_vma in &chain {
        if !R::FORK_CLONES_ALL_LINKS && operation == Operation::Fork && anon_vma.is_root() {
            continue;
        }
        family.link(&mut links, dst, anon_vma, dst_mmap);
        if operation == Operation::Fork && dst.is_unfaulted() {
            Rule::R24.checked(1);
            if anon_vma.is_reusable() {
                stats::REUSES.inc();
                family.publish(dst, anon_vma, dst_mmap);
            }
        }
    }
    if operation == Operation::Copy {
        family.publish(dst, active, dst_mmap);
    }
    drop(family);
    Rule::R21.check(dst.links(dst_mmap) == chain.len());
    Ok(())
}

/// `anon_vma_fork()`: links the child's `vma` to all that its parent's `pvma` is linked to, and
/// gives it an anon_vma of its own unless an ancestor's could be reused (R23).  Sleeps.
///
/// # Errors
///
/// `ENOMEM`; then `vma` has no links and no anon_vma, and no counter has changed (R37).
pub(crate) fn anon_vma_fork<R: Rules>(
    vma: &Vma,
    mmap: &MmapWrite<'_>,
    pvma: &Vma,
    pmmap: &MmapWrite<'_>,
) -> Result {
    let Some(parent) = pvma.anon_vma(pmmap) else {
        return Ok(());
    };
    // Both are allocated first: nothing has to be undone.
    let anon_vma = AnonVma::alloc()?;
    let mut links = Links::reserve(1)?;
    let cloned = anon_vma_clone::<R>(vma, mmap, pvma, pmmap, Operation::Fork);
    if cloned.is_err() {
        Rule::R37.check(vma.is_unfaulted() && vma.links(mmap) == 0);
        return cloned;
    }
    if vma.is_unfaulted() {
        // Root and parent are set before anybody can find it (R14, R23).
        anon_vma
            .into_child_of(parent)
            .lock_and_link(|family, anon_vma| {
                if family.link(&mut links, vma, anon_vma, mmap) {
                    family.publish(vma, anon_vma, mmap);
                    family.child_born(parent);
                }
            });
        // The newest stands first (R22).
        Rule::R22.check(vma.first_link_is_active(mmap));
        Rule::R23.check(vma.links(mmap) == pvma.links(pmmap) + 1);
    }
    Ok(())
}

/// `unlink_anon_vmas()`: takes all links of `vma` away; what nobody is linked to any more is freed.
/// Sleeps.
pub(crate) fn unlink_anon_vmas(vma: &Vma, mmap: &mut MmapWrite<'_>) {
    vma.unlink_all(mmap);
    Rule::R33.check(vma.is_unfaulted() && vma.links(mmap) == 0);
}

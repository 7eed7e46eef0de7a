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
    kind::Rmap,
    mm::{
        Locked,
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
use crate::stats;
use kernel::prelude::*;

/// What a VMA is cloned for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// A part of a VMA becomes one of its own, or a VMA is moved: source and copy are of one
    /// address space, and share `->anon_vma`.
    Copy,
    /// The child's VMA at fork.
    Fork(Reuse),
}

/// Who decides which idle ancestor a fork reuses.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reuse {
    /// The rule: the first on the chain that may be (R24).
    ByRule,
    /// Who forked the same family a moment ago has taken the one at this place on the chain, or
    /// none.
    ///
    /// A relative may have exited in between.  Where the rule says otherwise this is followed, and
    /// counted in `stats` as a late reuse; in a family at rest there is none, and what must never
    /// be, two address spaces that share an `->anon_vma`, the verifier finds (R24).
    AsSeen(Option<usize>),
}

/// Which of its neighbours' anon_vmas a VMA may share, and with that, which VMAs may be merged.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// Today's: only of a neighbour that is linked to that one alone (R27), so that two VMAs with
    /// one `->anon_vma` have equal chains (R26).
    Singleton,
    /// That of early 2010: of any neighbour, so that a merge may have to move links (R25).
    Any,
}

/// `__anon_vma_prepare()`: gives `vma` an anon_vma to put new pages in, unless it has one.
///
/// `neighbours` are asked in turn for theirs: the VMAs that `vma` could be merged with, the next
/// one first, as in `find_mergeable_anon_vma()`.  Sleeps.
///
/// # Errors
///
/// `ENOMEM`; then nothing has changed.
pub(crate) fn anon_vma_prepare<R: Rmap>(
    vma: &Vma<R>,
    mmap: &impl MmapLocked<R>,
    neighbours: [Option<&Vma<R>>; 2],
    sharing: Sharing,
) -> Result {
    if !vma.is_unfaulted() {
        return Ok(());
    }
    let links = Links::reserve(1)?;
    let shared = neighbours
        .into_iter()
        .flatten()
        .find_map(|neighbour| reusable_anon_vma(neighbour, mmap, sharing));
    match shared {
        Some(anon_vma) => {
            R::Rules::window(Window::PrepareTested);
            publish_early(vma, mmap, anon_vma);
            attach(vma, mmap, links, &mut anon_vma.lock_write(), anon_vma);
        }
        None => {
            let anon_vma = AnonVma::alloc(mmap.mm().cache())?.into_root();
            R::Rules::window(Window::PrepareTested);
            publish_early(vma, mmap, anon_vma.get());
            anon_vma.lock_and_link(|family, anon_vma| attach(vma, mmap, links, family, anon_vma));
        }
    }
    Ok(())
}

/// `reusable_anon_vma()`: the anon_vma of a VMA that was never forked (R27).
///
/// With a longer chain the pages of both would not be reachable by the same links, and merging the
/// two VMAs would lose some, unless it moves them.
fn reusable_anon_vma<'a, R: Rmap>(
    neighbour: &Vma<R>,
    mmap: &'a impl MmapLocked<R>,
    sharing: Sharing,
) -> Option<&'a AnonVma<R>> {
    let anon_vma = neighbour.anon_vma(mmap)?;
    if sharing == Sharing::Any {
        // Who is linked to this one alone does not keep its parent; a child keeps its root (R16).
        let kept = anon_vma.parent_key() == anon_vma.root().key();
        return kept.then_some(anon_vma);
    }
    let single = neighbour.links(mmap) == 1;
    if !single && R::Rules::share_only_singleton() {
        return None;
    }
    Rule::R27.check(single);
    Some(anon_vma)
}

/// Has others come by when `vma` is seen to have an anon_vma, and is not linked to it: for a
/// deliberate bug (R30).  Sleeps, or spins.
fn publish_early<R: Rmap>(vma: &Vma<R>, mmap: &impl MmapLocked<R>, anon_vma: &AnonVma<R>) {
    if R::Rules::publish_last() {
        return;
    }
    let mut family = anon_vma.lock_write();
    let page_table = mmap.lock_page_table();
    if vma.is_unfaulted() {
        family.publish(vma, anon_vma, &page_table);
    }
    drop(page_table);
    drop(family);
    R::Rules::window(Window::Linked);
}

/// The part of a prepare that is done under the locks.
fn attach<R: Rmap>(
    vma: &Vma<R>,
    mmap: &impl MmapLocked<R>,
    mut links: Links<R>,
    family: &mut FamilyWrite<'_, R>,
    anon_vma: &AnonVma<R>,
) {
    let page_table = mmap.lock_page_table();
    // Another thread's fault may have been faster; its loser frees what it allocated (R28).
    let first = vma.is_unfaulted() || is_early(vma, mmap, anon_vma);
    if !first && R::Rules::test_again() {
        stats::PREPARE_RACES.inc();
        return;
    }
    Rule::R28.check(first);
    if family.link(&mut links, vma, anon_vma, &page_table) && R::Rules::publish_last() {
        R::Rules::window(Window::Linked);
        family.publish(vma, anon_vma, &page_table);
    }
}

/// Whether `vma` has been given `anon_vma`, and not been linked to it yet, see [`publish_early`].
fn is_early<R: Rmap>(vma: &Vma<R>, mmap: &impl MmapLocked<R>, anon_vma: &AnonVma<R>) -> bool {
    !R::Rules::publish_last()
        && vma.links(mmap) == 0
        && vma.anon_vma(mmap).map(AnonVma::key) == Some(anon_vma.key())
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
pub(crate) fn anon_vma_clone<R: Rmap>(
    dst: &Vma<R>,
    dst_mmap: &MmapWrite<'_, R>,
    src: &Vma<R>,
    src_mmap: &MmapWrite<'_, R>,
    operation: Operation,
) -> Result {
    clone_links(dst, dst_mmap, src, src_mmap, operation).map(|_| ())
}

/// What it does; returns whether all links were cloned (R21).
fn clone_links<R: Rmap>(
    dst: &Vma<R>,
    dst_mmap: &MmapWrite<'_, R>,
    src: &Vma<R>,
    src_mmap: &MmapWrite<'_, R>,
    operation: Operation,
) -> Result<bool> {
    let Some(active) = src.anon_vma(src_mmap) else {
        return Ok(true);
    };
    let mut links = match Links::reserve(src.links(src_mmap)) {
        Ok(links) => links,
        Err(error) => {
            if !R::Rules::clone_undoes() {
                active.lock_write().publish(dst, active, dst_mmap);
            }
            Rule::R37.check(dst.is_unfaulted() && dst.links(dst_mmap) == 0);
            return Err(error);
        }
    };

    let mut family = active.lock_write();
    // The place on the chain of what the rule reuses.
    let mut by_rule = None;
    let (mut i, mut linked) = (0, 0);
    src.for_each_link(src_mmap, |anon_vma| {
        let reuses = match operation {
            Operation::Copy => !R::Rules::reuses_at_fork_only(),
            Operation::Fork(_) => R::Rules::reuses(),
        };
        if reuses && by_rule.is_none() && may_reuse(anon_vma, active) {
            by_rule = Some(i);
            Rule::R24.check(anon_vma.is_reusable());
        }
        let reused = match operation {
            Operation::Fork(Reuse::AsSeen(seen)) => seen,
            _ => by_rule,
        };
        let forgotten = !R::Rules::fork_clones_all_links()
            && operation != Operation::Copy
            && anon_vma.is_root();
        if !forgotten {
            linked += usize::from(family.link(&mut links, dst, anon_vma, dst_mmap));
            if reused == Some(i) {
                if operation == Operation::Copy {
                    // A deliberate bug: it is counted there, and gets another below.
                    family.activate(anon_vma);
                } else {
                    stats::REUSES.inc();
                    family.publish(dst, anon_vma, dst_mmap);
                }
            }
        }
        i += 1;
        Ok(())
    })?;
    if matches!(operation, Operation::Fork(Reuse::AsSeen(seen)) if seen != by_rule) {
        stats::LATE_REUSES.inc();
    }
    R::Rules::window(Window::Linked);
    if operation == Operation::Copy {
        family.publish(dst, active, dst_mmap);
        // By deliberate bugs: it is counted elsewhere, or, without a link, nowhere.
        if by_rule.is_some() || i == 0 {
            family.deactivate(active);
        }
        Rule::R21.checked(1);
    }
    drop(family);
    Ok(Rule::R21.holds(linked == i))
}

/// Whether a fork of a VMA whose `->anon_vma` is `active` may reuse `anon_vma` (R24).
fn may_reuse<R: Rmap>(anon_vma: &AnonVma<R>, active: &AnonVma<R>) -> bool {
    if R::Rules::reuse_only_idle() {
        anon_vma.is_reusable()
    } else {
        // As until 2022: children and VMAs were counted together.
        anon_vma.key() != active.key() && anon_vma.degree() < 2
    }
}

/// `anon_vma_fork()`: links the child's `vma` to all that its parent's `pvma` is linked to, and
/// gives it an anon_vma of its own unless an ancestor's could be reused (R23).  Sleeps.
///
/// # Errors
///
/// `ENOMEM`; then `vma` has no links and no anon_vma, and no counter has changed (R37).
pub(crate) fn anon_vma_fork<R: Rmap>(
    vma: &Vma<R>,
    mmap: &MmapWrite<'_, R>,
    pvma: &Vma<R>,
    pmmap: &MmapWrite<'_, R>,
    reuse: Reuse,
) -> Result {
    let Some(parent) = pvma.anon_vma(pmmap) else {
        return Ok(());
    };
    // Both are allocated first: nothing has to be undone.
    let anon_vma = AnonVma::alloc(mmap.mm().cache())?;
    let mut links = Links::reserve(1)?;
    let cloned = clone_links(vma, mmap, pvma, pmmap, Operation::Fork(reuse))?;
    R::Rules::window(Window::Cloned);
    if !R::Rules::fork_makes_own() && vma.is_unfaulted() {
        // A deliberate bug.
        parent.lock_write().publish(vma, parent, mmap);
    }
    if vma.is_unfaulted() {
        // Root and parent are set before anybody can find it (R14, R23).
        let linked = anon_vma
            .into_child_of(parent)
            .lock_and_link(|family, anon_vma| {
                let linked = family.link(&mut links, vma, anon_vma, mmap);
                if linked {
                    family.publish(vma, anon_vma, mmap);
                    family.child_born(parent);
                }
                linked
            });
        // The newest stands first (R22).
        Oracle::Topology.holds(Rule::R22, vma.first_link_is_active(mmap));
        Rule::R23.check(linked && cloned);
    }
    Ok(())
}

/// `unlink_anon_vmas()`: takes all links of `vma` away; what nobody is linked to any more is freed.
/// Sleeps.
pub(crate) fn unlink_anon_vmas<R: Rmap>(vma: &Vma<R>, mmap: &mut MmapWrite<'_, R>) {
    vma.unlink_all(mmap);
    Rule::R33.check(vma.is_unfaulted() && vma.links(mmap) == 0);
    R::Rules::window(Window::Unlinked);
}

#[cfg(shadow_rmap_kunit)]
#[path = "tests/link.rs"]
mod tests;

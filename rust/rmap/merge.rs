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
#[kunit_tests(shadow_rmap_merge)]
mod tests {
    use super::super::{
        kind::Bare,
        link::anon_vma_prepare,
        testing::{
            live,
            Process,
            World, //
        },
    };
    use super::*;
    use crate::{
        kernel_ext::{
            lock::{
                FamilyLock,
                Spin, //
            },
            rwsem::RwSem, //
        },
        torture::busted::{
            DropsLinksInMerge,
            KeepsClonedLinks,
            MergesDifferent, //
        },
    };

    /// By today's rules VMAs merge if one has no anon_vma and the other is no fork child, or if they
    /// have the same (R26).
    #[test]
    fn who_may_merge() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let was = live();
            let world = World::<Bare<L>>::new()?;
            let a = world.process(0, 3)?;
            let empty = a.another(4, 7)?;
            a.fault()?;
            let other = a.another(8, 11)?;
            other.fault()?;
            let part = a.copy(2, 3)?;
            let child = a.fork()?;
            let beside_child = child.another(4, 7)?;
            let verdicts = [
                may(&a, &empty),
                may(&empty, &a),
                may(&a, &part),
                !may(&a, &other),
                !may(&child, &beside_child),
                !may(&beside_child, &child),
            ];
            for process in [a, empty, other, part, child, beside_child] {
                process.unmap();
            }

            assert!(verdicts.iter().all(|&right| right));
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Of two halves either may go (R26).
    #[test]
    fn halves_have_equal_chains() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let was = live();
            let world = World::<Bare<L>>::new()?;
            let a = world.process(0, 7)?;
            a.fault()?;
            let b = a.fork()?;
            let half = b.copy(4, 7)?;
            merge(&b, &half, Sharing::Singleton);
            let after = (b.links(), half.links(), b.facts());
            b.unmap();
            a.unmap();

            assert!(after == (2, 0, [1, 0, 1, 1]));
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Two that were never one are found out when they are merged all the same (R26).
    #[test]
    fn merging_what_differs_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let was = live();
            let world = World::<Bare<L, MergesDifferent>>::new()?;
            let a = world.process(0, 3)?;
            let b = a.another(4, 7)?;
            a.fault()?;
            b.fault()?;
            let allowed = may(&a, &b);
            let ((), n) = Rule::R26.expect_violations(|| merge(&a, &b, Sharing::Singleton));
            a.unmap();

            assert!(allowed && n == 1);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// The three cases of 2010: equal chains, the survivor has more, the one that goes has more
    /// (R25).
    #[test]
    fn the_three_cases_of_2010() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let was = live();
            let world = World::<Bare<L>>::new()?;
            let a = world.process(0, 7)?;
            a.fault()?;
            let mut links = KVec::new();
            for case in 0..3 {
                let child = a.fork()?;
                let other = match case {
                    0 => child.copy(4, 7)?,
                    _ => sharing_with(&child)?,
                };
                let (survivor, goes) = if case == 2 {
                    (&other, &child)
                } else {
                    (&child, &other)
                };
                merge(survivor, goes, Sharing::Any);
                links.push((survivor.links(), goes.links()), GFP_KERNEL)?;
                survivor.unmap();
            }
            a.unmap();

            // The child's own anon_vma and its parent's, whoever survives.
            assert!(links.iter().all(|&links| links == (2, 0)));
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Where the third case drops what it should move, that is noticed (R25).
    #[test]
    fn dropped_links_are_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let was = live();
            let world = World::<Bare<L, DropsLinksInMerge>>::new()?;
            let a = world.process(0, 7)?;
            a.fault()?;
            let child = a.fork()?;
            let other = sharing_with(&child)?;
            let ((), n) = Rule::R25.expect_violations(|| merge(&other, &child, Sharing::Any));
            other.unmap();
            a.unmap();

            assert_eq!(n, 1);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A VMA without anon_vma inherits the other's links, and loses them where the merge fails after
    /// all (R37).
    #[test]
    fn a_dup_can_be_taken_back() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let was = live();
            let world = World::<Bare<L>>::new()?;
            let a = world.process(0, 7)?;
            a.fault()?;
            let b = a.fork()?;
            let heir = b.another(8, 11)?;
            let before = b.facts();
            let mut mmap = heir.mm.mmap_write();
            let inherited = dup_anon_vma(&heir.vma.core, &b.vma.core, &mmap, Sharing::Any)?;
            let links = heir.vma.core.links(&mmap);
            undo_dup(&heir.vma.core, &mut mmap);
            drop(mmap);
            let after = b.facts();
            let left = heir.links();
            for process in [a, b, heir] {
                process.unmap();
            }

            assert!(inherited && links == 2 && left == 0 && before == after);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A dup that is not taken back is noticed (R37).
    #[test]
    fn a_dup_that_stays_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let was = live();
            let world = World::<Bare<L, KeepsClonedLinks>>::new()?;
            let a = world.process(0, 7)?;
            a.fault()?;
            let heir = a.another(8, 11)?;
            let mut mmap = heir.mm.mmap_write();
            let inherited = dup_anon_vma(&heir.vma.core, &a.vma.core, &mmap, Sharing::Singleton);
            let ((), n) = Rule::R37.expect_violations(|| undo_dup(&heir.vma.core, &mut mmap));
            drop(mmap);
            a.unmap();
            heir.unmap();

            assert!(inherited == Ok(true) && n == 1);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Whether the first may take in the addresses of the second.
    fn may<R: Rmap<Space = ()>>(target: &Process<R>, source: &Process<R>) -> bool {
        is_mergeable_anon_vma(
            &target.vma.core,
            Some(&source.vma.core),
            Some(&source.vma.core),
            &target.mm.mmap_read(),
            Sharing::Singleton,
        )
    }

    fn merge<R: Rmap<Space = ()>>(survivor: &Process<R>, goes: &Process<R>, sharing: Sharing) {
        let mut mmap = survivor.mm.mmap_write();
        anon_vma_merge(&survivor.vma.core, &goes.vma.core, &mut mmap, sharing);
    }

    /// A VMA beside `vma` that was faulted in later, and shares its anon_vma though that one was
    /// forked.
    fn sharing_with<R: Rmap<Space = ()>>(vma: &Process<R>) -> Result<Process<R>> {
        let beside = vma.another(8, 11)?;
        anon_vma_prepare(
            &beside.vma.core,
            &beside.mm.mmap_read(),
            [Some(&vma.vma.core), None],
            Sharing::Any,
        )?;
        Ok(beside)
    }
}

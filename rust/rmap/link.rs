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
    let reused = match operation {
        Operation::Copy => None,
        Operation::Fork(reuse) => {
            Rule::R24.checked(1);
            let by_rule = chain.iter().position(|anon_vma| anon_vma.is_reusable());
            match reuse {
                Reuse::AsSeen(seen) if seen != by_rule => {
                    stats::LATE_REUSES.inc();
                    seen
                }
                _ => by_rule,
            }
        }
    };
    for (i, anon_vma) in chain.iter().enumerate() {
        let forked = matches!(operation, Operation::Fork(_));
        if !R::FORK_CLONES_ALL_LINKS && forked && anon_vma.is_root() {
            continue;
        }
        family.link(&mut links, dst, anon_vma, dst_mmap);
        if reused == Some(i) {
            stats::REUSES.inc();
            family.publish(dst, anon_vma, dst_mmap);
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
    reuse: Reuse,
) -> Result {
    let Some(parent) = pvma.anon_vma(pmmap) else {
        return Ok(());
    };
    // Both are allocated first: nothing has to be undone.
    let anon_vma = AnonVma::alloc()?;
    let mut links = Links::reserve(1)?;
    let cloned = anon_vma_clone::<R>(vma, mmap, pvma, pmmap, Operation::Fork(reuse));
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

#[kunit_tests(shadow_rmap_link)]
mod tests {
    use super::super::{
        anon_vma::{
            LockedAnonVma,
            PageRmap, //
        },
        lookup::{
            page_get_anon_vma,
            page_lock_anon_vma, //
        },
        mm::Mm,
        rules::Correct,
    };
    use super::*;
    use crate::prim::interval_tree::Range;
    use core::ops::ControlFlow;
    use kernel::{
        sync::{
            Arc,
            Completion, //
        },
        time::{
            delay::fsleep,
            Delta, //
        },
        workqueue,
    };

    /// A new root, counting itself, with the one VMA in its tree.
    #[test]
    fn prepare_makes_a_root() -> Result {
        let was = live();
        let a = Process::new(0, 7)?;
        a.fault()?;
        let facts = a.facts();
        let again = a.fault().is_ok() && a.facts() == facts;
        a.unmap();

        assert_eq!(facts, [1, 1, 1, 1]);
        assert!(again);
        assert_eq!(live(), was);
        Ok(())
    }

    /// The next VMA's anon_vma is shared, unless that VMA has been forked (R27).
    #[test]
    fn prepare_shares_only_a_singleton() -> Result {
        let was = live();
        let a = Process::new(0, 3)?;
        let b = a.another(4, 7)?;
        a.fault()?;
        anon_vma_prepare(&b.vma.core, &b.mm.mmap_read(), [Some(&a.vma.core), None])?;
        let shared = a.key() == b.key() && a.facts() == [1, 1, 2, 2];

        let child = a.fork()?;
        let c = child.another(4, 7)?;
        anon_vma_prepare(
            &c.vma.core,
            &c.mm.mmap_read(),
            [Some(&child.vma.core), None],
        )?;
        let apart = c.key() != child.key() && c.facts() == [1, 1, 1, 1];
        for process in [a, b, c, child] {
            process.unmap();
        }

        // A VMA with one link shares.
        assert!(shared);
        // A forked one does not.
        assert!(apart);
        assert_eq!(live(), was);
        Ok(())
    }

    /// Each generation is linked to all before it; the root is held by each of them (R16, R23).
    #[test]
    fn fork_links_all_generations() -> Result {
        let was = live();
        let a = Process::new(0, 7)?;
        a.fault()?;
        let b = a.fork()?;
        let c = b.fork()?;
        let [fa, fb, fc] = [a.facts(), b.facts(), c.facts()];
        let one_root = a.root() == b.root() && b.root() == c.root() && a.root() == a.key();
        let parents = b.parent() == a.key() && c.parent() == b.key();
        let links = [a.links(), b.links(), c.links()];
        for process in [a, b, c] {
            process.unmap();
        }

        // References, children, active VMAs, VMAs in the tree.
        assert_eq!(fa, [3, 2, 1, 3]);
        assert_eq!(fb, [1, 1, 1, 2]);
        assert_eq!(fc, [1, 0, 1, 1]);
        assert!(one_root && parents);
        assert_eq!(links, [1, 2, 3]);
        assert_eq!(live(), was);
        Ok(())
    }

    /// A fork of an unfaulted VMA links nothing.
    #[test]
    fn fork_of_an_unfaulted_vma_is_unfaulted() -> Result {
        let a = Process::new(0, 7)?;
        let b = a.fork()?;
        let links = a.links() + b.links();
        let unfaulted = b.vma.core.is_unfaulted();

        assert!(unfaulted && links == 0);
        Ok(())
    }

    /// Only an ancestor that is idle and has no other child is handed out again (R24).
    #[test]
    fn fork_reuses_an_idle_ancestor() -> Result {
        let was = live();
        let a = Process::new(0, 7)?;
        a.fault()?;
        let b = a.fork()?;
        let idle = b.key();
        let c = b.fork()?;
        let while_busy = b.fork()?;
        let busy = while_busy.key() != idle;
        while_busy.unmap();
        b.unmap();
        let d = c.fork()?;
        let reused = d.key() == idle;
        // In use again, so not a second time.
        let e = c.fork()?;
        let once = e.key() != idle && e.key() != c.key();
        for process in [a, c, d, e] {
            process.unmap();
        }

        // An ancestor with a VMA is not reused.
        assert!(busy);
        // An idle one is.
        assert!(reused);
        // But only once.
        assert!(once);
        assert_eq!(live(), was);
        Ok(())
    }

    /// A fork that is told what another did follows it, and counts where the rule says otherwise.
    #[test]
    fn fork_follows_what_was_seen() -> Result {
        let was = live();
        let a = Process::new(0, 7)?;
        a.fault()?;
        let b = a.fork()?;
        let c = b.fork()?;
        let idle = b.key();
        b.unmap();
        let late = stats::LATE_REUSES.sum();
        let none = c.fork_as(Reuse::AsSeen(None))?;
        let not_reused = none.key() != idle && stats::LATE_REUSES.sum() == late + 1;
        none.unmap();
        // On the chain of `c`: its own, the root, the idle one.
        let agreed = c.fork_as(Reuse::AsSeen(Some(2)))?;
        let reused = agreed.key() == idle && stats::LATE_REUSES.sum() == late + 1;
        for process in [a, c, agreed] {
            process.unmap();
        }

        assert!(not_reused && reused);
        assert_eq!(live(), was);
        Ok(())
    }

    /// However long the line, the number of anon_vmas is bounded when parents exit first (R24).
    #[test]
    fn a_long_line_does_not_grow() -> Result {
        let was = live();
        let mut last = Process::new(0, 7)?;
        last.fault()?;
        let mut most = 0;
        for _ in 0..100 {
            let next = last.fork()?;
            last.unmap();
            most = most.max(next.links());
            last = next;
        }
        last.unmap();

        // The chain stays short.
        assert!(most <= 4);
        assert_eq!(live(), was);
        Ok(())
    }

    /// A copy shares the anon_vma, and counts as one more active VMA.
    #[test]
    fn copy_shares() -> Result {
        let was = live();
        let a = Process::new(0, 7)?;
        a.fault()?;
        let b = a.fork()?;
        let c = b.copy(4, 7)?;
        let same = c.key() == b.key() && c.links() == b.links();
        let facts = b.facts();
        for process in [a, b, c] {
            process.unmap();
        }

        assert!(same);
        assert_eq!(facts, [1, 0, 2, 2]);
        assert_eq!(live(), was);
        Ok(())
    }

    /// The root is freed after its family, in whichever order the processes exit (R16, R22).
    #[test]
    fn any_order_of_exit_frees_all() -> Result {
        let was = live();
        let mut order = KVec::new();
        for first in 0..3 {
            for second in 0..3 {
                if first != second {
                    order.push([first, second, 3 - first - second], GFP_KERNEL)?;
                }
            }
        }
        for exits in &order {
            let a = Process::new(0, 7)?;
            a.fault()?;
            let b = a.fork()?;
            let c = b.fork()?;
            let all = [a, b, c];
            for &i in exits {
                if let Some(process) = all.get(i) {
                    process.unmap();
                }
            }
        }

        assert_eq!(live(), was);
        Ok(())
    }

    /// A walk visits the VMAs that cover the offset, in order, and stops when it is told to (R35).
    #[test]
    fn walk_visits_what_overlaps() -> Result {
        let a = Process::new(0, 9)?;
        a.fault()?;
        let b = a.copy(5, 9)?;
        let c = a.copy(7, 7)?;
        let visited = [
            a.visited(0, 0),
            a.visited(6, 6),
            a.visited(7, 7),
            a.visited(10, 20),
        ];
        let mut n = 0;
        let stopped = a.locked(|anon_vma| {
            anon_vma.for_each_vma(0, usize::MAX, |_| {
                n += 1;
                ControlFlow::Break(())
            })
        });
        for process in [a, b, c] {
            process.unmap();
        }

        assert_eq!(visited, [1, 2, 3, 0]);
        assert!(stopped == Some(ControlFlow::Break(())) && n == 1);
        Ok(())
    }

    /// A VMA is found where it is, not where it was (R32).
    #[test]
    fn a_range_changes_in_all_trees() -> Result {
        let a = Process::new(0, 9)?;
        a.fault()?;
        let b = a.fork()?;
        b.vma.core.set_range(
            Range {
                start: 20,
                last: 29,
            },
            &mut b.mm.mmap_write(),
        );
        let visited = [
            a.visited(0, 9),
            a.visited(20, 20),
            b.visited(0, 9),
            b.visited(29, 40),
        ];
        for process in [a, b] {
            process.unmap();
        }

        assert_eq!(visited, [1, 1, 0, 1]);
        Ok(())
    }

    /// A mapped page leads to its anon_vma, locked; an unmapped one nowhere (R4, R12).
    #[test]
    fn lookup_follows_only_mapped_pages() -> Result {
        let a = Process::new(0, 7)?;
        a.fault()?;
        let page = PageRmap::new(3);
        let never = page_lock_anon_vma(&page).is_none();
        a.map(&page);
        let found = page_lock_anon_vma(&page).map(|anon_vma| anon_vma.key()) == a.key();
        let pinned = page_get_anon_vma(&page).map(|anon_vma| anon_vma.refcount()) == Some(2);
        let count = a.facts();
        page.remove_rmap();
        let stays = page.anon_vma_key() == a.key();
        let gone = page_lock_anon_vma(&page).is_none() && page_get_anon_vma(&page).is_none();
        a.unmap();

        assert!(never && found && pinned && gone);
        assert_eq!(count, [1, 1, 1, 1]);
        // Mapping stays after the last unmap (R2).
        assert!(stays);
        Ok(())
    }

    /// Where the lock is taken a lookup sleeps for it, and finds the page all the same (R10).
    #[test]
    fn lookup_waits_for_the_lock() -> Result {
        let a = Process::new(0, 7)?;
        a.fault()?;
        let page = Arc::new(PageRmap::new(3), GFP_KERNEL)?;
        a.map(&page);
        let done = Arc::pin_init(Completion::new(), GFP_KERNEL)?;
        let found = Arc::new(PageRmap::new(0), GFP_KERNEL)?;

        let slow = stats::SLOW_LOOKUPS.sum();
        let started = a.write_locked(|| {
            let (page, done, found) = (page.clone(), done.clone(), found.clone());
            workqueue::system().try_spawn(GFP_KERNEL, move || {
                if let Some(anon_vma) = page_lock_anon_vma(&page) {
                    found.add_new_anon_rmap(&anon_vma);
                }
                done.complete_all();
            })?;
            wait_for(|| stats::SLOW_LOOKUPS.sum() > slow)
        });
        done.wait_for_completion();
        let right = found.anon_vma_key() == a.key();
        a.unmap();

        // The lookup has met the lock.
        assert!(started == Some(Ok(())));
        assert!(right);
        Ok(())
    }

    /// A lookup that is left with the last reference frees the anon_vma, and finds nothing (R10).
    #[test]
    fn lookup_with_the_last_reference_finds_nothing() -> Result {
        let was = live();
        let a = Process::new(0, 7)?;
        a.fault()?;
        let page = PageRmap::new(3);
        a.map(&page);
        let pin = page_get_anon_vma(&page);
        page.remove_rmap();
        a.unmap();
        let kept = live();
        let last = stats::LAST_REFERENCES.sum();
        let found = pin.and_then(LockedAnonVma::wait).is_some();

        // A pin holds the memory.
        assert_eq!(kept, was + 1);
        assert!(!found && stats::LAST_REFERENCES.sum() == last + 1);
        assert_eq!(live(), was);
        Ok(())
    }

    /// An anon_vma is not freed while a reader holds its root's lock (R17).
    #[test]
    fn freeing_waits_for_the_root() -> Result {
        let was = live();
        let a = Process::new(0, 7)?;
        a.fault()?;
        let b = a.fork()?;
        let (old, new) = (PageRmap::new(1), PageRmap::new(2));
        a.map(&old);
        b.map(&new);
        let (root, child) = (page_get_anon_vma(&old), page_get_anon_vma(&new));
        old.remove_rmap();
        new.remove_rmap();
        a.unmap();
        b.unmap();
        let pinned = live();

        let done = Arc::pin_init(Completion::new(), GFP_KERNEL)?;
        let waits = stats::LOCKED_FREES.sum();
        let mut while_locked = 0;
        let started = root.as_ref().map(|root| {
            let locked = root.lock_read();
            let finished = done.clone();
            workqueue::system().try_spawn(GFP_KERNEL, move || {
                drop(child);
                finished.complete_all();
            })?;
            let met = wait_for(|| stats::LOCKED_FREES.sum() > waits);
            while_locked = live();
            drop(locked);
            met
        });
        done.wait_for_completion();
        let after = live();
        drop(root);

        assert_eq!(pinned, was + 2);
        // The free has met the lock.
        assert!(started == Some(Ok(())));
        // And has waited for it.
        assert_eq!(while_locked, was + 2);
        assert_eq!(after, was + 1);
        assert_eq!(live(), was);
        Ok(())
    }

    /// Of many who prepare one VMA at once one wins, and the others leave nothing behind (R28).
    #[test]
    fn one_prepare_wins() -> Result {
        let was = live();
        let mut wrong = 0;
        for _ in 0..50 {
            let a = Process::new(0, 7)?;
            let mut pending = KVec::new();
            for _ in 0..4 {
                let done = Arc::pin_init(Completion::new(), GFP_KERNEL)?;
                let (vma, mm, finished) = (a.vma.clone(), a.mm.clone(), done.clone());
                workqueue::system_unbound().try_spawn(GFP_KERNEL, move || {
                    // A failure shows in what is counted below.
                    let _ = anon_vma_prepare(&vma.core, &mm.mmap_read(), [None, None]);
                    finished.complete_all();
                })?;
                pending.push(done, GFP_KERNEL)?;
            }
            for done in &pending {
                done.wait_for_completion();
            }
            if a.facts() != [1, 1, 1, 1] {
                wrong += 1;
            }
            a.unmap();
        }

        assert_eq!(wrong, 0);
        assert_eq!(live(), was);
        Ok(())
    }

    /// Readers look pages up while their processes come and go; nobody is harmed (R5, R9-R13, R17).
    #[test]
    fn lookups_race_with_exits() -> Result {
        let was = live();
        let place = Arc::pin_init(Place::new(), GFP_KERNEL)?;
        let done = Arc::pin_init(Completion::new(), GFP_KERNEL)?;
        let (reader, finished) = (place.clone(), done.clone());
        workqueue::system_unbound().try_spawn(GFP_KERNEL, move || {
            // The reader holds a reference on the page, as reclaim does (R4).
            while let Some(page) = reader.today() {
                if let Some(anon_vma) = page_lock_anon_vma(&page) {
                    let _: ControlFlow<()> =
                        anon_vma.for_each_vma(3, 3, |_| ControlFlow::Continue(()));
                }
                drop(page_get_anon_vma(&page));
            }
            finished.complete_all();
        })?;
        let mut failed = 0;
        for _ in 0..500 {
            let (Ok(a), Ok(page)) = (Process::new(0, 7), Arc::new(PageRmap::new(3), GFP_KERNEL))
            else {
                failed += 1;
                continue;
            };
            if a.fault().is_ok() {
                a.map(&page);
                let old = place.page.lock().replace(page.clone());
                drop(old);
                fsleep(Delta::from_micros(1));
                page.remove_rmap();
            }
            a.unmap();
        }
        let last = place.page.lock().take();
        drop(last);
        done.wait_for_completion();

        assert_eq!(failed, 0);
        assert_eq!(live(), was);
        Ok(())
    }

    /// A page that was anonymous before is not given to another family (R20).
    #[test]
    fn a_used_page_is_refused() -> Result {
        let (a, b) = (Process::new(0, 7)?, Process::new(0, 7)?);
        a.fault()?;
        b.fault()?;
        let page = PageRmap::new(3);
        a.map(&page);
        page.remove_rmap();
        let ((), n) = Rule::R20.expect_violations(|| b.map(&page));
        let unmapped = page_lock_anon_vma(&page).is_none();
        a.unmap();
        b.unmap();

        assert!(unmapped && n == 1);
        Ok(())
    }

    /// A lock of another address space opens no chain (R34).
    #[test]
    fn a_foreign_lock_is_refused() -> Result {
        let a = Process::new(0, 7)?;
        a.fault()?;
        let other = Arc::pin_init(Mm::new(), GFP_KERNEL)?;
        let (seen, n) =
            Rule::R34.expect_violations(|| a.vma.core.anon_vma(&other.mmap_read()).is_some());
        a.unmap();

        assert!(!seen && n == 1);
        Ok(())
    }

    /// A VMA that has an anon_vma keeps it: another is not published (R31).
    #[test]
    fn a_second_anon_vma_is_refused() -> Result {
        let was = live();
        let a = Process::new(0, 7)?;
        let b = a.another(10, 17)?;
        a.fault()?;
        b.fault()?;
        let key = b.key();
        let ((), n) = Rule::R31.expect_violations(|| {
            let mmap = a.mm.mmap_write();
            if let Some(anon_vma) = a.vma.core.anon_vma(&mmap) {
                anon_vma.lock_write().publish(&b.vma.core, anon_vma, &mmap);
            }
        });
        let same = b.key() == key;
        a.unmap();
        b.unmap();

        assert!(same && n == 1);
        assert_eq!(live(), was);
        Ok(())
    }

    /// A family's lock links nothing to another family (R15).
    #[test]
    fn a_foreign_family_is_refused() -> Result {
        let was = live();
        let a = Process::new(0, 7)?;
        let (b, c) = (a.another(10, 17)?, a.another(20, 27)?);
        a.fault()?;
        b.fault()?;
        let mut links = Links::reserve(1)?;
        let (linked, n) = Rule::R15.expect_violations(|| {
            let mmap = a.mm.mmap_write();
            let (ours, theirs) = (a.vma.core.anon_vma(&mmap)?, b.vma.core.anon_vma(&mmap)?);
            let mut family = ours.lock_write();
            Some(family.link(&mut links, &c.vma.core, theirs, &mmap))
        });
        a.unmap();
        b.unmap();

        assert!(linked == Some(false) && n == 1);
        assert_eq!(live(), was);
        Ok(())
    }

    /// An anon_vma that is only pinned is not linked again (R18).
    #[test]
    fn a_mere_pin_is_refused() -> Result {
        let was = live();
        let (a, b) = (Process::new(0, 7)?, Process::new(0, 7)?);
        a.fault()?;
        let page = PageRmap::new(3);
        a.map(&page);
        let pin = page_get_anon_vma(&page);
        page.remove_rmap();
        a.unmap();
        let mut links = Links::reserve(1)?;
        let (linked, n) = Rule::R18.expect_violations(|| {
            let mmap = b.mm.mmap_write();
            pin.as_ref()
                .map(|pin| pin.lock_write().link(&mut links, &b.vma.core, pin, &mmap))
        });
        drop(pin);

        assert!(linked == Some(false) && n == 1);
        assert_eq!(live(), was);
        Ok(())
    }

    /// A VMA that goes without having been unlinked is noticed, and leaks nothing (R33).
    #[test]
    fn a_forgotten_unlink_is_noticed() -> Result {
        let was = live();
        let a = Process::new(0, 7)?;
        a.fault()?;
        let ((), n) = Rule::R33.expect_violations(|| drop(a));

        assert_eq!(n, 1);
        assert_eq!(live(), was);
        Ok(())
    }

    /// A page unmapped more often than mapped is noticed (R3).
    #[test]
    fn a_negative_mapcount_is_noticed() -> Result {
        let a = Process::new(0, 7)?;
        a.fault()?;
        let page = PageRmap::new(3);
        a.map(&page);
        page.remove_rmap();
        let ((), n) = Rule::R3.expect_violations(|| page.remove_rmap());
        a.unmap();

        assert_eq!(n, 1);
        Ok(())
    }

    /// The last user of a page takes it to its own anon_vma; a stranger does not (R19).
    #[test]
    fn a_page_moves_only_within_its_chain() -> Result {
        let (a, stranger) = (Process::new(0, 7)?, Process::new(0, 7)?);
        a.fault()?;
        stranger.fault()?;
        let b = a.fork()?;
        let page = PageRmap::new(3);
        a.map(&page);
        let moved = b.vma.core.move_anon_rmap(&page, &b.mm.mmap_read());
        let there = page.anon_vma_key() == b.key();
        let (refused, n) = Rule::R19.expect_violations(|| {
            stranger
                .vma
                .core
                .move_anon_rmap(&page, &stranger.mm.mmap_read())
        });
        let stayed = page.anon_vma_key() == b.key();
        page.remove_rmap();
        for process in [a, b, stranger] {
            process.unmap();
        }

        assert!(moved && there);
        assert!(!refused && stayed && n == 1);
        Ok(())
    }

    /// Where a reader finds the page of the day; nothing once it is to stop.
    #[pin_data]
    struct Place {
        #[pin]
        page: kernel::sync::SpinLock<Option<Arc<PageRmap>>>,
    }

    impl Place {
        fn new() -> impl PinInit<Self> {
            let first = Arc::new(PageRmap::new(3), GFP_KERNEL).ok();
            pin_init!(Self {
                page <- kernel::new_spinlock!(first),
            })
        }

        /// The page, with a reference, and without the lock.
        fn today(&self) -> Option<Arc<PageRmap>> {
            let page = self.page.lock();
            page.clone()
        }
    }

    #[pin_data]
    struct TestVma {
        #[pin]
        core: Vma,
    }

    /// A VMA and its address space.
    struct Process {
        mm: Arc<Mm>,
        vma: Arc<TestVma>,
    }

    impl Process {
        fn new(start: usize, last: usize) -> Result<Self> {
            let mm = Arc::pin_init(Mm::new(), GFP_KERNEL)?;
            Self::with(mm, start, last)
        }

        fn with(mm: Arc<Mm>, start: usize, last: usize) -> Result<Self> {
            let core = Vma::new(mm.clone(), Range { start, last }, 0);
            let vma = Arc::pin_init(pin_init!(TestVma { core <- core }), GFP_KERNEL)?;
            Ok(Self { mm, vma })
        }

        /// Another VMA of the same address space.
        fn another(&self, start: usize, last: usize) -> Result<Self> {
            Self::with(self.mm.clone(), start, last)
        }

        fn fault(&self) -> Result {
            anon_vma_prepare(&self.vma.core, &self.mm.mmap_read(), [None, None])
        }

        fn fork(&self) -> Result<Self> {
            self.fork_as(Reuse::ByRule)
        }

        fn fork_as(&self, reuse: Reuse) -> Result<Self> {
            let mmap = self.mm.mmap_write();
            let range = self.vma.core.range(&mmap).ok_or(EINVAL)?;
            let child = Self::new(range.start, range.last)?;
            anon_vma_fork::<Correct>(
                &child.vma.core,
                &child.mm.mmap_write_nested(),
                &self.vma.core,
                &mmap,
                reuse,
            )?;
            Ok(child)
        }

        fn copy(&self, start: usize, last: usize) -> Result<Self> {
            let copy = self.another(start, last)?;
            let mmap = self.mm.mmap_write();
            anon_vma_clone::<Correct>(
                &copy.vma.core,
                &mmap,
                &self.vma.core,
                &mmap,
                Operation::Copy,
            )?;
            drop(mmap);
            Ok(copy)
        }

        fn unmap(&self) {
            unlink_anon_vmas(&self.vma.core, &mut self.mm.mmap_write());
        }

        /// Maps a new page.
        fn map(&self, page: &PageRmap) {
            self.vma.core.add_new_anon_rmap(page, &self.mm.mmap_read());
        }

        fn with_anon_vma<T>(&self, f: impl FnOnce(&AnonVma) -> T) -> Option<T> {
            self.vma.core.anon_vma(&self.mm.mmap_read()).map(f)
        }

        fn locked<T>(&self, f: impl FnOnce(&LockedAnonVma<'_>) -> T) -> Option<T> {
            self.with_anon_vma(|anon_vma| f(&anon_vma.lock_read()))
        }

        fn write_locked<T>(&self, f: impl FnOnce() -> T) -> Option<T> {
            self.with_anon_vma(|anon_vma| {
                let family = anon_vma.lock_write();
                let result = f();
                drop(family);
                result
            })
        }

        fn key(&self) -> Option<usize> {
            self.with_anon_vma(AnonVma::key)
        }

        fn root(&self) -> Option<usize> {
            self.with_anon_vma(|anon_vma| anon_vma.root().key())
        }

        fn parent(&self) -> Option<usize> {
            self.with_anon_vma(AnonVma::parent_key)
        }

        fn links(&self) -> usize {
            self.vma.core.links(&self.mm.mmap_read())
        }

        /// How many VMAs a walk of `first..=last` visits.
        fn visited(&self, first: usize, last: usize) -> usize {
            let mut n = 0;
            self.locked(|anon_vma| {
                anon_vma.for_each_vma(first, last, |_| {
                    n += 1;
                    ControlFlow::<()>::Continue(())
                })
            });
            n
        }

        /// References, children, active VMAs, and VMAs in the tree of its anon_vma.
        fn facts(&self) -> [usize; 4] {
            let counts = self.locked(|anon_vma| {
                [
                    usize::try_from(anon_vma.refcount()).unwrap_or(usize::MAX),
                    anon_vma.num_children(),
                    anon_vma.num_active_vmas(),
                ]
            });
            let [refs, children, active] = counts.unwrap_or_default();
            [refs, children, active, self.visited(0, usize::MAX)]
        }
    }

    /// anon_vmas that are allocated.
    fn live() -> usize {
        stats::ANON_VMA_ALLOCS
            .sum()
            .wrapping_sub(stats::ANON_VMA_FREES.sum())
    }

    /// Waits, ten seconds at most.
    fn wait_for(mut done: impl FnMut() -> bool) -> Result {
        for _ in 0..10_000 {
            if done() {
                return Ok(());
            }
            fsleep(Delta::from_millis(1));
        }
        Err(ETIMEDOUT)
    }
}

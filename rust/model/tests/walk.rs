// SPDX-License-Identifier: GPL-2.0

//! Tests of `walk/`.

#![allow(unsafe_code, reason = "gives back what a deliberate bug forgets")]

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_walk)]
mod suite {
    use super::super::super::{
        mm::Mm,
        space::Prot,
        verify::{
            verify,
            Live, //
        },
        Model, //
    };
    use super::super::*;
    use crate::{
        kernel_ext::{
            fail,
            kthread::KThread,
            random::Random,
            rwsem::RwSem, //
        },
        rmap::{
            anon_vma::Cache,
            lock::{
                FamilyLock,
                Spin, //
            },
            oracle,
            prepare::Sharing,
            rules,
            steps::Correct,
            testing::{
                at,
                map_again,
                wait_for,
                Hooked,
                Job, //
            },
        },
        torture::busted, //
    };
    use kernel::{
        new_mutex,
        prelude::*,
        sync::{
            atomic::{
                Atomic,
                Relaxed, //
            },
            Mutex, //
        },
        time::{
            delay::fsleep,
            Delta, //
        },
    };

    /// A sequence without repetition is no ring, however long; one that repeats itself is noticed
    /// before it has gone around three times, wherever it begins to.
    #[test]
    fn rings_are_noticed() -> Result {
        let mut ring = Ring::new();
        let straight = (1..100_000).all(|key| !ring.closes(key));
        let mut soon = true;
        for before in 0..40 {
            for length in 1..40 {
                let mut ring = Ring::new();
                let steps = (0..)
                    .map(|i| {
                        if i < before {
                            i
                        } else {
                            before + (i - before) % length
                        }
                    })
                    .position(|i| ring.closes(i + 1));
                soon &= steps.is_some_and(|steps| {
                    steps >= before + length && steps <= 3 * (before + length)
                });
            }
        }

        assert!(straight && soon);
        Ok(())
    }

    /// A walk that comes to a VMA twice, because a merge has linked it twice, ends all the same,
    /// and is reported (R25).
    #[test]
    fn a_walk_that_comes_twice_is_reported() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let was = Live::now();
            let before = Oracle::BoundedWalk.reports();
            let cache = Arc::new(Cache::new()?, GFP_KERNEL)?;
            let parent = Mm::<Model<L, busted::merge::LinksTwice>>::new(&cache, 8, Sharing::Any)?;
            parent.map(0, 8, Prot::WRITE)?;
            parent.write(4, 0, 1)?;
            let child = parent.fork()?;
            child.write(4, 0, 2)?;
            // The new VMA shares the anon_vma of the fork child, and survives the merge.
            child.unmap(0, 4)?;
            child.protect(4, 4, Prot::READ)?;
            child.map(0, 4, Prot::WRITE)?;
            child.write(0, 0, 3)?;
            child.protect(4, 4, Prot::WRITE)?;
            let page = child.page_at(0).ok_or(ENOENT)?;
            // One more than there are PTEs, so the walk goes on.
            map_again(&page.rmap);
            let found = page_referenced(&page);
            page.rmap.remove_rmap();
            let reports = Oracle::BoundedWalk.reports() - before;
            drop((parent, child, page));

            assert_eq!((found, reports), (1, 1));
            assert_eq!(Live::now(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// PTEs that map a page are counted, and not other pages at the same offset (R35).
    #[test]
    fn ptes_of_a_page_are_counted() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let was = Live::now();
            let parent = process::<Model<L>>()?;
            let [writes, discards, unmaps, moves] = [
                parent.fork()?,
                parent.fork()?,
                parent.fork()?,
                parent.fork()?,
            ];
            let page = parent.page_at(3).ok_or(ENOENT)?;
            let all = page_referenced(&page);
            writes.write(3, 0, 9)?;
            discards.discard(3, 1)?;
            unmaps.unmap(3, 1)?;
            moves.remap(2, 2, 12, false)?;
            let walk = rmap_walk(&page, |_| ControlFlow::Continue(()));
            let left = page_referenced(&page);
            let other = page_referenced(&*parent.page_at(4).ok_or(ENOENT)?);
            let own = page_referenced(&*writes.page_at(3).ok_or(ENOENT)?);
            let places = [
                place(&parent, 3, &page),
                place(&writes, 3, &page),
                place(&discards, 3, &page),
                place(&moves, 13, &page),
                place(&moves, 4, &page),
            ];
            drop(parent);
            let one = page_referenced(&page);
            drop((writes, discards, unmaps, moves));
            let gone = rmap_walk(&page, |_| ControlFlow::Continue(()));
            drop(page);

            assert_eq!((all, left, other, own, one), (5, 2, 5, 1, 1));
            assert!(walk.found == 2 && walk.visited == 4 && walk.bounded);
            assert_eq!(places, [Some(3), None, None, Some(13), None]);
            assert_eq!(gone, Walk::NONE);
            assert_eq!(Live::now(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A page is taken out of the PTEs that map it, and of no others, and comes back to each with
    /// its contents (R3, R21, R35).
    #[test]
    fn a_page_leaves_and_comes_back() -> Result {
        fn under<L: FamilyLock>() -> Result {
            for out in [try_to_unmap::<Model<L>>, reclaim::<Model<L>>] {
                let was = Live::now();
                let parent = process::<Model<L>>()?;
                let child = parent.fork()?;
                let writes = child.fork()?;
                writes.write(3, 0, 9)?;
                let discards = child.fork()?;
                discards.discard(3, 1)?;
                let grandchild = child.fork()?;
                let page = child.page_at(3).ok_or(ENOENT)?;
                let before = page.rmap.mapcount();
                let unmapped = out(&page)?;
                let after = page.rmap.mapcount();
                let none = out(&page)?;
                drop(page);
                let untouched = (writes.read(3, 0)?, discards.read(3, 0)?);
                grandchild.write(3, 0, 8)?;
                let late = child.fork()?;
                let private = (parent.read(3, 0)?, late.read(3, 0)?, grandchild.read(3, 0)?);
                late.write(3, 0, 7)?;
                let back = (child.read(3, 0)?, late.read(3, 0)?);
                let shared = [&parent, &child]
                    .map(|mm| mm.page_at(3).map(|page| (page.id, page.rmap.mapcount())));
                drop((parent, child, writes, discards, grandchild, late));

                assert!(before == 3 && unmapped && after == 0 && none);
                assert_eq!(untouched, (9, 0));
                assert_eq!(private, (103, 103, 8));
                assert_eq!(back, (103, 7));
                assert!(shared[0].is_some_and(|(_, n)| n == 2) && shared[0] == shared[1]);
                assert_eq!(Live::now(), was);
            }
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A deliberate bug takes whatever a VMA has at the address: the parent loses its own page, and
    /// reads the child's (R35).
    #[test]
    fn a_walker_that_does_not_ask() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let was = Live::now();
            let parent = process::<Model<L, busted::walk::TrustsVmas>>()?;
            let child = parent.fork()?;
            parent.write(3, 0, 9)?;
            let page = child.page_at(3).ok_or(ENOENT)?;
            let own = Arc::into_raw(parent.page_at(3).ok_or(ENOENT)?);
            // The parent's VMA comes first.
            let unmapped = try_to_unmap(&page);
            let lost = parent.read(3, 0)?;
            let mapped = child.page_at(3).is_some();
            // The child's PTE is not counted any more.
            let ((), miscounted) = Rule::R3.expect_violations(|| drop((parent, child)));
            drop(page);
            // SAFETY: The reference of `into_raw()`, and the one that the bug has forgotten.
            drop(unsafe { [Arc::from_raw(own), Arc::from_raw(own)] });

            assert!(unmapped == Ok(true));
            assert!(lost == 103 && mapped && miscounted > 0);
            assert_eq!(Live::now(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A deliberate bug counts a PTE twice: the mapcount goes below zero, which is noticed (R3).
    #[test]
    fn an_unmapping_that_counts_twice() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let was = Live::now();
            let mm = process::<Model<L, busted::walk::UnmapsTwice>>()?;
            let page = mm.page_at(3).ok_or(ENOENT)?;
            let before = Oracle::Mapcount.reports();
            let (unmapped, n) = Rule::R3.expect_violations(|| try_to_unmap(&page));
            let reports = Oracle::Mapcount.reports() - before;
            let count = page.rmap.mapcount();
            drop((mm, page));

            assert!(unmapped == Ok(true) && count == -1);
            assert_eq!((n, reports), (1, 1));
            assert_eq!(Live::now(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A page moves to new memory in all PTEs that map it, and writable PTEs stay writable (R18).
    #[test]
    fn a_page_migrates() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let was = Live::now();
            let parent = process::<Model<L>>()?;
            let alone = parent.page_at(1).ok_or(ENOENT)?;
            let moved_alone = migrate(&alone)?;
            parent.write(1, 0, 9)?;
            let writable = moved_alone.frame.read(0) == Some(9) && alone.frame.read(0) == Some(101);

            let child = parent.fork()?;
            let writes = parent.fork()?;
            writes.write(3, 0, 8)?;
            let page = parent.page_at(3).ok_or(ENOENT)?;
            let moved = migrate(&page)?;
            let counts = (page.rmap.mapcount(), moved.rmap.mapcount());
            let same = page.rmap.anon_vma_key() == moved.rmap.anon_vma_key();
            let both = [&parent, &child].into_iter().all(|mm| {
                mm.page_at(3)
                    .is_some_and(|there| Arc::ptr_eq(&there, &moved))
            });
            let gone = migrate(&page).err();
            parent.write(3, 0, 7)?;
            let read = [
                parent.read(3, 0)?,
                child.read(3, 0)?,
                writes.read(3, 0)?,
                child.read(1, 0)?,
            ];
            let in_swap = parent.page_at(5).ok_or(ENOENT)?;
            try_to_unmap(&in_swap)?;
            child.read(5, 0)?;
            let busy = migrate(&in_swap).err();
            parent.read(5, 0)?;
            writes.discard(5, 1)?;
            let moved_again = migrate(&in_swap).is_ok();
            drop((parent, child, writes));
            drop((alone, moved_alone, page, moved, in_swap));

            assert!(writable && counts == (0, 2) && same && both);
            assert_eq!(read, [7, 103, 8, 9]);
            assert!(gone == Some(ENOENT) && busy == Some(EBUSY) && moved_again);
            assert_eq!(Live::now(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A page stays where it is if a walk does not find all PTEs, and if there is no memory.
    #[test]
    fn a_page_that_cannot_move_stays() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let was = Live::now();
            let parent = process::<Model<L>>()?;
            let child = parent.fork()?;
            let page = parent.page_at(3).ok_or(ENOENT)?;
            // One more than there are PTEs.
            map_again(&page.rmap);
            let stays = migrate(&page).err();
            let in_part = try_to_unmap(&page);
            let read = (parent.read(3, 0)?, child.read(3, 0)?);
            page.rmap.remove_rmap();
            let both = [&parent, &child].into_iter().all(|mm| {
                mm.page_at(3)
                    .is_some_and(|there| Arc::ptr_eq(&there, &page))
            });
            let count = page.rmap.mapcount();
            let mut errors = 0;
            let (moved, failed) = fail::each(
                || migrate(&page),
                |failed| errors += usize::from(failed.err() == Some(ENOMEM)),
            );
            let moved = moved.map(drop);
            drop((parent, child, page));

            assert!(stays == Some(EAGAIN) && in_part == Ok(false));
            assert!(read == (103, 103) && both && count == 2);
            assert!(moved == Ok(()) && failed > 0 && errors == failed);
            assert_eq!(Live::now(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Processes may fork and exit between the two walks of a migration: the pinned anon_vma leads
    /// to those that there are then (R18, R23).
    #[test]
    fn forks_and_exits_while_a_page_migrates() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let was = Live::now();
            let parent = Arc::new(process::<Model<L, Correct, Hooked>>()?, GFP_KERNEL)?;
            let page = parent.page_at(3).ok_or(ENOENT)?;
            let theirs = parent.clone();
            let (moved, forked) = at(
                Window::PageUnmapped,
                move || -> Result<_> {
                    let child = theirs.fork()?;
                    let grandchild = child.fork()?;
                    theirs.exit();
                    Ok((child, grandchild))
                },
                || migrate(&page),
            )?;
            let (moved, (child, grandchild)) = (moved?, forked?);
            let read = (child.read(3, 0)?, grandchild.read(3, 0)?);
            let count = moved.rmap.mapcount();
            drop((parent, child, grandchild));
            let left = moved.rmap.mapcount();
            drop((page, moved));

            assert_eq!((read, count, left), ((103, 103), 2, 0));
            assert_eq!(Live::now(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// If all processes that mapped a page exit while it migrates, only the pin keeps the anon_vma,
    /// whose tree is empty (R18).
    #[test]
    fn all_exit_while_a_page_migrates() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let was = Live::now();
            let parent = Arc::new(process::<Model<L, Correct, Hooked>>()?, GFP_KERNEL)?;
            let page = parent.page_at(3).ok_or(ENOENT)?;
            let theirs = parent.clone();
            let (moved, pinned) = at(
                Window::PageUnmapped,
                move || {
                    theirs.exit();
                    Live::now()
                },
                || migrate(&page),
            )?;
            let count = moved.map(|moved| moved.rmap.mapcount());
            drop((page, parent));

            assert!(count == Ok(0) && pinned.anon_vmas == was.anon_vmas + 1);
            assert_eq!(Live::now(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A deliberate bug does not pin the anon_vma: it is freed between the two walks, or used for
    /// another family, while the migration goes on (R18).
    #[test]
    fn an_anon_vma_without_a_pin_is_freed() -> Result {
        fn under<L: FamilyLock>(recycled: bool) -> Result {
            let was = Live::now();
            let parent = process::<Model<L, busted::walk::MigratesUnpinned, Hooked>>()?;
            let parent = Arc::new(parent, GFP_KERNEL)?;
            let page = parent.page_at(3).ok_or(ENOENT)?;
            let theirs = parent.clone();
            let (moved, freed) = at(
                Window::PageUnmapped,
                move || -> Result<_> {
                    theirs.exit();
                    let freed = Live::now();
                    if recycled {
                        theirs.map(0, PAGES, Prot::WRITE)?;
                        theirs.write(3, 0, 1)?;
                    }
                    Ok(freed)
                },
                || Rule::R18.expect_violations(|| migrate(&page)),
            )?;
            let (moved, n) = moved;
            let count = moved.map(|moved| moved.rmap.mapcount());
            drop((page, parent));

            assert_eq!(n, 1);
            // With a pin one is left: see `all_exit_while_a_page_migrates`.
            assert!(count == Ok(0) && freed?.anon_vmas == was.anon_vmas);
            assert_eq!(Live::now(), was);
            Ok(())
        }
        for recycled in [false, true] {
            under::<Spin>(recycled)?;
            under::<RwSem>(recycled)?;
        }
        Ok(())
    }

    /// A fault that finds a migration entry waits, and gets the new page.
    #[test]
    fn faults_wait_for_a_migration() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let was = Live::now();
            let parent = Arc::new(process::<Model<L, Correct, Hooked>>()?, GFP_KERNEL)?;
            let page = parent.page_at(3).ok_or(ENOENT)?;
            let read = Arc::new(Atomic::new(0u64), GFP_KERNEL)?;
            let (theirs, said) = (parent.clone(), read.clone());
            let (moved, waits) = at(
                Window::PageUnmapped,
                move || -> Result<_> {
                    let first = said.clone();
                    let thread = KThread::spawn(fmt!("shadow_rmap/fault"), move |_| {
                        let written = theirs.write(3, 1, 5);
                        let word = written.and_then(|()| theirs.read(3, 0));
                        first.store(word.unwrap_or(1), Relaxed);
                    })?;
                    fsleep(Delta::from_millis(20));
                    Ok((thread, said.load(Relaxed) == 0))
                },
                || migrate(&page),
            )?;
            let (moved, (thread, waited)) = (moved?, waits?);
            let done = wait_for(|| read.load(Relaxed) != 0);
            drop(thread);
            let words = (moved.frame.read(1), page.frame.read(1), read.load(Relaxed));
            drop((parent, page, moved));

            assert!(waited && done.is_ok());
            assert_eq!(words, (Some(5), Some(0), 103));
            assert_eq!(Live::now(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Swapoff finds all users of a slot by the anon_vma that its page was in: also those that came
    /// by a later fork or have moved, and whether the page is in memory or not (R20, R21, R39).
    #[test]
    fn swapoff_finds_all_users() -> Result {
        fn under<L: FamilyLock>() -> Result {
            for out in [try_to_unmap::<Model<L>>, reclaim::<Model<L>>] {
                let was = Live::now();
                let parent = process::<Model<L>>()?;
                let child = parent.fork()?;
                let page = child.page_at(3).ok_or(ENOENT)?;
                let unmapped = out(&page)?;
                drop(page);
                let slot = child.slot_at(3).ok_or(ENOENT)?;
                let grandchild = child.fork()?;
                child.remap(2, 4, 10, false)?;
                parent.write(3, 0, 9)?;
                let brothers = [child.fork()?, grandchild.fork()?];
                drop(grandchild);
                let users = slot.users();
                let found = unuse(&slot);
                let left = (slot.users(), unuse(&slot));
                drop(slot);
                let read = [
                    parent.read(3, 0)?,
                    child.read(11, 0)?,
                    brothers[0].read(11, 0)?,
                    brothers[1].read(3, 0)?,
                ];
                let page = child.page_at(11).ok_or(ENOENT)?;
                let count = (page.rmap.mapcount(), page_referenced(&page));
                let free = page.lock().is_none();
                child.write(11, 0, 8)?;
                let private = (child.read(11, 0)?, brothers[0].read(11, 0)?);
                drop((parent, child, brothers, page));

                assert!(unmapped && users == 3 && found == Ok(3) && left == (0, Ok(0)));
                assert_eq!(read, [9, 103, 103, 103]);
                assert!(count == (3, 3) && free && private == (8, 103));
                assert_eq!(Live::now(), was);
            }
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Swapoff tries again for an entry that is in no page table for a while, and changes nothing
    /// if the page cannot be read in (R39).
    #[test]
    fn swapoff_waits_for_entries_in_flight() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let was = Live::now();
            let mm = process::<Model<L>>()?;
            reclaim(&mm.page_at(3).ok_or(ENOENT)?)?;
            let slot = mm.slot_at(3).ok_or(ENOENT)?;
            let mut errors = 0;
            let (inside, failed) = fail::each(
                || slot.page(),
                |failed| errors += usize::from(failed.err() == Some(ENOMEM)),
            );
            let inside = inside.map(drop);
            let entry = match mm.space().table.lock().get(3) {
                Pte::Swap(entry) => Some(entry.clone()),
                _ => None,
            };
            let thread = KThread::spawn(fmt!("shadow_rmap/entry"), move |_| {
                fsleep(Delta::from_millis(20));
                drop(entry);
            })?;
            let found = unuse(&slot);
            let users = slot.users();
            drop((thread, slot));
            let read = mm.read(3, 0)?;
            drop(mm);

            assert!(inside == Ok(()) && failed > 0 && errors == failed);
            assert!(found == Ok(1) && users == 0 && read == 103);
            assert_eq!(Live::now(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A deliberate bug asks one VMA only: users are left, which is noticed (R39).
    #[test]
    fn swapoff_that_asks_one_vma() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let was = Live::now();
            let parent = process::<Model<L, busted::walk::AsksOneVma>>()?;
            let child = parent.fork()?;
            reclaim(&parent.page_at(3).ok_or(ENOENT)?)?;
            let slot = child.slot_at(3).ok_or(ENOENT)?;
            let (left, n) = Rule::R39.expect_violations(|| unuse(&slot));
            let users = slot.users();
            drop(slot);
            let read = (parent.read(3, 0)?, child.read(3, 0)?);
            drop((parent, child));

            assert!(left == Err(EBUSY) && n == 1 && users == 1);
            assert_eq!(read, (103, 103));
            assert_eq!(Live::now(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Walkers of all sorts race with reads, writes, forks, merges, moves and exits: each read
    /// finds what was written, no rule is broken, no walk misses a PTE, and no object is left (R3,
    /// R18, R21, R35, R39).
    #[test]
    fn walkers_race_with_all() -> Result {
        fn under<L: FamilyLock>(sharing: Sharing) -> Result {
            let (was, violations) = (Live::now(), rules::violations());
            let reports = oracle::reports();
            let unbounded = stats::UNBOUNDED_WALKS.sum();
            let race = Arc::pin_init(Race::<Model<L>>::new(), GFP_KERNEL)?;
            if let (Some(process), mm) = (race.processes.first(), sharing_process(sharing)?) {
                let written = core::array::from_fn(|address| 100 + address as u64);
                *process.lock() = Some((Arc::new(mm, GFP_KERNEL)?, written));
            }
            let mut jobs = KVec::new();
            for seed in 0..6 {
                let race = race.clone();
                jobs.push(Job::start(move || race.run(seed))?, GFP_KERNEL)?;
            }
            for job in jobs {
                job.join()?;
            }
            let all = race.done.iter().all(|n| n.load(Relaxed) > 0);
            let mut left = KVec::new();
            for process in &race.processes {
                if let Some(process) = process.lock().take() {
                    left.push(process, GFP_KERNEL)?;
                }
            }
            let mut mms = KVec::new();
            for (mm, _) in &left {
                mms.push(&**mm, GFP_KERNEL)?;
            }
            let clean = verify(&mms)?.is_clean();
            drop(mms);
            let mut right = true;
            for (mm, written) in &left {
                for (address, word) in written.iter().enumerate() {
                    right &= mm.read(address, 0) == Ok(*word);
                }
            }
            drop(left);
            let wrong = race.wrong.load(Relaxed);
            drop(race);

            assert!(right && wrong == 0 && clean);
            // Each action has succeeded.
            assert!(all);
            assert_eq!(rules::violations(), violations);
            assert_eq!(oracle::reports(), reports);
            assert_eq!(stats::UNBOUNDED_WALKS.sum(), unbounded);
            assert_eq!(Live::now(), was);
            Ok(())
        }
        for sharing in [Sharing::Singleton, Sharing::Any] {
            under::<Spin>(sharing)?;
            under::<RwSem>(sharing)?;
        }
        Ok(())
    }

    const PAGES: usize = 8;

    /// Actions of each thread of a race.
    const ACTIONS: usize = 1_000;

    /// The most actions of each thread, should an action never succeed.
    const MOST: usize = 100 * ACTIONS;

    /// An address space, and what was written to word 0 of each of its pages.
    type Process<R> = Option<(Arc<Mm<R>>, [u64; PAGES])>;

    /// The data that the threads of a race share.
    #[pin_data]
    struct Race<R: Modelled> {
        #[pin]
        processes: [Mutex<Process<R>>; 4],
        wrong: Atomic<i32>,
        /// How often each action has succeeded.
        done: [Atomic<i32>; 12],
    }

    impl<R: Modelled> Race<R> {
        fn new() -> impl PinInit<Self> {
            pin_init!(Self {
            processes <- pin_init::pin_init_array_from_fn(
                                |_| new_mutex!(None, "shadow_rmap::race"),
                            ),
                            wrong: Atomic::new(0),
                            done: [const { Atomic::new(0) }; 12],
                        })
        }

        /// Acts a certain number of times, and longer until each action has succeeded once.
        fn run(&self, seed: u64) {
            let mut random = Random::new(seed);
            for n in 0..MOST {
                if n >= ACTIONS && self.done.iter().all(|done| done.load(Relaxed) > 0) {
                    break;
                }
                let action = random.below(self.done.len());
                let process = self.processes.get(random.below(self.processes.len()));
                let (Some(process), Some(done)) = (process, self.done.get(action)) else {
                    continue;
                };
                let address = random.below(PAGES);
                match self.act(action, process, address, &mut random) {
                    Ok(n) => done.add(n, Relaxed),
                    Err(error) if error == ENOENT || error == EBUSY || error == EAGAIN => {}
                    Err(_) => self.wrong.add(1, Relaxed),
                };
            }
        }

        /// Does an action, and returns how often it succeeded.
        fn act(
            &self,
            action: usize,
            process: &Mutex<Process<R>>,
            address: usize,
            random: &mut Random,
        ) -> Result<i32> {
            let mut there = process.lock();
            let (mm, written) = (*there).as_mut().ok_or(ENOENT)?;
            let expected = written.get_mut(address).ok_or(ENOENT)?;
            match action {
                0 => {
                    let right = mm.read(address, 0)? == *expected;
                    self.wrong.add((!right).into(), Relaxed);
                    return Ok(1);
                }
                1 => {
                    let word = random.u64();
                    mm.write(address, 0, word)?;
                    *expected = word;
                    return Ok(1);
                }
                2 => {
                    let child = (Arc::new(mm.fork()?, GFP_KERNEL)?, *written);
                    drop(there);
                    let other = self.processes.get(random.below(self.processes.len()));
                    let gone = other.and_then(|other| other.lock().replace(child));
                    drop(gone);
                    return Ok(1);
                }
                3 => {
                    mm.discard(address, 1)?;
                    *expected = 0;
                    return Ok(1);
                }
                4 => {
                    // Behind its place in each tree, and back.
                    mm.remap(address, 1, PAGES + address, false)?;
                    mm.remap(PAGES + address, 1, address, false)?;
                    return Ok(1);
                }
                5 => {
                    // Splits it into two VMAs or three, and merges them.
                    let pages = 1 + random.below(PAGES - address);
                    mm.protect(address, pages, Prot::READ)?;
                    mm.protect(0, PAGES, Prot::WRITE)?;
                    return Ok(1);
                }
                _ => {}
            }
            // The other actions need a page, and no lock of a process.
            let mm = mm.clone();
            drop(there);
            if action == 6 {
                return self.fault(&mm, address, random);
            }
            if action == 7 {
                let slot = mm.slot_at(address).ok_or(ENOENT)?;
                return unuse(&slot).map(|n| (n > 0).into());
            }
            let page = mm.page_at(address).ok_or(ENOENT)?;
            match action {
                8 => try_to_unmap(&page).map(i32::from),
                9 => reclaim(&page).map(i32::from),
                10 => migrate(&page).map(|_| 1),
                _ => Ok((page_referenced(&page) > 0).into()),
            }
        }

        /// Reads and writes word 1, whose value is 0 or says which page it is of.
        fn fault(&self, mm: &Mm<R>, address: usize, random: &mut Random) -> Result<i32> {
            let own = 1 + address as u64;
            let done = match random.below(4) {
                0 => mm.write_under_vma_lock(address, 1, own),
                1 => mm.write(address, 1, own),
                _ => mm.read(address, 1).map(|word| {
                    let right = word == 0 || word == own;
                    self.wrong.add((!right).into(), Relaxed);
                }),
            };
            match done {
                Ok(()) => Ok(1),
                // Another thread has moved it, or made it read-only, for a moment.
                Err(error) if error == EFAULT || error == EACCES => Ok(0),
                Err(error) => Err(error),
            }
        }
    }

    /// An address space whose page at address `a` reads `100 + a`, and which is half empty.
    fn process<R: Modelled>() -> Result<Mm<R>> {
        sharing_process(Sharing::Singleton)
    }

    /// The same, with a rule for sharing anon_vmas.
    fn sharing_process<R: Modelled>(sharing: Sharing) -> Result<Mm<R>> {
        let cache = Arc::new(Cache::new()?, GFP_KERNEL)?;
        let mm = Mm::new(&cache, 2 * PAGES, sharing)?;
        mm.map(0, PAGES, Prot::WRITE)?;
        for address in 0..PAGES {
            mm.write(address, 0, 100 + address as u64)?;
        }
        Ok(mm)
    }

    /// Returns where the VMA at `address` maps `page`.
    fn place<R: Modelled>(mm: &Mm<R>, address: usize, page: &Page<R>) -> Option<usize> {
        let mmap = mm.core().mmap_read();
        let vma = mm.space().vmas.find(address)?;
        page_mapped_in_vma(page, &vma, &mmap)
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Tests of `walk/`.

#![allow(unsafe_code, reason = "gives back what a deliberate bug forgets")]

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_walk)]
mod suite {
    use super::super::super::{
        mm::Mm,
        space::Prot,
        verify::Live,
        Model, //
    };
    use super::super::{
        sample::{
            place,
            process, //
        },
        *, //
    };
    use crate::{
        kernel_ext::rwsem::RwSem,
        rmap::{
            anon_vma::Cache,
            lock::{
                FamilyLock,
                Spin, //
            },
            prepare::Sharing,
            testing::map_again,
        },
        torture::{
            at_run_time::AtRunTime,
            busted, //
        }, //
    };
    use kernel::prelude::*;

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
            let _bug = AtRunTime::with::<busted::merge::LinksTwice>();
            let cache = Arc::new(Cache::new()?, GFP_KERNEL)?;
            let parent = Mm::<Model<L, AtRunTime>>::new(&cache, 8, Sharing::Any)?;
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
            let _bug = AtRunTime::with::<busted::walk::TrustsVmas>();
            let was = Live::now();
            let parent = process::<Model<L, AtRunTime>>()?;
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
            let _bug = AtRunTime::with::<busted::walk::UnmapsTwice>();
            let was = Live::now();
            let mm = process::<Model<L, AtRunTime>>()?;
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
}

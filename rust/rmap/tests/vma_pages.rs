// SPDX-License-Identifier: GPL-2.0

//! Tests of `vma_pages.rs`: which pages a VMA takes, and which anon_vma they get.

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_vma_pages)]
mod suite {
    use super::super::*;
    use crate::{
        kernel_ext::rwsem::RwSem,
        rmap::{
            kind::Bare,
            lock::{
                FamilyLock,
                Spin, //
            },
            lookup::page_lock_anon_vma,
            testing::{
                damaged,
                Process,
                World, //
            },
        },
        torture::{
            at_run_time::AtRunTime,
            busted, //
        }, //
    };
    use kernel::prelude::*;

    /// The last process that maps a page moves it to its own anon_vma: a child does (R19).
    #[test]
    fn a_page_moves_to_a_descendant() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let (a, page) = world.process_with_page()?;
            let b = a.fork()?;
            let moved = b.move_page(&page);
            let there = page.anon_vma_key() == b.key();
            let found = page_lock_anon_vma(&page).map(|anon_vma| anon_vma.key()) == b.key();
            page.remove_rmap();
            a.unmap();
            b.unmap();

            assert!(moved && there && found);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A VMA of another family, or of a sibling, does not get the page (R19).
    #[test]
    fn a_page_does_not_move_to_a_stranger() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let a = world.process(0, 7)?;
            let stranger = world.process(0, 7)?;
            a.fault()?;
            stranger.fault()?;
            let (b, sibling) = (a.fork()?, a.fork()?);
            let page = PageRmap::new(3);
            b.map(&page);
            let move_to = |to: &Process<_>| to.move_page(&page);
            let (moved, n) =
                Rule::R19.expect_violations(|| move_to(&stranger) || move_to(&sibling));
            let stayed = page.anon_vma_key() == b.key();
            page.remove_rmap();
            for process in [a, b, sibling, stranger] {
                process.unmap();
            }

            assert!(!moved && stayed);
            assert_eq!(n, 2);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A page that others may come to map goes to the root, one that is the child's alone to the
    /// child's anon_vma (R20).
    #[test]
    fn a_shared_page_goes_to_the_root() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let a = world.faulted()?;
            let b = a.fork()?;
            let (own, shared) = (PageRmap::new(1), PageRmap::new(2));
            b.map(&own);
            let added = b.map_as(&shared, false);
            let places = [own.anon_vma_key(), shared.anon_vma_key()];
            let expected = [b.key(), a.key()];
            own.remove_rmap();
            shared.remove_rmap();
            a.unmap();
            b.unmap();

            assert!(added && places == expected);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A page that is read in from swap leads to where it led before, if the VMA is linked to that; a VMA
    /// of another family does not take it (R21, R39).
    #[test]
    fn a_page_that_is_read_in_leads_to_a_linked_anon_vma() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let a = world.faulted()?;
            let b = a.fork()?;
            let stranger = world.faulted()?;
            let (page, other) = (PageRmap::new(1), PageRmap::new(2));
            let added = b.read_in(&page, &a);
            let (place, expected) = (page.anon_vma_key(), a.key());
            let (refused, n) = Rule::R21.expect_violations(|| !stranger.read_in(&other, &a));
            page.remove_rmap();
            let unmapped = !other.is_anon() && !other.mapped();
            a.unmap();
            b.unmap();
            stranger.unmap();

            assert!(added && place == expected);
            assert!(refused && unmapped);
            assert_eq!(n, 1);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A shared page that goes to the child's anon_vma is noticed: that anon_vma is freed with the
    /// child, and the page may live longer (R20).
    #[test]
    fn a_shared_page_kept_by_a_child_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let _bug = AtRunTime::with::<busted::page::KeepsSharedPages>();
            let world = World::<Bare<L, AtRunTime>>::new()?;
            let a = world.faulted()?;
            let b = a.fork()?;
            let page = PageRmap::new(3);
            let (added, n) = Rule::R20.expect_violations(|| b.map_as(&page, false));
            page.remove_rmap();
            a.unmap();
            b.unmap();

            assert!(added);
            assert_eq!(n, 1);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A page that was anonymous before is not given to another family (R20).
    #[test]
    fn a_used_page_is_refused() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let (a, b) = (world.process(0, 7)?, world.process(0, 7)?);
            a.fault()?;
            b.fault()?;
            let page = PageRmap::new(3);
            a.map(&page);
            page.remove_rmap();
            let (mapped, n) = Rule::R20.expect_violations(|| b.map(&page));
            let unmapped = page_lock_anon_vma(&page).is_none();
            a.unmap();
            b.unmap();

            assert!(!mapped && unmapped && n == 1);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A page leads to an anon_vma that the VMA is not linked to, or nowhere, when it is moved
    /// (R19).
    #[test]
    fn damage_of_a_page_is_noticed_by_a_move() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let (a, page) = world.process_with_page()?;
            let other = world.faulted()?;
            let (b, foreign) = (a.fork()?, other.pin().ok_or(EINVAL)?);
            let word = PageRmap::tagged(&*foreign);
            let (moved, n) =
                Rule::R19.expect_violations(|| damaged(&page.mapping, word, || b.move_page(&page)));
            let never = PageRmap::new(4);
            let (moved_from_nowhere, nowhere) = Rule::R19.expect_violations(|| b.move_page(&never));
            drop(foreign);
            page.remove_rmap();
            for process in [a, b, other] {
                process.unmap();
            }

            assert!(!moved && !moved_from_nowhere);
            assert_eq!([n, nowhere], [1, 1]);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A shared page goes to an anon_vma that is no root (R20).
    #[test]
    fn damage_of_a_root_is_noticed_by_a_fault() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let a = world.faulted()?;
            let b = a.fork()?;
            let c = b.fork()?;
            let middle = b.vma.core.anon_vma_ptr();
            let page = PageRmap::new(3);
            let pin = c.pin().ok_or(EINVAL)?;
            let (mapped, n) = Rule::R20
                .expect_violations(|| damaged(&pin.root, middle, || c.map_as(&page, false)));
            drop(pin);
            page.remove_rmap();
            for process in [a, b, c] {
                process.unmap();
            }

            assert!(mapped);
            assert_eq!(n, 1);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A VMA without an anon_vma maps no anonymous page (R20).
    #[test]
    fn a_page_of_an_unfaulted_vma_is_refused() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let a = world.process(0, 7)?;
            let page = PageRmap::new(3);
            let (mapped, n) = Rule::R20.expect_violations(|| a.map(&page));

            assert!(!mapped && !page.mapped());
            assert_eq!(n, 1);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }
}

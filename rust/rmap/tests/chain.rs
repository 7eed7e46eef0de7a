// SPDX-License-Identifier: GPL-2.0

//! Tests of `chain.rs`.

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_chain)]
mod suite {
    use super::super::super::{
        kind::Bare,
        lookup::page_lock_anon_vma,
        testing::{
            live,
            Process,
            World, //
        },
    };
    use super::super::*;
    use crate::{
        kernel_ext::{
            lock::{
                FamilyLock,
                Spin, //
            },
            rwsem::RwSem,
        },
        torture::busted,
    };

    /// The only user that is left of a page takes it to its own anon_vma: a child does (R19).
    #[test]
    fn a_page_moves_to_a_descendant() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let (a, page) = world.process_with_page()?;
            let b = a.fork()?;
            let moved = b.vma.core.move_anon_rmap(&page, &b.mm.mmap_read());
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
            let move_to = |to: &Process<_>| to.vma.core.move_anon_rmap(&page, &to.mm.mmap_read());
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
            let a = world.process(0, 7)?;
            a.fault()?;
            let b = a.fork()?;
            let (own, shared) = (PageRmap::new(1), PageRmap::new(2));
            b.map(&own);
            let added = b
                .vma
                .core
                .add_new_anon_rmap(&shared, false, &b.mm.mmap_read());
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

    /// A shared page that goes to the child's anon_vma is noticed: it would go with the child, and
    /// the page may not (R20).
    #[test]
    fn a_shared_page_kept_by_a_child_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L, busted::KeepsSharedPages>>::new()?;
            let a = world.process(0, 7)?;
            a.fault()?;
            let b = a.fork()?;
            let page = PageRmap::new(3);
            let (added, n) = Rule::R20.expect_violations(|| {
                b.vma
                    .core
                    .add_new_anon_rmap(&page, false, &b.mm.mmap_read())
            });
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
            let ((), n) = Rule::R20.expect_violations(|| b.map(&page));
            let unmapped = page_lock_anon_vma(&page).is_none();
            a.unmap();
            b.unmap();

            assert!(unmapped && n == 1);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A walk visits the VMAs that cover the offset, in order, and stops when it is told to (R35).
    #[test]
    fn walk_visits_what_overlaps() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let a = world.process(0, 9)?;
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
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A VMA is found where it is, not where it was (R32).
    #[test]
    fn a_range_changes_in_all_trees() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let a = world.process(0, 9)?;
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
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A VMA that moves past the others in its tree, and stays where it was, is noticed (R32).
    #[test]
    fn a_range_changed_in_a_tree_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L, busted::MovesInTrees>>::new()?;
            let a = world.process(0, 9)?;
            a.fault()?;
            let (b, c) = (a.copy(10, 19)?, a.copy(20, 29)?);
            let ((), n) = Rule::R32.expect_violations(|| {
                let range = Range {
                    start: 100,
                    last: 109,
                };
                a.vma.core.set_range(range, &mut a.mm.mmap_write());
            });
            let visited = a.visited(100, 109);
            for process in [a, b, c] {
                process.unmap();
            }

            assert_eq!(visited, 0);
            // The check costs a search: it is there in kernels that are to be tested.
            assert_eq!(n, usize::from(cfg!(CONFIG_DEBUG_VM = "y")));
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A VMA that is unlinked has no anon_vma, and a fault gives it another (R33).
    #[test]
    fn unlink_leaves_no_anon_vma() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let a = world.process(0, 7)?;
            a.fault()?;
            let b = a.fork()?;
            b.unmap();
            let none = b.vma.core.is_unfaulted() && b.links() == 0;
            b.fault()?;
            let page = PageRmap::new(3);
            b.map(&page);
            let found = page_lock_anon_vma(&page).map(|anon_vma| anon_vma.key()) == b.key();
            let own = b.root() == b.key() && b.links() == 1;
            page.remove_rmap();
            a.unmap();
            b.unmap();

            assert!(none && found && own);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A VMA that goes without having been unlinked is noticed, and leaks nothing (R33).
    #[test]
    fn a_forgotten_unlink_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let a = world.process(0, 7)?;
            a.fault()?;
            let ((), n) = Rule::R33.expect_violations(|| drop(a));

            assert_eq!(n, 1);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// All locks are taken in their order, which lockdep watches, and open what is theirs (R34).
    #[test]
    fn locks_nest() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let a = world.process(0, 7)?;
            a.fault()?;
            let b = a.fork()?;
            let mmap = a.mm.mmap_write();
            let childs = b.mm.mmap_write_nested();
            let ours = a.vma.core.anon_vma(&mmap);
            let theirs = b.vma.core.anon_vma(&childs);
            let covered = ours.zip(theirs).map(|(ours, theirs)| {
                let family = theirs.lock_write();
                let page_table = childs.lock_page_table();
                let covered = family.protects(ours) && b.vma.core.covered_by(page_table.mm());
                drop(page_table);
                drop(family);
                covered
            });
            drop(childs);
            drop(mmap);
            a.unmap();
            b.unmap();

            assert!(covered == Some(true));
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A lock of another address space opens no chain (R34).
    #[test]
    fn a_foreign_lock_is_refused() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let a = world.process(0, 7)?;
            a.fault()?;
            let other = Arc::pin_init(Mm::new(world.cache.clone(), ()), GFP_KERNEL)?;
            let (seen, n) =
                Rule::R34.expect_violations(|| a.vma.core.anon_vma(&other.mmap_read()).is_some());
            a.unmap();

            assert!(!seen && n == 1);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }
}

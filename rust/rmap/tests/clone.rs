// SPDX-License-Identifier: GPL-2.0

//! Tests of `clone.rs`.

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_clone)]
mod suite {
    use super::super::*;
    use crate::{
        kernel_ext::{
            fail,
            rwsem::RwSem, //
        },
        rmap::{
            kind::Bare,
            lock::{
                FamilyLock,
                Spin, //
            },
            lookup::page_lock_anon_vma,
            testing::{
                damaged,
                live,
                map_again,
                Process,
                World, //
            },
        },
        torture::{
            at_run_time::AtRunTime,
            busted, //
        }, //
    };
    use core::ops::ControlFlow;
    use kernel::sync::atomic::Relaxed;

    /// A copy shares the anon_vma, and counts as one more active VMA.
    #[test]
    fn copy_shares() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let a = world.faulted()?;
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
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A copy that is counted at an idle ancestor, and has another anon_vma, leaves both counts
    /// wrong (R24): no VMA is left to be counted off, and the ancestor is freed with one.
    #[test]
    fn a_copy_that_reuses_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let _bug = AtRunTime::with::<busted::fork::ReusesInCopy>();
            let world = World::<Bare<L, AtRunTime>>::new()?;
            let was = live();
            let a = world.faulted()?;
            let b = a.fork()?;
            let c = b.fork()?;
            b.unmap();
            let d = c.copy(4, 7)?;
            let ((), n) = Rule::R24.expect_violations(|| {
                d.unmap();
                c.unmap();
            });
            a.unmap();

            assert_eq!(n, 2);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A page is found at all VMAs that map it, be they forked, copied, or both (R21).
    #[test]
    fn every_vma_that_maps_a_page_is_linked_to_it() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let (a, page) = world.process_with_page()?;
            let b = a.fork()?;
            let (c, d) = (b.copy(0, 3)?, b.fork()?);
            for _ in 0..3 {
                map_again(&page);
            }
            let mut visited = 0;
            if let Some(anon_vma) = page_lock_anon_vma(&page) {
                let _: ControlFlow<()> = anon_vma.for_each_vma(3, 3, |_| {
                    visited += 1;
                    ControlFlow::Continue(())
                });
            }
            let mapped = page.mapcount();
            for process in [a, b, c, d] {
                page.remove_rmap();
                process.unmap();
            }

            assert_eq!([visited, mapped], [4, 4]);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A copy, or a fork, that fails wherever it may leaves no link, no anon_vma, and no count
    /// (R37).
    #[test]
    fn a_failed_clone_leaves_nothing() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let a = world.faulted()?;
            let b = a.fork()?;
            let before = (a.facts(), b.facts());
            let mut clean = true;
            let mut check = |failed: Result<Process<_>>| {
                clean &= failed.is_err() && (a.facts(), b.facts()) == before && live() == was + 2;
            };
            let (copy, copies) = fail::each(|| b.copy(4, 7), &mut check);
            if let Ok(copy) = &copy {
                copy.unmap();
            }
            let (child, forks) = fail::each(|| b.fork(), &mut check);
            if let Ok(child) = &child {
                child.unmap();
            }
            a.unmap();
            b.unmap();
            copy?;
            child?;

            assert!(clean);
            // For each of two links; a fork needs an anon_vma and its link besides.
            assert_eq!([copies, forks], [2, 4]);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A failed copy that has an anon_vma all the same, and no link to it, is noticed (R37). It
    /// stays counted when the anon_vma is freed (R24).
    #[test]
    fn half_a_clone_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let _bug = AtRunTime::with::<busted::fork::LeavesHalfAClone>();
            let world = World::<Bare<L, AtRunTime>>::new()?;
            let was = live();
            let a = world.faulted()?;
            let copy = a.another(4, 7)?;
            let ((cloned, failed), left) =
                Rule::R37.expect_violations(|| fail::nth(1, || a.copy_into(&copy)));
            // Two active VMAs, of which one is in the tree.
            let facts = a.facts();
            copy.unmap();
            let ((), counted) = Rule::R24.expect_violations(|| a.unmap());

            assert!(failed && cloned == Err(ENOMEM));
            assert_eq!(facts, [1, 1, 2, 1]);
            assert_eq!([left, counted], [1, 1]);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A VMA has an anon_vma, or a link, when its clone fails (R37).
    #[test]
    fn damage_of_a_failed_clone_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let a = world.faulted()?;
            let (copy, anon_vma) = (a.another(4, 7)?, a.vma.core.anon_vma_ptr());
            let clone = || fail::nth(1, || a.copy_into(&copy)).0;
            let (failed, with_anon_vma) =
                Rule::R37.expect_violations(|| damaged(&copy.vma.core.anon_vma, anon_vma, clone));
            let (failed_again, with_link) =
                Rule::R37.expect_violations(|| damaged(&copy.vma.core.nr_links, 1, clone));
            a.unmap();

            assert!(failed == Err(ENOMEM) && failed_again == Err(ENOMEM));
            assert_eq!([with_anon_vma, with_link], [1, 1]);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A copy, or a child, has another number of links than the VMA that was cloned (R21).
    #[test]
    fn damage_of_a_number_of_links_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let a = world.faulted()?;
            let (copy, child) = (a.another(4, 7)?, a.child()?);
            let (copied, at_copy) = Rule::R21
                .expect_violations(|| damaged(&a.vma.core.nr_links, 2, || a.copy_into(&copy)));
            // The fork adds a link of the child's own (R23).
            let ((forked, own), at_fork) = Rule::R21.expect_violations(|| {
                Rule::R23.expect_violations(|| {
                    damaged(&a.vma.core.nr_links, 2, || {
                        a.fork_into(&child, Reuse::ByRule)
                    })
                })
            });
            for process in [a, copy, child] {
                process.unmap();
            }

            assert!(copied.is_ok() && forked.is_ok());
            assert_eq!([at_copy, at_fork, own], [1, 1, 1]);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A copy that is about to get its anon_vma has one (R31).
    #[test]
    fn damage_of_a_copy_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let a = world.faulted()?;
            let (copy, anon_vma) = (a.another(4, 7)?, a.vma.core.anon_vma_ptr());
            copy.vma.core.anon_vma.store(anon_vma, Relaxed);
            let (copied, n) = Rule::R31.expect_violations(|| a.copy_into(&copy));
            // It was not counted.
            a.with_anon_vma(|anon_vma| anon_vma.num_active_vmas.store(2, Relaxed));
            copy.unmap();
            a.unmap();

            assert!(copied.is_ok());
            assert_eq!(n, 1);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A fork reuses an anon_vma whose only active VMA is not the child's (R24).
    #[test]
    fn damage_of_a_reused_anon_vma_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let a = world.faulted()?;
            let b = a.fork()?;
            let c = b.fork()?;
            let idle = b.pin().ok_or(EINVAL)?;
            let raw = b.vma.core.anon_vma_ptr();
            b.unmap();
            let child = c.child()?;
            // The child is taken for one that has it, and is not counted.
            child.vma.core.anon_vma.store(raw, Relaxed);
            let ((forked, published), n) = Rule::R24.expect_violations(|| {
                Rule::R31.expect_violations(|| c.fork_into(&child, Reuse::ByRule))
            });
            idle.num_active_vmas.store(1, Relaxed);
            drop(idle);
            for process in [a, c, child] {
                process.unmap();
            }

            assert!(forked.is_ok());
            assert_eq!([published, n], [1, 1]);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }
}

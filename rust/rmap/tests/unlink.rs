// SPDX-License-Identifier: GPL-2.0

//! Tests of `unlink.rs`.

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_unlink)]
mod suite {
    use crate::{
        kernel_ext::rwsem::RwSem,
        rmap::{
            anon_vma::AnonVma,
            kind::Bare,
            lock::{
                FamilyLock,
                Spin, //
            },
            lookup::page_lock_anon_vma,
            page::PageRmap,
            rules::Rule,
            testing::{
                live,
                World, //
            },
        },
        torture::{
            at_run_time::AtRunTime,
            busted, //
        }, //
    };
    use core::ptr;
    use kernel::{
        prelude::*,
        sync::atomic::Relaxed, //
    };

    /// The root is freed after its family, in whichever order the processes exit (R16, R22).
    #[test]
    fn any_order_of_exit_frees_all() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
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
                let a = world.faulted()?;
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
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A VMA that is unlinked has no anon_vma, and a fault gives it another (R33).
    #[test]
    fn unlink_leaves_no_anon_vma() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let a = world.faulted()?;
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

    /// A VMA that keeps its anon_vma when it is unlinked leads to one that was freed (R33).
    #[test]
    fn an_anon_vma_that_stays_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let _bug = AtRunTime::with::<busted::vma::KeepsAnonVma>();
            let world = World::<Bare<L, AtRunTime>>::new()?;
            let was = live();
            let a = world.faulted()?;
            a.unmap();
            let kept = !a.vma.core.is_unfaulted();
            let (leads_there, n) = Rule::R33.expect_violations(|| a.key().is_some());

            assert!(kept && !leads_there);
            assert_eq!(n, 1);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A VMA that is dropped before it was unlinked is noticed, and leaks nothing (R33).
    #[test]
    fn damage_by_a_forgotten_unlink_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let a = world.faulted()?;
            let b = a.fork()?;
            let ((), n) = Rule::R33.expect_violations(|| drop(b));
            let visited = a.visited(0, 7);
            a.unmap();

            assert_eq!([n, visited], [1, 1]);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A VMA with links has no anon_vma when it is unlinked (R33).
    #[test]
    fn damage_of_an_anon_vma_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let a = world.faulted()?;
            a.with_anon_vma(|anon_vma| anon_vma.num_active_vmas.store(0, Relaxed));
            a.vma.core.anon_vma.store(ptr::null_mut(), Relaxed);
            let ((), n) = Rule::R33.expect_violations(|| a.unmap());

            assert_eq!(n, 1);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// The anon_vma of a VMA is of another family than its links (R15).
    #[test]
    fn damage_of_a_family_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let (a, other) = (world.process(0, 7)?, world.process(0, 7)?);
            a.fault()?;
            other.fault()?;
            // The VMA is counted where it says that it belongs.
            a.with_anon_vma(|anon_vma| anon_vma.num_active_vmas.store(0, Relaxed));
            other.with_anon_vma(|anon_vma| anon_vma.num_active_vmas.store(2, Relaxed));
            let foreign = other.vma.core.anon_vma_ptr();
            a.vma.core.anon_vma.store(foreign, Relaxed);
            let ((), n) = Rule::R15.expect_violations(|| a.unmap());
            other.unmap();

            assert_eq!(n, 1);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A VMA that no anon_vma counts is unlinked (R24).
    #[test]
    fn damage_of_the_active_count_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            a_wrong_count_is_noticed::<L>(|anon_vma| anon_vma.num_active_vmas.store(0, Relaxed))
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// The last VMA of an anon_vma is unlinked that its parent does not count (R24).
    #[test]
    fn damage_of_the_child_count_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            a_wrong_count_is_noticed::<L>(|anon_vma| anon_vma.num_children.store(0, Relaxed))
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Damages a count of an anon_vma with one VMA, and unlinks the VMA.
    fn a_wrong_count_is_noticed<L: FamilyLock>(damage: impl Fn(&AnonVma<Bare<L>>)) -> Result {
        let world = World::<Bare<L>>::new()?;
        let was = live();
        let a = world.faulted()?;
        a.with_anon_vma(damage);
        let ((), n) = Rule::R24.expect_violations(|| a.unmap());

        assert_eq!(n, 1);
        assert_eq!(live(), was);
        Ok(())
    }
}

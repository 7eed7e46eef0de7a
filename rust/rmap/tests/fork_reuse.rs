// SPDX-License-Identifier: GPL-2.0

//! Tests of `fork.rs`: which forks reuse an anon_vma (R24).

#![allow(unsafe_code, reason = "a deliberate bug")]

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_fork_reuse)]
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
            rules::Rule,
            steps::Flavour,
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

    /// Only an ancestor that is idle and has no other child is handed out again (R24).
    #[test]
    fn fork_reuses_an_idle_ancestor() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let a = world.faulted()?;
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
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A fork that is told what another did follows it, whatever the rule says; [`reusable`] says
    /// it.
    #[test]
    fn fork_follows_what_was_seen() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let a = world.faulted()?;
            let b = a.fork()?;
            let c = b.fork()?;
            let idle = b.key();
            b.unmap();
            // On the chain of `c`: its own, the root, the idle one.
            let by_rule = [c.reusable(), a.reusable()];
            let none = c.fork_as(Reuse::AsSeen(None))?;
            let not_reused = none.key() != idle && c.reusable() == Some(2);
            none.unmap();
            let agreed = c.fork_as(Reuse::AsSeen(Some(2)))?;
            let reused = agreed.key() == idle && c.reusable().is_none();
            for process in [a, c, agreed] {
                process.unmap();
            }

            assert!(by_rule == [Some(2), None]);
            assert!(not_reused && reused);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A fork that counts children and VMAs together reuses an anon_vma that has a VMA, which is
    /// noticed: two address spaces share it (R24).
    #[test]
    fn a_busy_ancestor_that_is_reused_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let _bug = AtRunTime::with::<busted::fork::ReusesBusy>();
            let world = World::<Bare<L, AtRunTime>>::new()?;
            let was = live();
            let a = world.faulted()?;
            let b = a.fork()?;
            let c = b.fork()?;
            let idle = b.key();
            b.unmap();
            // By rule: so that the anon_vma of `c` has a VMA, and no child.
            let d = c.fork()?;
            let reused = d.key() == idle;
            let (e, n) = Rule::R24.expect_violations(|| d.fork());
            let e = e?;
            let busy = e.key() == c.key();
            for process in [a, c, d, e] {
                process.unmap();
            }

            assert!(reused && busy);
            assert_eq!(n, 1);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A fork that reuses an idle anon_vma which has two children is noticed, although no VMA but
    /// the child's is active (R24).
    #[test]
    fn a_parent_of_two_that_is_reused_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L, ForgetsChildren>>::new()?;
            let was = live();
            let a = world.faulted()?;
            let b = a.fork()?;
            let (c, d) = (b.fork()?, b.fork()?);
            let idle = b.key();
            b.unmap();
            let (e, n) = Rule::R24.expect_violations(|| c.fork());
            let e = e?;
            let reused = e.key() == idle;
            let counts = e.facts();
            for process in [a, c, d, e] {
                process.unmap();
            }

            assert!(reused);
            let [_, children, active, _] = counts;
            assert_eq!([children, active], [2, 1]);
            assert_eq!(n, 1);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// However long the line, the number of anon_vmas is bounded when parents exit first (R24).
    #[test]
    fn a_long_line_does_not_grow() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let mut last = world.process(0, 7)?;
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
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Without reuse the chain of each generation is longer than that of the one before (R24).
    #[test]
    fn a_long_line_without_reuse_grows() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let _bug = AtRunTime::with::<busted::fork::NeverReuses>();
            let world = World::<Bare<L, AtRunTime>>::new()?;
            let was = live();
            let mut last = world.process(0, 7)?;
            last.fault()?;
            for _ in 0..20 {
                let next = last.fork()?;
                last.unmap();
                last = next;
            }
            let links = last.links();
            last.unmap();

            assert_eq!(links, 21);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Deliberate bug: fork asks whether an anon_vma is idle, and not how many children it has
    /// (R24).
    struct ForgetsChildren;

    // SAFETY: Incorrect, on purpose; what is reused is linked all the same.
    unsafe impl<R: Rmap> Steps<R> for ForgetsChildren {
        fn may_reuse(&self, anon_vma: &AnonVma<R>, _active: &AnonVma<R>) -> bool {
            anon_vma.num_active_vmas() == 0
        }
    }

    impl Flavour for ForgetsChildren {
        type Steps<R: Rmap> = Self;

        fn steps<R: Rmap>() -> &'static Self {
            &ForgetsChildren
        }
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Tests of `take_all.rs`.

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_take_all)]
mod suite {
    use super::super::super::{
        space::Prot,
        walk::page_referenced,
        Model, //
    };
    use super::super::*;
    use crate::{
        kernel_ext::{
            kthread::KThread,
            rwsem::RwSem, //
        },
        rmap::{
            anon_vma::Cache,
            lock::Spin,
            prepare::Sharing,
            testing::wait_for, //
        },
        torture::{
            at_run_time::AtRunTime,
            busted::walk::TakesRootsAgain, //
        }, //
    };
    use kernel::time::{
        delay::fsleep,
        Delta, //
    };

    /// Each root is locked once, however many VMAs are linked to the family (R38).
    #[test]
    fn each_root_is_taken_once() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let mm = forked::<Model<L>>()?;
            let mmap = mm.core().mmap_write();
            let vmas = vmas_of(&mm)?;
            let locks = AllLocks::take(&vmas, &mmap)?;
            let families = locks.families();
            drop(locks);
            let links = roots_of(&vmas, &mmap)?.len();
            drop(mmap);
            // All are released: otherwise this would wait.
            mm.write(1, 0, 1)?;
            let again = AllLocks::take(&vmas, &mm.core().mmap_write())?.families();

            assert!(families == 2 && again == 2 && links > 2);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// No more spinning locks are taken than the kernel can count (R38).
    #[test]
    fn spinning_locks_are_limited() -> Result {
        fn under<L: FamilyLock>() -> Result<Result<usize>> {
            let cache = Arc::new(Cache::new()?, GFP_KERNEL)?;
            let mm = Mm::<Model<L>>::new(&cache, 2 * MOST_SPINNING + 2, Sharing::Singleton)?;
            for i in 0..=MOST_SPINNING {
                mm.map(2 * i, 1, Prot::WRITE)?;
                mm.write(2 * i, 0, 1)?;
            }
            let vmas = vmas_of(&mm)?;
            let families = AllLocks::take(&vmas, &mm.core().mmap_write()).map(|all| all.families());
            // Nothing was left locked.
            mm.write(0, 0, 2)?;
            Ok(families)
        }
        let (spin, rwsem) = (under::<Spin>()?, under::<RwSem>()?);

        assert!(spin == Err(E2BIG));
        assert!(rwsem == Ok(MOST_SPINNING + 1));
        Ok(())
    }

    /// A deliberate bug takes a root for each link: it would wait for itself. The step is asked for
    /// a root that is locked already (R38).
    #[test]
    fn a_root_is_taken_again_by_a_bug() -> Result {
        fn taken<R: Modelled>() -> Result<[bool; 2]> {
            let mm = forked::<R>()?;
            let mmap = mm.core().mmap_write();
            let vmas = vmas_of(&mm)?;
            let roots = roots_of(&vmas, &mmap)?;
            let root = roots.first().ok_or(ENOENT)?;
            Ok([None, Some(root.key())].map(|before| R::model_steps().takes_root(before, root)))
        }
        let correct = taken::<Model<RwSem>>()?;
        let _bug = AtRunTime::with::<TakesRootsAgain>();
        let bug = taken::<Model<RwSem, AtRunTime>>()?;

        assert_eq!(correct, [true, false]);
        assert_eq!(bug, [true, true]);
        Ok(())
    }

    /// A notifier that joins in the middle of a change is called at its end, and was not at its
    /// beginning (R38).
    #[test]
    fn a_notifier_that_joins_unlocked_is_noticed() -> Result {
        let mm = forked::<Model<RwSem>>()?;
        let notifier = Notifier::new()?;
        let (joined, n) = Rule::R38.expect_violations(|| {
            mm.space().invalidate(|| {
                let room = KVec::with_capacity(1, GFP_KERNEL)?;
                mm.space().add(notifier.clone(), room).map(drop)
            })
        });

        assert!(joined.is_ok() && n == 1);
        Ok(())
    }

    /// Notifiers join while other threads walk and fault, and see beginning and end of each change
    /// (R38).
    #[test]
    fn notifiers_join_while_all_are_at_work() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let mm = Arc::new(forked::<Model<L>>()?, GFP_KERNEL)?;
            let mut threads = KVec::new();
            for i in 0..2_usize {
                let at_work = mm.clone();
                let thread = KThread::spawn(fmt!("shadow_rmap/walk{i}"), move |stop| {
                    while !stop.requested() {
                        walk(&at_work);
                    }
                })?;
                threads.push(thread, GFP_KERNEL)?;
            }
            let at_work = mm.clone();
            let faults = KThread::spawn(fmt!("shadow_rmap/fault"), move |stop| {
                while !stop.requested() {
                    // Errors are tried again.
                    let _ = at_work.discard(0, 4);
                    let _ = at_work.write(2, 0, 1);
                    fsleep(Delta::from_micros(20));
                }
            })?;
            threads.push(faults, GFP_KERNEL)?;
            let mut notifiers = KVec::new();
            for _ in 0..20 {
                let notifier = Notifier::new()?;
                mm.register_notifier(notifier.clone())?;
                notifiers.push(notifier, GFP_KERNEL)?;
                fsleep(Delta::from_micros(500));
            }
            let all = || notifiers.iter().all(|notifier| notifier.changes() > 0);
            wait_for(all)?;
            drop(threads);
            let whole = !notifiers.iter().any(|notifier| notifier.is_changing());

            assert!(whole);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// An address space with three VMAs of two families, one of them in two parts, that was forked.
    fn forked<R: Modelled>() -> Result<Mm<R>> {
        let cache = Arc::new(Cache::new()?, GFP_KERNEL)?;
        let parent = Mm::new(&cache, 16, Sharing::Singleton)?;
        parent.map(0, 4, Prot::WRITE)?;
        parent.map(8, 2, Prot::WRITE)?;
        for address in [0, 1, 2, 3, 8] {
            parent.write(address, 0, 1)?;
        }
        let child = parent.fork()?;
        child.protect(1, 1, Prot::READ)?;
        child.protect(1, 1, Prot::WRITE)?;
        child.protect(3, 1, Prot::READ)?;
        Ok(child)
    }

    /// Walks as reclaim does.
    fn walk<R: Modelled>(mm: &Mm<R>) {
        for address in 0..4 {
            if let Some(page) = mm.page_at(address) {
                page_referenced(&page);
            }
        }
    }
}

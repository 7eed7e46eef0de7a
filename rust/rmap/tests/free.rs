// SPDX-License-Identifier: GPL-2.0

//! Tests of `free.rs` and `deferred.rs`.

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_free)]
mod suite {
    use super::super::*;
    use crate::{
        kernel_ext::rwsem::RwSem,
        rmap::{
            kind::Bare,
            lock::Spin,
            lookup::{
                page_get_anon_vma,
                wait, //
            },
            page::PageRmap,
            testing::{
                damaged,
                live,
                wait_for,
                Job,
                World, //
            },
        },
        torture::{
            at_run_time::AtRunTime,
            busted, //
        }, //
    };
    use kernel::{
        prelude::*,
        sync::{
            atomic::Relaxed,
            rcu, //
        },
    };

    /// An anon_vma that is freed while it counts a child, or an active VMA (R24).
    #[test]
    fn damage_of_the_counters_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let mut noticed = [0; 2];
            for (i, noticed) in noticed.iter_mut().enumerate() {
                let a = world.faulted()?;
                let pin = a.pin().ok_or(EINVAL)?;
                a.unmap();
                let counter = if i == 0 {
                    &pin.num_children
                } else {
                    &pin.num_active_vmas
                };
                counter.store(1, Relaxed);
                ((), *noticed) = Rule::R24.expect_violations(|| drop(pin));
            }

            assert_eq!(noticed, [1, 1]);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A child that is freed, or born, when its root has no reference left (R16).
    #[test]
    fn damage_of_a_root_is_noticed_by_its_children() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let a = world.faulted()?;
            let b = a.fork()?;
            let (root, child) = (a.pin().ok_or(EINVAL)?, b.pin());
            b.unmap();
            let count = root.refcount();
            let fresh = AnonVma::alloc(&world.cache)?;
            let (adopted, at_birth) = Rule::R16.expect_violations(|| {
                damaged(&root.refcount, 0, || {
                    let new = fresh.into_child_of(&root).0;
                    path::ALLOC_UNUSED.count();
                    !new.is_root()
                })
            });
            let ((), at_free) = Rule::R16.expect_violations(|| {
                // It puts its reference on the root, which it has.
                root.refcount.store(0, Relaxed);
                drop(child);
                root.refcount.store(count - 1, Relaxed);
            });
            a.unmap();
            drop(root);

            assert!(!adopted);
            assert_eq!(at_birth, 1);
            // Once at the free; where it may have to wait, also when it looks for the lock.
            assert_eq!(at_free, if L::SLEEPS { 2 } else { 1 });
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A child that outlives all VMAs finds its root freed unless it holds the root (R16).
    #[test]
    fn a_root_that_is_gone_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let _bug = AtRunTime::with::<busted::life::LetsRootGo>();
            let world = World::<Bare<L, AtRunTime>>::new()?;
            let was = live();
            let a = world.faulted()?;
            let b = a.fork()?;
            let pin = b.pin();
            b.unmap();
            a.unmap();
            let left = live();
            let ((), n) = Rule::R16.expect_violations(|| drop(pin));

            // The child alone.
            assert_eq!(left, was + 1);
            // Once at the free; where it may have to wait, also when it looks for the lock.
            assert_eq!(n, if L::SLEEPS { 2 } else { 1 });
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// An anon_vma is not freed while a reader holds its root's lock (R17).
    #[test]
    fn freeing_waits_for_the_root() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let a = world.faulted()?;
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

            let waits = stats::LOCKED_FREES.sum();
            let started = root.as_ref().map(|root| {
                let locked = root.lock_read();
                let job = Job::start(move || drop(child))?;
                let met = wait_for(|| stats::LOCKED_FREES.sum() > waits).is_ok();
                let while_locked = live();
                drop(locked);
                Ok::<_, Error>((job, met, while_locked))
            });
            let (job, met, while_locked) = started.ok_or(EINVAL)??;
            job.join()?;
            let after = live();
            drop(root);

            assert_eq!(pinned, was + 2);
            // The free has met the lock.
            assert!(met);
            // And has waited for it.
            assert_eq!(while_locked, was + 2);
            assert_eq!(after, was + 1);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<RwSem>()
    }

    /// An anon_vma that is freed under a reader is noticed when the reader unlocks (R17).
    #[test]
    fn a_free_under_a_lock_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let _bug = AtRunTime::with::<busted::life::FreesWhileLocked>();
            let world = World::<Bare<L, AtRunTime>>::new()?;
            let was = live();
            let a = world.faulted()?;
            let b = a.fork()?;
            let page = PageRmap::new(3);
            b.map(&page);
            let (pin, last) = (page_get_anon_vma(&page), page_get_anon_vma(&page));
            page.remove_rmap();
            b.unmap();
            let locked = pin.and_then(|pin| wait(pin, &page));
            let is_locked = locked.is_some();
            drop(last);
            let while_locked = live();
            let ((), n) = Rule::R17.expect_violations(|| drop(locked));
            a.unmap();

            assert!(is_locked);
            assert_eq!(while_locked, was + 1);
            assert_eq!(n, 1);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<RwSem>()
    }

    /// A thread in an RCU read section that drops the last reference frees nothing under a reader:
    /// a work item does, when the reader has unlocked (R11, R17).
    #[test]
    fn a_free_under_rcu_is_put_off() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let a = world.faulted()?;
            let b = a.fork()?;
            let page = PageRmap::new(3);
            b.map(&page);
            let (pin, last) = (page_get_anon_vma(&page), page_get_anon_vma(&page));
            page.remove_rmap();
            b.unmap();
            let (deferred, waits) = (stats::DEFERRED_FREES.sum(), stats::LOCKED_FREES.sum());
            let locked = pin.and_then(|pin| wait(pin, &page));
            let is_locked = locked.is_some();
            let (in_section, n) = Rule::R11.expect_violations(|| {
                let rcu = rcu::read_lock();
                drop(last);
                let live = live();
                drop(rcu);
                live
            });
            let put_off = stats::DEFERRED_FREES.sum() - deferred;
            // The work item has met the lock.
            let met = wait_for(|| stats::LOCKED_FREES.sum() > waits);
            let while_locked = live();
            drop(locked);
            deferred::flush();
            let after = live();
            a.unmap();

            assert!(is_locked && met.is_ok());
            assert_eq!([n, put_off], [1, 1]);
            assert_eq!(
                [in_section, while_locked, after],
                [was + 2, was + 2, was + 1]
            );
            assert_eq!(live(), was);
            Ok(())
        }
        under::<RwSem>()
    }

    /// The cache of an anon_vma whose free was put off is destroyed after that free (R7).
    #[test]
    fn a_cache_waits_for_frees_that_were_put_off() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let a = world.faulted()?;
            let pin = a.pin().ok_or(EINVAL)?;
            a.unmap();
            let raw = pin.into_raw();
            // SAFETY: The reference is ours.
            let last = unsafe { raw.as_ref().dec_refcount() };
            if last {
                // SAFETY: That was the last reference.
                unsafe { free_later(raw) };
            }
            drop(a);
            // The kernel complains of a cache that is destroyed with objects.
            drop(world);

            assert!(last);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Tests of `family.rs`.

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_family)]
mod suite {
    use super::super::*;
    use crate::{
        kernel_ext::{
            rwsem::RwSem,
            versions::initialise, //
        },
        rmap::{
            chain::LinkReserve,
            kind::Bare,
            lock::Spin,
            lookup::page_lock_anon_vma,
            testing::{
                damaged,
                live,
                World, //
            }, //
        },
        torture::{
            at_run_time::AtRunTime,
            busted, //
        }, //
    };
    use core::mem::ManuallyDrop;
    use kernel::prelude::*;

    /// Whichever of a family is locked, it is the root's lock that is taken (R15).
    #[test]
    fn a_family_has_one_lock() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let a = world.faulted()?;
            let b = a.fork()?;
            let held = |b: &AnonVma<Bare<L>>| [b.lock.is_locked(), b.root().lock.is_locked()];
            let taken = b.with_anon_vma(|b| {
                let writer = b.lock_write();
                let by_writer = held(b);
                drop(writer);
                let reader = b.lock_read();
                let by_reader = held(b);
                drop(reader);
                [by_writer, by_reader, held(b)]
            });
            a.unmap();
            b.unmap();

            assert!(taken == Some([[false, true], [false, true], [false, false]]));
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Where a writer locks the anon_vma itself, lockdep does not find the lock of the root (R15,
    /// R29).
    #[test]
    fn a_lock_of_its_own_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let _bug = AtRunTime::with::<busted::family::LocksItself>();
            let world = World::<Bare<L, AtRunTime>>::new()?;
            let was = live();
            let a = world.faulted()?;
            let (b, own) = Rule::R29.expect_violations(|| a.fork());
            let b = b?;
            let ((c, cloned), new) =
                Rule::R29.expect_violations(|| Rule::R15.expect_violations(|| b.fork()));
            let c = c?;
            for process in [a, b, c] {
                process.unmap();
            }

            // `a` is its own root. Of `b` two links are cloned.
            let held = usize::from(LOCKDEP);
            assert_eq!([own, cloned, new], [held, 2 * held, held]);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A new anon_vma is linked under its family's lock, although nothing else knows it (R29).
    #[test]
    fn a_new_anon_vma_is_locked() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let a = world.faulted()?;
            let root = AnonVma::alloc(&world.cache)?
                .into_root()
                .lock_and_link(|_, anon_vma| anon_vma.lock.is_locked());
            let fresh = AnonVma::alloc(&world.cache)?;
            let child = a.with_anon_vma(|parent| {
                fresh
                    .into_child_of(parent)
                    .lock_and_link(|_, _| parent.lock.is_locked())
            });
            a.unmap();

            assert!(root == Some(true) && child == Some(Some(true)));
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A new anon_vma that is linked without a lock, be it a root or a child, is noticed by lockdep
    /// (R29).
    #[test]
    fn an_unlocked_link_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let _bug = AtRunTime::with::<busted::family::LinksUnlocked>();
            let world = World::<Bare<L, AtRunTime>>::new()?;
            let a = world.process(0, 7)?;
            let (faulted, at_fault) = Rule::R29.expect_violations(|| a.fault());
            let (b, at_fork) = Rule::R29.expect_violations(|| a.fork());
            faulted?;
            let b = b?;
            a.unmap();
            b.unmap();

            let held = usize::from(LOCKDEP);
            assert_eq!([at_fault, at_fork], [held, held]);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A family that is changed by a thread that does not hold its lock, as lockdep knows (R15,
    /// R29).
    #[test]
    fn damage_of_a_write_lock_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let a = world.faulted()?;
            let noticed = a.with_anon_vma(|anon_vma| {
                // SAFETY: The guard is never dropped, and nothing is changed. `anon_vma` is a root.
                let family = unsafe { FamilyWrite::new(anon_vma, anon_vma.lock.assume_write()) };
                let mut family = ManuallyDrop::new(family);
                let (old, linked) = Rule::R15.expect_violations(|| family.is_linkable(anon_vma));
                family.newcomer = anon_vma;
                let (new, newcomer) = Rule::R29.expect_violations(|| family.is_linkable(anon_vma));
                (old && new, [linked, newcomer])
            });
            a.unmap();

            assert!(noticed == Some((true, [usize::from(LOCKDEP); 2])));
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// The lock of one family neither links nor publishes an anon_vma of another (R15).
    #[test]
    fn damage_by_a_foreign_family_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let a = world.process(0, 7)?;
            let (b, c) = (a.another(10, 17)?, a.another(20, 27)?);
            a.fault()?;
            b.fault()?;
            let mut links = LinkReserve::new(1)?;
            let mmap = a.mm.mmap_write();
            let both = a.vma.core.anon_vma(&mmap).zip(b.vma.core.anon_vma(&mmap));
            let noticed = both.map(|(ours, theirs)| {
                let mut family = ours.lock_write();
                let (linked, link) = Rule::R15
                    .expect_violations(|| family.link(&mut links, &c.vma.core, theirs, &mmap));
                let ((), publish) = Rule::R15.expect_violations(|| {
                    // SAFETY: Nothing is published.
                    unsafe { family.publish_unlinked(&c.vma.core, theirs, &mmap) }
                });
                (linked, [link, publish])
            });
            drop(mmap);
            drop(links);
            let untouched = c.vma.core.is_unfaulted() && c.links() == 0;
            a.unmap();
            b.unmap();

            assert!(noticed == Some((false, [1, 1])) && untouched);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// An anon_vma that is only pinned is not linked again (R18).
    #[test]
    fn damage_by_a_mere_pin_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let (a, b) = (world.process(0, 7)?, world.process(0, 7)?);
            a.fault()?;
            let pin = a.pin();
            a.unmap();
            let mut links = LinkReserve::new(1)?;
            let (linked, n) = Rule::R18.expect_violations(|| {
                let mmap = b.mm.mmap_write();
                pin.as_ref()
                    .map(|pin| pin.lock_write().link(&mut links, &b.vma.core, pin, &mmap))
            });
            drop(links);
            drop(pin);

            assert!(linked == Some(false) && n == 1);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// An anon_vma without a reference is locked for reading (R18).
    #[test]
    fn damage_of_a_reference_is_noticed_by_a_reader() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let a = world.faulted()?;
            let (_, n) = Rule::R18.expect_violations(|| {
                a.with_anon_vma(|anon_vma| {
                    damaged(&anon_vma.refcount, 0, || drop(anon_vma.lock_read()))
                })
            });
            a.unmap();

            assert_eq!(n, 1);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// An anon_vma becomes another one while its family is locked for reading (R17).
    #[test]
    fn damage_of_a_locked_life_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let a = world.faulted()?;
            let (_, n) = Rule::R17.expect_violations(|| {
                a.with_anon_vma(|anon_vma| {
                    let locked = anon_vma.lock_read();
                    damaged(&anon_vma.life, anon_vma.life() + 2, || drop(locked));
                })
            });
            a.unmap();

            assert_eq!(n, 1);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// The root of an anon_vma changes while its family is locked for reading (R13).
    #[test]
    fn damage_of_a_locked_root_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let (a, other) = (world.process(0, 7)?, world.process(0, 7)?);
            a.fault()?;
            other.fault()?;
            let foreign = other.vma.core.anon_vma_ptr();
            let (unlocked, n) = Rule::R13.expect_violations(|| {
                a.with_anon_vma(|anon_vma| {
                    let locked = anon_vma.lock_read();
                    damaged(&anon_vma.root, foreign, || drop(locked));
                    !anon_vma.lock.is_locked()
                })
            });
            a.unmap();
            other.unmap();

            assert!(unlocked == Some(true));
            assert_eq!(n, 1);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Memory whose lock is held ceases to be an anon_vma: the lock is left alone (R5).
    #[test]
    fn damage_of_a_locked_anon_vma_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let a = world.faulted()?;
            let pin = a.pin().ok_or(EINVAL)?;
            a.unmap();
            // SAFETY: `pin` keeps the root.
            let family = unsafe { FamilyRead::new(&*pin, pin.lock.read()) };
            let ((), n) = Rule::R5.expect_violations(|| damaged(&pin.life, 0, || drop(family)));
            let left_alone = pin.lock.is_locked();
            // SAFETY: Nothing uses the lock, and lockdep has forgotten it. It stays in place.
            unsafe { initialise((&raw const pin.lock).cast_mut(), L::new()) };

            assert!(left_alone);
            assert_eq!(n, 1);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A spinlock that was taken through a page is about to be released outside RCU (R9).
    #[test]
    fn damage_of_an_rcu_reader_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let (a, page) = world.process_with_page()?;
            let locked = page_lock_anon_vma(&page).ok_or(EINVAL)?;
            let ((), inside) = Rule::R9.expect_violations(|| locked.check_unlock());
            let ((), n) = Rule::R9.expect_violations(|| {
                // SAFETY: `locked` has entered RCU, and does so again.
                unsafe { kernel::bindings::rcu_read_unlock() };
                locked.check_unlock();
                // SAFETY: `locked` leaves it.
                unsafe { kernel::bindings::rcu_read_lock() };
            });
            drop(locked);
            page.remove_rmap();
            a.unmap();

            assert_eq!([inside, n], [0, usize::from(READERS_ARE_COUNTED)]);
            Ok(())
        }
        under::<Spin>()
    }

    /// A reader that holds a spinning lock is in RCU until it unlocks; one that holds a sleeping
    /// lock is not, so it may sleep (R9, R10).
    #[test]
    fn rcu_is_held_under_a_spinning_lock() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let (a, page) = world.process_with_page()?;
            let locked = page_lock_anon_vma(&page);
            let inside = locked.is_some() && in_rcu_reader();
            drop(locked);
            let after = in_rcu_reader();
            page.remove_rmap();
            a.unmap();

            assert!(inside == (READERS_ARE_COUNTED && !L::SLEEPS) && !after);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }
}

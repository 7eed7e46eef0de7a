// SPDX-License-Identifier: GPL-2.0

//! Tests of `lookup.rs`.

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_lookup)]
mod suite {
    use super::super::super::{
        kind::Bare,
        rules::{
            Rule,
            Rules,
            Window, //
        },
        testing::{
            at,
            live,
            wait_for,
            Hooked,
            Job,
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
    use core::ops::ControlFlow;
    use kernel::{
        prelude::*,
        sync::{
            rcu,
            Arc, //
        },
        time::{
            delay::fsleep,
            Delta, //
        },
    };

    /// A mapped page leads to its anon_vma, locked; an unmapped one nowhere (R4, R12).
    #[test]
    fn lookup_follows_only_mapped_pages() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let a = world.process(0, 7)?;
            a.fault()?;
            let page = PageRmap::new(3);
            let never = page_lock_anon_vma(&page).is_none();
            a.map(&page);
            let found = page_lock_anon_vma(&page).map(|anon_vma| anon_vma.key()) == a.key();
            let pinned = page_get_anon_vma(&page).map(|anon_vma| anon_vma.refcount()) == Some(2);
            let count = a.facts();
            page.remove_rmap();
            let gone = page_lock_anon_vma(&page).is_none() && page_get_anon_vma(&page).is_none();
            a.unmap();

            assert!(never && found && pinned && gone);
            assert_eq!(count, [1, 1, 1, 1]);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A lookup that goes on from a page which nobody maps is noticed: what it leads to has been
    /// freed (R4).
    #[test]
    fn a_look_into_an_unmapped_page_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L, busted::SkipsFirstCheck>>::new()?;
            let (a, page) = world.process_with_page()?;
            page.remove_rmap();
            a.unmap();
            // The memory is the cache's: it is not given back to the system that soon.
            let (found, n) = Rule::R4.expect_violations(|| {
                page_lock_anon_vma(&page).is_some() || page_get_anon_vma(&page).is_some()
            });

            assert!(!found);
            assert_eq!(n, 2);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Where the lock is taken a lookup sleeps for it, and finds the page all the same (R10).
    #[test]
    fn lookup_waits_for_the_lock() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let a = world.process(0, 7)?;
            a.fault()?;
            let page = Arc::new(PageRmap::new(3), GFP_KERNEL)?;
            a.map(&page);
            let slow = stats::SLOW_LOOKUPS.sum();
            let started = a.write_locked(|| {
                let theirs = page.clone();
                let job = Job::start(move || page_lock_anon_vma(&theirs).map(|found| found.key()))?;
                let met = wait_for(|| stats::SLOW_LOOKUPS.sum() > slow).is_ok();
                Ok::<_, Error>((job, met))
            });
            let (job, met) = started.ok_or(EINVAL)??;
            let right = job.join()? == a.key();
            a.unmap();

            // The lookup has met the lock.
            assert!(met);
            assert!(right);
            Ok(())
        }
        under::<RwSem>()
    }

    /// A lookup that is left with the last reference frees the anon_vma, and finds nothing (R10).
    #[test]
    fn lookup_with_the_last_reference_finds_nothing() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let a = world.process(0, 7)?;
            a.fault()?;
            let page = PageRmap::new(3);
            a.map(&page);
            let pin = page_get_anon_vma(&page);
            page.remove_rmap();
            a.unmap();
            let kept = live();
            let last = stats::LAST_REFERENCES.sum();
            let found = pin.and_then(LockedAnonVma::wait).is_some();

            // A pin holds the memory.
            assert_eq!(kept, was + 1);
            assert!(!found && stats::LAST_REFERENCES.sum() == last + 1);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// The last reference dropped in an RCU read section is noticed, and frees all the same (R11).
    #[test]
    fn a_put_under_rcu_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let (a, page) = world.process_with_page()?;
            let pin = page_get_anon_vma(&page);
            page.remove_rmap();
            a.unmap();
            let kept = live();
            let ((), n) = Rule::R11.expect_violations(|| {
                let rcu = rcu::read_lock();
                drop(pin);
                drop(rcu);
            });

            assert_eq!([kept, live()], [was + 1, was]);
            assert_eq!(n, 1);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A page that is unmapped while it is looked up leads nowhere, and what was taken on the way
    /// is given back (R11, R12).
    #[test]
    fn a_page_unmapped_meanwhile_is_not_found() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L, Hooked>>::new()?;
            let was = live();
            let raced = [
                unmapped_in_a_lookup(&world, Window::Found, false)?,
                unmapped_in_a_lookup(&world, Window::RootRead, false)?,
                unmapped_in_a_lookup(&world, Window::Found, true)?,
                unmapped_in_a_lookup(&world, Window::Referenced, true)?,
            ];

            assert!(raced == [false; 4]);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// An unconfirmed pin, by now the last, that is dropped before RCU is left is noticed (R11).
    #[test]
    fn an_unconfirmed_put_under_rcu_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L, Hooked<busted::PutsUnderRcu>>>::new()?;
            let was = live();
            let (found, n) = Rule::R11
                .expect_violations(|| unmapped_in_a_lookup(&world, Window::Referenced, true));

            assert!(found == Ok(false));
            assert_eq!(n, 1);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A lookup that does not ask again what it has locked, or pinned, is noticed: no VMA is left
    /// there (R12).
    #[test]
    fn a_missing_second_look_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L, Hooked<busted::SkipsSecondCheck>>>::new()?;
            let was = live();
            let ((locked, unlinked), at_lock) = Rule::R12.expect_violations(|| {
                Rule::R18.expect_violations(|| unmapped_in_a_lookup(&world, Window::Found, false))
            });
            let (pinned, at_pin) = Rule::R12
                .expect_violations(|| unmapped_in_a_lookup(&world, Window::Referenced, true));

            assert!(locked == Ok(false) && pinned == Ok(true));
            assert_eq!([at_lock, unlinked, at_pin], [1, 1, 1]);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Readers look pages up while their processes come and go; nobody is harmed (R5, R9-R13, R17).
    #[test]
    fn lookups_race_with_exits() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let place = Arc::pin_init(Place::new(), GFP_KERNEL)?;
            let reader = place.clone();
            let job = Job::start(move || {
                // The reader holds a reference on the page, as reclaim does (R4).
                while let Some(page) = reader.today() {
                    if let Some(anon_vma) = page_lock_anon_vma(&page) {
                        let _: ControlFlow<()> =
                            anon_vma.for_each_vma(3, 3, |_| ControlFlow::Continue(()));
                    }
                    drop(page_get_anon_vma(&page));
                }
            })?;
            let before = stats::LOOKUPS.sum();
            let started = wait_for(|| stats::LOOKUPS.sum() > before);
            let mut failed = 0;
            for _ in 0..500 {
                let (Ok(a), Ok(page)) =
                    (world.process(0, 7), Arc::new(PageRmap::new(3), GFP_KERNEL))
                else {
                    failed += 1;
                    continue;
                };
                if a.fault().is_ok() {
                    a.map(&page);
                    let old = place.page.lock().replace(page.clone());
                    drop(old);
                    fsleep(Delta::from_micros(1));
                    page.remove_rmap();
                }
                a.unmap();
            }
            let last = place.page.lock().take();
            drop(last);
            job.join()?;

            assert!(started.is_ok());
            assert_eq!(failed, 0);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A lookup, in which the page is unmapped and its VMA goes; returns whether it found anything.
    ///
    /// That is for a pin, or else for the lock.
    fn unmapped_in_a_lookup<L: FamilyLock, B: Rules>(
        world: &World<Bare<L, Hooked<B>>>,
        window: Window,
        pin: bool,
    ) -> Result<bool> {
        let (a, page) = world.process_with_page()?;
        let (theirs, process) = (page.clone(), a.clone());
        let act = move || {
            theirs.remove_rmap();
            process.unmap();
        };
        let (found, ()) = if pin {
            at(window, act, || page_get_anon_vma(&page).is_some())?
        } else {
            at(window, act, || {
                // What is found by a deliberate bug stays memory of an anon_vma until it is
                // dropped.
                let rcu = rcu::read_lock();
                let found = page_lock_anon_vma(&page).is_some();
                drop(rcu);
                found
            })?
        };
        Ok(found)
    }

    /// Where a reader finds the page of the day; nothing once it is to stop.
    #[pin_data]
    struct Place<R: Rmap> {
        #[pin]
        page: kernel::sync::SpinLock<Option<Arc<PageRmap<R>>>>,
    }

    impl<R: Rmap> Place<R> {
        fn new() -> impl PinInit<Self> {
            let first = Arc::new(PageRmap::new(3), GFP_KERNEL).ok();
            pin_init!(Self {
                page <- kernel::new_spinlock!(first),
            })
        }

        /// The page, with a reference, and without the lock.
        fn today(&self) -> Option<Arc<PageRmap<R>>> {
            let page = self.page.lock();
            page.clone()
        }
    }
}

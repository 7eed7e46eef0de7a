// SPDX-License-Identifier: GPL-2.0

//! Tests of `lookup.rs`.

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_lookup)]
mod suite {
    use super::super::*;
    use crate::{
        kernel_ext::rwsem::RwSem,
        rmap::{
            free::free,
            kind::Bare,
            lock::Spin,
            rules,
            steps::{
                Correct, //
            },
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
            busted::{
                self,
                Numbered, //
            }, //
        }, //
    };
    use core::{
        mem::MaybeUninit,
        ops::ControlFlow, //
    };
    use kernel::{
        prelude::*,
        sync::{
            atomic::{
                Atomic,
                Relaxed, //
            },
            rcu,
            Arc, //
        },
    };

    /// A mapped page leads to its anon_vma, locked; an unmapped one nowhere (R4, R12).
    #[test]
    fn lookup_follows_only_mapped_pages() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let a = world.faulted()?;
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

    /// What an unmapped page leads to is not touched (R4): it may be anything by now.
    ///
    /// A lookup that does not ask first meets memory that is no anon_vma (R5).
    #[test]
    fn an_unmapped_page_is_not_followed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let (found, touched) = looked_up_in_vain::<L, Correct>()?;
            let (followed, looks) = looked_up_in_vain::<L, busted::lookup::SkipsFirstCheck>()?;

            assert!(!found && !followed);
            // The lock, the reference in its place, and the reference.
            assert_eq!([touched, looks], [0, 3]);
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
            let a = world.faulted()?;
            let page = Arc::new(PageRmap::new(3), GFP_KERNEL)?;
            a.map(&page);
            let slow = path::LOOKUP_BUSY.sum();
            let started = a.write_locked(|| {
                let theirs = page.clone();
                let job = Job::start(move || page_lock_anon_vma(&theirs).map(|found| found.key()))?;
                let met = wait_for(|| path::LOOKUP_BUSY.sum() > slow).is_ok();
                Ok::<_, Error>((job, met))
            });
            let (job, met) = started.ok_or(EINVAL)??;
            let right = job.join()? == a.key();
            page.remove_rmap();
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
            let a = world.faulted()?;
            let page = PageRmap::new(3);
            a.map(&page);
            let pin = page_get_anon_vma(&page);
            page.remove_rmap();
            a.unmap();
            let kept = live();
            let last = path::WAITED_LAST.sum();
            let found = pin.and_then(|pin| wait(pin, &page)).is_some();

            // A pin holds the memory.
            assert_eq!(kept, was + 1);
            assert!(!found);
            assert_eq!(path::WAITED_LAST.sum(), last + usize::from(L::SLEEPS));
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A lookup that has waited has the lock of an anon_vma that only pins keep. Under a spinning
    /// lock, which a free does not wait for, it finds nothing (R9, R17).
    #[test]
    fn only_a_sleeping_lock_is_held_without_a_reference() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let (a, page) = world.process_with_page()?;
            let (pin, other) = (page_get_anon_vma(&page), page_get_anon_vma(&page));
            page.remove_rmap();
            a.unmap();
            let locked = pin.and_then(|pin| wait(pin, &page)).is_some();
            let kept = live();
            drop(other);

            assert_eq!(locked, L::SLEEPS);
            assert_eq!(kept, was + 1);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A lookup that goes on with the last reference leaves an anon_vma that is never freed (R10).
    #[test]
    fn a_last_reference_that_is_kept_leaks() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let _bug = AtRunTime::with::<busted::lookup::KeepsLastReference>();
            let world = World::<Bare<L, AtRunTime>>::new()?;
            let was = live();
            let (a, page) = world.process_with_page()?;
            let pin = page_get_anon_vma(&page);
            page.remove_rmap();
            a.unmap();
            let left = pin
                .and_then(|pin| wait(pin, &page))
                .map(|locked| (NonNull::from(&*locked), locked.refcount()));
            let leaked = live();
            if let Some((anon_vma, _)) = left {
                // SAFETY: The count is zero, and the thread that saw it has not freed it.
                if unsafe { free(anon_vma) } {
                    path::FREE_ROOT.count();
                }
            }

            assert!(left.is_some_and(|(_, count)| count == 0));
            assert_eq!(leaked, was + 1);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<RwSem>()
    }

    /// The last reference dropped in an RCU read section is noticed; without a reader to wait for,
    /// it frees at once (R11).
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

    /// A lock is not taken in memory that is no anon_vma, be it the anon_vma or its root (R5).
    #[test]
    fn damage_of_an_anon_vma_is_noticed_by_a_lock() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let a = world.faulted()?;
            let b = a.fork()?;
            let (root, child) = (a.pin().ok_or(EINVAL)?, b.pin().ok_or(EINVAL)?);
            let is_refused = || {
                let rcu = rcu::read_lock();
                // SAFETY: The references keep both.
                let locked = unsafe { child.try_lock() };
                let refused = locked.is_none();
                // The lock is released before RCU is left (R9).
                drop(locked);
                drop(rcu);
                refused
            };
            let good = !is_refused();
            let (itself, at_itself) =
                Rule::R5.expect_violations(|| damaged(&child.life, 0, is_refused));
            let (by_root, at_root) =
                Rule::R5.expect_violations(|| damaged(&root.life, 0, is_refused));
            a.unmap();
            b.unmap();

            assert!(good && itself && by_root);
            assert_eq!([at_itself, at_root], [1, 1]);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A lookup through a mapped page finds an anon_vma that no VMA is linked to (R18).
    #[test]
    fn damage_by_an_early_unlink_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let (a, page) = world.process_with_page()?;
            let pin = a.pin();
            a.unmap();
            let (found, n) = Rule::R18.expect_violations(|| page_lock_anon_vma(&page).is_some());
            page.remove_rmap();
            drop(pin);

            assert!(!found);
            assert_eq!(n, 1);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Readers look pages up while their processes come and go: in each round a page is found, and
    /// found unmapped, and no rule is broken (R5, R9-R13, R17).
    #[test]
    fn lookups_race_with_exits() -> Result {
        const ROUNDS: usize = 100;

        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let (was, violations) = (live(), rules::violations());
            let place = Arc::pin_init(Place::new(), GFP_KERNEL)?;
            let reader = place.clone();
            let job = Job::start(move || reader.look_up())?;
            let rounds = (0..ROUNDS).try_for_each(|_| place.exit_under_lookups(&world));
            let last = place.page.lock().take();
            drop(last);
            job.join()?;
            let [found, stale] = [&place.found, &place.stale].map(|n| n.load(Relaxed));

            assert!(rounds == Ok(()));
            assert!(found >= ROUNDS && stale >= ROUNDS);
            assert_eq!(rules::violations(), violations);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Looks up an unmapped page that leads to memory that is no anon_vma, for the lock and for a
    /// pin. Returns whether anything was found, and how often that memory was refused (R5).
    fn looked_up_in_vain<L: FamilyLock, B: Numbered>() -> Result<(bool, usize)> {
        let _steps = AtRunTime::with::<B>();
        let memory = KBox::new(
            MaybeUninit::<AnonVma<Bare<L, AtRunTime>>>::zeroed(),
            GFP_KERNEL,
        )?;
        // SAFETY: Any bytes make an `AnonVma`: words, pointers, and a lock that is C's.
        let foreign = unsafe { memory.assume_init_ref() };
        let page = PageRmap::<Bare<L, AtRunTime>>::new(3);
        page.mapping.store(PageRmap::tagged(foreign), Relaxed);
        Ok(Rule::R5.expect_violations(|| {
            let locked = page_lock_anon_vma(&page).is_some();
            page_get_anon_vma(&page).is_some() || locked
        }))
    }

    /// Where a reader finds a page; nothing once it is to stop.
    #[pin_data]
    struct Place<R: Rmap> {
        #[pin]
        page: kernel::sync::SpinLock<Option<Arc<PageRmap<R>>>>,
        attempts: Atomic<usize>,
        found: Atomic<usize>,
        stale: Atomic<usize>,
    }

    impl<R: Rmap<Space = ()>> Place<R> {
        fn new() -> impl PinInit<Self> {
            let first = Arc::new(PageRmap::new(3), GFP_KERNEL).ok();
            pin_init!(Self {
                page <- kernel::new_spinlock!(first),
                attempts: Atomic::new(0),
                found: Atomic::new(0),
                stale: Atomic::new(0),
            })
        }

        /// Looks the page up until there is none.
        fn look_up(&self) {
            // The reader holds a reference on the page, as reclaim does (R4).
            while let Some(page) = self.current() {
                let found = page_lock_anon_vma(&page).map(|anon_vma| {
                    let _: ControlFlow<()> =
                        anon_vma.for_each_vma(3, 3, |_| ControlFlow::Continue(()));
                });
                let counter = if found.is_some() {
                    &self.found
                } else {
                    &self.stale
                };
                counter.fetch_add(1, Relaxed);
                drop(page_get_anon_vma(&page));
                self.attempts.fetch_add(1, Relaxed);
            }
        }

        /// The page, with a reference, and without the lock.
        fn current(&self) -> Option<Arc<PageRmap<R>>> {
            let page = self.page.lock();
            page.clone()
        }

        /// Waits for a lookup that begins after this call, and ends.
        fn wait(&self) -> Result {
            let before = self.attempts.load(Relaxed);
            wait_for(|| self.attempts.load(Relaxed) >= before + 2)
        }

        /// Makes a process with a page, lets the reader find the page, and unmaps it meanwhile.
        fn exit_under_lookups(&self, world: &World<R>) -> Result {
            let (a, page) = world.process_with_page()?;
            let old = self.page.lock().replace(page.clone());
            drop(old);
            let mapped = self.wait();
            page.remove_rmap();
            a.unmap();
            mapped.and(self.wait())
        }
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Tests of `lookup.rs`.

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_lookup)]
mod suite {
    use super::super::*;
    use crate::{
        kernel_ext::rwsem::RwSem,
        rmap::{
            kind::Bare,
            lock::Spin,
            rules,
            steps::{
                Correct,
                Flavour, //
            },
            testing::{
                at,
                damaged,
                live,
                wait_for,
                Hooked,
                Job,
                Process,
                World, //
            },
        },
        torture::busted, //
    };
    use core::{
        mem::MaybeUninit,
        ops::ControlFlow,
        ptr, //
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
            let a = world.process(0, 7)?;
            a.fault()?;
            let page = Arc::new(PageRmap::new(3), GFP_KERNEL)?;
            a.map(&page);
            let slow = path::LOOKUP_BUSY.sum();
            let started = a.write_locked(|| {
                let tchildren = page.clone();
                let job =
                    Job::start(move || page_lock_anon_vma(&tchildren).map(|found| found.key()))?;
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
            let a = world.process(0, 7)?;
            a.fault()?;
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
            assert!(!found && path::WAITED_LAST.sum() == last + 1);
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
            let world = World::<Bare<L, busted::lookup::KeepsLastReference>>::new()?;
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

    /// The last reference dropped in an RCU read section is noticed; without a reader to wait for, it
    /// frees at once (R11).
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
            let world = World::<Bare<L, Correct, Hooked>>::new()?;
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
            let world = World::<Bare<L, busted::lookup::PutsUnderRcu, Hooked>>::new()?;
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

    /// A lookup that does not ask the page again returns an anon_vma without VMAs.
    ///
    /// If that was freed meanwhile, it is in another life (R12). A reference keeps it from that.
    #[test]
    fn a_missing_second_look_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L, busted::lookup::SkipsSecondCheck, Hooked>>::new()?;
            let was = live();
            let (locked, at_lock) =
                Rule::R12.expect_violations(|| unmapped_in_a_lookup(&world, Window::Found, false));
            let (pinned, at_pin) = Rule::R12
                .expect_violations(|| unmapped_in_a_lookup(&world, Window::Referenced, true));

            assert!(locked == Ok(false) && pinned == Ok(true));
            assert_eq!([at_lock, at_pin], [1, 0]);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A lookup whose anon_vma becomes one of another family finds nothing, and leaves neither
    /// family locked (R12, R13).
    #[test]
    fn a_lock_is_undone_on_the_root_that_was_read() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let [memory_came_back, found, unlocked] = recycled_in_a_lookup::<L, Correct>()?;

            assert!(memory_came_back);
            assert!(!found && unlocked);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Without the second look at the page the anon_vma that is locked is not the one that was found (R12).
    #[test]
    fn a_recycled_anon_vma_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let (result, n) = Rule::R12
                .expect_violations(recycled_in_a_lookup::<L, busted::lookup::SkipsSecondCheck>);
            let [memory_came_back, found, unlocked] = result?;

            assert!(memory_came_back);
            // The lookup is given up.
            assert!(!found && unlocked);
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
            let a = world.process(0, 7)?;
            a.fault()?;
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

    /// An anon_vma becomes another one while a lookup locks, or pins, it (R12).
    #[test]
    fn damage_of_a_life_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L, Correct, Hooked>>::new()?;
            let (locked, at_lock) = Rule::R12.expect_violations(|| {
                changed_in_a_lookup(&world, Window::Locked, |page| {
                    page_lock_anon_vma(page).is_some()
                })
            });
            let (pinned, at_pin) = Rule::R12.expect_violations(|| {
                changed_in_a_lookup(&world, Window::Referenced, |page| {
                    page_get_anon_vma(page).is_some()
                })
            });

            assert!(locked == Ok(false) && pinned == Ok(false));
            assert_eq!([at_lock, at_pin], [1, 1]);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// An anon_vma becomes another one while a lookup waits with a reference (R10).
    #[test]
    fn damage_of_a_pinned_life_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L, Correct, Hooked>>::new()?;
            let (locked, n) = Rule::R10.expect_violations(|| {
                changed_in_a_lookup(&world, Window::Pinned, |page| {
                    page_get_anon_vma(page).is_some_and(|pin| wait(pin, page).is_some())
                })
            });

            assert!(locked == Ok(true));
            assert_eq!(n, 1);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// The lock that a lookup has taken is not that of the root that the anon_vma has (R13).
    #[test]
    fn damage_of_a_root_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L, Correct, Hooked>>::new()?;
            let (a, page) = world.process_with_page()?;
            let other = world.process(0, 7)?;
            other.fault()?;
            let pin = a.pin().ok_or(EINVAL)?;
            let (tchildren, foreign) = (a.pin().ok_or(EINVAL)?, other.pin().ok_or(EINVAL)?);
            let root = pin.root.load(Relaxed);
            let (raced, n) = Rule::R13.expect_violations(|| {
                at(
                    Window::Locked,
                    move || {
                        tchildren
                            .root
                            .store(ptr::from_ref(&*foreign).cast_mut(), Relaxed)
                    },
                    || page_lock_anon_vma(&page).is_some(),
                )
            });
            pin.root.store(root, Relaxed);
            let unlocked = !pin.lock.is_locked();
            page.remove_rmap();
            a.unmap();
            other.unmap();

            assert!(raced == Ok((false, ())) && unlocked);
            assert_eq!(n, 1);
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

    /// Does a lookup, for a pin or else for the lock, in which the page is unmapped and its VMA
    /// unlinked. Returns whether it found anything.
    fn unmapped_in_a_lookup<L: FamilyLock, B: Flavour>(
        world: &World<Bare<L, B, Hooked>>,
        window: Window,
        pin: bool,
    ) -> Result<bool> {
        let (a, page) = world.process_with_page()?;
        let (tchildren, process) = (page.clone(), a.clone());
        let act = move || {
            tchildren.remove_rmap();
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

    /// Looks up an unmapped page that leads to memory that is no anon_vma, for the lock and for a pin.
    /// Returns whether anything was found, and how often that memory was refused (R5).
    fn looked_up_in_vain<L: FamilyLock, F: Flavour>() -> Result<(bool, usize)> {
        let memory = KBox::new(MaybeUninit::<AnonVma<Bare<L, F>>>::zeroed(), GFP_KERNEL)?;
        // SAFETY: Any bytes make an `AnonVma`: words, pointers, and a lock that is C's.
        let foreign = unsafe { memory.assume_init_ref() };
        let page = PageRmap::<Bare<L, F>>::new(3);
        page.mapping.store(PageRmap::tagged(foreign), Relaxed);
        Ok(Rule::R5.expect_violations(|| {
            let locked = page_lock_anon_vma(&page).is_some();
            page_get_anon_vma(&page).is_some() || locked
        }))
    }

    /// Does a lookup of a mapped page. In `window`, the anon_vma is made to look like another one; it
    /// is repaired afterwards. Returns what `lookup` returned.
    fn changed_in_a_lookup<L: FamilyLock>(
        world: &World<Bare<L, Correct, Hooked>>,
        window: Window,
        lookup: impl FnOnce(&PageRmap<Bare<L, Correct, Hooked>>) -> bool,
    ) -> Result<bool> {
        let (a, page) = world.process_with_page()?;
        let (pin, tchildren) = (a.pin().ok_or(EINVAL)?, a.pin().ok_or(EINVAL)?);
        let life = pin.life();
        let raced = at(
            window,
            move || tchildren.life.store(life + 2, Relaxed),
            || lookup(&page),
        );
        pin.life.store(life, Relaxed);
        page.remove_rmap();
        a.unmap();
        Ok(raced?.0)
    }

    /// Looks a child's page up. Just after the root was read, the child exits, and the memory of its
    /// anon_vma becomes an anon_vma of another family.
    ///
    /// Returns whether the memory came back, whether the lookup found anything, and whether both
    /// families are unlocked afterwards.
    fn recycled_in_a_lookup<L: FamilyLock, B: Flavour>() -> Result<[bool; 3]> {
        let world = World::<Bare<L, B, Hooked>>::new()?;
        let (a, other) = (world.process(0, 7)?, world.process(0, 7)?);
        a.fault()?;
        other.fault()?;
        let b = a.fork()?;
        let page = Arc::new(PageRmap::new(3), GFP_KERNEL)?;
        b.map(&page);
        let freed = b.key();
        let (child, family, tchildren) = (b.clone(), other.clone(), page.clone());
        let (found, children) = at(
            Window::RootRead,
            move || {
                tchildren.remove_rmap();
                child.unmap();
                forked_into(&family, freed)
            },
            || page_lock_anon_vma(&page).is_some(),
        )?;
        let is_locked = |process: &Process<Bare<L, B, Hooked>>| {
            process.with_anon_vma(|root| root.lock.is_locked())
        };
        let unlocked = [&a, &other].map(is_locked) == [Some(false); 2];
        let children = children?;
        let memory_came_back = children.last().and_then(Process::key) == freed;
        children.iter().for_each(Process::unmap);
        a.unmap();
        other.unmap();
        Ok([memory_came_back, found, unlocked])
    }

    /// Forks `family` until the last child's anon_vma is where the freed one was. Most often that is
    /// the first: the allocator hands out first what was given back last. Gives up after 1000.
    fn forked_into<L: FamilyLock, B: Flavour>(
        family: &Process<Bare<L, B, Hooked>>,
        freed: Option<usize>,
    ) -> Result<KVec<Process<Bare<L, B, Hooked>>>> {
        let mut children = KVec::with_capacity(1000, GFP_KERNEL)?;
        while children.len() < children.capacity() {
            let child = family.fork()?;
            let found = child.key() == freed;
            children.push(child, GFP_KERNEL)?;
            if found {
                break;
            }
        }
        Ok(children)
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

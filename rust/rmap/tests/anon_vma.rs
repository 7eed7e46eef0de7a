// SPDX-License-Identifier: GPL-2.0

//! Tests of `anon_vma.rs`.

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_anon_vma)]
mod suite {
    use super::super::super::{
        kind::Bare,
        lookup::{
            page_get_anon_vma,
            page_lock_anon_vma, //
        },
        rules::Correct,
        testing::{
            at,
            live,
            wait_for,
            Hooked,
            Job,
            Process,
            World, //
        },
    };
    use super::super::*;
    use crate::{
        kernel_ext::{
            lock::Spin,
            rwsem::RwSem, //
        },
        torture::busted,
    };
    use core::mem::MaybeUninit;
    use kernel::sync::Arc;

    /// Pointer and tag of an anonymous page are one word, and come with one store (R1).
    #[test]
    fn mapping_is_stored_at_once() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L, Hooked>>::new()?;
            let (a, page) = world.process_with_page()?;
            let b = a.fork()?;
            let leads_to = |process: &Process<_>| {
                process.key().map(|key| key | MAPPING_ANON) == Some(page.mapping.load(Relaxed))
            };
            let before = leads_to(&a);
            let moved = at(
                Window::MappingStored,
                || (),
                || b.vma.core.move_anon_rmap(&page, &b.mm.mmap_read()),
            );
            let after = leads_to(&b);
            page.remove_rmap();
            a.unmap();
            b.unmap();

            assert!(before && after);
            // There is no place between two stores.
            assert!(moved == Err(ENODATA));
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Between two stores a mapped page has a pointer that leads nowhere (R1).
    #[test]
    fn mapping_stored_twice_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L, Hooked<busted::StoresTwice>>>::new()?;
            let (a, page) = world.process_with_page()?;
            let b = a.fork()?;
            let theirs = page.clone();
            let (raced, n) = Rule::R1.expect_violations(|| {
                at(
                    Window::MappingStored,
                    move || page_lock_anon_vma(&theirs).is_some(),
                    || b.vma.core.move_anon_rmap(&page, &b.mm.mmap_read()),
                )
            });
            page.remove_rmap();
            a.unmap();
            b.unmap();

            assert!(raced == Ok((true, false)));
            assert_eq!(n, 1);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A page that is unmapped, and mapped again, is still that of its anon_vma (R2).
    #[test]
    fn mapping_stays_after_the_last_unmap() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let (a, page) = world.process_with_page()?;
            page.remove_rmap();
            let stays = page.anon_vma_key() == a.key();
            page.add_anon_rmap();
            let found = page_lock_anon_vma(&page).map(|anon_vma| anon_vma.key()) == a.key();
            page.remove_rmap();
            a.unmap();

            assert!(stays && found);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A page whose last unmap has cleared `mapping` is mapped again, and not to be found (R2).
    #[test]
    fn a_cleared_mapping_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L, busted::ClearsMapping>>::new()?;
            let (a, page) = world.process_with_page()?;
            let ((), at_unmap) = Rule::R2.expect_violations(|| page.remove_rmap());
            page.add_anon_rmap();
            let (found, at_lookup) =
                Rule::R2.expect_violations(|| page_lock_anon_vma(&page).is_some());
            let ((), again) = Rule::R2.expect_violations(|| page.remove_rmap());
            a.unmap();

            assert!(!found);
            assert_eq!([at_unmap, at_lookup, again], [1, 1, 1]);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// However many map and unmap a page at once, its count is that of its PTEs (R3).
    #[test]
    fn mapcount_is_atomic() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let (a, page) = world.process_with_page()?;
            let mut jobs = KVec::new();
            let mut expected = 1;
            for _ in 0..3 {
                let theirs = page.clone();
                let job = Job::start(move || {
                    for _ in 0..10_000 {
                        theirs.add_anon_rmap();
                        theirs.add_anon_rmap();
                        theirs.remove_rmap();
                    }
                })?;
                jobs.push(job, GFP_KERNEL)?;
                expected += 10_000;
            }
            for job in jobs {
                job.join()?;
            }
            let counted = page.mapcount();
            while page.mapped() {
                page.remove_rmap();
            }
            a.unmap();

            assert_eq!(counted, expected);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A page unmapped more often than mapped is noticed (R3).
    #[test]
    fn a_negative_mapcount_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let a = world.process(0, 7)?;
            a.fault()?;
            let page = PageRmap::new(3);
            a.map(&page);
            page.remove_rmap();
            let ((), n) = Rule::R3.expect_violations(|| page.remove_rmap());
            a.unmap();

            assert_eq!(n, 1);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// What the constructor has not made is neither pinned nor locked, whatever is in it (R5).
    #[test]
    fn foreign_memory_is_refused() -> Result {
        fn is_refused<R: Rmap>(memory: &AnonVma<R>) -> bool {
            // SAFETY: The memory stays until the end of the test, and so does what `root` names.
            let locked = unsafe { memory.try_lock() }.is_some();
            !locked && !memory.try_get()
        }
        fn under<L: FamilyLock>() -> Result {
            let zeroed = KBox::new(MaybeUninit::<AnonVma<Bare<L>>>::zeroed(), GFP_KERNEL)?;
            let mut poisoned = KBox::new(MaybeUninit::<AnonVma<Bare<L>>>::zeroed(), GFP_KERNEL)?;
            // SAFETY: The memory is ours alone.
            unsafe { poisoned.as_mut_ptr().write_bytes(0x6b, 1) };
            let astray = KBox::new(MaybeUninit::<AnonVma<Bare<L>>>::zeroed(), GFP_KERNEL)?;
            // SAFETY: Any bytes make an `AnonVma`: words, pointers, and a lock that is C's.
            let (zeroed, poisoned, astray) = unsafe {
                (
                    zeroed.assume_init_ref(),
                    poisoned.assume_init_ref(),
                    astray.assume_init_ref(),
                )
            };
            // This one is marked as an anon_vma, and its root is none.
            astray.life.store(MAGIC, Relaxed);
            astray
                .root
                .store(ptr::from_ref(poisoned).cast_mut(), Relaxed);
            let (refused, n) =
                Rule::R5.expect_violations(|| [zeroed, poisoned, astray].map(is_refused));

            assert!(refused == [true; 3]);
            // Twice for each of the first two, once for the root.
            assert_eq!(n, 5);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// An anon_vma that is given back as if it were in use is noticed (R6).
    #[test]
    fn a_dirty_anon_vma_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L, busted::FreesDirty>>::new()?;
            let a = world.process(0, 7)?;
            a.fault()?;
            let ((), n) = Rule::R6.expect_violations(|| a.unmap());

            assert_eq!(n, 1);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A cache that is destroyed before a grace period has passed is noticed (R7).
    #[test]
    fn a_hasty_destruction_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            // A grace period may happen to end just then, but not time and again.
            let mut noticed = 0;
            for _ in 0..3 {
                let world = World::<Bare<L, busted::DestroysAtOnce>>::new()?;
                let ((), n) = Rule::R7.expect_violations(|| drop(world));
                noticed += n;
            }

            assert!(noticed > 0);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A cache that the allocator hands out for two is noticed (R8).
    #[test]
    fn a_merged_cache_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let ((), n) = Rule::R8.expect_violations(|| world.cache.report_again());

            assert_eq!(n, 1);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Who has a page's anon_vma is in RCU as long as the lock spins, and may sleep as soon as it
    /// sleeps itself (R9, R10).
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

    /// A lookup that would go on with the last reference is noticed, and nobody frees what it had
    /// (R10).
    #[test]
    fn a_last_reference_that_is_kept_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L, busted::KeepsLastReference>>::new()?;
            let was = live();
            let (a, page) = world.process_with_page()?;
            let pin = page_get_anon_vma(&page);
            page.remove_rmap();
            a.unmap();
            let (left, n) = Rule::R10.expect_violations(|| {
                let found = pin.and_then(LockedAnonVma::wait);
                found.map(|locked| NonNull::from(locked.anon_vma))
            });
            let leaked = live();
            if let Some(anon_vma) = left {
                // SAFETY: The count is zero, and who saw it has not freed it.
                unsafe { free(anon_vma) };
            }

            assert_eq!(n, 1);
            assert_eq!(leaked, was + 1);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<RwSem>()
    }

    /// A spinlock that is held, and released, after RCU has been left is noticed (R9).
    #[test]
    fn rcu_left_too_early_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L, busted::LeavesRcuEarly>>::new()?;
            let (a, page) = world.process_with_page()?;
            let (found, n) = Rule::R9.expect_violations(|| page_lock_anon_vma(&page).is_some());
            page.remove_rmap();
            a.unmap();

            assert!(found);
            assert_eq!(n, usize::from(READERS_ARE_COUNTED));
            Ok(())
        }
        under::<Spin>()
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

    /// Without the second look at the page what is locked is not what was found, and the lock not
    /// that of its root (R12, R13).
    #[test]
    fn a_changed_root_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let ((result, roots), looks) = Rule::R12.expect_violations(|| {
                Rule::R13.expect_violations(recycled_in_a_lookup::<L, busted::SkipsSecondCheck>)
            });
            let [memory_came_back, found, unlocked] = result?;

            assert!(memory_came_back);
            // Told, and gone no further.
            assert!(!found && unlocked);
            assert_eq!([looks, roots], [1, 1]);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Root and parent stay what they were, whatever becomes of the family (R14).
    #[test]
    fn root_never_changes() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let a = world.process(0, 7)?;
            a.fault()?;
            let b = a.fork()?;
            let c = b.fork()?;
            let origin = |process: &Process<_>| (process.root(), process.parent());
            let before = [origin(&b), origin(&c)];
            let (copy, d) = (c.copy(4, 7)?, c.fork()?);
            a.unmap();
            d.unmap();
            let after = [origin(&b), origin(&c)];
            let shared = origin(&copy) == origin(&c);
            for process in [b, c, copy] {
                process.unmap();
            }

            assert!(before == after && shared);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// An anon_vma that VMAs are linked to is given no other family (R14).
    #[test]
    fn a_late_adoption_is_refused() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let a = world.process(0, 7)?;
            let b = a.another(10, 17)?;
            a.fault()?;
            b.fault()?;
            let mmap = a.mm.mmap_read();
            let both = a.vma.core.anon_vma(&mmap).zip(b.vma.core.anon_vma(&mmap));
            let (stays, n) = Rule::R14.expect_violations(|| {
                both.map(|(x, y)| {
                    x.adopt(y);
                    x.is_root()
                })
            });
            drop(mmap);
            a.unmap();
            b.unmap();

            assert!(stays == Some(true));
            assert_eq!(n, 1);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Whichever of a family is locked, it is the root's lock that is taken (R15).
    #[test]
    fn a_family_has_one_lock() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let a = world.process(0, 7)?;
            a.fault()?;
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

    /// A writer who has locked the anon_vma itself is noticed by all that it changes (R15).
    #[test]
    fn a_lock_of_its_own_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L, busted::LocksItself>>::new()?;
            let was = live();
            let a = world.process(0, 7)?;
            a.fault()?;
            let (b, n) = Rule::R15.expect_violations(|| a.fork());
            let b = b?;
            let ((), at_exit) = Rule::R15.expect_violations(|| b.unmap());
            a.unmap();

            // The child's own anon_vma is linked, beside the root's, and published.
            assert_eq!([n, at_exit], [3, 1]);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A child that outlives all VMAs finds its root freed unless it holds it (R16).
    #[test]
    fn a_root_that_is_gone_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L, busted::LetsRootGo>>::new()?;
            let was = live();
            let a = world.process(0, 7)?;
            a.fault()?;
            let b = a.fork()?;
            let page = PageRmap::new(3);
            b.map(&page);
            let pin = page_get_anon_vma(&page);
            page.remove_rmap();
            b.unmap();
            a.unmap();
            let left = live();
            let ((), n) = Rule::R16.expect_violations(|| drop(pin));

            // The child alone.
            assert_eq!(left, was + 1);
            assert_eq!(n, 1);
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
            let a = world.process(0, 7)?;
            a.fault()?;
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

    /// An anon_vma that is freed while somebody has its family locked is noticed by who frees it,
    /// and by who unlocks it (R17).
    #[test]
    fn a_free_under_a_lock_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L, busted::FreesWhileLocked>>::new()?;
            let was = live();
            let a = world.process(0, 7)?;
            a.fault()?;
            let b = a.fork()?;
            let page = PageRmap::new(3);
            b.map(&page);
            let (pin, last) = (page_get_anon_vma(&page), page_get_anon_vma(&page));
            page.remove_rmap();
            b.unmap();
            let locked = pin.and_then(LockedAnonVma::wait);
            let is_locked = locked.is_some();
            let ((), at_free) = Rule::R17.expect_violations(|| drop(last));
            let ((), at_unlock) = Rule::R17.expect_violations(|| drop(locked));
            a.unmap();

            assert!(is_locked);
            assert_eq!([at_free, at_unlock], [1, 1]);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<RwSem>()
    }

    /// Who has a pin finds the VMAs that are linked, and when they are gone only memory (R18).
    #[test]
    fn a_pin_keeps_nothing_but_memory() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let (a, page) = world.process_with_page()?;
            let pin = page_get_anon_vma(&page);
            page.remove_rmap();
            let is_empty = || pin.as_ref().map(|pin| pin.lock_read().tree.is_empty());
            let linked = is_empty();
            a.unmap();
            let (unlinked, kept) = (is_empty(), live());
            drop(pin);

            assert!(linked == Some(false) && unlinked == Some(true));
            assert_eq!([kept, live()], [was + 1, was]);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A new anon_vma is linked under its family's lock, though nobody knows it (R29).
    #[test]
    fn a_new_anon_vma_is_locked() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let a = world.process(0, 7)?;
            a.fault()?;
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

            assert!(root && child == Some(true));
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A new anon_vma that is linked without a lock is noticed, be it a root or a child (R29).
    #[test]
    fn an_unlocked_link_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L, busted::LinksUnlocked>>::new()?;
            let a = world.process(0, 7)?;
            let (faulted, at_fault) = Rule::R29.expect_violations(|| a.fault());
            let (b, at_fork) = Rule::R29.expect_violations(|| a.fork());
            faulted?;
            let b = b?;
            a.unmap();
            b.unmap();

            assert_eq!([at_fault, at_fork], [1, 1]);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A lookup of a child's page, in which, just after the root was read, the child exits and its
    /// anon_vma's memory becomes an anon_vma of another family.
    ///
    /// Returns whether the memory did come back, whether the lookup found anything, and whether
    /// both families are unlocked afterwards.
    fn recycled_in_a_lookup<L: FamilyLock, B: Rules>() -> Result<[bool; 3]> {
        let world = World::<Bare<L, Hooked<B>>>::new()?;
        let (a, other) = (world.process(0, 7)?, world.process(0, 7)?);
        a.fault()?;
        other.fault()?;
        let b = a.fork()?;
        let page = Arc::new(PageRmap::new(3), GFP_KERNEL)?;
        b.map(&page);
        let freed = b.key();
        let (child, family, theirs) = (b.clone(), other.clone(), page.clone());
        let (found, heirs) = at(
            Window::RootRead,
            move || {
                theirs.remove_rmap();
                child.unmap();
                forked_into(&family, freed)
            },
            || page_lock_anon_vma(&page).is_some(),
        )?;
        let is_locked =
            |process: &Process<Bare<L, _>>| process.with_anon_vma(|root| root.lock.is_locked());
        let unlocked = [&a, &other].map(is_locked) == [Some(false); 2];
        let heirs = heirs?;
        let memory_came_back = heirs.last().and_then(Process::key) == freed;
        heirs.iter().for_each(Process::unmap);
        a.unmap();
        other.unmap();
        Ok([memory_came_back, found, unlocked])
    }

    /// Forks `family` until the last child's anon_vma is where the freed one was: most often at
    /// once, for the allocator hands out first what was given back last.  Gives up after many.
    fn forked_into<L: FamilyLock, B: Rules>(
        family: &Process<Bare<L, B>>,
        freed: Option<usize>,
    ) -> Result<KVec<Process<Bare<L, B>>>> {
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
}

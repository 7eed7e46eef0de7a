// SPDX-License-Identifier: GPL-2.0

//! Tests of `anon_vma.rs`.

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_anon_vma)]
mod suite {
    use super::super::*;
    use crate::{
        kernel_ext::{
            rwsem::RwSem,
            typesafe::{
                construct,
                Lockable,
                TypesafeBox, //
            },
        },
        rmap::{
            kind::Bare,
            lock::Spin,
            lookup::{
                page_get_anon_vma,
                page_lock_anon_vma, //
            },
            page::PageRmap,
            testing::{
                damaged,
                live,
                World, //
            },
        },
        torture::{
            at_run_time::AtRunTime,
            busted, //
        }, //
    };
    use core::mem::MaybeUninit;
    use kernel::sync::atomic::Relaxed;

    /// Memory that the constructor has not made is neither pinned nor locked, whatever is in it
    /// (R5).
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

    /// An anon_vma that is given back with a reference count is noticed when it is allocated again
    /// (R6).
    #[test]
    fn a_dirty_anon_vma_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let _bug = AtRunTime::with::<busted::life::FreesDirty>();
            let world = World::<Bare<L, AtRunTime>>::new()?;
            let a = world.faulted()?;
            let dirty = a.vma.core.anon_vma_ptr();
            a.unmap();
            let (refused, n) = Rule::R6.expect_violations(|| is_refused(&world));
            if let (true, Some(dirty)) = (refused, NonNull::new(dirty)) {
                // SAFETY: It was allocated, and refused.
                unsafe { mend_refused(dirty, |anon_vma| anon_vma.refcount.store(0, Relaxed)) };
            }

            assert!(refused);
            assert_eq!(n, 1);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// An anon_vma that is freed in another state than it was constructed in (R6).
    #[test]
    fn damage_of_a_dying_anon_vma_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let a = world.faulted()?;
            let pin = a.pin().ok_or(EINVAL)?;
            a.unmap();
            // Its life will be odd, as if it were allocated.
            pin.life.store(pin.life() + 1, Relaxed);
            let key = pin.key();
            let ((), n) = Rule::R6.expect_violations(|| drop(pin));
            let mended = find(&world, |object| {
                let found = object.key() == key;
                if found {
                    object.life.store(MAGIC | 2, Relaxed);
                }
                found
            })?;

            assert!(mended.is_some());
            assert_eq!(n, 1);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Memory that another type has used is refused: by late readers (R5), and when it is allocated
    /// (R6).
    ///
    /// Sharing the cache is what R8 forbids.
    #[test]
    fn a_shared_cache_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let _bug = AtRunTime::with::<busted::life::SharesCache>();
            let world = World::<Bare<L, AtRunTime>>::new()?;
            world.cache.share()?;
            let foreign = find(&world, |object| !object.is_typed())?;
            let Some(foreign) = foreign else {
                return Err(ENOENT);
            };
            let page = PageRmap::<Bare<L, AtRunTime>>::new(3);
            // SAFETY: The memory is the cache's.
            let word = PageRmap::tagged(unsafe { foreign.as_ref() });
            let (found, looks) = Rule::R5.expect_violations(|| {
                damaged(&page.mapping, word, || {
                    damaged(&page.mapcount, 0, || page_lock_anon_vma(&page).is_some())
                })
            });
            let (refused, n) = Rule::R6.expect_violations(|| is_refused(&world));
            if refused {
                // SAFETY: Raw memory of the type's size, allocated and refused.
                unsafe {
                    construct::<AnonVma<Bare<L, AtRunTime>>>(foreign.as_ptr().cast());
                    mend_refused(foreign, |_| ());
                }
            }

            assert!(!found && refused);
            // The lock, and the reference.
            assert_eq!([looks, n], [2, 1]);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// An object of the cache that is not as it was constructed is not allocated (R6).
    #[test]
    fn damage_of_a_free_anon_vma_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let object = world.cache.objects().alloc()?;
            // SAFETY: A count can be stored at any time.
            unsafe { object.as_ref() }.refcount.store(1, Relaxed);
            let damaged = object.into_raw();
            // SAFETY: Just allocated.
            drop(unsafe { TypesafeBox::from_raw(damaged) });
            let (refused, n) = Rule::R6.expect_violations(|| is_refused(&world));
            if refused {
                // SAFETY: It was allocated, and refused.
                unsafe { mend_refused(damaged, |anon_vma| anon_vma.refcount.store(0, Relaxed)) };
            }

            assert!(refused);
            assert_eq!(n, 1);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A reference is not taken on memory that is no anon_vma (R5).
    #[test]
    fn damage_of_an_anon_vma_is_noticed_by_a_pin() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let a = world.faulted()?;
            let (pinned, n) = Rule::R5.expect_violations(|| {
                a.with_anon_vma(|anon_vma| damaged(&anon_vma.life, 0, || anon_vma.try_get()))
            });
            a.unmap();

            assert!(pinned == Some(false));
            assert_eq!(n, 1);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// An anon_vma that VMAs are linked to gets no other family (R14).
    #[test]
    fn damage_by_a_late_adoption_is_noticed() -> Result {
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

    /// A child has its root and parent, and holds the root, before its VMA is linked (R14, R16).
    #[test]
    fn root_is_set_before_anything_finds_it() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let a = world.faulted()?;
            let b = a.fork()?;
            let fresh = AnonVma::alloc(&world.cache)?;
            let alone = fresh.0.is_root() && fresh.0.parent_key() == fresh.0.key();
            let before = a.facts();
            let seen = b.with_anon_vma(|parent| {
                fresh.into_child_of(parent).lock_and_link(|family, child| {
                    let root = child.root();
                    (
                        family.protects(child) && !child.is_root(),
                        [root.key(), child.parent_key()],
                        root.refcount(),
                    )
                })
            });
            let expected = a.key().zip(b.key());
            let after = a.facts();
            a.unmap();
            b.unmap();

            assert!(alone);
            let [refs, ..] = before;
            let expected = expected.map(|(root, parent)| (true, [root, parent], refs as i32 + 1));
            assert!(seen.flatten() == expected);
            // It was not linked, so it is gone.
            assert_eq!(before, after);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// The owner of a pin finds the VMAs that are linked, and when they are gone only memory (R18).
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

    /// The count of lives wraps around to an even number that is not 0: that stands for memory that was never
    /// allocated.
    #[test]
    fn the_count_of_lives_wraps_around() -> Result {
        let memory = KBox::new(MaybeUninit::<AnonVma<Bare<Spin>>>::zeroed(), GFP_KERNEL)?;
        // SAFETY: Any bytes make an `AnonVma`: words, pointers, and a lock that is C's.
        let memory = unsafe { memory.assume_init_ref() };
        let lives = [MAGIC, MAGIC | 1, MAGIC | LIVES].map(|life| {
            memory.life.store(life, Relaxed);
            memory.next_life();
            memory.life.load(Relaxed)
        });

        assert_eq!(lives, [MAGIC | 1, MAGIC | 2, MAGIC | 2]);
        Ok(())
    }

    /// Allocates until an allocation is refused. Returns whether one was; frees the others.
    fn is_refused<R: Rmap<Space = ()>>(world: &World<R>) -> bool {
        let mut others = KVec::new();
        for _ in 0..10_000 {
            let Ok(other) = AnonVma::alloc(&world.cache) else {
                return true;
            };
            if others.push(other, GFP_KERNEL).is_err() {
                return false;
            }
        }
        false
    }

    /// Mends an object that was allocated and refused, and gives it back.
    ///
    /// # Safety
    ///
    /// The object is allocated, and nothing else will free it.
    unsafe fn mend_refused<R: Rmap>(object: NonNull<AnonVma<R>>, mend: impl FnOnce(&AnonVma<R>)) {
        // SAFETY: The caller's promise.
        let object = unsafe { TypesafeBox::from_raw(object) };
        // SAFETY: `mend` does not follow `root`.
        mend(unsafe { object.as_ref() });
    }

    /// Looks for a free object of the cache: allocates until `wanted`, and gives all back.
    fn find<R: Rmap<Space = ()>>(
        world: &World<R>,
        mut wanted: impl FnMut(&AnonVma<R>) -> bool,
    ) -> Result<Option<NonNull<AnonVma<R>>>> {
        let mut others = KVec::new();
        for _ in 0..10_000 {
            let object = world.cache.objects().alloc()?;
            // SAFETY: `wanted` does not follow `root`.
            let looked_at = unsafe { object.as_ref() };
            let found = wanted(looked_at).then(|| NonNull::from(looked_at));
            others.push(object, GFP_KERNEL)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }
}

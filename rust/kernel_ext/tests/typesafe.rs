// SPDX-License-Identifier: GPL-2.0

//! Tests of `typesafe.rs`.

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_typesafe)]
mod suite {
    use super::super::*;
    use crate::kernel_ext::kthread::KThread;
    use kernel::{
        sync::{
            atomic::{
                Acquire,
                Atomic,
                Full,
                Relaxed,
                Release, //
            },
            Arc, //
        },
        time::{
            delay::{
                fsleep,
                udelay, //
            },
            Delta, //
        },
    };

    /// Caches of type-safe objects that are alike are not merged, and the flag is the reason: caches
    /// without it are, unless the kernel merges none (R8).
    #[test]
    fn caches_are_never_merged() -> Result {
        let plain = [c"shadow_rmap_test_a", c"shadow_rmap_test_b"].map(|name| Plain::new(name, 0));
        let flagged = [c"shadow_rmap_test_c", c"shadow_rmap_test_d"]
            .map(|name| Plain::new(name, ffi::SR_SLAB_TYPESAFE_BY_RCU));
        let things = [
            TypesafeCache::<Thing>::new(c"shadow_rmap_test_thing")?,
            TypesafeCache::<Thing>::new(c"shadow_rmap_test_other")?,
        ];
        let same = |caches: &[Result<Plain>; 2]| match caches {
            [Ok(a), Ok(b)] => Ok(a.0 == b.0),
            _ => Err(ENOMEM),
        };
        let merged = [
            same(&plain)?,
            same(&flagged)?,
            things.each_ref().map(|cache| cache.0) == [things[0].0; 2],
        ];
        drop((plain, flagged, things));
        if merged == [false; 3] {
            pr_info!("this kernel does not merge caches\n");
        }

        assert!(merged == [true, false, false] || merged == [false; 3]);
        Ok(())
    }

    /// An object is constructed once for many allocations, and keeps what it was freed with (R6).
    #[test]
    fn objects_are_constructed_once() -> Result {
        let cache = TypesafeCache::<Thing>::new(c"shadow_rmap_test_thing")?;
        let first = cache.alloc()?;
        let object = first.0;
        first.remembers.store(42, Relaxed);
        drop(first);
        // The freed object is handed out again, sooner or later, as it was.
        let mut found = None;
        let mut others = KVec::new();
        for _ in 0..10_000 {
            let next = cache.alloc()?;
            if next.0 == object {
                found = Some(next.remembers.load(Relaxed));
                break;
            }
            others.push(next, GFP_KERNEL)?;
        }
        let constructed = others.iter().all(|other| other.refs.load(Relaxed) == 0);
        drop(others);
        cache.shrink();
        drop(cache);

        // Recycled without being constructed again.
        assert!(found == Some(42));
        assert!(constructed);
        Ok(())
    }

    /// A cache is destroyed when all readers that may look at its objects have left RCU (R7).
    #[test]
    fn destruction_waits_for_readers() -> Result {
        let cache = TypesafeCache::<Thing>::new(c"shadow_rmap_test_thing")?;
        let place = Arc::new(Place::with_new_thing(&cache)?, GFP_KERNEL)?;
        let progress = Arc::new(Atomic::new(0), GFP_KERNEL)?;
        let (theirs, reads) = (place.clone(), progress.clone());
        let reader = KThread::spawn(fmt!("shadow_rmap/reader"), move |_| {
            let candidate = Candidate::find(&*theirs);
            reads.store(1, Release);
            // Longer than a cache takes to go when it does not wait.
            for _ in 0..100 {
                udelay(Delta::from_millis(1));
            }
            let is_free_thing = candidate
                .as_ref()
                .is_some_and(|candidate| candidate.object().refs.load(Relaxed) == 0);
            reads.store(if is_free_thing { 2 } else { 3 }, Release);
            drop(candidate);
        })?;
        while progress.load(Acquire) == 0 {
            fsleep(Delta::from_millis(1));
        }
        place.put_atomic();
        drop(cache);
        let read = progress.load(Acquire);
        drop(reader);

        assert_eq!(read, 2);
        Ok(())
    }

    /// What an anchor does not say to be good is not touched (R4).
    #[test]
    fn an_anchor_that_is_not_good_leads_nowhere() -> Result {
        let place = Place::empty();
        let nothing = Candidate::find(&place).is_none();
        // No such object: reading it would not go unnoticed.
        place
            .pointer
            .store(core::ptr::without_provenance_mut(8), Relaxed);
        let refused = Candidate::find(&place).is_none();

        assert!(nothing && refused);
        Ok(())
    }

    /// The way things should go: found, pinned, confirmed, and freed with the last reference.
    #[test]
    fn a_good_anchor_leads_to_a_pin() -> Result {
        let cache = TypesafeCache::<Thing>::new(c"shadow_rmap_test_thing")?;
        let place = Place::with_new_thing(&cache)?;
        let pin = Candidate::find(&place)
            .and_then(|candidate| candidate.try_pin())
            .and_then(|pinned| pinned.confirm());
        let refs = pin.as_ref().map(|pin| pin.refs.load(Relaxed));
        drop(pin);
        let left = place.refs();
        place.put();
        drop(cache);

        assert!(refs == Some(2) && left == 1);
        Ok(())
    }

    /// A reader whose object is freed under it still has an object of the type, and no reference
    /// is to be had on it, nor dropped (R5).
    #[test]
    fn a_late_reader_reads_a_free_object() -> Result {
        let cache = TypesafeCache::<Thing>::new(c"shadow_rmap_test_thing")?;
        let place = Place::with_new_thing(&cache)?;
        let rcu = rcu::read_lock();
        let candidate = Candidate::find(&place);
        place.put_atomic();
        let still_a_thing = candidate
            .as_ref()
            .is_some_and(|candidate| candidate.object().remembers.load(Relaxed) == 42);
        let pinned = candidate
            .and_then(|candidate| candidate.try_pin())
            .is_some();
        let refs = place.refs();
        drop(rcu);
        drop(cache);

        // Memory of the type until RCU is left.
        assert!(still_a_thing);
        assert!(!pinned && refs == 0);
        Ok(())
    }

    /// A reference taken on an object that is no longer the anchor's is given back (R12).
    #[test]
    fn an_unconfirmed_pin_is_dropped() -> Result {
        let cache = TypesafeCache::<Thing>::new(c"shadow_rmap_test_thing")?;
        let place = Place::with_new_thing(&cache)?;
        let pinned = Candidate::find(&place).and_then(|candidate| candidate.try_pin());
        let taken = place.refs();
        place.good.store(0, Relaxed);
        let confirmed = pinned.and_then(|pinned| pinned.confirm()).is_some();
        let left = place.refs();
        place.put();
        drop(cache);

        assert!(!confirmed);
        assert!(taken == 2 && left == 1);
        Ok(())
    }

    /// An unconfirmed pin that turns out to be the last reference frees, with RCU left: `put`
    /// says that it may sleep, which the kernel would report (R11).
    #[test]
    fn the_last_unconfirmed_pin_frees_outside_rcu() -> Result {
        let cache = TypesafeCache::<Thing>::new(c"shadow_rmap_test_thing")?;
        let place = Place::with_new_thing(&cache)?;
        let freed = FREED.load(Relaxed);
        let pinned = Candidate::find(&place).and_then(|candidate| candidate.try_pin());
        place.good.store(0, Relaxed);
        place.put_atomic();
        let held = FREED.load(Relaxed) == freed;
        let confirmed = pinned.and_then(|pinned| pinned.confirm()).is_some();
        let gone = FREED.load(Relaxed) == freed + 1;
        drop(cache);

        assert!(held && !confirmed && gone);
        Ok(())
    }

    /// A lock taken for the wrong object is released, for the right one handed over (R12).
    #[test]
    fn a_lock_is_confirmed_or_released() -> Result {
        let cache = TypesafeCache::<Thing>::new(c"shadow_rmap_test_thing")?;
        let place = Place::with_new_thing(&cache)?;
        let right = lock(&place).and_then(|locked| locked.confirm());
        let held = LOCKED.load(Relaxed);
        drop(right);
        let wrong = lock(&place);
        place.good.store(0, Relaxed);
        let confirmed = wrong.and_then(|locked| locked.confirm()).is_some();
        let released = LOCKED.load(Relaxed) == 0;
        place.good.store(1, Relaxed);
        BUSY.store(1, Relaxed);
        let refused = Candidate::find(&place).map(|candidate| candidate.try_lock().is_err());
        BUSY.store(0, Relaxed);
        place.put();
        drop(cache);

        assert!(held == 1 && !confirmed && released);
        // The candidate comes back.
        assert!(refused == Some(true));
        Ok(())
    }

    static FREED: Atomic<i32> = Atomic::new(0);
    static LOCKED: Atomic<i32> = Atomic::new(0);
    static BUSY: Atomic<i32> = Atomic::new(0);

    #[pin_data]
    struct Thing {
        refs: Atomic<i32>,
        remembers: Atomic<i32>,
    }

    // SAFETY: Nothing but atomics.
    unsafe impl TypesafeByRcu for Thing {
        fn constructor() -> impl PinInit<Self> {
            pin_init!(Self {
                refs: Atomic::new(0),
                remembers: Atomic::new(0),
            })
        }
    }

    // SAFETY: Freed with the last reference only.
    unsafe impl Pinnable for Thing {
        fn try_get(&self) -> bool {
            let count = self.refs.load(Relaxed);
            count > 0 && self.refs.cmpxchg(count, count + 1, Full).is_ok()
        }

        /// # Safety
        ///
        /// As the trait says.
        unsafe fn put(this: NonNull<Self>) {
            kernel::task::might_sleep();
            // SAFETY: The caller's reference keeps it.
            if unsafe { this.as_ref() }.refs.fetch_sub(1, Full) == 1 {
                FREED.fetch_add(1, Relaxed);
                // SAFETY: That was the last one.
                drop(unsafe { TypesafeBox::from_raw(this) });
            }
        }
    }

    /// A cache of no type, as large as that of [`Thing`].
    struct Plain(NonNull<ffi::kmem_cache>);

    impl Plain {
        fn new(name: &CStr, flags: ffi::slab_flags_t) -> Result<Self> {
            let mut args = pin_init::zeroed();
            // SAFETY: Name and `args` live for the call.
            let cache = from_err_ptr(unsafe {
                ffi::__kmem_cache_create_args(
                    name.as_char_ptr(),
                    mem::size_of::<Thing>() as u32,
                    &mut args,
                    flags | ffi::SR_SLAB_ACCOUNT,
                )
            })?;
            NonNull::new(cache).map(Self).ok_or(ENOMEM)
        }
    }

    impl Drop for Plain {
        fn drop(&mut self) {
            // SAFETY: Created by `new`, and without objects.
            unsafe { ffi::kmem_cache_destroy(self.0.as_ptr()) };
        }
    }

    /// Leads to a [`Thing`].
    struct Place {
        pointer: Atomic<*mut Thing>,
        good: Atomic<i32>,
    }

    // SAFETY: The tests keep `good` and the object's life in step.
    unsafe impl Anchor for Place {
        type Target = Thing;

        fn load(&self) -> Option<NonNull<Thing>> {
            NonNull::new(self.pointer.load(Relaxed))
        }

        fn revalidate(&self) -> bool {
            self.good.load(Relaxed) != 0
        }
    }

    impl Place {
        fn empty() -> Self {
            Self {
                pointer: Atomic::new(core::ptr::null_mut()),
                good: Atomic::new(0),
            }
        }

        /// Leads to a new thing, and owns its one reference.
        fn with_new_thing(cache: &TypesafeCache<Thing>) -> Result<Self> {
            let thing = cache.alloc()?;
            thing.refs.store(1, Relaxed);
            thing.remembers.store(42, Relaxed);
            Ok(Self {
                pointer: Atomic::new(thing.into_raw().as_ptr()),
                good: Atomic::new(1),
            })
        }

        fn refs(&self) -> i32 {
            self.load().map_or(0, |thing| {
                // SAFETY: The tests ask only while they hold a reference, or have held RCU since
                // they did.
                unsafe { thing.as_ref() }.refs.load(Relaxed)
            })
        }

        fn put(&self) {
            if let Some(thing) = self.load() {
                // SAFETY: The place's own reference.
                unsafe { Thing::put(thing) };
            }
        }

        /// Drops the place's reference where it is not allowed to sleep.
        fn put_atomic(&self) {
            if let Some(thing) = self.load() {
                // SAFETY: The place's own reference.
                if unsafe { thing.as_ref() }.refs.fetch_sub(1, Full) == 1 {
                    // SAFETY: That was the last one.
                    drop(unsafe { TypesafeBox::from_raw(thing) });
                }
            }
        }
    }

    /// A lock of a kind.
    struct Hold;

    impl Drop for Hold {
        fn drop(&mut self) {
            LOCKED.fetch_sub(1, Relaxed);
        }
    }

    // SAFETY: One lock for all, which keeps nothing.
    unsafe impl Lockable for Thing {
        type Lock = Hold;

        /// # Safety
        ///
        /// As the trait says.
        unsafe fn try_lock(&self) -> Option<Hold> {
            if BUSY.load(Relaxed) != 0 {
                return None;
            }
            LOCKED.fetch_add(1, Relaxed);
            Some(Hold)
        }
    }

    fn lock(place: &Place) -> Option<LockedCandidate<'_, Place>> {
        Candidate::find(place)?.try_lock().ok()
    }
}

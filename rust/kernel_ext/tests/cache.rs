// SPDX-License-Identifier: GPL-2.0

//! Tests of `typesafe/cache.rs`.

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_typesafe)]
mod suite {
    use super::super::*;
    use crate::kernel_ext::{
        kthread::KThread,
        typesafe::{
            thing::{
                Place,
                Plain,
                Thing, //
            },
            Candidate,
            TypesafeCache, //
        },
    };
    use kernel::{
        sync::{
            atomic::{
                Acquire,
                Atomic,
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

    /// Caches of type-safe objects that are alike are not merged, and the flag is the reason:
    /// caches without it are, unless the kernel merges none (R8).
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
        // SAFETY: A `Thing` is usable at once.
        unsafe { first.as_ref() }.remembers.store(42, Relaxed);
        drop(first);
        // The freed object is handed out again, sooner or later, as it was.
        let mut found = None;
        let mut others = KVec::new();
        for _ in 0..10_000 {
            let next = cache.alloc()?;
            if next.0 == object {
                // SAFETY: As above.
                found = Some(unsafe { next.as_ref() }.remembers.load(Relaxed));
                break;
            }
            others.push(next, GFP_KERNEL)?;
        }
        // SAFETY: As above.
        let refs = |other: &TypesafeBox<Thing>| unsafe { other.as_ref() }.refs.load(Relaxed);
        let constructed = others.iter().all(|other| refs(other) == 0);
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
}

// SPDX-License-Identifier: GPL-2.0

//! Tests of the mock of the slab allocator.

mod common;

use common::{Waiting, splat_of};
use kernel::{
    mock::{
        rcu,
        slab::{self, Cache, Layout, NO_MERGE, POISON, TYPESAFE_BY_RCU, is_mapped},
    },
    sync::rcu::{Guard, read_lock},
};
use std::{
    collections::BTreeSet,
    ffi::c_void,
    os::unix::process::ExitStatusExt,
    process::Command,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

/// The seed is one for all.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

static CONSTRUCTED: AtomicUsize = AtomicUsize::new(0);

unsafe extern "C" fn construct(object: *mut c_void) {
    CONSTRUCTED.fetch_add(1, SeqCst);
    // SAFETY: The caller's promise.
    unsafe { object.cast::<u64>().write(42) };
}

fn cache(flags: u32) -> Arc<Cache> {
    let layout = Layout {
        size: 64,
        align: 8,
        flags,
        constructor: Some(construct),
    };
    Cache::create("test", layout)
}

fn read(object: *mut c_void) -> u64 {
    // SAFETY: The tests read memory that is mapped; others fault, as they should.
    unsafe { object.cast::<u64>().read() }
}

fn write(object: *mut c_void, value: u64) {
    // SAFETY: As above.
    unsafe { object.cast::<u64>().write(value) };
}

/// What is freed is handed out again: the last one freed, or an earlier one, as the seed says.
#[test]
fn freed_objects_are_recycled_at_will() {
    let _turn = turn();
    let mut order = BTreeSet::new();
    for seed in 0..32 {
        slab::set_seed(seed);
        let cache = cache(TYPESAFE_BY_RCU);
        // One stays, so that the slab is not empty.
        let [kept, a, b] = [0; 3].map(|_| cache.alloc());
        // Nor is there another free slot.
        let rest: Vec<_> = (3..4096 / 64).map(|_| cache.alloc()).collect();
        slab::free(a);
        slab::free(b);
        let next = cache.alloc();
        order.insert(if next == b {
            "last"
        } else if next == a {
            "first"
        } else {
            "other"
        });
        assert_eq!(cache.recycled(), 1);
        slab::free(next);
        slab::free(kept);
        rest.into_iter().for_each(slab::free);
        cache.destroy();
    }
    assert_eq!(order, BTreeSet::from(["first", "last"]));
}

/// A seed makes the same choices again.
#[test]
fn a_seed_is_a_sequence() {
    let _turn = turn();
    let choices = |seed| {
        slab::set_seed(seed);
        let cache = cache(TYPESAFE_BY_RCU);
        let mut objects: Vec<_> = (0..8).map(|_| cache.alloc()).collect();
        let base = objects.iter().min().map_or(0, |least| *least as usize);
        let mut sequence = Vec::new();
        for round in 0..40 {
            slab::free(objects.remove(round % 3));
            slab::free(objects.remove(round % 2));
            for _ in 0..2 {
                let object = cache.alloc();
                sequence.push(object as usize - base);
                objects.push(object);
            }
        }
        objects.into_iter().for_each(slab::free);
        cache.destroy();
        sequence
    };
    assert_eq!(choices(1), choices(1));
    assert_ne!(choices(1), choices(2));
}

/// A slot is constructed once, and keeps what it was freed with; without the flag it is
/// overwritten, and by request also with it.
#[test]
fn slots_are_constructed_once() {
    let _turn = turn();
    for (flags, left) in [
        (TYPESAFE_BY_RCU, 7),
        (NO_MERGE, 0x6b6b_6b6b_6b6b_6b6b),
        (TYPESAFE_BY_RCU | POISON, 0x6b6b_6b6b_6b6b_6b6b),
    ] {
        let cache = cache(flags);
        let (kept, object) = (cache.alloc(), cache.alloc());
        assert_eq!(read(object), 42);
        write(object, 7);
        let constructed = CONSTRUCTED.load(SeqCst);
        slab::free(object);
        assert_eq!(read(object), left);
        let mut others = Vec::new();
        while others.last() != Some(&object) {
            others.push(cache.alloc());
        }
        assert_eq!(read(object), left);
        assert_eq!(
            CONSTRUCTED.load(SeqCst),
            constructed,
            "none was constructed again"
        );
        others.into_iter().for_each(slab::free);
        slab::free(kept);
        cache.destroy();
    }
}

/// Memory of a type-safe cache is taken away only after a grace period; other memory at once.
#[test]
fn memory_is_taken_away_after_a_grace_period() {
    let _turn = turn();
    for flags in [TYPESAFE_BY_RCU, NO_MERGE] {
        let cache = cache(flags);
        let object = cache.alloc();
        let reader = Waiting::after(read_lock, drop::<Guard>);
        slab::free(object);
        cache.shrink();
        rcu::poll();
        let within = is_mapped(object);
        if within {
            // The reader may look at it.
            assert_eq!(read(object), 42);
        }
        reader.finish();
        rcu::poll();

        assert_eq!(within, flags == TYPESAFE_BY_RCU);
        assert!(!is_mapped(object));
        cache.destroy();
    }
}

/// Slabs that are empty go away without a request as well, but not the last one.
#[test]
fn empty_slabs_go_away_at_will() {
    let _turn = turn();
    let mut gone = 0;
    for seed in 0..16 {
        slab::set_seed(seed);
        let cache = cache(TYPESAFE_BY_RCU);
        let objects: Vec<_> = (0..1000).map(|_| cache.alloc()).collect();
        objects.iter().for_each(|object| slab::free(*object));
        rcu::poll();
        let mapped = objects
            .iter()
            .filter(|object| is_mapped(object.cast()))
            .count();
        gone += usize::from(mapped < 1000);
        assert!(mapped > 0);
        cache.destroy();
        assert!(objects.iter().all(|object| !is_mapped(object.cast())));
    }
    assert!(gone > 0);
}

/// Addresses that were given back are not used again for long.
#[test]
fn addresses_are_not_reused() {
    let _turn = turn();
    let mut seen = BTreeSet::new();
    for _ in 0..500 {
        let cache = cache(NO_MERGE);
        let object = cache.alloc();
        assert!(
            seen.insert(object as usize & !4095),
            "a slab is where another was"
        );
        slab::free(object);
        cache.destroy();
    }
}

/// A cache is destroyed when its readers have left.
#[test]
fn destruction_waits_for_readers() {
    let _turn = turn();
    let cache = cache(TYPESAFE_BY_RCU);
    let object = cache.alloc() as usize;
    let reader = Waiting::after(read_lock, drop::<Guard>);
    slab::free(std::ptr::with_exposed_provenance_mut(object));
    let destroyer = std::thread::spawn(move || cache.destroy());
    std::thread::sleep(std::time::Duration::from_millis(100));
    let early = destroyer.is_finished();
    reader.finish();

    assert!(!early);
    assert!(destroyer.join().expect("it ends"));
    assert!(!is_mapped(std::ptr::with_exposed_provenance(object)));
}

/// An access to memory that was given back ends the process, with a line that says why.
#[test]
fn a_late_access_ends_the_process() {
    const CHILD: &str = "SHADOW_RMAP_TEST_CHILD";
    if std::env::var_os(CHILD).is_some() {
        let cache = cache(TYPESAFE_BY_RCU);
        let object = cache.alloc();
        slab::free(object);
        cache.shrink();
        println!("read {}", read(object));
        return;
    }
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "a_late_access_ends_the_process", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .expect("a child");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(11), "{text}");
    assert!(text.contains("use after free: memory of a slab"), "{text}");
}

/// What must not be freed, and a cache that is not empty, is noticed.
#[test]
fn misuse() {
    let _turn = turn();
    let cache = cache(TYPESAFE_BY_RCU);
    let (object, kept) = (cache.alloc() as usize, cache.alloc() as usize);
    let free = |address| slab::free(std::ptr::with_exposed_provenance_mut(address));
    free(object);
    let twice = splat_of(|| free(object));
    let inside = splat_of(|| free(kept + 8));
    let foreign = splat_of(|| slab::free((&raw const CONSTRUCTED).cast_mut().cast()));
    let other = self::cache(TYPESAFE_BY_RCU);
    let of_other = splat_of(|| {
        slab::free_of(&other, std::ptr::with_exposed_provenance_mut(kept));
    });
    slab::free_of(&cache, cache.alloc());
    let left = splat_of(|| {
        cache.destroy();
    });

    assert!(twice.contains("not an allocated object"), "{twice}");
    assert!(inside.contains("not an allocated object"), "{inside}");
    assert!(foreign.contains("no slab has"), "{foreign}");
    assert!(
        of_other.contains("an object of test is freed as one of test"),
        "{of_other}"
    );
    assert!(
        left.contains("objects remaining on kmem_cache_destroy(): 1"),
        "{left}"
    );
}

/// Caches that are alike are merged, unless a flag or a constructor forbids it.
#[test]
fn caches_are_merged() {
    let _turn = turn();
    let plain = |flags| {
        let layout = Layout {
            size: 72,
            align: 0,
            flags,
            constructor: None,
        };
        [Cache::create("a", layout), Cache::create("b", layout)]
    };
    let mut merged = Vec::new();
    for flags in [0, TYPESAFE_BY_RCU, NO_MERGE, POISON] {
        let [a, b] = plain(flags);
        let same = Arc::ptr_eq(&a, &b);
        merged.push(same);
        // One that was merged stays until its last user goes.
        assert_eq!([a.destroy(), b.destroy()], [!same, true]);
    }
    assert_eq!(merged, [true, false, false, false]);
}

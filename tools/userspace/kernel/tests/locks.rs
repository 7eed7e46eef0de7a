// SPDX-License-Identifier: GPL-2.0

//! Tests of the locks, and of what the context of a thread forbids.

mod common;

use common::splat_of;
use kernel::{
    bindings::{
        __init_rwsem, __spin_lock_init, down_read, down_read_trylock, down_write,
        down_write_trylock, rw_semaphore, rwsem_trylocks_behind_a_writer, rwsem_waiters, spin_lock,
        spin_trylock, spin_unlock, spinlock_t, up_read, up_write,
    },
    mock::context,
    prelude::*,
    sync::{
        Arc, Completion, Mutex, SpinLock,
        atomic::{Atomic, Relaxed},
        rcu,
    },
    time::{Delta, delay},
};
use std::{cell::UnsafeCell, mem::MaybeUninit, ptr};

/// A lock of C, in its place.
struct Lock<T>(Box<UnsafeCell<MaybeUninit<T>>>);

// SAFETY: The locks may be used by any thread.
unsafe impl<T> Sync for Lock<T> {}

impl<T> Lock<T> {
    fn zeroed() -> Self {
        Self(Box::new(UnsafeCell::new(MaybeUninit::zeroed())))
    }

    fn get(&self) -> *mut T {
        self.0.get().cast()
    }
}

fn spinlock() -> Lock<spinlock_t> {
    let lock = Lock::zeroed();
    // SAFETY: Valid for writes.
    unsafe { __spin_lock_init(lock.get(), ptr::null(), ptr::null_mut()) };
    lock
}

fn rwsem() -> Lock<rw_semaphore> {
    let sem = Lock::zeroed();
    // SAFETY: Valid for writes.
    unsafe { __init_rwsem(sem.get(), ptr::null(), ptr::null_mut()) };
    sem
}

/// Asserts that `f` is noticed.
fn noticed(words: &str, f: impl FnOnce() + Send) {
    let text = splat_of(f);
    assert!(text.contains(words), "{text}; expected: {words}");
}

/// Releasing what the thread does not hold is noticed, also if another thread holds it.
#[test]
fn only_the_holder_releases() {
    let (spin, sem) = (spinlock(), rwsem());
    let words = "is released by a thread that does not hold it";
    // SAFETY: The locks are initialised; the misuse has no other consequence.
    unsafe {
        noticed(words, || spin_unlock(spin.get()));
        noticed(words, || up_read(sem.get()));
        noticed(words, || up_write(sem.get()));
        spin_lock(spin.get());
        noticed(words, || spin_unlock(spin.get()));
        // It is still held.
        let taken = std::thread::scope(|scope| scope.spawn(|| spin_trylock(spin.get())).join());
        assert_eq!(taken.expect("no splat"), 0);
        spin_unlock(spin.get());
        down_read(sem.get());
        noticed(words, || up_read(sem.get()));
        let other_kind = std::panic::AssertUnwindSafe(|| up_write(sem.get()));
        assert!(
            std::panic::catch_unwind(other_kind).is_err(),
            "a reader does not write"
        );
        up_read(sem.get());
    }
}

/// A lock that is not initialised, or is overwritten, is noticed.
#[test]
fn a_lock_must_be_one() {
    let (spin, sem) = (Lock::zeroed(), Lock::zeroed());
    // SAFETY: Zeroes are no lock, which is noticed.
    unsafe {
        noticed("spinlock bad magic", || spin_lock(spin.get()));
        noticed("rwsem bad magic", || down_read(sem.get()));
        noticed("rwsem bad magic", || {
            down_read_trylock(sem.get());
        });
    }
}

/// Taking a lock twice is noticed, instead of a deadlock.
#[test]
fn recursion() {
    let (spin, sem) = (spinlock(), rwsem());
    // SAFETY: The locks are initialised; the thread ends with what it holds.
    unsafe {
        noticed("spinlock recursion", || {
            spin_lock(spin.get());
            spin_lock(spin.get());
        });
        noticed("possible recursive locking", || {
            down_read(sem.get());
            down_read(sem.get());
        });
    }
}

/// What sleeps is noticed under a spinlock, and in an RCU read section.
#[test]
fn sleeping_in_an_atomic_context() {
    let sem = rwsem();
    let sleepers: &[(&str, &(dyn Fn() + Sync))] = &[
        ("might_sleep", &|| kernel::task::might_sleep()),
        ("fsleep", &|| delay::fsleep(Delta::from_micros(1))),
        // SAFETY: The lock is initialised.
        ("down_read", &|| unsafe { down_read(sem.get()) }),
        // SAFETY: As above.
        ("down_write", &|| unsafe { down_write(sem.get()) }),
        ("KBox", &|| drop(KBox::new(1, GFP_KERNEL))),
        ("KVec", &|| drop(KVec::<u8>::with_capacity(1, GFP_KERNEL))),
        ("Arc", &|| drop(Arc::new(1, GFP_KERNEL))),
        ("wait", &|| {
            let done = Arc::pin_init(Completion::new(), GFP_NOWAIT).expect("memory");
            done.complete_all();
            done.wait_for_completion();
        }),
    ];
    for (_, sleeper) in sleepers {
        noticed("in an RCU read section", || {
            let _rcu = rcu::read_lock();
            sleeper();
        });
        noticed("with a spinlock held", || {
            let spin = spinlock();
            // SAFETY: The lock is initialised.
            unsafe { spin_lock(spin.get()) };
            sleeper();
        });
    }
    // What does not sleep is allowed.
    let _rcu = rcu::read_lock();
    assert!(KBox::new(1, GFP_NOWAIT).is_ok());
    // SAFETY: The lock is initialised.
    unsafe {
        assert_eq!(down_read_trylock(sem.get()), 1);
        up_read(sem.get());
    }
}

/// A context is left as it was entered.
#[test]
fn contexts() {
    let spin = spinlock();
    assert!(context::preemptible() && context::rcu_depth() == 0);
    // SAFETY: The lock is initialised.
    unsafe {
        spin_lock(spin.get());
        assert!(!context::preemptible() && context::holds(spin.get().addr()));
        spin_unlock(spin.get());
    }
    assert!(context::preemptible() && !context::holds(spin.get().addr()));
    let rcu = rcu::read_lock();
    assert!(context::preemptible() && context::rcu_depth() == 1);
    drop(rcu);
    assert_eq!(context::rcu_depth(), 0);
}

/// Waits until so many threads wait for the lock, ten seconds at most.
fn wait_for(sem: &Lock<rw_semaphore>, threads: usize) {
    for _ in 0..10_000 {
        // SAFETY: The lock is initialised.
        if unsafe { rwsem_waiters(sem.get()) } >= threads {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// Readers share, writers exclude; a reader waits behind a writer that waits.
#[test]
fn readers_and_writers() {
    let sem = rwsem();
    // SAFETY: The lock is initialised.
    unsafe {
        down_write(sem.get());
        let tries = std::thread::scope(|scope| {
            let tries = || [down_read_trylock(sem.get()), down_write_trylock(sem.get())];
            scope.spawn(tries).join().expect("no splat")
        });
        assert_eq!(tries, [0, 0]);
        up_write(sem.get());
        down_read(sem.get());
        std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                let taken = down_read_trylock(sem.get());
                up_read(sem.get());
                taken
            });
            assert_eq!(other.join().expect("a reader"), 1);
            assert_eq!(
                scope
                    .spawn(|| down_write_trylock(sem.get()))
                    .join()
                    .expect("none"),
                0
            );
            let order = std::sync::Mutex::new(Vec::new());
            std::thread::scope(|inner| {
                let order = &order;
                let sem = &sem;
                inner.spawn(move || {
                    down_write(sem.get());
                    order.lock().expect("order").push("writer");
                    up_write(sem.get());
                });
                wait_for(sem, 1);
                // No trylock passes the writer, though only a reader holds the lock.
                let tries = || [down_read_trylock(sem.get()), down_write_trylock(sem.get())];
                let tries = inner.spawn(tries).join().expect("no splat");
                assert_eq!((tries, rwsem_trylocks_behind_a_writer()), ([0, 0], 1));
                inner.spawn(move || {
                    down_read(sem.get());
                    order.lock().expect("order").push("reader");
                    up_read(sem.get());
                });
                wait_for(sem, 2);
                up_read(sem.get());
            });
            assert_eq!(order.into_inner().expect("order"), ["writer", "reader"]);
        });
    }
}

/// Locks of all kinds keep threads apart.
#[test]
fn locks_exclude() {
    let spin = Arc::pin_init(SpinLock::new(0_u64), GFP_KERNEL).expect("memory");
    let mutex = Arc::pin_init(Mutex::new(0_u64), GFP_KERNEL).expect("memory");
    let sem = rwsem();
    let (guarded, free) = (Atomic::new(0_u64), Atomic::new(0_u64));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..500 {
                    *spin.lock() += 1;
                    *mutex.lock() += 1;
                    // SAFETY: The lock is initialised.
                    unsafe { down_write(sem.get()) };
                    // Not one operation: the lock makes it one.
                    guarded.store(guarded.load(Relaxed) + 1, Relaxed);
                    // SAFETY: As above.
                    unsafe { up_write(sem.get()) };
                    free.add(1, Relaxed);
                }
            });
        }
    });
    assert_eq!(*spin.lock(), 2000);
    assert_eq!(*mutex.lock(), 2000);
    assert_eq!([guarded.load(Relaxed), free.load(Relaxed)], [2000; 2]);
}

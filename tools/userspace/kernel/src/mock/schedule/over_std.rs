// SPDX-License-Identifier: GPL-2.0

//! Threads of `std`, which run whenever the system lets them.

use super::Grain;
use std::{
    sync::{
        Condvar, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

pub use std::{
    thread::{self, yield_now},
    thread_local,
};

/// Another thread may run here: it may anywhere.
#[inline(always)]
pub fn point(_grain: Grain) {}

/// Where threads wait: what they wait for may be in memory that is freed, so it has no queue.
struct Bucket {
    /// How many threads wait here.
    waiters: AtomicUsize,
    mutex: Mutex<()>,
    changed: Condvar,
}

static BUCKETS: [Bucket; 64] = [const {
    Bucket {
        waiters: AtomicUsize::new(0),
        mutex: Mutex::new(()),
        changed: Condvar::new(),
    }
}; 64];

fn bucket(key: usize) -> &'static Bucket {
    &BUCKETS[key / 16 % BUCKETS.len()]
}

/// Waits until `done` returns `true`, which may be after a [`wake`] with the same key.
pub fn wait_until(key: usize, mut done: impl FnMut() -> bool) {
    if done() {
        return;
    }
    let bucket = bucket(key);
    bucket.waiters.fetch_add(1, SeqCst);
    let mut turn = bucket.mutex.lock().unwrap_or_else(PoisonError::into_inner);
    while !done() {
        // The time-out is for a change between `done` and the wait, by a thread that did not see
        // this waiter.
        let woken = bucket.changed.wait_timeout(turn, Duration::from_millis(1));
        turn = woken.unwrap_or_else(PoisonError::into_inner).0;
    }
    drop(turn);
    bucket.waiters.fetch_sub(1, SeqCst);
}

/// Waits until `done` returns `true`, without sleeping.
pub fn spin_until(_key: usize, mut done: impl FnMut() -> bool) {
    while !done() {
        yield_now();
    }
}

/// Lets the threads look again that wait with this key.
pub fn wake(key: usize) {
    let bucket = bucket(key);
    if bucket.waiters.load(SeqCst) > 0 {
        drop(bucket.mutex.lock());
        bucket.changed.notify_all();
    }
}

/// Sleeps for `time`.
pub fn pause(time: Duration) {
    thread::sleep(time);
}

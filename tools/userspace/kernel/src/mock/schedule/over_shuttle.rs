// SPDX-License-Identifier: GPL-2.0

//! Tasks of shuttle: one runs at a time, and the scheduler decides which.

use super::Grain;
use shuttle::{
    future::batch_semaphore::{BatchSemaphore, Fairness},
    sync::atomic::{AtomicBool, Ordering::SeqCst},
};
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
    time::Duration,
};

pub use shuttle::{
    thread::{self, yield_now},
    thread_local,
};

/// The finest points at which another task may run.
static FINEST: AtomicU8 = AtomicU8::new(Grain::Access as u8);

/// No point counts.
const NO_POINTS: u8 = u8::MAX;

/// Lets tasks be switched at points of this grain and coarser ones only, from here on: so that all
/// schedules can be tried.
pub fn set_finest(grain: Grain) {
    FINEST.store(grain as u8, Relaxed);
}

/// Runs `f`, which is no part of what is explored, without points.
pub fn quietly<T>(f: impl FnOnce() -> T) -> T {
    let before = FINEST.swap(NO_POINTS, Relaxed);
    let result = f();
    FINEST.store(before, Relaxed);
    result
}

/// Another task may run here, if points of this grain count.
///
/// A load of one of shuttle's atomics is such a point. In contrast to [`yield_now`] it does not ask
/// for another task.
#[inline]
pub fn point(grain: Grain) {
    shuttle::lazy_static! {
        static ref WORD: AtomicBool = AtomicBool::new(false);
    }
    let finest = FINEST.load(Relaxed);
    if finest != NO_POINTS && grain as u8 <= finest && !std::thread::panicking() {
        WORD.load(SeqCst);
    }
}

/// A task that waits, by its key.
type Waiter = (usize, Arc<BatchSemaphore>);

/// All of them, in the order in which they began. It is not held at a point.
static WAITERS: Mutex<Vec<Waiter>> = Mutex::new(Vec::new());

fn waiters() -> MutexGuard<'static, Vec<Waiter>> {
    WAITERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until `done` returns `true`, which is after a [`wake`] with the same key. The task is
/// blocked meanwhile: the scheduler cannot choose it.
pub fn wait_until(key: usize, mut done: impl FnMut() -> bool) {
    while !done() {
        let turn = Arc::new(BatchSemaphore::new(0, Fairness::StrictlyFair));
        waiters().push((key, turn.clone()));
        // A wake between the two lines is not lost: the semaphore counts it.
        if turn.acquire_blocking(1).is_err() {
            unreachable!("the semaphore is never closed");
        }
    }
}

/// As [`wait_until`]: the time that a thread spends in a loop is of no use here.
pub fn spin_until(key: usize, done: impl FnMut() -> bool) {
    wait_until(key, done);
}

/// Lets the tasks look again that wait with this key.
pub fn wake(key: usize) {
    let mut woken = Vec::new();
    waiters().retain(|(theirs, turn)| {
        let stays = *theirs != key;
        if !stays {
            woken.push(turn.clone());
        }
        stays
    });
    for turn in woken {
        turn.release_no_scheduling_point(1);
    }
}

/// Lets another task run: there is no time.
pub fn pause(_time: Duration) {
    yield_now();
}

/// Forgets the waiters of an execution that was ended early. Returns how many there were.
pub fn reset() -> usize {
    std::mem::take(&mut *waiters()).len()
}

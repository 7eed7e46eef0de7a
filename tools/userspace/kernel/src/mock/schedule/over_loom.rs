// SPDX-License-Identifier: GPL-2.0

//! Threads of loom: it runs one at a time, and tries all orders of their accesses that differ.

use super::Grain;
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

pub use loom::thread::{self, yield_now};

/// As `loom::thread_local`, which takes no `const` blocks.
macro_rules! locals {
    () => {};
    ($(#[$about:meta])* static $name:ident: $Type:ty = const { $init:expr }; $($rest:tt)*) => {
        loom::thread_local! { $(#[$about])* static $name: $Type = $init; }
        $crate::mock::schedule::thread_local! { $($rest)* }
    };
    ($(#[$about:meta])* static $name:ident: $Type:ty = $init:expr; $($rest:tt)*) => {
        loom::thread_local! { $(#[$about])* static $name: $Type = $init; }
        $crate::mock::schedule::thread_local! { $($rest)* }
    };
}
pub(crate) use locals as thread_local;

/// Loom switches at each access that it knows, and needs no other points.
#[inline(always)]
pub fn point(_grain: Grain) {}

/// Threads that wait, by their keys.
static WAITERS: Mutex<Vec<(usize, thread::Thread)>> = Mutex::new(Vec::new());

fn waiters() -> MutexGuard<'static, Vec<(usize, thread::Thread)>> {
    WAITERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until `done` returns `true`, which is after a [`wake`] with the same key. The thread is
/// blocked meanwhile.
pub fn wait_until(key: usize, mut done: impl FnMut() -> bool) {
    while !done() {
        // No other thread runs between the last access of `done` and `park`.
        waiters().push((key, thread::current()));
        thread::park();
    }
}

/// As [`wait_until`]: the time that a thread spends in a loop is of no use here.
pub fn spin_until(key: usize, done: impl FnMut() -> bool) {
    wait_until(key, done);
}

/// Lets the threads look again that wait with this key.
pub fn wake(key: usize) {
    waiters().retain(|(theirs, thread)| {
        if *theirs == key {
            thread.unpark();
        }
        *theirs != key
    });
}

/// Lets another thread run: there is no time.
pub fn pause(_time: Duration) {
    yield_now();
}

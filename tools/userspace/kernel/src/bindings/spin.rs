// SPDX-License-Identifier: GPL-2.0

//! `linux/spinlock.h`: locks that know their owners.

use super::lock_class_key;
use crate::mock::{
    context::{self, splat},
    schedule, words,
};
use core::ffi::{c_char, c_int};
use std::sync::atomic::{AtomicUsize, Ordering::*};

/// What an initialised lock says of itself.
const INITIALISED: usize = 0xdead_4ead;

/// `struct spinlock`.
#[repr(C)]
pub struct spinlock {
    /// The task that holds it, or 0.
    owner: words::AtomicUsize,
    magic: AtomicUsize,
}

/// `spinlock_t`.
pub type spinlock_t = spinlock;

/// `__spin_lock_init()`.
///
/// # Safety
///
/// `lock` is valid for writes.
pub unsafe fn __spin_lock_init(
    lock: *mut spinlock,
    _name: *const c_char,
    _key: *mut lock_class_key,
) {
    let new = spinlock {
        owner: words::AtomicUsize::new(0),
        magic: AtomicUsize::new(INITIALISED),
    };
    // SAFETY: The caller's promise.
    unsafe { lock.write(new) };
}

/// Returns the lock, if it is one.
///
/// # Safety
///
/// `lock` is valid for reads for `'a`.
#[track_caller]
unsafe fn valid<'a>(lock: *mut spinlock) -> &'a spinlock {
    schedule::point(schedule::Grain::Call);
    // SAFETY: The caller's promise; any memory is a `spinlock`.
    let lock = unsafe { &*lock };
    if lock.magic.load(Relaxed) != INITIALISED {
        splat("spinlock bad magic");
    }
    lock
}

/// `spin_lock()`.
///
/// # Safety
///
/// The lock is initialised.
#[track_caller]
pub unsafe fn spin_lock(lock: *mut spinlock) {
    // SAFETY: The caller's promise.
    let this = unsafe { valid(lock) };
    let me = super::current().addr();
    if context::holds(lock.addr()) {
        splat("spinlock recursion");
    }
    schedule::spin_until(lock.addr(), || {
        this.owner.compare_exchange(0, me, Acquire, Relaxed).is_ok()
    });
    context::acquired(lock.addr(), "spinlock", true);
}

/// `spin_trylock()`.
///
/// # Safety
///
/// The lock is initialised.
#[track_caller]
pub unsafe fn spin_trylock(lock: *mut spinlock) -> c_int {
    // SAFETY: The caller's promise.
    let this = unsafe { valid(lock) };
    let me = super::current().addr();
    if this
        .owner
        .compare_exchange(0, me, Acquire, Relaxed)
        .is_err()
    {
        return 0;
    }
    context::acquired(lock.addr(), "spinlock", true);
    1
}

/// `spin_unlock()`.
///
/// # Safety
///
/// The lock is initialised.
#[track_caller]
pub unsafe fn spin_unlock(lock: *mut spinlock) {
    // SAFETY: The caller's promise.
    let this = unsafe { valid(lock) };
    if context::released(lock.addr(), "spinlock", true) {
        this.owner.store(0, Release);
        words::unlocked();
        schedule::wake(lock.addr());
    }
}

/// What `spin_unlock()` does besides, for a lock whose memory is something else by now.
#[track_caller]
pub fn spin_abandon(lock: *mut spinlock) {
    context::released(lock.addr(), "spinlock", true);
}

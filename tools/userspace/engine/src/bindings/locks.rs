// SPDX-License-Identifier: GPL-2.0

//! What locks have as macros or inline functions in C. There are no classes of locks, so subclasses
//! and outer locks mean nothing here.

use core::ffi::{c_char, c_int};
use kernel::{
    bindings::{self, lock_class_key, rw_semaphore, spinlock_t},
    mock::{context, schedule},
};
use std::sync::atomic::{AtomicBool, Ordering::*};

pub(crate) unsafe fn shadow_rmap_init_rwsem(
    sem: *mut rw_semaphore,
    name: *const c_char,
    key: *mut lock_class_key,
) {
    // SAFETY: The caller's promise.
    unsafe { bindings::__init_rwsem(sem, name, key) };
}

#[track_caller]
pub(crate) unsafe fn shadow_rmap_down_write_nested(sem: *mut rw_semaphore, _subclass: c_int) {
    // SAFETY: The caller's promise.
    unsafe { bindings::down_write(sem) };
}

#[track_caller]
pub(crate) unsafe fn shadow_rmap_down_write_nest_lock(
    sem: *mut rw_semaphore,
    outer: *mut rw_semaphore,
) {
    must_hold(outer);
    // SAFETY: The caller's promise.
    unsafe { bindings::down_write(sem) };
}

pub(crate) unsafe fn shadow_rmap_rwsem_is_held(sem: *mut rw_semaphore) -> bool {
    context::holds(sem.addr())
}

#[track_caller]
pub(crate) unsafe fn shadow_rmap_rwsem_abandon(sem: *mut rw_semaphore) {
    bindings::rwsem_abandon(sem);
}

#[track_caller]
pub(crate) unsafe fn shadow_rmap_spin_lock_nested(lock: *mut spinlock_t, _subclass: c_int) {
    // SAFETY: The caller's promise.
    unsafe { bindings::spin_lock(lock) };
}

#[track_caller]
pub(crate) unsafe fn shadow_rmap_spin_lock_nest_lock(
    lock: *mut spinlock_t,
    outer: *mut rw_semaphore,
) {
    must_hold(outer);
    // SAFETY: The caller's promise.
    unsafe { bindings::spin_lock(lock) };
}

pub(crate) unsafe fn shadow_rmap_spin_is_held(lock: *mut spinlock_t) -> bool {
    context::holds(lock.addr())
}

#[track_caller]
pub(crate) unsafe fn shadow_rmap_spin_abandon(lock: *mut spinlock_t) {
    bindings::spin_abandon(lock);
}

/// Lockdep's check of a nest lock.
#[track_caller]
fn must_hold(outer: *mut rw_semaphore) {
    if !context::holds(outer.addr()) {
        context::splat("the nest lock is not held");
    }
}

/// `DEFINE_MUTEX(shadow_rmap_take_all)`.
static TAKE_ALL: AtomicBool = AtomicBool::new(false);

/// What threads wait with for it.
fn take_all_key() -> usize {
    (&raw const TAKE_ALL).addr()
}

#[track_caller]
pub(crate) unsafe fn shadow_rmap_take_all_lock() {
    kernel::task::might_sleep();
    schedule::point(schedule::Grain::Call);
    schedule::wait_until(take_all_key(), || !TAKE_ALL.swap(true, Acquire));
}

pub(crate) unsafe fn shadow_rmap_take_all_unlock() {
    TAKE_ALL.store(false, Release);
    schedule::wake(take_all_key());
}

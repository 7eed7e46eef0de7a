// SPDX-License-Identifier: GPL-2.0

//! Mirrors `kernel::task`.

use crate::{
    bindings::{self, task_struct},
    mock::context,
    sync::aref::AlwaysRefCounted,
};
use core::ptr::NonNull;

/// Mirrors `kernel::task::Task`.
#[repr(transparent)]
pub struct Task(task_struct);

impl Task {
    /// Mirrors `Task::current_raw`. Each thread has a task, also those that `std` has made.
    pub fn current_raw() -> *mut task_struct {
        bindings::current()
    }

    /// Mirrors `Task::as_ptr`.
    pub fn as_ptr(&self) -> *mut task_struct {
        core::ptr::from_ref(&self.0).cast_mut()
    }
}

// SAFETY: A task is freed with its last reference.
unsafe impl AlwaysRefCounted for Task {
    fn inc_ref(&self) {
        self.0.get();
    }

    unsafe fn dec_ref(this: NonNull<Self>) {
        // SAFETY: The caller owns a reference, and gives it up.
        unsafe { task_struct::put(this.cast()) };
    }
}

/// Mirrors `kernel::task::might_sleep`: panics where the thread must not sleep.
#[track_caller]
pub fn might_sleep() {
    context::might_sleep();
}

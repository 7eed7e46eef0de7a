// SPDX-License-Identifier: GPL-2.0

//! Mirrors `kernel::sync::Completion`, over a `Condvar`.

use core::convert::Infallible;
use pinned_init::PinInit;
use std::sync::{Condvar, Mutex, PoisonError};

/// Mirrors `kernel::sync::Completion`: one that is completed for all.
pub struct Completion {
    done: Mutex<bool>,
    changed: Condvar,
}

impl Completion {
    /// Mirrors `Completion::new`.
    pub fn new() -> impl PinInit<Self, Infallible> {
        Self {
            done: Mutex::new(false),
            changed: Condvar::new(),
        }
    }

    /// Mirrors `Completion::complete_all`. Any context.
    pub fn complete_all(&self) {
        *self.done.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    /// Mirrors `Completion::wait_for_completion`. Sleeps.
    pub fn wait_for_completion(&self) {
        crate::task::might_sleep();
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        while !*done {
            done = self
                .changed
                .wait(done)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Mirrors `kernel::sync::Completion`.

use crate::mock::schedule;
use core::convert::Infallible;
use pinned_init::PinInit;
use std::sync::atomic::{AtomicBool, Ordering::*};

/// Mirrors `kernel::sync::Completion`: one that is completed for all.
pub struct Completion(AtomicBool);

impl Completion {
    /// Mirrors `Completion::new`.
    pub fn new() -> impl PinInit<Self, Infallible> {
        Self(AtomicBool::new(false))
    }

    /// Mirrors `Completion::complete_all`. Any context.
    pub fn complete_all(&self) {
        schedule::point(schedule::Grain::Call);
        self.0.store(true, SeqCst);
        schedule::wake(self.key());
    }

    /// Mirrors `Completion::wait_for_completion`. Sleeps.
    pub fn wait_for_completion(&self) {
        crate::task::might_sleep();
        schedule::point(schedule::Grain::Call);
        schedule::wait_until(self.key(), || self.0.load(SeqCst));
    }

    /// What threads wait with.
    fn key(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }
}

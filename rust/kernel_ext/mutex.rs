// SPDX-License-Identifier: GPL-2.0

//! The turn to take many locks of one class: one thread in the system has it at a time.
//!
//! C: `mm_all_locks_mutex` of [`mm/vma.c`](srctree/mm/vma.c). A mutex that C initialises at compile
//! time, which Rust's cannot be.

#![allow(unsafe_code, reason = "a room of the design: calls into C")]

use crate::ffi;
use kernel::types::NotThreadSafe;

/// It is our turn.
///
/// # Invariants
///
/// This value owns the mutex.
#[must_use = "the turn is over when the guard is dropped"]
pub(crate) struct StaticMutexGuard(NotThreadSafe);

impl StaticMutexGuard {
    /// Waits for it. Sleeps.
    pub(crate) fn lock() -> Self {
        // SAFETY: The mutex is initialised at compile time.
        unsafe { ffi::shadow_rmap_take_all_lock() };
        // INVARIANT: Just taken.
        Self(NotThreadSafe)
    }
}

impl Drop for StaticMutexGuard {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { ffi::shadow_rmap_take_all_unlock() }
    }
}

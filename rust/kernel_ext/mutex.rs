// SPDX-License-Identifier: GPL-2.0

//! A mutex that is initialised at compile time.
//!
//! C header: [`include/linux/mutex.h`](srctree/include/linux/mutex.h), `DEFINE_MUTEX()`
//!
//! [`kernel::sync::Mutex`] must be initialised at run time. There is one mutex of this kind: it
//! lets one thread in the system take many locks of one class, as `mm_all_locks_mutex` of
//! [`mm/vma.c`](srctree/mm/vma.c) does.

#![allow(unsafe_code, reason = "calls into C")]

use crate::ffi;
use kernel::types::NotThreadSafe;

/// A guard of the static mutex.
///
/// # Invariants
///
/// This value owns the hold of the mutex.
#[must_use = "the mutex is released when the guard is dropped"]
pub(crate) struct StaticMutexGuard(NotThreadSafe);

impl StaticMutexGuard {
    /// `mutex_lock()`. Sleeps.
    pub(crate) fn lock() -> Self {
        // SAFETY: The mutex is initialised at compile time.
        unsafe { ffi::shadow_rmap_take_all_lock() };
        // INVARIANT: The mutex was taken just now.
        Self(NotThreadSafe)
    }
}

impl Drop for StaticMutexGuard {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the mutex is held.
        unsafe { ffi::shadow_rmap_take_all_unlock() }
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Frees that have to wait for a reader, put off by threads that must not sleep.
//!
//! The last reference on an anon_vma should be dropped where the thread may sleep (R11). If it is
//! not, and a reader holds the root's lock (R17), freeing at once would take the memory away from
//! that reader. A work item waits for the reader instead.

#![allow(unsafe_code, reason = "hands an anon_vma to a work item")]

use super::{
    anon_vma::{
        free_after_readers,
        AnonVma, //
    },
    kind::Rmap, //
};
use crate::{
    kernel_ext::workqueue::{
        QueueOwner,
        StaticQueue, //
    },
    stats,
};
use core::ptr::NonNull;
use kernel::prelude::*;

static QUEUE: StaticQueue = StaticQueue::new();

/// Creates the workqueue. To be kept for as long as the module is loaded. Sleeps.
///
/// # Errors
///
/// `ENOMEM`.
pub(crate) fn create_queue() -> Result<QueueOwner> {
    QUEUE.create(c"shadow_rmap_free")
}

/// An anon_vma without references, on its way to the work item that frees it.
struct Dead<R: Rmap>(NonNull<AnonVma<R>>);

// SAFETY: An anon_vma may be freed by any thread.
unsafe impl<R: Rmap> Send for Dead<R> {}

impl<R: Rmap> Dead<R> {
    fn free(self) {
        // SAFETY: `free` below was promised that nothing else frees it.
        unsafe { free_after_readers(self.0) };
    }
}

/// Frees `this` later. Any context. Without memory for that, it leaks, and is counted in `stats`:
/// a leak is better than freed memory under a reader.
///
/// # Safety
///
/// The reference count has reached zero, and this is the caller that saw it.
pub(super) unsafe fn free<R: Rmap>(this: NonNull<AnonVma<R>>) {
    stats::DEFERRED_FREES.inc();
    let dead = Dead(this);
    if QUEUE.spawn(GFP_NOWAIT, move || dead.free()).is_err() {
        stats::LEAKED_FREES.inc();
    }
}

/// Waits for all frees that were put off before. Sleeps.
pub(super) fn flush() {
    QUEUE.flush();
}

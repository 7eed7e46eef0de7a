// SPDX-License-Identifier: GPL-2.0

//! The work items of frees that threads put off because they must not sleep.
//!
//! The last reference on an anon_vma should be dropped where the thread may sleep (R11). If it is
//! not, and a reader holds the root's lock (R17), freeing at once would take the memory away from
//! that reader. A work item waits for the reader instead.

use crate::{kernel_ext::workqueue::StaticQueue, stats};
use kernel::prelude::*;

/// The workqueue.
pub(super) static QUEUE: StaticQueue = StaticQueue::new();

/// Runs `free` later. Any context. Without memory for that, `free` never runs: what it would free
/// leaks, and is counted in `stats`. A leak is better than freed memory under a reader.
pub(super) fn put_off(free: impl FnOnce() + Send + 'static) {
    stats::DEFERRED_FREES.inc();
    if QUEUE.spawn(GFP_NOWAIT, free).is_err() {
        stats::LEAKED_FREES.inc();
    }
}

/// Waits for all frees that were put off before. Sleeps.
pub(super) fn flush() {
    QUEUE.flush();
}

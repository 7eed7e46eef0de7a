// SPDX-License-Identifier: GPL-2.0

//! Whether the host may swap pages out.
//!
//! C header: [`include/linux/swap.h`](srctree/include/linux/swap.h)

use crate::ffi;
use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};

/// Whether there was swap space at any call of [`note`].
static SEEN: Atomic<bool> = Atomic::new(false);

/// Notes whether there is free swap space now. Any context.
pub(crate) fn note() {
    // SAFETY: No preconditions.
    if unsafe { ffi::shadow_rmap_has_swap() } {
        SEEN.store(true, Relaxed);
    }
}

/// Returns whether pages may have been swapped out: there is free swap space, or was when that was noted.
/// Any context.
pub(crate) fn is_in_use() -> bool {
    note();
    SEEN.load(Relaxed)
}

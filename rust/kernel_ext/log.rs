// SPDX-License-Identifier: GPL-2.0

//! A limit for lines of the kernel log that user space can cause again and again.
//!
//! C header: [`include/linux/ratelimit.h`](srctree/include/linux/ratelimit.h)

#![allow(unsafe_code, reason = "calls into C")]

use crate::ffi;

/// Returns whether one more such line may go to the log: ten in five seconds at most
/// (`DEFAULT_RATELIMIT_BURST`). The kernel logs how many were left out. Any context.
pub(crate) fn may_warn() -> bool {
    // SAFETY: No preconditions.
    unsafe { ffi::shadow_rmap_may_warn() }
}

// SPDX-License-Identifier: GPL-2.0

//! The problems that the kernel has reported: taint flags, and lockdep.
//!
//! C headers: [`include/linux/panic.h`](srctree/include/linux/panic.h),
//! [`include/linux/debug_locks.h`](srctree/include/linux/debug_locks.h)

#![allow(unsafe_code, reason = "calls into C")]

use crate::ffi;

/// The problems that the kernel has reported since it was booted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Complaints {
    /// Lockdep has reported a problem, and has switched itself off.
    pub(crate) locks: bool,
    /// The flags of [`TAINTS`] that are set.
    taints: u32,
}

/// The taint flags that stand for an error inside the kernel.
const TAINTS: [u32; 4] = [
    ffi::TAINT_BAD_PAGE,
    ffi::TAINT_DIE,
    ffi::TAINT_WARN,
    ffi::TAINT_SOFTLOCKUP,
];

impl Complaints {
    /// Reads the present state. Any context.
    pub(crate) fn now() -> Self {
        let mut taints = 0;
        for flag in TAINTS {
            // SAFETY: The function has no preconditions.
            taints |= u32::from(unsafe { ffi::shadow_rmap_tainted(flag) }) << flag;
        }
        Self {
            // SAFETY: The function has no preconditions.
            locks: !unsafe { ffi::shadow_rmap_lockdep_works() },
            taints,
        }
    }

    /// Returns whether a taint flag is set.
    #[cfg(shadow_rmap_torture)]
    pub(crate) fn has_taints(self) -> bool {
        self.taints != 0
    }

    /// Returns a copy with another state of lockdep.
    #[cfg(shadow_rmap_kunit)]
    pub(crate) fn with_lockdep(self, locks: bool) -> Self {
        Self { locks, ..self }
    }

    /// Returns a copy with one more taint flag, or one less.
    #[cfg(shadow_rmap_kunit)]
    pub(crate) fn with_one_more(self) -> Self {
        Self {
            taints: self.taints ^ 1 << ffi::TAINT_DIE,
            ..self
        }
    }

    /// Returns whether the taint flags differ from those of `before`.
    pub(crate) fn differ(self, before: Self) -> bool {
        self.taints != before.taints
    }
}

// SPDX-License-Identifier: GPL-2.0

//! The context of the running thread, preemption, taint flags, and references on this module.
//!
//! C headers: [`include/linux/preempt.h`](srctree/include/linux/preempt.h),
//! [`include/linux/panic.h`](srctree/include/linux/panic.h),
//! [`include/linux/debug_locks.h`](srctree/include/linux/debug_locks.h),
//! [`include/linux/module.h`](srctree/include/linux/module.h)

#![allow(unsafe_code, reason = "calls into C")]

use crate::ffi;
use kernel::prelude::*;

/// What a thread may do in its present context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Context {
    /// It must not sleep, and is not preempted: preemption or interrupts are off.
    Atomic,
    /// It is preempted, but must not sleep: it is in an RCU read section.
    Preemptible,
    /// It may sleep.
    Sleepable,
}

impl Context {
    /// Returns the context of the running thread.
    pub(crate) fn here() -> Self {
        // SAFETY: Both functions have no preconditions.
        let (preemptible, rcu) =
            unsafe { (ffi::shadow_rmap_preemptible(), ffi::shadow_rmap_rcu_depth()) };
        match (preemptible, rcu) {
            (false, _) => Context::Atomic,
            (true, 0) => Context::Sleepable,
            (true, _) => Context::Preemptible,
        }
    }
}

/// Requests a reschedule, as an interrupt does: other threads run at once, or as soon as preemption
/// is on again. Any context.
pub(crate) fn preempt_here() {
    // SAFETY: An interrupt may do this anywhere.
    unsafe { ffi::shadow_rmap_preempt_here() }
}

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

/// A reference on this module, which prevents that it is unloaded.
///
/// # Invariants
///
/// The value owns a reference that [`ModuleRef::get`] has taken.
pub(crate) struct ModuleRef(());

impl ModuleRef {
    /// Takes a reference. Any context.
    ///
    /// # Errors
    ///
    /// `ENODEV` if the module is being unloaded.
    pub(crate) fn get() -> Result<Self> {
        // SAFETY: The function has no preconditions.
        if unsafe { ffi::shadow_rmap_try_module_get() } {
            // INVARIANT: The reference was taken just now.
            Ok(Self(()))
        } else {
            Err(ENODEV)
        }
    }

    /// Keeps the reference for ever: the module cannot be unloaded any more.
    pub(crate) fn keep(self) {
        core::mem::forget(self);
    }
}

impl Drop for ModuleRef {
    fn drop(&mut self) {
        // SAFETY: By the type invariant this value owns the reference.
        unsafe { ffi::shadow_rmap_module_put() }
    }
}

// SPDX-License-Identifier: GPL-2.0

//! What a thread may do where it is, and whether the kernel is still content.
//!
//! C headers: [`include/linux/preempt.h`](srctree/include/linux/preempt.h),
//! [`include/linux/panic.h`](srctree/include/linux/panic.h)

#![allow(unsafe_code, reason = "a room of the design: calls into C")]

use crate::ffi;
use kernel::prelude::*;

/// What a thread may do at some place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Context {
    /// Nothing but go on: preemption or interrupts are off.
    Atomic,
    /// Be preempted; it is in an RCU read section, and must not sleep.
    Preemptible,
    /// Sleep.
    Sleepable,
}

impl Context {
    /// That of this thread, here.
    pub(crate) fn here() -> Self {
        // SAFETY: No preconditions, of both.
        let (preemptible, rcu) =
            unsafe { (ffi::shadow_rmap_preemptible(), ffi::shadow_rmap_rcu_depth()) };
        match (preemptible, rcu) {
            (false, _) => Context::Atomic,
            (true, 0) => Context::Sleepable,
            (true, _) => Context::Preemptible,
        }
    }
}

/// Lets others run, as if an interrupt had found one that is due; where preemption is off, as soon
/// as it is on again. Any context.
pub(crate) fn preempt_here() {
    // SAFETY: What an interrupt may do anywhere.
    unsafe { ffi::shadow_rmap_preempt_here() }
}

/// What the kernel has complained of since it was booted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Complaints {
    /// Lockdep has found something, and has switched itself off.
    pub(crate) locks: bool,
    /// Flags of [`TAINTS`] that are set.
    taints: u32,
}

/// Flags that a kernel sets when something has gone wrong in it.
const TAINTS: [u32; 4] = [
    ffi::TAINT_BAD_PAGE,
    ffi::TAINT_DIE,
    ffi::TAINT_WARN,
    ffi::TAINT_SOFTLOCKUP,
];

impl Complaints {
    /// Those of this moment. Any context.
    pub(crate) fn now() -> Self {
        let mut taints = 0;
        for flag in TAINTS {
            // SAFETY: No preconditions.
            taints |= u32::from(unsafe { ffi::shadow_rmap_tainted(flag) }) << flag;
        }
        Self {
            // SAFETY: No preconditions.
            locks: !unsafe { ffi::shadow_rmap_lockdep_works() },
            taints,
        }
    }

    /// Whether there are any, besides lockdep's.
    #[cfg(shadow_rmap_torture)]
    pub(crate) fn has_taints(self) -> bool {
        self.taints != 0
    }

    /// As if lockdep had said something, or had not.
    #[cfg(shadow_rmap_kunit)]
    pub(crate) fn with_lockdep(self, locks: bool) -> Self {
        Self { locks, ..self }
    }

    /// As if there was another one.
    #[cfg(shadow_rmap_kunit)]
    pub(crate) fn with_one_more(self) -> Self {
        Self {
            taints: self.taints ^ 1 << ffi::TAINT_DIE,
            ..self
        }
    }

    /// Whether there are others than `before`, besides lockdep's.
    pub(crate) fn differ(self, before: Self) -> bool {
        self.taints != before.taints
    }
}

/// A reference on this module: while there is one it cannot be unloaded.
///
/// # Invariants
///
/// It is one that [`ModuleRef::get`] has taken.
pub(crate) struct ModuleRef(());

impl ModuleRef {
    /// Takes one. Any context.
    ///
    /// # Errors
    ///
    /// `ENODEV` where the module is being unloaded already.
    pub(crate) fn get() -> Result<Self> {
        // SAFETY: No preconditions.
        if unsafe { ffi::shadow_rmap_try_module_get() } {
            // INVARIANT: As just said.
            Ok(Self(()))
        } else {
            Err(ENODEV)
        }
    }

    /// Never gives it back.
    pub(crate) fn keep(self) {
        core::mem::forget(self);
    }
}

impl Drop for ModuleRef {
    fn drop(&mut self) {
        // SAFETY: By the invariant it is ours to give back.
        unsafe { ffi::shadow_rmap_module_put() }
    }
}

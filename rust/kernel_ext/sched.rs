// SPDX-License-Identifier: GPL-2.0

//! The context of the running thread, and giving up the CPU.
//!
//! C headers: [`include/linux/preempt.h`](srctree/include/linux/preempt.h),
//! [`include/linux/sched.h`](srctree/include/linux/sched.h)

#![allow(unsafe_code, reason = "calls into C")]

use crate::ffi;

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

/// `cond_resched()`: lets other threads run if the scheduler asks for it. Sleeps.
#[inline]
pub(crate) fn cond_resched() {
    // SAFETY: The function has no preconditions.
    unsafe { ffi::shadow_rmap_cond_resched() }
}

/// Calls [`cond_resched`] before each item: for loops as long as a user wants them to be. Sleeps.
#[inline]
pub(crate) fn resched_each<I: IntoIterator>(items: I) -> impl Iterator<Item = I::Item> {
    // SAFETY: The function has no preconditions; in atomic context the kernel warns, if it is built
    // to.
    unsafe { ffi::shadow_rmap_might_sleep() };
    items.into_iter().inspect(|_| cond_resched())
}

/// Returns whether this thread is in an RCU read section, as far as the kernel keeps count.
pub(crate) fn in_rcu_reader() -> bool {
    // SAFETY: The function has no preconditions.
    unsafe { ffi::shadow_rmap_rcu_depth() > 0 }
}

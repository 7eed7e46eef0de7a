// SPDX-License-Identifier: GPL-2.0

//! Counters that cost their owner one unlocked addition to memory of its own CPU.
//!
//! C header: [`include/linux/percpu.h`](srctree/include/linux/percpu.h)

#![allow(unsafe_code, reason = "a room of the design: calls into C")]

use crate::bindings;

/// How many counters there are.
pub(crate) const COUNTERS: u32 = bindings::SHADOW_RMAP_COUNTERS;

/// One of the module's per-CPU counters.
///
/// # Invariants
///
/// The number is less than [`COUNTERS`].
#[derive(Clone, Copy)]
pub(crate) struct Counter(u32);

impl Counter {
    /// Names the counter `index`; an index out of range does not compile.
    pub(crate) const fn new(index: u32) -> Self {
        assert!(index < COUNTERS);
        // INVARIANT: Just checked.
        Self(index)
    }

    /// Names a counter by a number that is known to be in range only to the caller; one that is
    /// not becomes the last counter.
    #[inline]
    pub(crate) const fn new_masked(index: u32) -> Self {
        if index < COUNTERS {
            // INVARIANT: Just checked.
            Self(index)
        } else {
            Self(COUNTERS - 1)
        }
    }

    /// Adds `by`, wrapping around.  Any context but interrupts, where on User-Mode Linux what the
    /// interrupted code is about to add may be lost.
    #[inline]
    pub(crate) fn add(self, by: usize) {
        // SAFETY: By the type invariant the index is in range; each CPU adds to memory of its own,
        // and is not preempted while it does.
        unsafe { bindings::shadow_rmap_counter_add(self.0, by) }
    }

    /// Adds one.  As [`add`](Self::add).
    #[inline]
    pub(crate) fn inc(self) {
        self.add(1);
    }

    /// The sum over all CPUs; not a snapshot of one instant.  Any context.
    pub(crate) fn sum(self) -> usize {
        // SAFETY: By the type invariant the index is in range.
        unsafe { bindings::shadow_rmap_counter_sum(self.0) }
    }
}

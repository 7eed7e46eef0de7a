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

/// Adds to the counters from `first` on of this CPU, see `shadow_rmap_counters_here()`.
///
/// # Safety
///
/// There are `N` counters from `first` on.
#[cfg(CONFIG_UML)]
#[inline]
unsafe fn add_here<const N: usize>(first: u32, by: [usize; N]) {
    // SAFETY: Any thread has a CPU.
    let counters = unsafe { bindings::shadow_rmap_counters_here() };
    for (i, by) in by.into_iter().enumerate() {
        // SAFETY: By the caller's promise the number is in range. Each CPU adds to memory of its own, and is not
        // preempted while it does.
        unsafe {
            let counter = counters.add(first as usize + i);
            counter.write(counter.read().wrapping_add(by));
        }
    }
}

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

    /// Adds `by`, wrapping around. Any context but interrupts, where on User-Mode Linux what the
    /// interrupted code is about to add may be lost.
    #[inline]
    pub(crate) fn add(self, by: usize) {
        // SAFETY: By the type invariant the index is in range.
        unsafe {
            #[cfg(CONFIG_UML)]
            add_here(self.0, [by]);
            #[cfg(not(CONFIG_UML))]
            bindings::shadow_rmap_counter_add(self.0, by);
        }
    }

    /// Adds one. As [`add`](Self::add).
    #[inline]
    pub(crate) fn inc(self) {
        self.add(1);
    }

    /// Returns whether `other` has the next number.
    pub(crate) const fn precedes(self, other: Self) -> bool {
        self.0 + 1 == other.0
    }

    /// Adds to this counter and to the three with the next numbers, in one call. As
    /// [`add`](Self::add).
    #[inline]
    pub(crate) fn add_run(self, by: [usize; 4]) {
        let first = self.0.min(COUNTERS - 4);
        // SAFETY: As in `add`, for each of the four.
        unsafe {
            #[cfg(CONFIG_UML)]
            add_here(first, by);
            #[cfg(not(CONFIG_UML))]
            {
                let [a, b, c, d] = by;
                bindings::shadow_rmap_counters_add(first, a, b, c, d);
            }
        }
    }

    /// The sum over all CPUs; not a snapshot of one instant. Any context.
    pub(crate) fn sum(self) -> usize {
        // SAFETY: By the type invariant the index is in range.
        unsafe { bindings::shadow_rmap_counter_sum(self.0) }
    }
}

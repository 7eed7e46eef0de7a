// SPDX-License-Identifier: GPL-2.0

//! The atomics of `core`.

use core::sync::atomic::Ordering;

pub use core::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicPtr, AtomicUsize, fence};

/// Returns the order of an access of the engine.
#[inline(always)]
pub(crate) const fn kept(order: Ordering) -> Ordering {
    order
}

/// A barrier of the engine.
#[inline(always)]
pub(crate) fn barrier(order: Ordering) {
    fence(order);
}

/// A spinlock was released.
#[inline(always)]
pub(crate) fn unlocked() {}

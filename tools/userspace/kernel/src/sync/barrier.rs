// SPDX-License-Identifier: GPL-2.0

//! Mirrors `kernel::sync::barrier`, by the fences of `core`.

use crate::mock::words;
use core::sync::atomic::Ordering;

/// Mirrors `kernel::sync::barrier::Full`.
pub struct Full;

/// Mirrors `kernel::sync::barrier::Read`.
pub struct Read;

/// Mirrors `kernel::sync::barrier::Write`.
pub struct Write;

/// What a barrier orders.
pub trait MemoryBarrier {
    /// The fence that stands for it.
    #[doc(hidden)]
    const FENCE: Ordering;
}

impl MemoryBarrier for Full {
    const FENCE: Ordering = Ordering::SeqCst;
}
impl MemoryBarrier for Read {
    const FENCE: Ordering = Ordering::Acquire;
}
impl MemoryBarrier for Write {
    const FENCE: Ordering = Ordering::Release;
}

/// Mirrors `kernel::sync::barrier::smp_mb`.
pub fn smp_mb<B: MemoryBarrier>(_: B) {
    words::barrier(B::FENCE);
}

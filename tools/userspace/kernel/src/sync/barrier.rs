// SPDX-License-Identifier: GPL-2.0

//! Mirrors `kernel::sync::barrier`. Each barrier is a full one.

/// Mirrors `kernel::sync::barrier::Full`.
pub struct Full;

/// Mirrors `kernel::sync::barrier::Read`.
pub struct Read;

/// Mirrors `kernel::sync::barrier::Write`.
pub struct Write;

/// What a barrier orders.
pub trait MemoryBarrier {}

impl MemoryBarrier for Full {}
impl MemoryBarrier for Read {}
impl MemoryBarrier for Write {}

/// Mirrors `kernel::sync::barrier::smp_mb`.
pub fn smp_mb(_: impl MemoryBarrier) {
    core::sync::atomic::fence(core::sync::atomic::Ordering::SeqCst);
}

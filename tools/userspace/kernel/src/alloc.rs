// SPDX-License-Identifier: GPL-2.0

//! Mirrors `kernel::alloc`: memory that the caller must be prepared not to get.
//!
//! An allocation whose flags let it sleep must be made where the thread may sleep, as with
//! `CONFIG_DEBUG_ATOMIC_SLEEP`. It fails where [`mock::alloc`](crate::mock::alloc) says so.

mod kbox;
mod kvec;

pub use kbox::{Box, InPlaceInit, KBox};
pub use kvec::{IntoIter, KVVec, KVec, PushError, RemoveError, Vec};

/// Mirrors `kernel::alloc::AllocError`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllocError;

/// Mirrors `kernel::alloc::Flags`: `gfp_t`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Flags(pub(crate) u32);

impl Flags {
    /// The allocator may sleep: `__GFP_DIRECT_RECLAIM`.
    pub(crate) const SLEEP: u32 = 1;
    /// `__GFP_ZERO`.
    pub(crate) const ZERO: u32 = 2;
    /// `__GFP_ACCOUNT`, which means nothing here.
    const ACCOUNT: u32 = 4;

    /// Mirrors `gfpflags_allow_blocking()`.
    pub(crate) fn may_sleep(self) -> bool {
        self.0 & Self::SLEEP != 0
    }
}

impl core::ops::BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Mirrors `kernel::alloc::flags`.
pub mod flags {
    use super::Flags;

    /// May sleep.
    pub const GFP_KERNEL: Flags = Flags(Flags::SLEEP);
    /// May sleep; charged to the caller.
    pub const GFP_KERNEL_ACCOUNT: Flags = Flags(Flags::SLEEP | Flags::ACCOUNT);
    /// Does not sleep.
    pub const GFP_NOWAIT: Flags = Flags(0);
    /// Zeroes the memory.
    pub const __GFP_ZERO: Flags = Flags(Flags::ZERO);
}

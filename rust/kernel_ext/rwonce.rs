// SPDX-License-Identifier: GPL-2.0

//! `READ_ONCE()` and `WRITE_ONCE()`.
//!
//! C header: [`include/asm-generic/rwonce.h`](srctree/include/asm-generic/rwonce.h)
//!
//! A relaxed load or store of an [`Atomic`] means the same, but is a call into the kernel unless
//! that was built with `CONFIG_RUST_INLINE_HELPERS`, which User-Mode Linux never is: a chain of links
//! then takes longer to read than to lock.

#![allow(
    unsafe_code,
    reason = "a room of the design: reads and writes in place"
)]

use kernel::sync::atomic::{
    Atomic,
    AtomicType, //
};

/// Loads and stores that cost what they do in C.
pub(crate) trait ReadWriteOnce<T> {
    /// Reads the word, once. Orders nothing but what depends on the value. Any context.
    fn read_once(&self) -> T;

    /// Writes the word, once. Orders nothing. Any context.
    fn write_once(&self, value: T);
}

impl<T: AtomicType> ReadWriteOnce<T> for Atomic<T> {
    #[inline(always)]
    fn read_once(&self) -> T {
        // SAFETY: The pointer is valid and aligned, and what it points to no larger than a word: it
        // is read in one piece, whoever writes it.
        unsafe { self.as_ptr().read_volatile() }
    }

    #[inline(always)]
    fn write_once(&self, value: T) {
        // SAFETY: As in `read_once`; any value of the type may be stored.
        unsafe { self.as_ptr().write_volatile(value) }
    }
}

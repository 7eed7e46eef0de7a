// SPDX-License-Identifier: GPL-2.0

//! `READ_ONCE()` and `WRITE_ONCE()`.
//!
//! C header: [`include/asm-generic/rwonce.h`](srctree/include/asm-generic/rwonce.h)
//!
//! A relaxed load or store of an [`Atomic`] does the same. But without
//! `CONFIG_RUST_INLINE_HELPERS`, which User-Mode Linux does not have, it is a call of a C function
//! for each word. The methods here are one instruction.

#![allow(unsafe_code, reason = "reads and writes atomics through raw pointers")]

use kernel::sync::atomic::{
    Atomic,
    AtomicType, //
};

/// Loads and stores of one word that are compiled in place, as in C.
pub(crate) trait ReadWriteOnce<T> {
    /// `READ_ONCE()`: orders only what depends on the value by address. Any context.
    fn read_once(&self) -> T;

    /// `WRITE_ONCE()`: orders nothing. Any context.
    fn write_once(&self, value: T);
}

impl<T: AtomicType> ReadWriteOnce<T> for Atomic<T> {
    #[inline(always)]
    fn read_once(&self) -> T {
        const { assert!(size_of::<T>() <= size_of::<usize>()) };
        // SAFETY: The pointer is valid and aligned, and the value is no larger than a word, so that
        // it is read in one piece.
        unsafe { self.as_ptr().read_volatile() }
    }

    #[inline(always)]
    fn write_once(&self, value: T) {
        const { assert!(size_of::<T>() <= size_of::<usize>()) };
        // SAFETY: As in `read_once`; every value of the type may be stored.
        unsafe { self.as_ptr().write_volatile(value) }
    }
}

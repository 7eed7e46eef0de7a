// SPDX-License-Identifier: GPL-2.0

//! `READ_ONCE()`, `WRITE_ONCE()`, and counts of references, without a call.
//!
//! C header: [`include/asm-generic/rwonce.h`](srctree/include/asm-generic/rwonce.h)
//!
//! A relaxed load or store of an [`Atomic`] does the same. But without
//! `CONFIG_RUST_INLINE_HELPERS`, which User-Mode Linux does not have, it is a call of a C function
//! for each word. The methods here are one instruction.

#![allow(unsafe_code, reason = "reads and writes atomics through raw pointers")]

use core::sync::atomic::{
    AtomicI32,
    Ordering::SeqCst, //
};
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

/// A count of references that is changed in place, as in C: the methods of [`Atomic`] are calls
/// unless the kernel is built with `CONFIG_RUST_INLINE_HELPERS`.
pub(crate) trait ReferenceCount {
    /// `atomic_inc_not_zero()`, for counts that are never negative: a full barrier if it returns
    /// `true`. Any context.
    fn inc_not_zero(&self) -> bool;

    /// `atomic_dec_and_test()`: a full barrier. Any context.
    ///
    /// `tools/litmus/R17+put-after-lock.litmus` needs the barrier.
    fn dec_and_test(&self) -> bool;
}

/// The same word as an atomic of `core`.
///
/// On x86, the only architecture that this module supports, each change of it is one locked
/// instruction. That is a full barrier for the kernel's memory model, too.
#[inline(always)]
fn locked(count: &Atomic<i32>) -> &AtomicI32 {
    const { assert!(cfg!(target_arch = "x86_64")) };
    // SAFETY: The pointer is valid and aligned for as long as `count` is borrowed. The word is changed
    // by atomic operations, and by `write_once`, a volatile store, which the kernel's memory model takes
    // for atomic.
    unsafe { AtomicI32::from_ptr(count.as_ptr()) }
}

impl ReferenceCount for Atomic<i32> {
    #[inline(always)]
    fn inc_not_zero(&self) -> bool {
        let mut count = self.read_once();
        while count > 0 {
            match locked(self).compare_exchange(count, count.wrapping_add(1), SeqCst, SeqCst) {
                Ok(_) => return true,
                Err(now) => count = now,
            }
        }
        false
    }

    #[inline(always)]
    fn dec_and_test(&self) -> bool {
        locked(self).fetch_sub(1, SeqCst) == 1
    }
}

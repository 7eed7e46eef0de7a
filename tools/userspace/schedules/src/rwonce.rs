// SPDX-License-Identifier: GPL-2.0

//! Stands for `rust/kernel_ext/rwonce.rs`: the same accesses, by methods of [`Atomic`], so that the
//! schedule may switch before each.

use kernel::sync::atomic::{Atomic, AtomicType, Full, Relaxed};

/// Mirrors `ReadWriteOnce`.
pub(crate) trait ReadWriteOnce<T> {
    /// `READ_ONCE()`.
    fn read_once(&self) -> T;

    /// `WRITE_ONCE()`.
    fn write_once(&self, value: T);
}

impl<T: AtomicType> ReadWriteOnce<T> for Atomic<T> {
    fn read_once(&self) -> T {
        self.load(Relaxed)
    }

    fn write_once(&self, value: T) {
        self.store(value, Relaxed);
    }
}

/// Mirrors `ReferenceCount`.
pub(crate) trait ReferenceCount {
    /// `atomic_inc_not_zero()`.
    fn inc_not_zero(&self) -> bool;

    /// `atomic_dec_and_test()`.
    fn dec_and_test(&self) -> bool;
}

impl ReferenceCount for Atomic<i32> {
    fn inc_not_zero(&self) -> bool {
        let mut count = self.read_once();
        while count > 0 {
            match self.cmpxchg(count, count.wrapping_add(1), Full) {
                Ok(_) => return true,
                Err(now) => count = now,
            }
        }
        false
    }

    fn dec_and_test(&self) -> bool {
        self.fetch_sub(1, Full) == 1
    }
}

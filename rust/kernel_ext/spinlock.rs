// SPDX-License-Identifier: GPL-2.0

//! A spinlock with `spin_lock_nested()` and `spin_lock_nest_lock()`.
//!
//! C header: [`include/linux/spinlock.h`](srctree/include/linux/spinlock.h)
//!
//! [`kernel::sync::SpinLock`] does not have them. A thread that holds two locks of one class, such
//! as the page table locks of parent and child at fork, needs them so that lockdep knows the order.

#![allow(unsafe_code, reason = "wraps a C type")]

use crate::{
    ffi,
    kernel_ext::rwsem::RwSem, //
};
use core::{
    cell::UnsafeCell,
    ops::{
        Deref,
        DerefMut, //
    },
    ptr::NonNull, //
};
use kernel::{
    prelude::*,
    sync::LockClassKey,
    types::{
        NotThreadSafe,
        Opaque, //
    },
};

/// A spinlock and the data that it protects.
///
/// # Invariants
///
/// 1. `lock` is initialised; `data` is used only by the thread that holds it.
#[pin_data]
pub(crate) struct SpinLock<T> {
    #[pin]
    lock: Opaque<ffi::spinlock>,
    data: UnsafeCell<T>,
}

// SAFETY: By invariant (1) one thread at a time uses the data, which may be any thread.
unsafe impl<T: Send> Send for SpinLock<T> {}
// SAFETY: As above.
unsafe impl<T: Send> Sync for SpinLock<T> {}

/// Creates an initialiser for a [`SpinLock`] with a lock class of its own, for lockdep.
macro_rules! new_spinlock {
    ($data:expr, $name:literal) => {
        $crate::kernel_ext::spinlock::SpinLock::new(
            $data,
            $name,
            kernel::sync::static_lock_class!(),
        )
    };
}
pub(crate) use new_spinlock;

impl<T> SpinLock<T> {
    /// Creates an initialiser for a lock that protects `data`. Lockdep calls its class `name`.
    pub(crate) fn new(
        data: T,
        name: &'static CStr,
        key: Pin<&'static LockClassKey>,
    ) -> impl PinInit<Self> {
        pin_init!(Self {
            // INVARIANT: (1) initialised here.
            lock <- Opaque::ffi_init(|slot| {
                // SAFETY: `slot` is valid for writes; `name` and `key` are static.
                unsafe { ffi::__spin_lock_init(slot, name.as_char_ptr(), key.as_ptr()) }
            }),
            data: UnsafeCell::new(data),
        })
    }

    /// `spin_lock()`.
    pub(crate) fn lock(&self) -> SpinLockGuard<'_, T> {
        // SAFETY: By invariant (1).
        unsafe { ffi::spin_lock(self.lock.get()) };
        // INVARIANT: The lock was taken just now.
        SpinLockGuard(self, NotThreadSafe)
    }

    /// `spin_lock_nest_lock()`: takes one of many locks of one class.
    ///
    /// The caller holds `outer` for writing while it takes them, in any order.
    pub(crate) fn lock_under(&self, outer: &RwSem) -> SpinLockGuard<'_, T> {
        // SAFETY: By invariant (1); `outer` is initialised, and only lockdep looks at it.
        unsafe { ffi::shadow_rmap_spin_lock_nest_lock(self.lock.get(), outer.as_ptr()) };
        // INVARIANT: The lock was taken just now.
        SpinLockGuard(self, NotThreadSafe)
    }

    /// `spin_trylock()`.
    pub(crate) fn try_lock(&self) -> Option<SpinLockGuard<'_, T>> {
        // SAFETY: By invariant (1).
        if unsafe { ffi::spin_trylock(self.lock.get()) } == 0 {
            return None;
        }
        // INVARIANT: The lock was taken just now.
        Some(SpinLockGuard(self, NotThreadSafe))
    }

    /// `lockdep_is_held()`: whether this thread holds it, as far as lockdep knows; `true` without
    /// lockdep. Any context.
    pub(crate) fn is_held(&self) -> bool {
        // SAFETY: By invariant (1).
        unsafe { ffi::shadow_rmap_spin_is_held(self.lock.get()) }
    }

    /// Tells lockdep and the scheduler that a hold has ended, without touching the lock, whose
    /// memory may have been freed.
    ///
    /// # Safety
    ///
    /// `lock` comes from [`SpinLockGuard::into_raw`], once, on this thread; its memory may be
    /// freed, but not unmapped.
    pub(crate) unsafe fn abandon(lock: NonNull<Self>) {
        // SAFETY: The pointer is computed, and nothing is read.
        let lock = Opaque::cast_into(unsafe { &raw const (*lock.as_ptr()).lock });
        // SAFETY: This thread took the lock; the memory is mapped, and its content is not used.
        unsafe { ffi::shadow_rmap_spin_abandon(lock) };
    }

    /// `spin_lock_nested(…, SINGLE_DEPTH_NESTING)`: takes the second of two locks of one class.
    pub(crate) fn lock_nested(&self) -> SpinLockGuard<'_, T> {
        // SAFETY: By invariant (1).
        unsafe { ffi::shadow_rmap_spin_lock_nested(self.lock.get(), 1) };
        // INVARIANT: The lock was taken just now.
        SpinLockGuard(self, NotThreadSafe)
    }
}

/// A guard of a [`SpinLock`], which derefs to its data.
///
/// # Invariants
///
/// This guard owns the hold of the lock.
#[must_use = "the lock is released when the guard is dropped"]
pub(crate) struct SpinLockGuard<'a, T>(&'a SpinLock<T>, NotThreadSafe);

impl<T> SpinLockGuard<'_, T> {
    /// Gives up the guard, and keeps the hold.
    pub(crate) fn into_raw(self) -> NonNull<SpinLock<T>> {
        NonNull::from(core::mem::ManuallyDrop::new(self).0)
    }

    /// Creates the guard of a hold again after [`into_raw`](Self::into_raw).
    ///
    /// # Safety
    ///
    /// `lock` comes from `into_raw`, once, on this thread, and is valid for `'a`.
    pub(crate) unsafe fn from_raw<'a>(lock: NonNull<SpinLock<T>>) -> SpinLockGuard<'a, T> {
        // SAFETY: The caller's promise.
        // INVARIANT: The guard takes the hold over from the caller.
        SpinLockGuard(unsafe { lock.as_ref() }, NotThreadSafe)
    }
}

impl<T> Deref for SpinLockGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: By the type invariant and by (1) of the lock.
        unsafe { &*self.0.data.get() }
    }
}

impl<T> DerefMut for SpinLockGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: As above.
        unsafe { &mut *self.0.data.get() }
    }
}

impl<T> Drop for SpinLockGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the guard owns the hold.
        unsafe { ffi::spin_unlock(self.0.lock.get()) }
    }
}

#[cfg(shadow_rmap_kunit)]
#[kunit_tests(shadow_rmap_spinlock)]
mod tests {
    use super::*;
    use kernel::sync::Arc;

    /// Two locks of one class are held at once, and data written under them is kept.
    #[test]
    fn two_are_held_at_once() -> Result {
        let make = |value: usize| {
            Arc::pin_init(
                pin_init!(Two { lock <- new_spinlock!(value, c"test") }),
                GFP_KERNEL,
            )
        };
        let (a, b) = (make(1)?, make(2)?);
        let mut first = a.lock.lock();
        let mut second = b.lock.lock_nested();
        core::mem::swap(&mut *first, &mut *second);
        drop(second);
        drop(first);
        // Each guard is dropped at the end of its statement.
        let now_a = *a.lock.lock();
        let now_b = *b.lock.lock();

        assert_eq!([now_a, now_b], [2, 1]);
        Ok(())
    }

    #[pin_data]
    struct Two {
        #[pin]
        lock: SpinLock<usize>,
    }
}

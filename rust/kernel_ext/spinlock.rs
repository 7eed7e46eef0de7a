// SPDX-License-Identifier: GPL-2.0

//! A spinlock of which two may be held at once.
//!
//! C header: [`include/linux/spinlock.h`](srctree/include/linux/spinlock.h)
//!
//! [`kernel::sync::SpinLock`] has no `spin_lock_nested()`: fork needs two locks of one class, the
//! parent's and the child's, and lockdep must be told that this is meant.

#![allow(unsafe_code, reason = "a room of the design: wraps a C type")]

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

/// A spinlock and what it protects.
///
/// # Invariants
///
/// 1. `lock` is initialised; `data` is used only while it is held.
#[pin_data]
pub(crate) struct SpinLock<T> {
    #[pin]
    lock: Opaque<ffi::spinlock>,
    data: UnsafeCell<T>,
}

// SAFETY: By invariant (1) one thread at a time uses the data.
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
    /// A lock of the class `key`, shown as `name` by lockdep, that protects `data`.
    pub(crate) fn new(
        data: T,
        name: &'static CStr,
        key: Pin<&'static LockClassKey>,
    ) -> impl PinInit<Self> {
        pin_init!(Self {
            // INVARIANT: (1) initialised here.
            lock <- Opaque::ffi_init(|slot| {
                // SAFETY: `slot` is valid for writes; `name` and `key` live for ever.
                unsafe { ffi::__spin_lock_init(slot, name.as_char_ptr(), key.as_ptr()) }
            }),
            data: UnsafeCell::new(data),
        })
    }

    /// `spin_lock()`.
    pub(crate) fn lock(&self) -> SpinLockGuard<'_, T> {
        // SAFETY: By invariant (1).
        unsafe { ffi::spin_lock(self.lock.get()) };
        // INVARIANT: Just taken.
        SpinLockGuard(self, NotThreadSafe)
    }

    /// `spin_lock_nest_lock()`: one of many of one class, all taken under `outer`, which its taker
    /// holds for writing.
    pub(crate) fn lock_under(&self, outer: &RwSem) -> SpinLockGuard<'_, T> {
        // SAFETY: By invariant (1); `outer` is initialised, and looked at by lockdep only.
        unsafe { ffi::shadow_rmap_spin_lock_nest_lock(self.lock.get(), outer.as_ptr()) };
        // INVARIANT: Just taken.
        SpinLockGuard(self, NotThreadSafe)
    }

    /// `spin_trylock()`.
    pub(crate) fn try_lock(&self) -> Option<SpinLockGuard<'_, T>> {
        // SAFETY: By invariant (1).
        if unsafe { ffi::spin_trylock(self.lock.get()) } == 0 {
            return None;
        }
        // INVARIANT: Just taken.
        Some(SpinLockGuard(self, NotThreadSafe))
    }

    /// Forgets a hold without touching the lock: what it was in is somebody else's by now.
    ///
    /// # Safety
    ///
    /// `lock` comes from [`SpinLockGuard::into_raw`], once, on this thread; its memory may be anything.
    pub(crate) unsafe fn abandon(lock: NonNull<Self>) {
        // SAFETY: A place within what was a lock; nothing is read.
        let lock = Opaque::cast_into(unsafe { &raw const (*lock.as_ptr()).lock });
        // SAFETY: This thread has locked it; its memory is still mapped, whatever is there.
        unsafe { ffi::shadow_rmap_spin_abandon(lock) };
    }

    /// `spin_lock_nested(…, SINGLE_DEPTH_NESTING)`: the second of two of one class.
    pub(crate) fn lock_nested(&self) -> SpinLockGuard<'_, T> {
        // SAFETY: By invariant (1).
        unsafe { ffi::shadow_rmap_spin_lock_nested(self.lock.get(), 1) };
        // INVARIANT: Just taken.
        SpinLockGuard(self, NotThreadSafe)
    }
}

/// The lock is held.
///
/// # Invariants
///
/// This guard owns the hold.
#[must_use = "the lock is released when the guard is dropped"]
pub(crate) struct SpinLockGuard<'a, T>(&'a SpinLock<T>, NotThreadSafe);

impl<T> SpinLockGuard<'_, T> {
    /// Gives up the guard, but not the hold.
    pub(crate) fn into_raw(self) -> NonNull<SpinLock<T>> {
        NonNull::from(core::mem::ManuallyDrop::new(self).0)
    }

    /// Takes back what [`into_raw`](Self::into_raw) gave.
    ///
    /// # Safety
    ///
    /// `lock` comes from `into_raw`, once, on this thread, and is valid for `'a`.
    pub(crate) unsafe fn from_raw<'a>(lock: NonNull<SpinLock<T>>) -> SpinLockGuard<'a, T> {
        // SAFETY: The caller's promise.
        // INVARIANT: The hold is handed over.
        SpinLockGuard(unsafe { lock.as_ref() }, NotThreadSafe)
    }
}

impl<T> Deref for SpinLockGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: By the type invariant, and (1) of the lock.
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
        // SAFETY: By the type invariant the hold is ours to release.
        unsafe { ffi::spin_unlock(self.0.lock.get()) }
    }
}

#[cfg(shadow_rmap_kunit)]
#[kunit_tests(shadow_rmap_spinlock)]
mod tests {
    use super::*;
    use kernel::sync::Arc;

    /// Two of one class are held at once, and what is written under a lock stays.
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
        // A guard lives as long as its statement.
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

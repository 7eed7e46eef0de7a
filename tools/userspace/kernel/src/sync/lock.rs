// SPDX-License-Identifier: GPL-2.0

//! Mirrors `kernel::sync::lock`: locks that own their data.

use crate::{
    bindings,
    types::{NotThreadSafe, Opaque},
};
use core::{
    cell::UnsafeCell,
    marker::PhantomData,
    ops::{Deref, DerefMut},
    pin::Pin,
};
use pinned_init::{PinInit, pin_data, pin_init};

/// Mirrors `kernel::sync::lock::Backend`.
///
/// # Safety
///
/// One thread at a time is between [`lock`](Self::lock), or a successful
/// [`try_lock`](Self::try_lock), and [`unlock`](Self::unlock).
pub unsafe trait Backend {
    /// The C lock.
    type State;

    /// Makes a lock that is not held.
    ///
    /// # Safety
    ///
    /// `lock` is valid for writes.
    unsafe fn init(lock: *mut Self::State);

    /// Takes it.
    ///
    /// # Safety
    ///
    /// The lock is initialised.
    unsafe fn lock(lock: *mut Self::State);

    /// Takes it if it is free.
    ///
    /// # Safety
    ///
    /// The lock is initialised.
    unsafe fn try_lock(lock: *mut Self::State) -> bool;

    /// Releases it.
    ///
    /// # Safety
    ///
    /// The calling thread holds it.
    unsafe fn unlock(lock: *mut Self::State);
}

/// Mirrors `kernel::sync::lock::spinlock`.
pub mod spinlock {
    use super::{Backend, bindings};

    /// Mirrors `SpinLockBackend`.
    pub struct SpinLockBackend(());

    // SAFETY: A spinlock.
    unsafe impl Backend for SpinLockBackend {
        type State = bindings::spinlock;

        unsafe fn init(lock: *mut bindings::spinlock) {
            // SAFETY: The caller's promise.
            unsafe { bindings::__spin_lock_init(lock, core::ptr::null(), core::ptr::null_mut()) };
        }

        unsafe fn lock(lock: *mut bindings::spinlock) {
            // SAFETY: The caller's promise.
            unsafe { bindings::spin_lock(lock) };
        }

        unsafe fn try_lock(lock: *mut bindings::spinlock) -> bool {
            // SAFETY: The caller's promise.
            unsafe { bindings::spin_trylock(lock) != 0 }
        }

        unsafe fn unlock(lock: *mut bindings::spinlock) {
            // SAFETY: The caller's promise.
            unsafe { bindings::spin_unlock(lock) };
        }
    }
}

/// Mirrors `kernel::sync::lock::mutex`.
pub mod mutex {
    use super::{Backend, bindings};

    /// Mirrors `MutexBackend`. The lock is a semaphore that is only written.
    pub struct MutexBackend(());

    // SAFETY: A semaphore that each holder holds for writing.
    unsafe impl Backend for MutexBackend {
        type State = bindings::rw_semaphore;

        unsafe fn init(lock: *mut bindings::rw_semaphore) {
            // SAFETY: The caller's promise.
            unsafe { bindings::__init_rwsem(lock, core::ptr::null(), core::ptr::null_mut()) };
        }

        unsafe fn lock(lock: *mut bindings::rw_semaphore) {
            // SAFETY: The caller's promise.
            unsafe { bindings::down_write(lock) };
        }

        unsafe fn try_lock(lock: *mut bindings::rw_semaphore) -> bool {
            // SAFETY: The caller's promise.
            unsafe { bindings::down_write_trylock(lock) != 0 }
        }

        unsafe fn unlock(lock: *mut bindings::rw_semaphore) {
            // SAFETY: The caller's promise.
            unsafe { bindings::up_write(lock) };
        }
    }
}

/// Mirrors `kernel::sync::lock::Lock`.
///
/// # Invariants
///
/// 1. `state` is initialised; `data` is used only by the thread that holds it.
#[pin_data]
pub struct Lock<T, B: Backend> {
    #[pin]
    state: Opaque<B::State>,
    data: UnsafeCell<T>,
}

// SAFETY: One thread at a time uses the data, which may be any thread.
unsafe impl<T: Send, B: Backend> Send for Lock<T, B> {}
// SAFETY: As above.
unsafe impl<T: Send, B: Backend> Sync for Lock<T, B> {}

/// Mirrors `kernel::sync::SpinLock`.
pub type SpinLock<T> = Lock<T, spinlock::SpinLockBackend>;

/// Mirrors `kernel::sync::Mutex`.
pub type Mutex<T> = Lock<T, mutex::MutexBackend>;

impl<T, B: Backend> Lock<T, B> {
    /// Mirrors `Lock::new`, without name and class.
    pub fn new(data: T) -> impl PinInit<Self> {
        pin_init!(Self {
            // SAFETY: The slot is valid for writes.
            state <- Opaque::ffi_init(|slot| unsafe { B::init(slot) }),
            data: UnsafeCell::new(data),
        })
    }

    /// Mirrors `Lock::lock`.
    pub fn lock(&self) -> Guard<'_, T, B> {
        // SAFETY: By invariant (1).
        unsafe { B::lock(self.state.get()) };
        Guard(self, NotThreadSafe)
    }

    /// Mirrors `Lock::try_lock`.
    pub fn try_lock(&self) -> Option<Guard<'_, T, B>> {
        // SAFETY: By invariant (1).
        unsafe { B::try_lock(self.state.get()) }.then(|| Guard(self, PhantomData))
    }
}

/// Mirrors `kernel::sync::lock::Guard`.
///
/// # Invariants
///
/// This guard owns the hold of the lock.
#[must_use = "the lock is released when the guard is dropped"]
pub struct Guard<'a, T, B: Backend>(&'a Lock<T, B>, NotThreadSafe);

impl<'a, T, B: Backend> Guard<'a, T, B> {
    /// Mirrors `Guard::lock_ref`.
    pub fn lock_ref(&self) -> &'a Lock<T, B> {
        self.0
    }

    /// Mirrors `Guard::as_mut`.
    pub fn as_mut(&mut self) -> Pin<&mut T> {
        // SAFETY: The data of a lock is pinned with it.
        unsafe { Pin::new_unchecked(&mut *self.0.data.get()) }
    }
}

impl<T, B: Backend> Deref for Guard<'_, T, B> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: By the type invariant and by (1) of the lock.
        unsafe { &*self.0.data.get() }
    }
}

impl<T: Unpin, B: Backend> DerefMut for Guard<'_, T, B> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: As above.
        unsafe { &mut *self.0.data.get() }
    }
}

impl<T, B: Backend> Drop for Guard<'_, T, B> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the guard owns the hold.
        unsafe { B::unlock(self.0.state.get()) };
    }
}

// SPDX-License-Identifier: GPL-2.0

//! A read-write semaphore.
//!
//! C header: [`include/linux/rwsem.h`](srctree/include/linux/rwsem.h)
//!
//! Unlike [`kernel::sync::Mutex`] a semaphore does not own the data that it protects, because that
//! may be spread over many objects. A function that needs the lock takes a reference to a guard.

#![allow(unsafe_code, reason = "wraps a C type")]

use crate::ffi;
use core::ptr::NonNull;
use kernel::{
    error::to_result,
    prelude::*,
    sync::LockClassKey,
    types::{
        NotThreadSafe,
        Opaque, //
    },
};

/// A `struct rw_semaphore`: it is held by one writer or by many readers; taking it may sleep.
///
/// # Invariants
///
/// 1. The semaphore is initialised.
#[pin_data]
#[repr(transparent)]
pub(crate) struct RwSem {
    #[pin]
    sem: Opaque<ffi::rw_semaphore>,
}

// SAFETY: A semaphore that is not held may be used by any thread. `NotThreadSafe` in the guards
// keeps a hold on the thread that took it.
unsafe impl Send for RwSem {}
// SAFETY: The purpose of a semaphore is to be used by several threads at once.
unsafe impl Sync for RwSem {}

/// Creates an initialiser for an [`RwSem`] with a lock class of its own, for lockdep.
macro_rules! new_rwsem {
    ($name:literal) => {
        $crate::kernel_ext::rwsem::RwSem::new($name, kernel::sync::static_lock_class!())
    };
}
pub(crate) use new_rwsem;

impl RwSem {
    /// Creates an initialiser for a semaphore of the lock class `key`, which lockdep calls `name`.
    pub(crate) fn new(name: &'static CStr, key: Pin<&'static LockClassKey>) -> impl PinInit<Self> {
        pin_init!(Self {
            // INVARIANT: (1) initialised here.
            sem <- Opaque::ffi_init(|slot| {
                // SAFETY: `slot` is valid for writes; `name` and `key` are static.
                unsafe { ffi::shadow_rmap_init_rwsem(slot, name.as_char_ptr(), key.as_ptr()) }
            }),
        })
    }

    /// `down_read()`. Sleeps.
    pub(crate) fn read(&self) -> ReadGuard<'_> {
        // SAFETY: By invariant (1).
        unsafe { ffi::down_read(self.sem.get()) };
        // INVARIANT: The hold was taken just now.
        ReadGuard(self, NotThreadSafe)
    }

    /// `down_read_trylock()`: acquires, and is no full barrier
    /// (`tools/litmus/R17+trylock-against-put.litmus`). Any context but interrupts.
    #[inline]
    pub(crate) fn try_read(&self) -> Option<ReadGuard<'_>> {
        // SAFETY: By invariant (1).
        if unsafe { ffi::down_read_trylock(self.sem.get()) } == 0 {
            return None;
        }
        // INVARIANT: The hold was taken just now.
        Some(ReadGuard(self, NotThreadSafe))
    }

    /// `down_write()`. Sleeps.
    pub(crate) fn write(&self) -> WriteGuard<'_> {
        // SAFETY: By invariant (1).
        unsafe { ffi::down_write(self.sem.get()) };
        // INVARIANT: The hold was taken just now.
        WriteGuard(self, NotThreadSafe)
    }

    /// `down_write_killable()`. Sleeps.
    ///
    /// # Errors
    ///
    /// `EINTR` if this thread is being killed.
    pub(crate) fn write_killable(&self) -> Result<WriteGuard<'_>> {
        // SAFETY: By invariant (1).
        to_result(unsafe { ffi::down_write_killable(self.sem.get()) })?;
        // INVARIANT: The hold was taken just now.
        Ok(WriteGuard(self, NotThreadSafe))
    }

    /// `down_write_nested(…, SINGLE_DEPTH_NESTING)`: takes the second of two of one class. Sleeps.
    pub(crate) fn write_nested(&self) -> WriteGuard<'_> {
        // SAFETY: By invariant (1).
        unsafe { ffi::shadow_rmap_down_write_nested(self.sem.get(), 1) };
        // INVARIANT: The hold was taken just now.
        WriteGuard(self, NotThreadSafe)
    }

    /// `down_write_nest_lock()`: takes one of many semaphores of one class. Sleeps.
    ///
    /// The caller holds `outer` for writing while it takes them, in any order.
    pub(crate) fn write_under(&self, outer: &RwSem) -> WriteGuard<'_> {
        // SAFETY: By invariant (1) of both semaphores.
        unsafe { ffi::shadow_rmap_down_write_nest_lock(self.sem.get(), outer.sem.get()) };
        // INVARIANT: The hold was taken just now.
        WriteGuard(self, NotThreadSafe)
    }

    /// `rwsem_is_locked()`: returns whether any thread holds it at this instant. Orders nothing
    /// (`tools/litmus/R17+free-after-if.litmus`). Any context.
    #[inline]
    pub(crate) fn is_locked(&self) -> bool {
        #[cfg(CONFIG_PREEMPT_RT)]
        // SAFETY: By invariant (1).
        let locked = unsafe { ffi::shadow_rmap_rwsem_is_locked(self.sem.get()) != 0 };
        #[cfg(not(CONFIG_PREEMPT_RT))]
        // SAFETY: By invariant (1). One word, read once, as by `READ_ONCE()`: a call costs more.
        let locked = unsafe { (&raw const (*self.sem.get()).count.counter).read_volatile() != 0 };
        locked
    }

    /// `lockdep_is_held()`: whether this thread holds it, as far as lockdep knows; `true` without
    /// lockdep. Any context.
    pub(crate) fn is_held(&self) -> bool {
        // SAFETY: By invariant (1).
        unsafe { ffi::shadow_rmap_rwsem_is_held(self.sem.get()) }
    }

    /// Tells lockdep and the kernel that a read hold has ended, without touching the semaphore,
    /// whose memory may have been freed.
    ///
    /// # Safety
    ///
    /// `sem` comes from [`ReadGuard::into_raw`], once, on this thread; its memory may be freed, but
    /// not unmapped.
    pub(crate) unsafe fn abandon(sem: NonNull<Self>) {
        // SAFETY: This thread took the hold; the memory is mapped, and its content is not used.
        unsafe { ffi::shadow_rmap_rwsem_abandon(sem.as_ptr().cast()) };
    }

    /// Returns the C object.
    pub(crate) fn as_ptr(&self) -> *mut ffi::rw_semaphore {
        self.sem.get()
    }
}

/// A read hold of a semaphore.
///
/// # Invariants
///
/// This guard owns one read hold of the semaphore.
#[must_use = "the semaphore is released when the guard is dropped"]
pub(crate) struct ReadGuard<'a>(&'a RwSem, NotThreadSafe);

impl ReadGuard<'_> {
    /// Gives up the guard, and keeps the hold.
    ///
    /// This is for holds that live longer than the borrow of the semaphore.
    pub(crate) fn into_raw(self) -> NonNull<RwSem> {
        NonNull::from(core::mem::ManuallyDrop::new(self).0)
    }

    /// Creates the guard of a hold again after [`into_raw`](Self::into_raw).
    ///
    /// # Safety
    ///
    /// `sem` comes from `into_raw`, once, on this thread, and is valid for `'a`.
    pub(crate) unsafe fn from_raw<'a>(sem: NonNull<RwSem>) -> ReadGuard<'a> {
        // SAFETY: The caller's promise.
        // INVARIANT: The guard takes the hold over from the caller.
        ReadGuard(unsafe { sem.as_ref() }, NotThreadSafe)
    }
}

impl Drop for ReadGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant the guard owns a read hold.
        unsafe { ffi::up_read(self.0.sem.get()) }
    }
}

/// The write hold of a semaphore.
///
/// # Invariants
///
/// This guard owns the write hold of the semaphore.
#[must_use = "the semaphore is released when the guard is dropped"]
pub(crate) struct WriteGuard<'a>(&'a RwSem, NotThreadSafe);

impl<'a> WriteGuard<'a> {
    /// Makes the guard of a hold that the caller owns.
    ///
    /// # Safety
    ///
    /// The caller hands its hold over, or never drops the guard.
    pub(crate) unsafe fn assume(sem: &'a RwSem) -> Self {
        // INVARIANT: The caller's promise.
        Self(sem, NotThreadSafe)
    }
}

impl Drop for WriteGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant the guard owns the write hold.
        unsafe { ffi::up_write(self.0.sem.get()) }
    }
}

#[cfg(shadow_rmap_kunit)]
#[kunit_tests(shadow_rmap_rwsem)]
mod tests {
    use super::*;
    use kernel::sync::Arc;

    #[pin_data]
    struct Locked {
        #[pin]
        sem: RwSem,
    }

    /// Readers share, a writer excludes readers, and dropping a guard releases the hold.
    #[test]
    fn guards_exclude_and_release() -> Result {
        let locked = Arc::pin_init(pin_init!(Locked { sem <- new_rwsem!(c"test") }), GFP_KERNEL)?;
        let idle = locked.sem.is_locked();
        let reader = locked.sem.try_read();
        let second = locked.sem.try_read();
        let both = reader.is_some() && second.is_some() && locked.sem.is_locked();
        drop((reader, second));
        let released = locked.sem.is_locked();
        let writer = locked.sem.write();
        let shut_out = locked.sem.try_read().is_none();
        drop(writer);
        let open = locked.sem.try_read().is_some();

        assert!(!idle && both && !released && shut_out && open);
        Ok(())
    }

    /// A hold outlives its guard, and can be released through a raw pointer.
    #[test]
    fn a_detached_hold_is_kept() -> Result {
        let locked = Arc::pin_init(pin_init!(Locked { sem <- new_rwsem!(c"test") }), GFP_KERNEL)?;
        let raw = locked.sem.read().into_raw();
        let kept = locked.sem.is_locked();
        // SAFETY: From `into_raw` just above, on this thread; `locked` is alive.
        drop(unsafe { ReadGuard::from_raw(raw) });

        assert!(kept && !locked.sem.is_locked());
        Ok(())
    }
}

// SPDX-License-Identifier: GPL-2.0

//! The lock of a family, of either of two kinds: one that spins, and one that sleeps.
//!
//! From 2004 to 2010 the lock was a spinlock ([`Spin`]), since 2011 whoever takes it may sleep
//! ([`RwSem`]).  What differs for those who find it through a page is how they wait, and for how
//! long they stay in their RCU read section; both are said here, and the reverse map is written
//! once for either.

#![allow(unsafe_code, reason = "a room of the design: wraps a C type")]

use super::{
    nested::{
        new_nested_spinlock,
        NestedGuard,
        NestedSpinLock, //
    },
    rwsem::{
        new_rwsem,
        ReadGuard,
        RwSem,
        WriteGuard, //
    },
};
use core::ptr::NonNull;
use kernel::{
    prelude::*,
    sync::rcu, //
};

/// A family's lock.
///
/// # Safety
///
/// [`read`](Self::read) and [`try_read`](Self::try_read) exclude [`write`](Self::write), and writers
/// exclude each other, until what they return is dropped or, after [`detach`](Self::detach),
/// [`release`](Self::release)d.
pub(crate) unsafe trait FamilyLock: Sized + Send + Sync + 'static {
    /// Held for reading.
    type Read<'a>
    where
        Self: 'a;

    /// Held for writing.
    type Write<'a>
    where
        Self: 'a;

    /// What a lookup keeps of its RCU read section until it has unlocked (R9).
    type Kept;

    /// Whether who waits for it may sleep, so that nobody may wait in an RCU read section (R10).
    const SLEEPS: bool;

    /// A lock that is not held.
    fn new() -> impl PinInit<Self>;

    /// Takes it for reading.  Spins or sleeps.
    fn read(&self) -> Self::Read<'_>;

    /// Takes it for reading where that can be done without sleeping.  Any context but interrupts.
    fn try_read(&self) -> Option<Self::Read<'_>>;

    /// Takes it for writing.  Spins or sleeps.
    fn write(&self) -> Self::Write<'_>;

    /// Takes it for writing, as one of many that are all taken under `outer`, which the caller holds
    /// for writing.  Spins or sleeps.
    fn write_under(&self, outer: &RwSem) -> Self::Write<'_>;

    /// Whether anybody holds it, at this instant.
    fn is_locked(&self) -> bool;

    /// Gives up the guard, but not the hold: for holds that outlive what proved the lock valid when
    /// it was taken.
    fn detach(hold: Self::Read<'_>) -> NonNull<Self>;

    /// Releases what [`detach`](Self::detach) kept.
    ///
    /// # Safety
    ///
    /// `lock` comes from `detach`, once, on this thread, and is valid.
    unsafe fn release(lock: NonNull<Self>);

    /// What is to be kept of `rcu` while the lock is held.
    fn keep(rcu: rcu::Guard) -> Self::Kept;
}

// SAFETY: A read-write semaphore.
unsafe impl FamilyLock for RwSem {
    type Read<'a> = ReadGuard<'a>;
    type Write<'a> = WriteGuard<'a>;
    type Kept = ();

    const SLEEPS: bool = true;

    fn new() -> impl PinInit<Self> {
        new_rwsem!(c"shadow_rmap::anon_vma::rwsem")
    }

    #[inline]
    fn read(&self) -> ReadGuard<'_> {
        RwSem::read(self)
    }

    #[inline]
    fn try_read(&self) -> Option<ReadGuard<'_>> {
        RwSem::try_read(self)
    }

    #[inline]
    fn write(&self) -> WriteGuard<'_> {
        RwSem::write(self)
    }

    fn write_under(&self, outer: &RwSem) -> WriteGuard<'_> {
        RwSem::write_under(self, outer)
    }

    #[inline]
    fn is_locked(&self) -> bool {
        RwSem::is_locked(self)
    }

    #[inline]
    fn detach(hold: ReadGuard<'_>) -> NonNull<Self> {
        hold.into_raw()
    }

    /// # Safety
    ///
    /// As the trait says.
    #[inline]
    unsafe fn release(lock: NonNull<Self>) {
        // SAFETY: The caller's promise.
        drop(unsafe { ReadGuard::from_raw(lock) });
    }

    #[inline]
    fn keep(rcu: rcu::Guard) {
        // A holder of the semaphore may sleep, so RCU is left; what it protected is protected by
        // the lock from here on.
        drop(rcu);
    }
}

/// A spinlock: readers exclude each other as well.
pub(crate) type Spin = NestedSpinLock<()>;

// SAFETY: A spinlock.
unsafe impl FamilyLock for Spin {
    type Read<'a> = NestedGuard<'a, ()>;
    type Write<'a> = NestedGuard<'a, ()>;
    type Kept = rcu::Guard;

    const SLEEPS: bool = false;

    fn new() -> impl PinInit<Self> {
        new_nested_spinlock!((), c"shadow_rmap::anon_vma::lock")
    }

    #[inline]
    fn read(&self) -> NestedGuard<'_, ()> {
        self.lock()
    }

    /// Always has it in the end: who holds it does not sleep.
    #[inline]
    fn try_read(&self) -> Option<NestedGuard<'_, ()>> {
        Some(self.lock())
    }

    #[inline]
    fn write(&self) -> NestedGuard<'_, ()> {
        self.lock()
    }

    fn write_under(&self, outer: &RwSem) -> NestedGuard<'_, ()> {
        self.lock_under(outer)
    }

    fn is_locked(&self) -> bool {
        self.try_lock().is_none()
    }

    #[inline]
    fn detach(hold: NestedGuard<'_, ()>) -> NonNull<Self> {
        hold.into_raw()
    }

    /// # Safety
    ///
    /// As the trait says.
    #[inline]
    unsafe fn release(lock: NonNull<Self>) {
        // SAFETY: The caller's promise.
        drop(unsafe { NestedGuard::from_raw(lock) });
    }

    #[inline]
    fn keep(rcu: rcu::Guard) -> rcu::Guard {
        rcu
    }
}

#[kunit_tests(shadow_rmap_lock)]
mod tests {
    use super::*;
    use kernel::sync::Arc;

    /// A hold outlives its guard, is seen, and is gone when it is released.
    #[test]
    fn a_detached_hold_is_kept() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let held = Arc::pin_init(pin_init!(Held { lock <- L::new() }), GFP_KERNEL)?;
            let idle = held.lock.is_locked();
            let raw = L::detach(held.lock.read());
            let kept = held.lock.is_locked();
            // SAFETY: From `detach` just above, on this thread; `held` is alive.
            unsafe { L::release(raw) };
            let released = !held.lock.is_locked();
            drop(held.lock.write());
            let tried = held.lock.try_read().is_some();

            assert!(!idle && kept && released && tried && !held.lock.is_locked());
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    #[pin_data]
    struct Held<L: FamilyLock> {
        #[pin]
        lock: L,
    }
}

// SPDX-License-Identifier: GPL-2.0

//! The lock of a family: a spinning one or a sleeping one.
//!
//! From 2004 to 2010 the kernel's lock was a spinlock ([`Spin`]); since 2011 it is a read-write
//! semaphore ([`RwSem`]). A lookup through a page differs in two ways: how it waits, and how long
//! it stays in its RCU read section. [`FamilyLock`] says both, so that the reverse map is written
//! once.

#![allow(unsafe_code, reason = "releases holds by raw pointer")]

use crate::kernel_ext::{
    rwsem::{
        new_rwsem,
        ReadGuard,
        RwSem,
        WriteGuard, //
    },
    spinlock::{
        new_spinlock,
        SpinLock,
        SpinLockGuard, //
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
/// [`read`](Self::read), [`try_read`](Self::try_read) and [`try_read_now`](Self::try_read_now) exclude
/// [`write`](Self::write) and [`write_under`](Self::write_under), and writers exclude each other, until
/// what they return is dropped or, after [`detach`](Self::detach), [`release`](Self::release)d. As long
/// as that lasts, [`is_locked`](Self::is_locked) is `true`: a free waits for it (R17). If the lock does
/// not [sleep](Self::SLEEPS), a free does not wait, and [`keep`](Self::keep) keeps the guard that it is
/// given (R9).
pub(crate) unsafe trait FamilyLock: Sized + Send + Sync + 'static {
    /// Held for reading.
    type Read<'a>
    where
        Self: 'a;

    /// Held for writing.
    type Write<'a>
    where
        Self: 'a;

    /// What a reader keeps of its RCU read section until it has unlocked (R9).
    type Kept;

    /// Whether a thread that waits for it may sleep, and so must not wait in an RCU read section
    /// (R10).
    const SLEEPS: bool;

    /// Makes a lock that is not held.
    fn new() -> impl PinInit<Self>;

    /// Takes it for reading. Spins or sleeps.
    fn read(&self) -> Self::Read<'_>;

    /// Takes it for reading if that is possible without sleeping. Any context but interrupts.
    fn try_read(&self) -> Option<Self::Read<'_>>;

    /// Takes it for reading if it is free at this instant. Any context but interrupts.
    fn try_read_now(&self) -> Option<Self::Read<'_>>;

    /// Takes it for writing. Spins or sleeps.
    fn write(&self) -> Self::Write<'_>;

    /// Takes it for writing, as one of many that are all taken under `outer`, which the caller
    /// holds for writing. Spins or sleeps.
    fn write_under(&self, outer: &RwSem) -> Self::Write<'_>;

    /// Returns whether some thread holds it at this instant.
    fn is_locked(&self) -> bool;

    /// Returns whether this thread holds it, as far as lockdep knows; `true` without lockdep.
    fn is_held(&self) -> bool;

    /// Makes the guard of a write hold without taking the lock.
    ///
    /// # Safety
    ///
    /// The caller owns a write hold, and hands it over; or it never drops what is returned, and
    /// handles it that the lock is not held.
    unsafe fn assume_write(&self) -> Self::Write<'_>;

    /// Gives up the guard, but not the hold: for holds that outlive the reference to the lock.
    fn detach(hold: Self::Read<'_>) -> NonNull<Self>;

    /// Releases what [`detach`](Self::detach) kept.
    ///
    /// # Safety
    ///
    /// `lock` comes from `detach`, once, on this thread, and is valid.
    unsafe fn release(lock: NonNull<Self>);

    /// Forgets what [`detach`](Self::detach) kept, without touching memory that is no lock any
    /// more.
    ///
    /// # Safety
    ///
    /// `lock` comes from `detach`, once, on this thread; its memory may hold anything.
    unsafe fn abandon(lock: NonNull<Self>);

    /// Returns what is to be kept of `rcu` while the lock is held. `None` is for readers that have
    /// another reference on what they lock.
    fn keep(rcu: Option<rcu::Guard>) -> Self::Kept;

    /// Returns whether RCU is kept.
    fn keeps_rcu(kept: &Self::Kept) -> bool;
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

    fn try_read_now(&self) -> Option<ReadGuard<'_>> {
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

    fn is_held(&self) -> bool {
        RwSem::is_held(self)
    }

    /// # Safety
    ///
    /// As the trait says.
    unsafe fn assume_write(&self) -> WriteGuard<'_> {
        // SAFETY: The caller's promise.
        unsafe { WriteGuard::assume(self) }
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

    /// # Safety
    ///
    /// As the trait says.
    unsafe fn abandon(lock: NonNull<Self>) {
        // SAFETY: The caller's promise.
        unsafe { RwSem::abandon(lock) }
    }

    #[inline]
    fn keep(rcu: Option<rcu::Guard>) {
        // A holder of the semaphore may sleep, so RCU is left. From here on the lock protects what
        // RCU has protected.
        drop(rcu);
    }

    #[inline]
    fn keeps_rcu(_kept: &()) -> bool {
        false
    }
}

/// A spinlock: readers exclude each other as well.
pub(crate) type Spin = SpinLock<()>;

// SAFETY: A spinlock.
unsafe impl FamilyLock for Spin {
    type Read<'a> = SpinLockGuard<'a, ()>;
    type Write<'a> = SpinLockGuard<'a, ()>;
    type Kept = Option<rcu::Guard>;

    const SLEEPS: bool = false;

    fn new() -> impl PinInit<Self> {
        new_spinlock!((), c"shadow_rmap::anon_vma::lock")
    }

    #[inline]
    fn read(&self) -> SpinLockGuard<'_, ()> {
        self.lock()
    }

    /// Never fails: the holder does not sleep, so the lock is waited for.
    #[inline]
    fn try_read(&self) -> Option<SpinLockGuard<'_, ()>> {
        Some(self.lock())
    }

    fn try_read_now(&self) -> Option<SpinLockGuard<'_, ()>> {
        self.try_lock()
    }

    #[inline]
    fn write(&self) -> SpinLockGuard<'_, ()> {
        self.lock()
    }

    fn write_under(&self, outer: &RwSem) -> SpinLockGuard<'_, ()> {
        self.lock_under(outer)
    }

    fn is_locked(&self) -> bool {
        self.try_lock().is_none()
    }

    fn is_held(&self) -> bool {
        SpinLock::is_held(self)
    }

    /// # Safety
    ///
    /// As the trait says.
    unsafe fn assume_write(&self) -> SpinLockGuard<'_, ()> {
        // SAFETY: The caller's promise.
        unsafe { SpinLockGuard::from_raw(NonNull::from(self)) }
    }

    #[inline]
    fn detach(hold: SpinLockGuard<'_, ()>) -> NonNull<Self> {
        hold.into_raw()
    }

    /// # Safety
    ///
    /// As the trait says.
    #[inline]
    unsafe fn release(lock: NonNull<Self>) {
        // SAFETY: The caller's promise.
        drop(unsafe { SpinLockGuard::from_raw(lock) });
    }

    /// # Safety
    ///
    /// As the trait says.
    unsafe fn abandon(lock: NonNull<Self>) {
        // SAFETY: The caller's promise.
        unsafe { SpinLock::abandon(lock) }
    }

    #[inline]
    fn keep(rcu: Option<rcu::Guard>) -> Option<rcu::Guard> {
        rcu
    }

    #[inline]
    fn keeps_rcu(kept: &Option<rcu::Guard>) -> bool {
        kept.is_some()
    }
}

#[cfg(shadow_rmap_kunit)]
#[path = "tests/lock.rs"]
mod tests;

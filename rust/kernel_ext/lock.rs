// SPDX-License-Identifier: GPL-2.0

//! The lock of a family, of either of two kinds: one that spins, and one that sleeps.
//!
//! From 2004 to 2010 the lock was a spinlock ([`Spin`]), since 2011 whoever takes it may sleep
//! ([`RwSem`]).  What differs for those who find it through a page is how they wait, and for how
//! long they stay in their RCU read section; both are said here, and the reverse map is written
//! once for either.
//!
//! A third, `Preemptible`, is for tests and torture: a spinlock that does without what a spinlock
//! does besides.

#![allow(unsafe_code, reason = "a room of the design: wraps a C type")]

use super::{
    rwsem::{
        new_rwsem,
        ReadGuard,
        RwSem,
        WriteGuard, //
    },
    spinlock::{
        new_spinlock,
        SpinLock, //
        SpinLockGuard,
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

    /// Takes it for reading where nobody else has it: for deliberate bugs, which may find anything
    /// in its place.  Any context but interrupts.
    fn try_read_at_once(&self) -> Option<Self::Read<'_>>;

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

    /// Forgets what [`detach`](Self::detach) kept, of a lock whose memory is somebody else's by now:
    /// as far as this thread is concerned it holds nothing.  For what deliberate bugs leave behind.
    ///
    /// # Safety
    ///
    /// `lock` comes from `detach`, once, on this thread; its memory may be anything.
    unsafe fn abandon(lock: NonNull<Self>);

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
    fn try_read_at_once(&self) -> Option<ReadGuard<'_>> {
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

    /// # Safety
    ///
    /// As the trait says.
    unsafe fn abandon(lock: NonNull<Self>) {
        // SAFETY: The caller's promise.
        unsafe { RwSem::abandon(lock) }
    }

    #[inline]
    fn keep(rcu: rcu::Guard) {
        // A holder of the semaphore may sleep, so RCU is left; what it protected is protected by
        // the lock from here on.
        drop(rcu);
    }
}

/// A spinlock: readers exclude each other as well.
pub(crate) type Spin = SpinLock<()>;

// SAFETY: A spinlock.
unsafe impl FamilyLock for Spin {
    type Read<'a> = SpinLockGuard<'a, ()>;
    type Write<'a> = SpinLockGuard<'a, ()>;
    type Kept = rcu::Guard;

    const SLEEPS: bool = false;

    fn new() -> impl PinInit<Self> {
        new_spinlock!((), c"shadow_rmap::anon_vma::lock")
    }

    #[inline]
    fn read(&self) -> SpinLockGuard<'_, ()> {
        self.lock()
    }

    /// Always has it in the end: who holds it does not sleep.
    #[inline]
    fn try_read(&self) -> Option<SpinLockGuard<'_, ()>> {
        Some(self.lock())
    }

    #[inline]
    fn try_read_at_once(&self) -> Option<SpinLockGuard<'_, ()>> {
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
    fn keep(rcu: rcu::Guard) -> rcu::Guard {
        rcu
    }
}

#[cfg(any(shadow_rmap_kunit, shadow_rmap_torture))]
pub(crate) use preemptible::Preemptible;

#[cfg(any(shadow_rmap_kunit, shadow_rmap_torture))]
mod preemptible {
    use super::*;
    use crate::ffi;
    use core::{
        hint::spin_loop,
        mem::ManuallyDrop, //
    };
    use kernel::{
        sync::atomic::{
            Acquire,
            Atomic,
            Relaxed,
            Release, //
        },
        types::NotThreadSafe, //
    };

    /// A spinlock whose holder may be preempted: readers exclude each other, whoever waits for it
    /// spins, and that is all.
    ///
    /// A spinlock disables preemption, and a thread that cannot be preempted is an RCU reader, by
    /// accident or, since 5.0, by definition.  So with a spinlock, RCU that is left too early (R9) is
    /// not left at all.  That was noticed in 2007 for RCU whose readers are preempted, and holds on
    /// `PREEMPT_RT`, where the holder of a spinlock is preempted.  This lock shows it everywhere.
    ///
    /// Lockdep does not know it.  Under a kernel that does not preempt, nobody may sleep with it.
    ///
    /// # Invariants
    ///
    /// 1. The word is [`HELD`] while somebody owns the hold, and otherwise [`FREE`].
    pub(crate) struct Preemptible(Atomic<i32>);

    const FREE: i32 = 0;
    const HELD: i32 = 1;

    /// How often who waits looks before it lets others run.
    const LOOKS: usize = 100;

    impl Preemptible {
        fn lock(&self) -> PreemptibleGuard<'_> {
            loop {
                if let Some(guard) = self.try_lock() {
                    return guard;
                }
                self.wait();
            }
        }

        fn try_lock(&self) -> Option<PreemptibleGuard<'_>> {
            // Whoever locks sees what was done before the lock was released.
            if self.0.cmpxchg(FREE, HELD, Acquire).is_err() {
                return None;
            }
            // INVARIANT: Just taken.
            Some(PreemptibleGuard(self, NotThreadSafe))
        }

        /// Waits until it is free, at some instant.
        fn wait(&self) {
            for looks in 1.. {
                if !self.is_locked() {
                    return;
                }
                if looks % LOOKS == 0 {
                    // The holder may be waiting for our CPU.  To be preempted is no sleep: it may
                    // happen to an RCU reader.
                    // SAFETY: What an interrupt may do anywhere.
                    unsafe { ffi::shadow_rmap_preempt_here() };
                }
                spin_loop();
            }
        }

        fn unlock(&self) {
            // INVARIANT: (1) Who owned the hold owns it no more.
            self.0.store(FREE, Release);
        }
    }

    /// The lock is held.
    ///
    /// # Invariants
    ///
    /// This guard owns the hold.
    #[must_use = "the lock is released when the guard is dropped"]
    pub(crate) struct PreemptibleGuard<'a>(&'a Preemptible, NotThreadSafe);

    impl Drop for PreemptibleGuard<'_> {
        fn drop(&mut self) {
            self.0.unlock();
        }
    }

    // SAFETY: One at a time finds the word free and makes it held.
    unsafe impl FamilyLock for Preemptible {
        type Read<'a> = PreemptibleGuard<'a>;
        type Write<'a> = PreemptibleGuard<'a>;
        type Kept = rcu::Guard;

        const SLEEPS: bool = false;

        fn new() -> impl PinInit<Self> {
            // INVARIANT: (1) Nobody holds it.
            Self(Atomic::new(FREE))
        }

        fn read(&self) -> PreemptibleGuard<'_> {
            self.lock()
        }

        /// Always has it in the end, as that of [`Spin`].
        fn try_read(&self) -> Option<PreemptibleGuard<'_>> {
            Some(self.lock())
        }

        fn try_read_at_once(&self) -> Option<PreemptibleGuard<'_>> {
            self.try_lock()
        }

        fn write(&self) -> PreemptibleGuard<'_> {
            self.lock()
        }

        fn write_under(&self, _outer: &RwSem) -> PreemptibleGuard<'_> {
            self.lock()
        }

        fn is_locked(&self) -> bool {
            self.0.load(Relaxed) != FREE
        }

        fn detach(hold: PreemptibleGuard<'_>) -> NonNull<Self> {
            NonNull::from(ManuallyDrop::new(hold).0)
        }

        /// # Safety
        ///
        /// As the trait says.
        unsafe fn release(lock: NonNull<Self>) {
            // SAFETY: The caller's promise.
            unsafe { lock.as_ref() }.unlock();
        }

        /// # Safety
        ///
        /// As the trait says.
        unsafe fn abandon(_lock: NonNull<Self>) {
            // There is nothing to it but the word.
        }

        fn keep(rcu: rcu::Guard) -> rcu::Guard {
            rcu
        }
    }
}

#[cfg(shadow_rmap_kunit)]
#[path = "tests/lock.rs"]
mod tests;

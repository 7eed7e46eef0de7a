// SPDX-License-Identifier: GPL-2.0

//! A spinlock whose holder may be preempted, for a family's lock in tests and tortures.

#![allow(unsafe_code, reason = "implements a lock")]

use crate::{
    kernel_ext::{
        rwsem::RwSem,
        sched::preempt_here, //
    },
    rmap::lock::FamilyLock,
};
use core::{
    hint::spin_loop,
    mem::ManuallyDrop,
    ptr::NonNull, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Relaxed,
            Release, //
        },
        rcu, //
    },
    types::NotThreadSafe, //
};

/// A spinlock whose holder may be preempted. Readers exclude each other as well.
///
/// An ordinary spinlock disables preemption, and a thread that cannot be preempted is an RCU
/// reader: since 5.0 by definition, before that in effect. So with an ordinary spinlock a lookup
/// that leaves RCU too early (R9) is still protected. It was not with the preemptible RCU of 2007.
/// On `PREEMPT_RT` the holder of a spinlock is preempted, but is an RCU reader: `rt_spin_unlock()`
/// leaves RCU last. With this lock the lookup is not protected on any kernel.
///
/// Lockdep does not know this lock. Under a kernel without preemption its holder must not sleep.
///
/// # Invariants
///
/// 1. The word is [`HELD`] while a thread owns the hold, and otherwise [`FREE`].
pub(crate) struct Preemptible(Atomic<i32>);

const FREE: i32 = 0;
const HELD: i32 = 1;

/// The number of looks of a waiting thread before it lets others run.
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
        // Pairs with the release in `unlock`.
        if self.0.cmpxchg(FREE, HELD, Acquire).is_err() {
            return None;
        }
        // INVARIANT: Just taken.
        Some(PreemptibleGuard(self, NotThreadSafe))
    }

    /// Waits until the lock was free at some instant.
    fn wait(&self) {
        for looks in 1.. {
            if !self.is_locked() {
                return;
            }
            if looks % LOOKS == 0 {
                // The holder may be waiting for this CPU. A preemption is no sleep: it may happen
                // to an RCU reader.
                preempt_here();
            }
            spin_loop();
        }
    }

    fn unlock(&self) {
        // INVARIANT: (1) The hold has ended.
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
    type Kept = Option<rcu::Guard>;

    const SLEEPS: bool = false;

    fn new() -> impl PinInit<Self> {
        // INVARIANT: (1) Not held.
        Self(Atomic::new(FREE))
    }

    fn read(&self) -> PreemptibleGuard<'_> {
        self.lock()
    }

    /// Never fails: the lock is waited for.
    fn try_read(&self) -> Option<PreemptibleGuard<'_>> {
        Some(self.lock())
    }

    fn try_read_now(&self) -> Option<PreemptibleGuard<'_>> {
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

    fn is_held(&self) -> bool {
        // Lockdep does not know it.
        true
    }

    /// # Safety
    ///
    /// As the trait says.
    unsafe fn assume_write(&self) -> PreemptibleGuard<'_> {
        // INVARIANT: The caller's promise.
        PreemptibleGuard(self, NotThreadSafe)
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
        // Nothing but the word in that memory says that it is held.
    }

    fn keep(rcu: Option<rcu::Guard>) -> Option<rcu::Guard> {
        rcu
    }

    fn keeps_rcu(kept: &Option<rcu::Guard>) -> bool {
        kept.is_some()
    }
}

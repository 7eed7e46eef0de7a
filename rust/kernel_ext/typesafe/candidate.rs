// SPDX-License-Identifier: GPL-2.0

//! From an anchor to a pinned or locked object: the three steps of a lookup.

#![allow(unsafe_code, reason = "memory that may be free")]

use super::{
    Anchor,
    Lockable,
    Pinnable,
    Pinned, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    prelude::*,
    sync::rcu, //
};

/// An object that was good a moment ago, in an RCU read section. It may be free by now, or another
/// object of the same type.
///
/// # Invariants
///
/// 1. The object was allocated at some instant after `rcu` was taken: until `rcu` is left, its
///    memory stays an object of its type.
#[must_use = "a candidate must be pinned or locked, and then confirmed"]
pub(crate) struct Candidate<'a, A: Anchor> {
    anchor: &'a A,
    object: NonNull<A::Target>,
    rcu: rcu::Guard,
}

impl<'a, A: Anchor> Candidate<'a, A> {
    /// Follows the pointer of `anchor`, if there is one and the anchor says that it is good.
    ///
    /// Any context; the candidate holds RCU.
    #[inline]
    pub(crate) fn find(anchor: &'a A) -> Option<Self> {
        let rcu = rcu::read_lock();
        let object = anchor.load()?;
        if !anchor.revalidate() {
            return None;
        }
        // INVARIANT: (1) is what an anchor promises.
        Some(Self {
            anchor,
            object,
            rcu,
        })
    }

    /// Makes a candidate of what [`find`](Self::find) would have found.
    ///
    /// # Safety
    ///
    /// Invariant (1) holds.
    pub(crate) unsafe fn from_raw_parts(
        anchor: &'a A,
        object: NonNull<A::Target>,
        rcu: rcu::Guard,
    ) -> Self {
        // INVARIANT: (1) The caller's promise.
        Self {
            anchor,
            object,
            rcu,
        }
    }

    /// Takes the candidate apart. The object is good for no longer than the guard is kept.
    #[inline]
    pub(crate) fn into_raw_parts(self) -> (&'a A, NonNull<A::Target>, rcu::Guard) {
        (self.anchor, self.object, self.rcu)
    }

    /// Returns where the object is. Until RCU is left an object of the type is there.
    #[inline]
    pub(crate) fn as_ptr(&self) -> NonNull<A::Target> {
        self.object
    }

    /// Returns the object, in whatever state it is by now.
    #[inline]
    pub(super) fn object(&self) -> &A::Target {
        // SAFETY: By invariant (1) the memory is a `Target` for as long as `self` holds RCU, and a
        // `Target` may be shared at any time.
        unsafe { self.object.as_ref() }
    }

    /// Takes a reference. If the object has none left, the candidate is lost.
    pub(crate) fn try_pin(self) -> Option<PinnedCandidate<'a, A>>
    where
        A::Target: Pinnable,
    {
        // Not `then_some()`: its argument would be dropped, and so put, also where none was taken.
        if !self.object().try_get() {
            return None;
        }
        Some(PinnedCandidate {
            // INVARIANT: Just taken.
            pin: Pinned(self.object, PhantomData),
            candidate: self,
        })
    }

    /// Tries to take the lock that the object leads to.
    ///
    /// # Errors
    ///
    /// Hands the candidate back if the lock is not free.
    #[inline]
    pub(crate) fn try_lock(self) -> Result<LockedCandidate<'a, A>, Self>
    where
        A::Target: Lockable,
    {
        // SAFETY: By invariant (1) until RCU is left, which `LockedCandidate` does after it has
        // released the lock, or once it has confirmed it.
        match unsafe { self.object().try_lock() } {
            Some(lock) => Ok(LockedCandidate {
                lock,
                candidate: self,
            }),
            None => Err(self),
        }
    }
}

/// A pinned object that may be the wrong one.
///
/// The order of the fields matters: RCU is left before the reference is dropped.
#[must_use = "the object may be another one: confirm it"]
pub(crate) struct PinnedCandidate<'a, A: Anchor>
where
    A::Target: Pinnable,
{
    candidate: Candidate<'a, A>,
    pin: Pinned<A::Target>,
}

impl<'a, A: Anchor> PinnedCandidate<'a, A>
where
    A::Target: Pinnable,
{
    /// Asks the anchor again, and leaves RCU. May sleep once RCU is left.
    pub(crate) fn confirm(self) -> Option<Pinned<A::Target>> {
        let Self { candidate, pin } = self;
        let good = candidate.anchor.revalidate();
        drop(candidate);
        good.then_some(pin)
    }

    /// Takes it apart without asking the anchor.
    ///
    /// # Safety
    ///
    /// The caller handles a reference on an object that is not the anchor's.
    pub(crate) unsafe fn into_raw_parts(self) -> (Candidate<'a, A>, Pinned<A::Target>) {
        (self.candidate, self.pin)
    }
}

/// The lock of the object that an anchor leads to.
pub(crate) type LockOf<A> = <<A as Anchor>::Target as Lockable>::Lock;

/// A lock that may be the wrong one.
///
/// The order of the fields matters: the lock is released before RCU is left.
#[must_use = "the lock may be another one: confirm it"]
pub(crate) struct LockedCandidate<'a, A: Anchor>
where
    A::Target: Lockable,
{
    lock: LockOf<A>,
    candidate: Candidate<'a, A>,
}

impl<'a, A: Anchor> LockedCandidate<'a, A>
where
    A::Target: Lockable,
{
    /// Asks the anchor again.
    ///
    /// Returns the lock; the object, which is the anchor's for as long as the lock keeps it so; and
    /// the RCU read section, which the caller leaves or keeps.
    #[inline]
    pub(crate) fn confirm(self) -> Option<(LockOf<A>, NonNull<A::Target>, rcu::Guard)> {
        if !self.candidate.anchor.revalidate() {
            return None;
        }
        let (_, object, rcu) = self.candidate.into_raw_parts();
        Some((self.lock, object, rcu))
    }

    /// Takes it apart without asking the anchor.
    ///
    /// # Safety
    ///
    /// The caller handles a lock that is not that of the anchor's object, and releases it before it
    /// drops the candidate.
    pub(crate) unsafe fn into_raw_parts(self) -> (LockOf<A>, Candidate<'a, A>) {
        (self.lock, self.candidate)
    }
}

#[cfg(shadow_rmap_kunit)]
#[path = "../tests/candidate.rs"]
mod tests;

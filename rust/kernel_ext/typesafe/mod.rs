// SPDX-License-Identifier: GPL-2.0

//! `SLAB_TYPESAFE_BY_RCU` caches, and the lookup they are made for.
//!
//! C header: [`include/linux/slab.h`](srctree/include/linux/slab.h)
//!
//! # The idea
//!
//! Some objects are reached through a pointer that does not keep them: a page stores the address of
//! its anon_vma, but holds no reference on it. If the memory of a freed object could become
//! anything, a reader could not even take the object's lock to find out. A type-safe cache promises
//! this much: *until the RCU read section ends, the memory stays an object of this type*. The
//! object may be freed, and allocated again, at any moment. But its lock stays a lock and its
//! counter a counter. That suffices to pin or to lock it, and then to ask the place that the
//! pointer came from whether it is still the right object.
//!
//! In C these three steps are discipline. Here each is a type, and a step that is left out does not
//! compile:
//!
//! ```text
//!  Anchor  --Candidate::find()-->  Candidate     RCU is held; may be free, may be recycled
//!                                     |
//!                    try_pin()  ------+------  try_lock()
//!                       |                          |
//!                 PinnedCandidate           LockedCandidate      RCU is held; not confirmed
//!                       |                          |
//!                    confirm()                 confirm()         asks the anchor again
//!                       |                          |
//!                    Pinned<T>            lock and RCU guard     RCU has been left on the left side
//! ```
//!
//! * A [`Candidate`] exists only if [`Anchor::revalidate`] agreed. Without that the memory may have
//!   been given back long before this read section.
//! * All that can be done with a candidate is [`Pinnable::try_get`] and [`Lockable::try_lock`].
//!   Both do no harm to a free or recycled object.
//! * A reference on the wrong object is dropped *after* RCU is left, because dropping the last
//!   reference may sleep. A lock of the wrong object is dropped *before* RCU is left, because its
//!   memory may be gone afterwards. Both are the order of two fields.

#![allow(unsafe_code, reason = "wraps a C type")]

mod cache;
mod candidate;

pub(crate) use cache::construct;
pub(crate) use cache::{
    TypesafeBox,
    TypesafeCache, //
};
pub(crate) use candidate::{
    Candidate,
    LockedCandidate,
    PinnedCandidate, //
};

use core::{
    marker::PhantomData,
    mem,
    ops::Deref,
    ptr::NonNull, //
};
use kernel::prelude::*;

/// An object of a type-safe cache.
///
/// # Safety
///
/// 1. All fields of a value may be used through `&Self` at any time after the constructor ran, by
///    any number of threads, also while the object is free and while it is being allocated again.
/// 2. An object is given back in a state in which a late reader does it no harm and gets none: no
///    reference can be taken, and its lock is not held for writing.
pub(crate) unsafe trait TypesafeByRcu: Sync + Sized + 'static {
    /// Makes a free object of raw memory. Runs once each time that memory joins the cache.
    fn constructor() -> impl PinInit<Self>;
}

/// A [`TypesafeByRcu`] object with a reference count.
///
/// # Safety
///
/// The object is not freed while a reference that [`try_get`](Self::try_get) took has not been
/// [`put`](Self::put).
pub(crate) unsafe trait Pinnable: TypesafeByRcu {
    /// Takes a reference unless there is none left. Any context.
    fn try_get(&self) -> bool;

    /// Drops a reference, and frees the object if it was the last.
    ///
    /// May sleep outside of RCU read sections. Implementations must not free under a reader that
    /// relies on the reference count alone.
    ///
    /// # Safety
    ///
    /// The caller owns the reference.
    unsafe fn put(this: NonNull<Self>);
}

/// A [`TypesafeByRcu`] object that leads to a lock, which keeps the right object from going away.
///
/// # Safety
///
/// [`try_lock`](Self::try_lock) takes no other lock than the one that the object leads to at that
/// moment, and keeps nothing of the object but that lock.
pub(crate) unsafe trait Lockable: TypesafeByRcu {
    /// The lock. Dropping it releases it, and is allowed in an RCU read section.
    type Lock;

    /// Tries to take the lock of an object that may be free or recycled. Does not sleep.
    ///
    /// # Safety
    ///
    /// The caller is in an RCU read section in which the object was allocated at some instant. The section
    /// lasts until the lock is released, or confirmed to keep the object.
    unsafe fn try_lock(&self) -> Option<Self::Lock>;
}

/// A place with a pointer to a type-safe object that may become stale, and with a way to tell
/// whether it has.
///
/// # Safety
///
/// If [`load`](Self::load) returned an object within an RCU read section, and
/// [`revalidate`](Self::revalidate) returns `true` later in the same section, then the object was
/// allocated at some instant since the section began.
pub(crate) unsafe trait Anchor {
    /// The type of the object.
    type Target: TypesafeByRcu;

    /// Reads the pointer, once. Any context.
    fn load(&self) -> Option<NonNull<Self::Target>>;

    /// Returns whether the pointer is good at this instant. Any context.
    fn revalidate(&self) -> bool;
}

/// A reference to a type-safe object, which keeps it from being freed.
///
/// Dropping it may sleep.
///
/// # Invariants
///
/// This value owns one reference.
pub(crate) struct Pinned<T: Pinnable>(NonNull<T>, PhantomData<T>);

// SAFETY: `T: Send` lets any thread drop the last reference, `T: Sync` lets it use the object.
unsafe impl<T: Pinnable + Send> Send for Pinned<T> {}
// SAFETY: A shared reference gives out `&T`, and `T: Sync`.
unsafe impl<T: Pinnable + Send> Sync for Pinned<T> {}

impl<T: Pinnable> Pinned<T> {
    /// Hands the reference over to the owner of the returned pointer.
    pub(crate) fn into_raw(self) -> NonNull<T> {
        mem::ManuallyDrop::new(self).0
    }

    /// Takes a reference over.
    ///
    /// # Safety
    ///
    /// The caller owns one reference, and hands it over.
    pub(crate) unsafe fn from_raw(object: NonNull<T>) -> Self {
        // INVARIANT: The caller's promise.
        Self(object, PhantomData)
    }
}

impl<T: Pinnable> Deref for Pinned<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: By the type invariant the object is allocated.
        unsafe { self.0.as_ref() }
    }
}

impl<T: Pinnable> Drop for Pinned<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the reference is ours.
        unsafe { T::put(self.0) }
    }
}

#[cfg(shadow_rmap_kunit)]
#[path = "../tests/thing.rs"]
mod thing;

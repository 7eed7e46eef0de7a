// SPDX-License-Identifier: GPL-2.0

//! `SLAB_TYPESAFE_BY_RCU` caches, and the lookup they are made for.
//!
//! C header: [`include/linux/slab.h`](srctree/include/linux/slab.h)
//!
//! # The idea
//!
//! Some objects are reached through a pointer that does not keep them: a page stores the address of
//! its anon_vma, but holds no reference on it. If the memory of a freed object could become anything,
//! a reader could not even take the object's lock to find out. A type-safe cache promises this much:
//! *until the RCU read section ends, the memory stays an object of this type*. The object may be
//! freed, and allocated again, at any moment. But its lock stays a lock and its counter a counter.
//! That suffices to pin or to lock it, and then to ask the place that the pointer came from whether
//! it is still the right object.
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
//! * All that can be done with a candidate is [`Pinnable::try_get`] and [`Lockable::try_lock`]. Both
//!   do no harm to a free or recycled object.
//! * A reference on the wrong object is dropped *after* RCU is left, because dropping the last
//!   reference may sleep. A lock of the wrong object is dropped *before* RCU is left, because its
//!   memory may be gone afterwards. Both are the order of two fields.

#![allow(unsafe_code, reason = "wraps a C type")]

use super::fail;
use crate::ffi;
use core::{
    marker::PhantomData,
    mem,
    ops::Deref,
    ptr::NonNull, //
};
use kernel::{
    error::from_err_ptr,
    prelude::*,
    sync::rcu, //
};

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
    /// The object's memory stays one of its type until the lock is released, or confirmed to keep the
    /// object.
    unsafe fn try_lock(&self) -> Option<Self::Lock>;
}

/// A `kmem_cache` of type-safe objects.
///
/// SLUB neither poisons the objects of such a cache, nor merges it with another one. Dropping the
/// cache destroys it; the kernel waits for RCU readers meanwhile. If objects are left, the kernel
/// warns, and the cache stays behind with its memory: an object never outlives its memory.
///
/// # Invariants
///
/// 1. The cache was created with `T`'s size and alignment, and with a constructor of `T` that runs
///    before an object is handed out.
pub(crate) struct TypesafeCache<T: TypesafeByRcu>(NonNull<ffi::kmem_cache>, PhantomData<T>);

// SAFETY: The slab allocator may be called from any thread.
unsafe impl<T: TypesafeByRcu> Send for TypesafeCache<T> {}
// SAFETY: As above.
unsafe impl<T: TypesafeByRcu> Sync for TypesafeCache<T> {}

/// The cache's C constructor.
///
/// # Safety
///
/// `object` is raw memory for a `T`, which stays in place.
pub(crate) unsafe extern "C" fn construct<T: TypesafeByRcu>(object: *mut c_void) {
    // SAFETY: The caller's promise; the initialiser cannot fail.
    let Ok(()) = unsafe { T::constructor().__init(object.cast::<T>()) };
}

impl<T: TypesafeByRcu> TypesafeCache<T> {
    /// Creates a cache, shown as `name` in `/proc/slabinfo`, which copies the name. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(name: &CStr) -> Result<Self> {
        const { assert!(!mem::needs_drop::<T>(), "objects are never destructed") };
        let mut args = ffi::kmem_cache_args {
            align: mem::align_of::<T>() as u32,
            ctor: Some(construct::<T>),
            ..pin_init::zeroed()
        };
        // SAFETY: Name and `args` live for the call; the constructor fits size and alignment.
        let cache = from_err_ptr(unsafe {
            ffi::__kmem_cache_create_args(
                name.as_char_ptr(),
                mem::size_of::<T>() as u32,
                &mut args,
                ffi::SR_SLAB_TYPESAFE_BY_RCU | ffi::SR_SLAB_ACCOUNT,
            )
        })?;
        let cache = NonNull::new(cache).ok_or(ENOMEM)?;
        // INVARIANT: (1) Just created.
        Ok(Self(cache, PhantomData))
    }

    /// Takes over a cache that was created in another way.
    ///
    /// # Safety
    ///
    /// Invariant (1) holds, and `cache` is the caller's to destroy.
    pub(crate) unsafe fn from_raw(cache: NonNull<ffi::kmem_cache>) -> Self {
        // INVARIANT: (1) The caller's promise.
        Self(cache, PhantomData)
    }

    /// Returns the C cache, which stays this value's to destroy.
    pub(crate) fn as_raw(&self) -> NonNull<ffi::kmem_cache> {
        self.0
    }

    /// Allocates an object in the state in which it was constructed or freed.
    ///
    /// With `GFP_KERNEL`. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    #[inline]
    pub(crate) fn alloc(&self) -> Result<TypesafeBox<T>> {
        fail::allocation()?;
        // SAFETY: By invariant (1) a cache of `T`.
        let object = unsafe { ffi::kmem_cache_alloc_noprof(self.0.as_ptr(), ffi::GFP_KERNEL) };
        let object = NonNull::new(object.cast::<T>()).ok_or(ENOMEM)?;
        // INVARIANT: Just allocated.
        Ok(TypesafeBox(object, PhantomData))
    }

    /// `kmem_cache_shrink()`: gives empty slabs back to the system. Sleeps.
    pub(crate) fn shrink(&self) {
        // SAFETY: By invariant (1).
        unsafe { ffi::kmem_cache_shrink(self.0.as_ptr()) };
    }
}

impl<T: TypesafeByRcu> Drop for TypesafeCache<T> {
    fn drop(&mut self) {
        // Slabs go back to the system by call_rcu(), and kmem_cache_destroy() waits for that: a
        // reader that found an object before it was freed may still look at it.
        // SAFETY: By invariant (1) a cache, and nothing can find it any more.
        unsafe { ffi::kmem_cache_destroy(self.0.as_ptr()) };
    }
}

/// An object of a type-safe cache that its owner alone may give back.
///
/// Late readers may look at it all the same: they came by a stale pointer. The object does not know
/// its cache; the slab that it is in does.
///
/// # Invariants
///
/// The object is allocated, and no other value will free it.
pub(crate) struct TypesafeBox<T: TypesafeByRcu>(NonNull<T>, PhantomData<T>);

impl<T: TypesafeByRcu> TypesafeBox<T> {
    /// Hands the object over to the owner of the returned pointer.
    pub(crate) fn into_raw(self) -> NonNull<T> {
        mem::ManuallyDrop::new(self).0
    }

    /// Takes it back.
    ///
    /// # Safety
    ///
    /// `object` is allocated, and the caller's to free; this is the only such call for it.
    pub(crate) unsafe fn from_raw(object: NonNull<T>) -> Self {
        // INVARIANT: The caller's promise.
        Self(object, PhantomData)
    }
}

impl<T: TypesafeByRcu> Deref for TypesafeBox<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: By the type invariant.
        unsafe { self.0.as_ref() }
    }
}

impl<T: TypesafeByRcu> Drop for TypesafeBox<T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant the object is ours to free.
        unsafe { ffi::kfree(self.0.as_ptr().cast()) };
    }
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
    fn object(&self) -> &A::Target {
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
#[path = "tests/typesafe.rs"]
mod tests;

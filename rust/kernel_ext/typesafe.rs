// SPDX-License-Identifier: GPL-2.0

//! `SLAB_TYPESAFE_BY_RCU` caches, and the lookup they are made for.
//!
//! C header: [`include/linux/slab.h`](srctree/include/linux/slab.h)
//!
//! # The idea
//!
//! Some objects are reached by a pointer that nothing keeps from going stale: a page knows its
//! anon_vma, but holds no reference on it.  If the memory of a freed object could become anything
//! at all, the reader could not even take the object's lock to find out.  A type-safe cache
//! promises just enough: *until the RCU read section ends, the memory stays an object of this type*
//! (R5).  It may be freed, and even be handed out again, at any moment; but its lock is a lock, its
//! counter a counter, and that is enough to pin or lock it, and then to ask the place that the
//! pointer came from whether it is still the right one.
//!
//! That protocol is three steps which C leaves to discipline.  Here each is a type, and a step
//! left out does not compile:
//!
//! ```text
//!  Anchor  --Candidate::find()-->  Candidate     RCU is held; maybe freed, maybe recycled
//!                                     |
//!                    try_pin()  ------+------  try_lock()
//!                       |                          |
//!                 PinnedCandidate           LockedCandidate      RCU is held; still unconfirmed
//!                       |                          |
//!                    confirm()                 confirm()         the anchor is asked again
//!                       |                          |
//!                    Pinned<T>                  the lock         RCU has been left
//! ```
//!
//! * A [`Candidate`] is found only where the [`Anchor`] vouches for its pointer (R4, R12): without
//!   that the memory may have been given back long before this read section.
//! * Nothing is done with a candidate but [`Pinnable::try_get`] and [`Lockable::try_lock`], which
//!   are written so that they do no harm to a freed or recycled object.
//! * A reference that turns out to be wrong is dropped *after* RCU is left, for dropping the last
//!   one may sleep (R11); a lock that turns out to be wrong is dropped *before*, for afterwards its
//!   memory may be gone (R9).  Both are the order of two fields.

#![allow(unsafe_code, reason = "a room of the design: wraps a C type")]

use super::fail;
use crate::ffi;
use core::{
    marker::PhantomData,
    mem,
    ops::Deref,
    ptr::{
        self,
        NonNull, //
    },
};
use kernel::{
    error::from_err_ptr,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        rcu, //
    },
};

/// An object of a type-safe cache.
///
/// # Safety
///
/// 1. All of a value's fields may be used through `&Self` at any time from the constructor on, by
///    any number of threads, also while the object is free and while it is handed out anew.
/// 2. [`is_free`](Self::is_free) holds after the constructor ran, and whenever an object is given
///    back; nothing else may be assumed of a newly allocated one.
pub(crate) unsafe trait TypesafeByRcu: Sync + Sized + 'static {
    /// The cache's name, as in `/proc/slabinfo`.
    const NAME: &'static CStr;

    /// Whether the memory of a freed object stays one of this type until RCU readers are done (R5).
    #[inline(always)]
    fn is_typesafe() -> bool {
        true
    }

    /// Whether all objects of the cache are of this type (R8).
    #[inline(always)]
    fn is_own() -> bool {
        true
    }

    /// Whether a cache is destroyed only when RCU readers are done (R7).
    #[inline(always)]
    fn destroy_waits() -> bool {
        true
    }

    /// Makes a free object of raw memory, once for each time that the memory joins the cache.
    fn constructor() -> impl PinInit<Self>;

    /// Whether the object is in the state that the constructor left it in, as far as readers who
    /// come too late rely on it (R6).
    fn is_free(&self) -> bool;

    /// What tells this object from others that its memory has been, or will be: for deliberate bugs,
    /// which do not ask the anchor again; 0 where all do.
    #[inline(always)]
    fn mark(&self) -> u32 {
        0
    }

    /// Called for each allocation and free, and when the cache has been drained, for those who
    /// count.
    fn note(_event: Event) {}
}

/// What a cache tells its type.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// An object was allocated, or is about to be freed; whether it was in its free state (R6).
    Passed {
        /// See [`TypesafeByRcu::is_free`].
        clean: bool,
    },
    /// A cache was created; whether it is no other type's as well (R8).
    Created {
        /// It is this type's alone.
        own: bool,
    },
    /// The cache is about to be destroyed; whether a grace period has passed since nobody could
    /// find an object in it any more (R7).
    Drained {
        /// It has.
        waited: bool,
    },
}

/// A [`TypesafeByRcu`] object with a reference count that starts at one when it is allocated.
///
/// # Safety
///
/// As long as references taken by [`try_get`](Self::try_get) are not put, the object is not freed.
pub(crate) unsafe trait Pinnable: TypesafeByRcu {
    /// Takes a reference unless there is none left.  Any context.
    fn try_get(&self) -> bool;

    /// Drops a reference, and frees the object when it was the last.  May sleep.
    ///
    /// # Safety
    ///
    /// The caller owns the reference, and is not in an RCU read section.
    unsafe fn put(this: NonNull<Self>);
}

/// A [`TypesafeByRcu`] object by way of which a lock can be had that keeps the right object from
/// going.
///
/// # Safety
///
/// [`try_lock`](Self::try_lock) takes no other lock than the one that the object itself, as it is at
/// that moment, leads to, and keeps nothing of the object but that lock.
pub(crate) unsafe trait Lockable: TypesafeByRcu {
    /// The lock; dropping it releases it.  It may be dropped in an RCU read section.
    type Lock;

    /// Tries to take the lock, of an object that may be free or recycled.  Does not sleep.
    ///
    /// # Safety
    ///
    /// The object's memory stays one of its type until the lock is released, or the lock is
    /// confirmed to keep the object.
    unsafe fn try_lock(&self) -> Option<Self::Lock>;
}

/// The caches that there are, so that one handed out twice is noticed (R8).  Those beyond the
/// table's end go unnoticed.
static CACHES: [Atomic<*mut ffi::kmem_cache>; 64] = [const { Atomic::new(ptr::null_mut()) }; 64];

/// Enters `cache` in the table; returns whether it was not there yet.
fn register(cache: NonNull<ffi::kmem_cache>) -> bool {
    let own = CACHES
        .iter()
        .all(|entry| !ptr::eq(entry.load(Relaxed), cache.as_ptr()));
    // A full table is no error: what is not in it is not compared with.
    let _ = CACHES.iter().any(|entry| {
        entry
            .cmpxchg(ptr::null_mut(), cache.as_ptr(), Relaxed)
            .is_ok()
    });
    own
}

/// Takes `cache` out of the table.
fn unregister(cache: NonNull<ffi::kmem_cache>) {
    let _ = CACHES.iter().any(|entry| {
        entry
            .cmpxchg(cache.as_ptr(), ptr::null_mut(), Relaxed)
            .is_ok()
    });
}

/// A `kmem_cache` of type-safe objects (R5), constructed (R6), never merged with another (R8).
///
/// Dropping it waits for RCU and destroys it (R7).  Objects that are left then stay behind as a
/// leak, which the kernel reports.
///
/// # Invariants
///
/// 1. The cache was created for `T`.
pub(crate) struct TypesafeCache<T: TypesafeByRcu>(NonNull<ffi::kmem_cache>, PhantomData<T>);

// SAFETY: The slab allocator is made for any thread.
unsafe impl<T: TypesafeByRcu> Send for TypesafeCache<T> {}
// SAFETY: As above.
unsafe impl<T: TypesafeByRcu> Sync for TypesafeCache<T> {}

/// The cache's C constructor.
///
/// # Safety
///
/// `object` is raw memory for a `T`, which stays in place.
unsafe extern "C" fn construct<T: TypesafeByRcu>(object: *mut c_void) {
    // SAFETY: The caller's promise; the initialiser cannot fail.
    let Ok(()) = unsafe { T::constructor().__init(object.cast::<T>()) };
}

impl<T: TypesafeByRcu> TypesafeCache<T> {
    /// `SLAB_TYPESAFE_BY_RCU` also keeps the allocator from poisoning (R7) and merging (R8); a plain
    /// cache has its free objects poisoned, so that they cannot be taken for anything.
    fn flags() -> ffi::slab_flags_t {
        if T::is_typesafe() {
            ffi::SR_SLAB_TYPESAFE_BY_RCU | ffi::SR_SLAB_ACCOUNT
        } else {
            ffi::SR_SLAB_POISON | ffi::SR_SLAB_ACCOUNT
        }
    }

    /// Creates a cache of `T`.  Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> Result<Self> {
        Self::with_name(T::NAME)
    }

    /// The same under another name, of which the allocator makes a copy: the kernel complains of two
    /// caches of one name.
    pub(crate) fn with_name(name: &CStr) -> Result<Self> {
        const { assert!(!mem::needs_drop::<T>(), "objects are never destructed (R7)") };
        let mut args = ffi::kmem_cache_args {
            align: mem::align_of::<T>() as u32,
            // In a plain cache an object is constructed whenever it is allocated.
            ctor: T::is_typesafe().then_some(construct::<T>),
            ..pin_init::zeroed()
        };
        // SAFETY: Name and `args` live for the call, and the name is copied; the constructor fits
        // size and alignment.
        let cache = from_err_ptr(unsafe {
            ffi::__kmem_cache_create_args(
                name.as_char_ptr(),
                mem::size_of::<T>() as u32,
                &mut args,
                Self::flags(),
            )
        })?;
        let cache = NonNull::new(cache).ok_or(ENOMEM)?;
        T::note(Event::Created {
            own: register(cache),
        });
        // INVARIANT: (1) Just created.
        Ok(Self(cache, PhantomData))
    }

    /// Allocates an object, as it was freed or constructed (R6), with `GFP_KERNEL`.  Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn alloc(&self) -> Result<TypesafeBox<T>> {
        fail::allocation()?;
        // SAFETY: By invariant (1) a cache of `T`.
        let object = unsafe { ffi::kmem_cache_alloc_noprof(self.0.as_ptr(), ffi::GFP_KERNEL) };
        let object = NonNull::new(object.cast::<T>()).ok_or(ENOMEM)?;
        if !T::is_typesafe() {
            // SAFETY: Just allocated, and as large as a `T`.  Incorrect, on purpose: who looks at it
            // late sees it change.
            unsafe { construct::<T>(object.as_ptr().cast()) };
        }
        // INVARIANT: Just allocated.
        let object = TypesafeBox(object, PhantomData);
        let clean = object.is_free();
        T::note(Event::Passed { clean });
        if !T::is_own() && !clean {
            // Another type's, as far as anybody can tell: nothing in it can be relied on.
            return Err(ENOMEM);
        }
        Ok(object)
    }

    /// Has an object of another type come and go, as in a cache that was merged with that type's
    /// (R8); does nothing where the cache is `T`'s own.  Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    #[cfg(any(shadow_rmap_kunit, shadow_rmap_torture))]
    pub(crate) fn use_as_another_type(&self) -> Result {
        if T::is_own() {
            return Ok(());
        }
        const { assert!(mem::align_of::<T>() >= mem::align_of::<usize>()) };
        // SAFETY: By invariant (1).
        let object = unsafe { ffi::kmem_cache_alloc_noprof(self.0.as_ptr(), ffi::GFP_KERNEL) };
        let words = NonNull::new(object.cast::<usize>()).ok_or(ENOMEM)?;
        // As `kzalloc()` has it.  What the allocator keeps in a free object is behind it, since
        // there is a constructor.
        for i in 0..mem::size_of::<T>() / mem::size_of::<usize>() {
            // SAFETY: Within the object, which is ours.  Incorrect, on purpose: those who look at
            // it late take it for a `T`.
            unsafe { words.add(i).write_volatile(0) };
        }
        // SAFETY: Just allocated.
        unsafe { ffi::kfree(object) };
        Ok(())
    }

    /// Reports itself as if the allocator had handed it out a second time, merged (R8).
    #[cfg(shadow_rmap_kunit)]
    pub(crate) fn report_again(&self) {
        T::note(Event::Created {
            own: register(self.0),
        });
        unregister(self.0);
    }

    /// Gives the allocator's spare memory back to the system.  Sleeps.
    pub(crate) fn shrink(&self) {
        // SAFETY: By invariant (1).
        unsafe { ffi::kmem_cache_shrink(self.0.as_ptr()) };
    }
}

impl<T: TypesafeByRcu> Drop for TypesafeCache<T> {
    fn drop(&mut self) {
        // Readers that found an object before it was freed may still look at it.  Memory that is on
        // its way to the system by call_rcu() is waited for by kmem_cache_destroy().
        // SAFETY: No preconditions.
        let before = unsafe { ffi::get_state_synchronize_rcu() };
        if T::destroy_waits() {
            rcu::synchronize_rcu();
        }
        // SAFETY: No preconditions.
        let waited = unsafe { ffi::poll_state_synchronize_rcu(before) };
        T::note(Event::Drained { waited });
        unregister(self.0);
        // SAFETY: By invariant (1); nobody finds the cache any more.
        unsafe { ffi::kmem_cache_destroy(self.0.as_ptr()) };
    }
}

/// An object of a type-safe cache that is ours alone to give back.
///
/// Others may look at it all the same: they came by a stale pointer.
///
/// # Invariants
///
/// The object is allocated, and no other value will free it.
pub(crate) struct TypesafeBox<T: TypesafeByRcu>(NonNull<T>, PhantomData<T>);

impl<T: TypesafeByRcu> TypesafeBox<T> {
    /// Hands the object's fate to whoever holds the pointer.
    pub(crate) fn into_raw(self) -> NonNull<T> {
        mem::ManuallyDrop::new(self).0
    }

    /// Takes it back.
    ///
    /// # Safety
    ///
    /// `object` comes from [`into_raw`](Self::into_raw), and this is the only such call for it.
    pub(crate) unsafe fn from_raw(object: NonNull<T>) -> Self {
        // INVARIANT: The caller's promise.
        Self(object, PhantomData)
    }
}

impl<T: TypesafeByRcu> Deref for TypesafeBox<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: By the type invariant.
        unsafe { self.0.as_ref() }
    }
}

impl<T: TypesafeByRcu> Drop for TypesafeBox<T> {
    fn drop(&mut self) {
        T::note(Event::Passed {
            clean: self.is_free(),
        });
        // The slab knows which cache the object is of: carrying that around would make each object
        // a word larger than the host's.
        // SAFETY: By the type invariant the object is ours to free.
        unsafe { ffi::kfree(self.0.as_ptr().cast()) };
    }
}

/// A place with a pointer to a type-safe object that nothing keeps from going stale, and with a
/// way to tell whether the pointer is still good.
///
/// # Safety
///
/// If [`load`](Self::load) returned an object within an RCU read section, and
/// [`vouches`](Self::vouches) is true later in the same section, then the object was allocated at
/// some instant in between.
pub(crate) unsafe trait Anchor {
    /// What the pointer leads to.
    type Target: TypesafeByRcu;

    /// Reads the pointer, once.  Any context.
    fn load(&self) -> Option<NonNull<Self::Target>>;

    /// Whether the pointer is good at this instant.  Any context.
    fn vouches(&self) -> bool;
}

/// An object that was good a moment ago, in an RCU read section: it may be free by now, it may be
/// another object of the same type, but it is one.
///
/// # Invariants
///
/// 1. The object was allocated at some instant after `rcu` was taken: until `rcu` is left its
///    memory stays an object of its type.
#[must_use = "a candidate is good for nothing until it is pinned or locked, and confirmed"]
pub(crate) struct Candidate<'a, A: Anchor> {
    anchor: &'a A,
    object: NonNull<A::Target>,
    rcu: rcu::Guard,
    /// [`TypesafeByRcu::mark`] when it was found.
    mark: u32,
}

/// What would have come out if somebody had asked: for deliberate bugs.
#[derive(Clone, Copy)]
pub(crate) struct Unasked {
    /// Whether the anchor vouches for its pointer.
    pub(crate) good: bool,
    /// Whether the object is still the one that was found, and not another in the same memory.
    pub(crate) same: bool,
}

impl<'a, A: Anchor> Candidate<'a, A> {
    /// Follows the pointer of `anchor`, if there is one and it is vouched for (R4, R12).
    ///
    /// Any context; the candidate holds RCU.
    #[inline]
    pub(crate) fn find(anchor: &'a A) -> Option<Self> {
        let rcu = rcu::read_lock();
        let object = anchor.load()?;
        if !anchor.vouches() {
            return None;
        }
        // SAFETY: A `Target` until RCU is left, as an anchor promises.
        let mark = unsafe { object.as_ref() }.mark();
        // INVARIANT: (1) is what an anchor promises.
        Some(Self {
            anchor,
            object,
            rcu,
            mark,
        })
    }

    /// Follows the pointer of `anchor` whether it is vouched for or not: for deliberate bugs.
    ///
    /// # Safety
    ///
    /// The object's memory is one of its type until RCU is left.
    pub(crate) unsafe fn find_unvouched(anchor: &'a A) -> Option<Self> {
        let rcu = rcu::read_lock();
        let object = anchor.load()?;
        // SAFETY: The caller's promise.
        let mark = unsafe { object.as_ref() }.mark();
        // INVARIANT: (1) is what the caller promises.
        Some(Self {
            anchor,
            object,
            rcu,
            mark,
        })
    }

    /// Whether the pointer is still good: a hint, until the object is pinned or locked.
    #[inline]
    pub(crate) fn is_vouched_for(&self) -> bool {
        self.anchor.vouches()
    }

    /// The object, whatever it is by now.
    #[inline]
    fn object(&self) -> &A::Target {
        // SAFETY: By invariant (1) the memory is a `Target` for as long as `self` holds RCU, and a
        // `Target` may be shared at any time.
        unsafe { self.object.as_ref() }
    }

    /// What would come out if the anchor were asked now, and the object.
    fn unasked(&self) -> Unasked {
        Unasked {
            good: self.anchor.vouches(),
            same: self.object().mark() == self.mark,
        }
    }

    /// Takes a reference; the candidate is lost where there is none to be had.
    pub(crate) fn try_pin(self) -> Option<PinnedCandidate<'a, A>>
    where
        A::Target: Pinnable,
    {
        // No `then_some()`: the reference that it is given would be dropped where none was taken.
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
    /// Hands the candidate back where the lock is not to be had at once.
    #[inline]
    pub(crate) fn try_lock(self) -> Result<LockedCandidate<'a, A>, Self>
    where
        A::Target: Lockable,
    {
        // SAFETY: By invariant (1) until RCU is left, which `LockedCandidate` does after it has
        // released the lock (R9), or once it has confirmed it.
        match unsafe { self.object().try_lock() } {
            Some(lock) => Ok(LockedCandidate {
                lock,
                candidate: self,
            }),
            None => Err(self),
        }
    }
}

/// A pinned object of which nobody knows yet whether it is the right one.
///
/// The fields' order is R11: RCU is left before the reference is dropped.
#[must_use = "the object may be another one: confirm it"]
pub(crate) struct PinnedCandidate<'a, A: Anchor>
where
    A::Target: Pinnable,
{
    candidate: Candidate<'a, A>,
    pin: Pinned<A::Target>,
}

impl<A: Anchor> PinnedCandidate<'_, A>
where
    A::Target: Pinnable,
{
    /// Asks the anchor again, and leaves RCU.  May sleep once RCU is left.
    pub(crate) fn confirm(self) -> Option<Pinned<A::Target>> {
        let Self { candidate, pin } = self;
        let good = candidate.anchor.vouches();
        drop(candidate);
        good.then_some(pin)
    }

    /// Leaves RCU without asking, and says what would have come out: for deliberate bugs.
    ///
    /// # Safety
    ///
    /// The caller bears with an object that is not the anchor's.
    pub(crate) unsafe fn trust(self) -> (Pinned<A::Target>, Unasked) {
        let Self { candidate, pin } = self;
        let unasked = candidate.unasked();
        drop(candidate);
        (pin, unasked)
    }

    /// As [`confirm`](Self::confirm), but drops a reference that is not wanted before RCU is left
    /// (R11): for deliberate bugs.
    ///
    /// # Safety
    ///
    /// Dropping the last reference does not sleep.
    pub(crate) unsafe fn confirm_under_rcu(self) -> Option<Pinned<A::Target>> {
        let Self { candidate, pin } = self;
        let confirmed = if candidate.anchor.vouches() {
            Some(pin)
        } else {
            drop(pin);
            None
        };
        drop(candidate);
        confirmed
    }
}

/// The lock of what an anchor leads to.
pub(crate) type LockOf<A> = <<A as Anchor>::Target as Lockable>::Lock;

/// That lock, and the object that it was taken by way of.
pub(crate) type LockAndObject<A> = (LockOf<A>, NonNull<<A as Anchor>::Target>);

/// A lock taken by way of an object of which nobody knows yet whether it is the right one.
///
/// The fields' order is R9: the lock is released before RCU is left.
#[must_use = "the lock may be another one: confirm it"]
pub(crate) struct LockedCandidate<'a, A: Anchor>
where
    A::Target: Lockable,
{
    lock: LockOf<A>,
    candidate: Candidate<'a, A>,
}

impl<A: Anchor> LockedCandidate<'_, A>
where
    A::Target: Lockable,
{
    /// Asks the anchor again.
    ///
    /// What is returned is the lock and the object, which now is the anchor's for as long as the
    /// lock keeps it so, and the RCU read section, to be left or kept (R9).
    #[inline]
    pub(crate) fn confirm(self) -> Option<(LockOf<A>, NonNull<A::Target>, rcu::Guard)> {
        if self.candidate.anchor.vouches() {
            let Candidate { object, rcu, .. } = self.candidate;
            Some((self.lock, object, rcu))
        } else {
            None
        }
    }

    /// As [`confirm`](Self::confirm) without asking; says what would have come out: for deliberate
    /// bugs.
    ///
    /// # Safety
    ///
    /// The caller bears with an object that is not the anchor's.
    pub(crate) unsafe fn trust(self) -> (LockOf<A>, NonNull<A::Target>, rcu::Guard, Unasked) {
        let unasked = self.candidate.unasked();
        let Candidate { object, rcu, .. } = self.candidate;
        (self.lock, object, rcu, unasked)
    }

    /// As [`confirm`](Self::confirm), but leaves RCU before the anchor is asked (R9): for deliberate
    /// bugs.  What is not confirmed comes back as the error: a lock, outside of RCU.
    ///
    /// # Safety
    ///
    /// The caller bears with a lock whose memory is no lock any more when it is released.
    pub(crate) unsafe fn confirm_outside_rcu(self) -> Result<LockAndObject<A>, LockOf<A>> {
        let Candidate {
            anchor,
            object,
            rcu,
            ..
        } = self.candidate;
        drop(rcu);
        if anchor.vouches() {
            Ok((self.lock, object))
        } else {
            Err(self.lock)
        }
    }
}

/// A reference to a type-safe object: it is not freed while this lives.
///
/// Dropping it may sleep.
///
/// # Invariants
///
/// This value owns one reference.
pub(crate) struct Pinned<T: Pinnable>(NonNull<T>, PhantomData<T>);

// SAFETY: References may be dropped by any thread.
unsafe impl<T: Pinnable> Send for Pinned<T> {}
// SAFETY: `T: Sync`.
unsafe impl<T: Pinnable> Sync for Pinned<T> {}

impl<T: Pinnable> Pinned<T> {
    /// Hands the reference to whoever holds the pointer.
    pub(crate) fn into_raw(self) -> NonNull<T> {
        mem::ManuallyDrop::new(self).0
    }

    /// Takes a reference over.
    ///
    /// # Safety
    ///
    /// The caller owns one reference and hands it over.
    pub(crate) unsafe fn from_raw(object: NonNull<T>) -> Self {
        // INVARIANT: The caller's promise.
        Self(object, PhantomData)
    }
}

impl<T: Pinnable> Deref for Pinned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: By the type invariant the object is allocated.
        unsafe { self.0.as_ref() }
    }
}

impl<T: Pinnable> Drop for Pinned<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the reference is ours.  That RCU is not held cannot be
        // seen from here; `put` checks it (R11).
        unsafe { T::put(self.0) }
    }
}

#[cfg(shadow_rmap_kunit)]
#[path = "tests/typesafe.rs"]
mod tests;

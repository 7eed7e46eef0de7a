// SPDX-License-Identifier: GPL-2.0

//! A type-safe object for the suites of [`typesafe`](super), and a place that leads to it.

use super::{
    Anchor,
    Candidate,
    Lockable,
    LockedCandidate,
    Pinnable,
    TypesafeBox,
    TypesafeByRcu,
    TypesafeCache, //
};
use crate::ffi;
use core::{
    mem,
    ptr::NonNull, //
};
use kernel::{
    error::from_err_ptr,
    prelude::*,
    sync::atomic::{
        Atomic,
        Full,
        Relaxed, //
    },
};

/// How many things were freed by their last reference.
pub(super) static FREED: Atomic<i32> = Atomic::new(0);

/// How many locks of things are held.
pub(super) static LOCKED: Atomic<i32> = Atomic::new(0);

/// Whether no lock can be taken.
pub(super) static BUSY: Atomic<i32> = Atomic::new(0);

/// A type-safe object.
#[pin_data]
pub(super) struct Thing {
    pub(super) refs: Atomic<i32>,
    pub(super) remembers: Atomic<i32>,
}

// SAFETY: Nothing but atomics.
unsafe impl TypesafeByRcu for Thing {
    fn constructor() -> impl PinInit<Self> {
        pin_init!(Self {
            refs: Atomic::new(0),
            remembers: Atomic::new(0),
        })
    }
}

// SAFETY: Freed with the last reference only.
unsafe impl Pinnable for Thing {
    fn try_get(&self) -> bool {
        let count = self.refs.load(Relaxed);
        count > 0 && self.refs.cmpxchg(count, count + 1, Full).is_ok()
    }

    /// # Safety
    ///
    /// As the trait says.
    unsafe fn put(this: NonNull<Self>) {
        kernel::task::might_sleep();
        // SAFETY: The caller's reference keeps it.
        if unsafe { this.as_ref() }.refs.fetch_sub(1, Full) == 1 {
            FREED.fetch_add(1, Relaxed);
            // SAFETY: That was the last one.
            drop(unsafe { TypesafeBox::from_raw(this) });
        }
    }
}

/// A cache of no type, as large as that of [`Thing`].
pub(super) struct Plain(pub(super) NonNull<ffi::kmem_cache>);

impl Plain {
    pub(super) fn new(name: &CStr, flags: ffi::slab_flags_t) -> Result<Self> {
        let mut args = pin_init::zeroed();
        // SAFETY: Name and `args` live for the call.
        let cache = from_err_ptr(unsafe {
            ffi::__kmem_cache_create_args(
                name.as_char_ptr(),
                mem::size_of::<Thing>() as u32,
                &mut args,
                flags | ffi::SR_SLAB_ACCOUNT,
            )
        })?;
        NonNull::new(cache).map(Self).ok_or(ENOMEM)
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        // SAFETY: Created by `new`, and without objects.
        unsafe { ffi::kmem_cache_destroy(self.0.as_ptr()) };
    }
}

/// Leads to a [`Thing`].
pub(super) struct Place {
    pub(super) pointer: Atomic<*mut Thing>,
    pub(super) good: Atomic<i32>,
}

// SAFETY: The tests keep `good` and the object's life in step.
unsafe impl Anchor for Place {
    type Target = Thing;

    fn load(&self) -> Option<NonNull<Thing>> {
        NonNull::new(self.pointer.load(Relaxed))
    }

    fn revalidate(&self) -> bool {
        self.good.load(Relaxed) != 0
    }
}

impl Place {
    pub(super) fn empty() -> Self {
        Self {
            pointer: Atomic::new(core::ptr::null_mut()),
            good: Atomic::new(0),
        }
    }

    /// Leads to a new thing, and owns its one reference.
    pub(super) fn with_new_thing(cache: &TypesafeCache<Thing>) -> Result<Self> {
        let object = cache.alloc()?;
        // SAFETY: A `Thing` is usable at once.
        let thing = unsafe { object.as_ref() };
        thing.refs.store(1, Relaxed);
        thing.remembers.store(42, Relaxed);
        Ok(Self {
            pointer: Atomic::new(object.into_raw().as_ptr()),
            good: Atomic::new(1),
        })
    }

    pub(super) fn refs(&self) -> i32 {
        self.load().map_or(0, |thing| {
            // SAFETY: The tests ask only while they hold a reference, or have held RCU since
            // they did.
            unsafe { thing.as_ref() }.refs.load(Relaxed)
        })
    }

    pub(super) fn put(&self) {
        if let Some(thing) = self.load() {
            // SAFETY: The place's own reference.
            unsafe { Thing::put(thing) };
        }
    }

    /// Drops the place's reference where it is not allowed to sleep.
    pub(super) fn put_atomic(&self) {
        if let Some(thing) = self.load() {
            // SAFETY: The place's own reference.
            if unsafe { thing.as_ref() }.refs.fetch_sub(1, Full) == 1 {
                // SAFETY: That was the last one.
                drop(unsafe { TypesafeBox::from_raw(thing) });
            }
        }
    }
}

/// A lock of a kind.
pub(super) struct Hold;

impl Drop for Hold {
    fn drop(&mut self) {
        LOCKED.fetch_sub(1, Relaxed);
    }
}

// SAFETY: One lock for all, which keeps nothing.
unsafe impl Lockable for Thing {
    type Lock = Hold;

    /// # Safety
    ///
    /// As the trait says.
    unsafe fn try_lock(&self) -> Option<Hold> {
        if BUSY.load(Relaxed) != 0 {
            return None;
        }
        LOCKED.fetch_add(1, Relaxed);
        Some(Hold)
    }
}

pub(super) fn lock(place: &Place) -> Option<LockedCandidate<'_, Place>> {
    Candidate::find(place)?.try_lock().ok()
}

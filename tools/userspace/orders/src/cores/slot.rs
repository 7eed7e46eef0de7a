// SPDX-License-Identifier: GPL-2.0

//! The type-safe slab by itself: one object, its place, and the next use of its memory.

use super::{begin, both, end};
use crate::{
    kernel_ext::{
        rwonce::{ReadWriteOnce, ReferenceCount},
        typesafe::{Anchor, Candidate, Pinnable, TypesafeBox, TypesafeByRcu, TypesafeCache},
    },
    report,
    rmap::{oracle::Oracle, rules::Rule},
};
use core::{
    ptr::{self, NonNull},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};
use kernel::{
    prelude::*,
    sync::atomic::{Atomic, Full},
};
use std::sync::Arc;

/// How many executions used the memory again.
static RECYCLED: AtomicUsize = AtomicUsize::new(0);

/// An object with a count of references.
#[pin_data]
struct Thing {
    references: Atomic<i32>,
    /// How often it was allocated.
    life: Atomic<i32>,
}

// SAFETY: (1) Nothing but atomics. (2) It is given back without references.
unsafe impl TypesafeByRcu for Thing {
    fn constructor() -> impl PinInit<Self> {
        pin_init!(Self {
            references: Atomic::new(0),
            life: Atomic::new(0),
        })
    }
}

// SAFETY: Freed with the last reference only.
unsafe impl Pinnable for Thing {
    fn try_get(&self) -> bool {
        self.references.inc_not_zero()
    }

    /// # Safety
    ///
    /// As the trait says.
    unsafe fn put(this: NonNull<Self>) {
        // SAFETY: The caller's reference keeps it.
        if unsafe { this.as_ref() }.references.dec_and_test() {
            // SAFETY: That was the last one.
            drop(unsafe { TypesafeBox::from_raw(this) });
        }
    }
}

/// Leads to a [`Thing`] while it is mapped.
struct Place {
    pointer: Atomic<*mut Thing>,
    mapped: Atomic<i32>,
}

// SAFETY: The place is unmapped before the thing's first reference is dropped.
unsafe impl Anchor for Place {
    type Target = Thing;

    fn load(&self) -> Option<NonNull<Thing>> {
        NonNull::new(self.pointer.read_once())
    }

    fn revalidate(&self) -> bool {
        self.mapped.read_once() != 0
    }
}

/// What both threads use.
struct World {
    cache: TypesafeCache<Thing>,
    place: Place,
}

impl World {
    /// Allocates a thing with one reference.
    fn alloc(&self) -> NonNull<Thing> {
        let Ok(object) = self.cache.alloc() else {
            report::failed("no memory");
        };
        // SAFETY: A thing is usable at once.
        let thing = unsafe { object.as_ref() };
        thing.life.write_once(thing.life.read_once() + 1);
        thing.references.write_once(1);
        object.into_raw()
    }
}

/// One thread unmaps the place, drops the thing's last reference, and allocates another thing. The
/// other finds the thing and takes a reference; it asks the place again, if it `ASKS`.
pub(crate) fn recycle<const ASKS: bool>() {
    begin(1);
    let Ok(cache) = TypesafeCache::new(cache_name!("thing")) else {
        report::failed("no memory");
    };
    let place = Place {
        pointer: Atomic::new(ptr::null_mut()),
        mapped: Atomic::new(1),
    };
    let world = Arc::new(World { cache, place });
    let thing = world.alloc();
    // SAFETY: Allocated, and memory of a thing until the cache is destroyed.
    let life = unsafe { thing.as_ref() }.life.read_once();
    world.place.pointer.write_once(thing.as_ptr());
    let _ = world.place.revalidate();

    let (owner, reader) = (world.clone(), world.clone());
    let next = Arc::new(std::sync::Mutex::new(None));
    let tell = next.clone();
    both(
        move || {
            owner.place.mapped.fetch_sub(1, Full);
            if let Some(thing) = NonNull::new(owner.place.pointer.read_once()) {
                // SAFETY: The reference is that of the set-up.
                unsafe { Thing::put(thing) };
            }
            if let Ok(mut next) = tell.lock() {
                *next = Some(owner.alloc().as_ptr().addr());
            }
        },
        move || {
            let pinned = Candidate::find(&reader.place).and_then(|found| found.try_pin());
            let pin = pinned.and_then(|pinned| {
                if ASKS {
                    return pinned.confirm();
                }
                // SAFETY: Incorrect, on purpose: the reference may be on another thing.
                let (candidate, pin) = unsafe { pinned.into_raw_parts() };
                drop(candidate);
                Some(pin)
            });
            if let Some(pin) = pin {
                Oracle::LockIdentity.check(Rule::R12, pin.life.read_once() == life);
            }
        },
    );
    let next = next.lock().ok().and_then(|mut next| next.take());
    if let Some(next) = next.and_then(|next| NonNull::new(ptr::with_exposed_provenance_mut(next))) {
        RECYCLED.fetch_add(usize::from(next == thing), Relaxed);
        // SAFETY: The one reference is ours.
        unsafe { Thing::put(next) };
    }
    drop(world);
    end();
}

/// Returns how many executions used the memory again.
pub(crate) fn recycled() -> usize {
    RECYCLED.load(Relaxed)
}

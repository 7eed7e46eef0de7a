// SPDX-License-Identifier: GPL-2.0

//! Mirrors `kernel::types`.

use core::{
    cell::UnsafeCell,
    marker::{PhantomData, PhantomPinned},
    mem::MaybeUninit,
};
use pinned_init::PinInit;

/// Mirrors `kernel::types::NotThreadSafe`: makes the type around it neither `Send` nor `Sync`.
pub type NotThreadSafe = PhantomData<*mut ()>;

/// Mirrors the value of the same name.
#[allow(non_upper_case_globals, reason = "named as the type is")]
pub const NotThreadSafe: NotThreadSafe = PhantomData;

/// Mirrors `kernel::types::Opaque`: a C object, of which Rust assumes nothing.
#[repr(transparent)]
pub struct Opaque<T> {
    value: UnsafeCell<MaybeUninit<T>>,
    _pin: PhantomPinned,
}

impl<T> Opaque<T> {
    /// Mirrors `Opaque::new`.
    pub const fn new(value: T) -> Self {
        Self {
            value: UnsafeCell::new(MaybeUninit::new(value)),
            _pin: PhantomPinned,
        }
    }

    /// Mirrors `Opaque::get`.
    pub const fn get(&self) -> *mut T {
        UnsafeCell::get(&self.value).cast()
    }

    /// Mirrors `Opaque::cast_into`.
    pub const fn cast_into(this: *const Self) -> *mut T {
        UnsafeCell::raw_get(this.cast::<UnsafeCell<MaybeUninit<T>>>()).cast()
    }

    /// Mirrors `Opaque::ffi_init`: `init` makes the object in its place.
    pub fn ffi_init(init: impl FnOnce(*mut T)) -> impl PinInit<Self> {
        // SAFETY: The closure initialises the object; nothing else is there.
        unsafe {
            pinned_init::pin_init_from_closure(move |slot: *mut Self| {
                init(Self::cast_into(slot));
                Ok(())
            })
        }
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Mirrors `kernel::sync::arc`, over `std::sync::Arc`.

use crate::{
    Result,
    alloc::{AllocError, Flags, InPlaceInit},
    mock::alloc::allocation,
};
use core::{
    marker::PhantomData,
    mem::{ManuallyDrop, MaybeUninit},
    ops::{Deref, DerefMut},
    pin::Pin,
    ptr::NonNull,
};
use pinned_init::{InPlaceWrite, Init, PinInit};

/// Mirrors `kernel::sync::Arc`: the value is pinned.
pub struct Arc<T: ?Sized>(std::sync::Arc<T>);

impl<T> Arc<T> {
    /// Mirrors `Arc::new`.
    ///
    /// # Errors
    ///
    /// `AllocError` if a test wants that.
    pub fn new(value: T, flags: Flags) -> Result<Self, AllocError> {
        allocation(flags)?;
        Ok(Self(std::sync::Arc::new(value)))
    }

    /// Mirrors `Arc::into_raw`.
    pub fn into_raw(self) -> *const T {
        std::sync::Arc::into_raw(self.0)
    }

    /// Mirrors `Arc::as_ptr`.
    pub fn as_ptr(this: &Self) -> *const T {
        std::sync::Arc::as_ptr(&this.0)
    }

    /// Mirrors `Arc::from_raw`.
    ///
    /// # Safety
    ///
    /// `pointer` comes from [`into_raw`](Self::into_raw), and the caller owns that reference.
    pub unsafe fn from_raw(pointer: *const T) -> Self {
        // SAFETY: The caller's promise.
        Self(unsafe { std::sync::Arc::from_raw(pointer) })
    }
}

impl<T: ?Sized> Arc<T> {
    /// Mirrors `Arc::ptr_eq`.
    pub fn ptr_eq(this: &Self, other: &Self) -> bool {
        std::sync::Arc::ptr_eq(&this.0, &other.0)
    }
}

impl<T: ?Sized> Clone for Arc<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: ?Sized> Deref for Arc<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: ?Sized> AsRef<T> for Arc<T> {
    fn as_ref(&self) -> &T {
        &self.0
    }
}

impl<T> InPlaceInit<T> for Arc<T> {
    type PinnedSelf = Self;

    fn try_pin_init<E: From<AllocError>>(
        init: impl PinInit<T, E>,
        flags: Flags,
    ) -> Result<Self, E> {
        let unique = UniqueArc::<T>::new_uninit(flags)?;
        // SAFETY: The memory is valid, and stays where it is; it is freed if this fails.
        unsafe { init.__pinned_init(unique.as_mut_ptr().cast())? };
        // SAFETY: Initialised just now.
        Ok(Self(unsafe { unique.0.assume_init() }))
    }

    fn try_init<E: From<AllocError>>(init: impl Init<T, E>, flags: Flags) -> Result<Self, E> {
        let unique = UniqueArc::<T>::new_uninit(flags)?;
        // SAFETY: The memory is valid; it is freed if this fails.
        unsafe { init.__init(unique.as_mut_ptr().cast())? };
        // SAFETY: Initialised just now.
        Ok(Self(unsafe { unique.0.assume_init() }))
    }
}

impl<T> From<UniqueArc<T>> for Arc<T> {
    fn from(unique: UniqueArc<T>) -> Self {
        Self(unique.0)
    }
}

impl<T> From<Pin<UniqueArc<T>>> for Arc<T> {
    fn from(unique: Pin<UniqueArc<T>>) -> Self {
        // SAFETY: The value stays pinned, as in each `Arc`.
        Self(unsafe { Pin::into_inner_unchecked(unique) }.0)
    }
}

/// Mirrors `kernel::sync::ArcBorrow`.
pub struct ArcBorrow<'a, T>(NonNull<T>, PhantomData<&'a T>);

impl<T> ArcBorrow<'_, T> {
    /// Mirrors `ArcBorrow::from_raw`.
    ///
    /// # Safety
    ///
    /// `pointer` comes from [`Arc::into_raw`], and there is a reference for as long as this lives.
    pub unsafe fn from_raw(pointer: *const T) -> Self {
        // SAFETY: The caller's promise.
        Self(
            unsafe { NonNull::new_unchecked(pointer.cast_mut()) },
            PhantomData,
        )
    }
}

impl<T> From<ArcBorrow<'_, T>> for Arc<T> {
    fn from(borrow: ArcBorrow<'_, T>) -> Self {
        // SAFETY: The type's promise; the reference that is not ours is not dropped.
        let theirs = ManuallyDrop::new(unsafe { Arc::from_raw(borrow.0.as_ptr()) });
        Arc::clone(&theirs)
    }
}

/// Mirrors `kernel::sync::UniqueArc`: the only reference so far.
pub struct UniqueArc<T>(std::sync::Arc<T>);

impl<T> UniqueArc<T> {
    /// Mirrors `UniqueArc::new_uninit`.
    ///
    /// # Errors
    ///
    /// `AllocError` if a test wants that.
    pub fn new_uninit(flags: Flags) -> Result<UniqueArc<MaybeUninit<T>>, AllocError> {
        allocation(flags)?;
        Ok(UniqueArc(std::sync::Arc::new_uninit()))
    }

    fn as_mut_ptr(&self) -> *mut T {
        std::sync::Arc::as_ptr(&self.0).cast_mut()
    }
}

impl<T> UniqueArc<MaybeUninit<T>> {
    /// Mirrors `UniqueArc::pin_init_with`.
    ///
    /// # Errors
    ///
    /// Those of the initialiser.
    pub fn pin_init_with<E>(self, init: impl PinInit<T, E>) -> Result<Pin<UniqueArc<T>>, E> {
        // SAFETY: The memory is valid, and stays where it is; it is freed if this fails.
        unsafe { init.__pinned_init(self.as_mut_ptr().cast())? };
        // SAFETY: Initialised just now; it is not moved from here on.
        unsafe { Ok(Pin::new_unchecked(UniqueArc(self.0.assume_init()))) }
    }
}

impl<T> InPlaceWrite<T> for UniqueArc<MaybeUninit<T>> {
    type Initialized = UniqueArc<T>;

    fn write_init<E>(self, init: impl Init<T, E>) -> Result<UniqueArc<T>, E> {
        // SAFETY: The memory is valid; it is freed if this fails.
        unsafe { init.__init(self.as_mut_ptr().cast())? };
        // SAFETY: Initialised just now.
        Ok(UniqueArc(unsafe { self.0.assume_init() }))
    }

    fn write_pin_init<E>(self, init: impl PinInit<T, E>) -> Result<Pin<UniqueArc<T>>, E> {
        self.pin_init_with(init)
    }
}

impl<T> Deref for UniqueArc<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for UniqueArc<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: There is no other reference.
        unsafe { &mut *self.as_mut_ptr() }
    }
}

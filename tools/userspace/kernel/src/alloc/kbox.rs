// SPDX-License-Identifier: GPL-2.0

//! Mirrors `kernel::alloc::kbox`, and `kernel::init::InPlaceInit`.

use super::{AllocError, Flags};
use crate::{Error, Result, mock::alloc::allocation};
use core::{
    fmt,
    marker::PhantomData,
    mem::MaybeUninit,
    ops::{Deref, DerefMut},
    pin::Pin,
};
use pinned_init::{Init, PinInit};

/// Mirrors `Kmalloc`, the allocator.
pub struct Kmalloc(());

/// Mirrors `kernel::alloc::Box`.
pub struct Box<T: ?Sized, A = Kmalloc>(std::boxed::Box<T>, PhantomData<A>);

/// Mirrors `kernel::alloc::KBox`.
pub type KBox<T> = Box<T>;

impl<T, A> Box<T, A> {
    /// Mirrors `Box::new`.
    ///
    /// # Errors
    ///
    /// `AllocError` if a test wants that.
    pub fn new(value: T, flags: Flags) -> Result<Self, AllocError> {
        allocation(flags)?;
        Ok(Self(std::boxed::Box::new(value), PhantomData))
    }

    /// Mirrors `Box::into_raw`.
    pub fn into_raw(this: Self) -> *mut T {
        std::boxed::Box::into_raw(this.0)
    }

    /// Mirrors `Box::from_raw`.
    ///
    /// # Safety
    ///
    /// `raw` comes from [`into_raw`](Self::into_raw), and is passed to this function once.
    pub unsafe fn from_raw(raw: *mut T) -> Self {
        // SAFETY: The caller's promise.
        Self(unsafe { std::boxed::Box::from_raw(raw) }, PhantomData)
    }

    /// Mirrors `Box::into_inner`.
    pub fn into_inner(this: Self) -> T {
        *this.0
    }
}

impl<T: ?Sized, A> Deref for Box<T, A> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: ?Sized, A> DerefMut for Box<T, A> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: ?Sized + fmt::Debug, A> fmt::Debug for Box<T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// Mirrors `kernel::init::InPlaceInit`: allocates, and initialises in place.
pub trait InPlaceInit<T>: Sized {
    /// The same, pinned.
    type PinnedSelf;

    /// Mirrors `InPlaceInit::try_pin_init`.
    ///
    /// # Errors
    ///
    /// Those of the initialiser, and `AllocError`.
    fn try_pin_init<E: From<AllocError>>(
        init: impl PinInit<T, E>,
        flags: Flags,
    ) -> Result<Self::PinnedSelf, E>;

    /// Mirrors `InPlaceInit::pin_init`.
    ///
    /// # Errors
    ///
    /// Those of the initialiser, and `ENOMEM`.
    fn pin_init<E>(init: impl PinInit<T, E>, flags: Flags) -> Result<Self::PinnedSelf>
    where
        Error: From<E>,
    {
        // SAFETY: What the initialiser does is left as it is.
        let init = unsafe {
            pinned_init::pin_init_from_closure(|slot| init.__pinned_init(slot).map_err(Error::from))
        };
        Self::try_pin_init(init, flags)
    }

    /// Mirrors `InPlaceInit::try_init`.
    ///
    /// # Errors
    ///
    /// Those of the initialiser, and `AllocError`.
    fn try_init<E: From<AllocError>>(init: impl Init<T, E>, flags: Flags) -> Result<Self, E>;
}

impl<T, A> InPlaceInit<T> for Box<T, A> {
    type PinnedSelf = Pin<Self>;

    fn try_pin_init<E: From<AllocError>>(
        init: impl PinInit<T, E>,
        flags: Flags,
    ) -> Result<Pin<Self>, E> {
        let mut memory = Box::<MaybeUninit<T>, A>::new(MaybeUninit::uninit(), flags)?;
        // SAFETY: The memory is valid, and stays where it is; it is freed if this fails.
        unsafe { init.__pinned_init(memory.as_mut_ptr())? };
        // SAFETY: Initialised just now. A box is never moved out of unless it is `Unpin`.
        unsafe {
            Ok(Pin::new_unchecked(Self(
                memory.0.assume_init(),
                PhantomData,
            )))
        }
    }

    fn try_init<E: From<AllocError>>(init: impl Init<T, E>, flags: Flags) -> Result<Self, E> {
        let mut memory = Box::<MaybeUninit<T>, A>::new(MaybeUninit::uninit(), flags)?;
        // SAFETY: The memory is valid; it is freed if this fails.
        unsafe { init.__init(memory.as_mut_ptr())? };
        // SAFETY: Initialised just now.
        Ok(Self(unsafe { memory.0.assume_init() }, PhantomData))
    }
}

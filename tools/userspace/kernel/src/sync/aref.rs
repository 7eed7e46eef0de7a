// SPDX-License-Identifier: GPL-2.0

//! Mirrors `kernel::sync::aref`.

use core::{marker::PhantomData, ops::Deref, ptr::NonNull};

/// Mirrors `kernel::sync::aref::AlwaysRefCounted`.
///
/// # Safety
///
/// A value lives at least as long as it has a reference.
pub unsafe trait AlwaysRefCounted {
    /// Takes a reference.
    fn inc_ref(&self);

    /// Drops a reference.
    ///
    /// # Safety
    ///
    /// The caller owns the reference.
    unsafe fn dec_ref(this: NonNull<Self>);
}

/// Mirrors `kernel::sync::aref::ARef`: owns a reference.
pub struct ARef<T: AlwaysRefCounted>(NonNull<T>, PhantomData<T>);

// SAFETY: `T: Sync` lets any thread use the value, `T: Send` lets any drop the last reference.
unsafe impl<T: AlwaysRefCounted + Sync + Send> Send for ARef<T> {}
// SAFETY: As above.
unsafe impl<T: AlwaysRefCounted + Sync + Send> Sync for ARef<T> {}

impl<T: AlwaysRefCounted> From<&T> for ARef<T> {
    fn from(value: &T) -> Self {
        value.inc_ref();
        Self(NonNull::from(value), PhantomData)
    }
}

impl<T: AlwaysRefCounted> Deref for ARef<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: This value owns a reference.
        unsafe { self.0.as_ref() }
    }
}

impl<T: AlwaysRefCounted> Drop for ARef<T> {
    fn drop(&mut self) {
        // SAFETY: This value owns the reference.
        unsafe { T::dec_ref(self.0) };
    }
}

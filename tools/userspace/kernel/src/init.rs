// SPDX-License-Identifier: GPL-2.0

//! Mirrors what `rust/pin-init` of the kernel has, and its earlier release has not.

use pinned_init::PinInit;

/// Mirrors `PinInit::__init`, which was named `__pinned_init`.
pub trait InitPinned<T, E>: PinInit<T, E> {
    /// Initialises `slot`.
    ///
    /// # Errors
    ///
    /// Those of the initialiser: then the slot is not initialised.
    ///
    /// # Safety
    ///
    /// `slot` is valid for writes, and the value is pinned from then on.
    unsafe fn __init(self, slot: *mut T) -> Result<(), E>;
}

impl<T, E, I: PinInit<T, E>> InitPinned<T, E> for I {
    unsafe fn __init(self, slot: *mut T) -> Result<(), E> {
        // SAFETY: The caller's promise.
        unsafe { self.__pinned_init(slot) }
    }
}

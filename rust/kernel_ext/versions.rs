// SPDX-License-Identifier: GPL-2.0

//! What the `kernel` crate has under another name in Linux 7.2, for which Kbuild sets `linux_7_2`.
//! `module` has the rest of it.

#![allow(unsafe_code, reason = "calls an initialiser")]

use core::convert::Infallible;
use kernel::{
    prelude::*,
    sync::barrier, //
};

/// `smp_wmb()`. Any context.
#[inline(always)]
pub(crate) fn smp_wmb() {
    #[cfg(linux_7_2)]
    barrier::smp_wmb();
    #[cfg(not(linux_7_2))]
    barrier::smp_mb(barrier::Write);
}

/// Initialises `place`.
///
/// # Safety
///
/// `place` is raw memory for a `T`, which stays there.
pub(crate) unsafe fn initialise<T>(place: *mut T, init: impl PinInit<T, Infallible>) {
    #[cfg(linux_7_2)]
    // SAFETY: The caller's promise.
    let Ok(()) = unsafe { init.__pinned_init(place) };
    #[cfg(not(linux_7_2))]
    // SAFETY: The caller's promise.
    let Ok(()) = unsafe { init.__init(place) };
}

// SPDX-License-Identifier: GPL-2.0

//! Allocation flags that `rust/kernel` lacks.
//!
//! C header: [`include/linux/gfp_types.h`](srctree/include/linux/gfp_types.h)

#![allow(unsafe_code, reason = "makes `Flags` of a C constant")]

use crate::ffi;
use core::mem::transmute;
use kernel::{
    alloc::Flags,
    prelude::*, //
};

/// `GFP_KERNEL_ACCOUNT | __GFP_NORETRY | __GFP_NOWARN`: reclaims memory once, then fails.
///
/// A check allocates while it holds the `mmap_lock` of many processes. The OOM killer could free
/// nothing of these, and would kill one after the other; and an allocation without `__GFP_NORETRY`
/// would not fail before that.
pub(crate) const GFP_BOUNDED: Flags = {
    // SAFETY: `Flags` is a `gfp_t`, as the assertion below shows; every value is valid.
    unsafe { transmute::<ffi::gfp_t, Flags>(ffi::SR_GFP_BOUNDED) }
};

const _: () = {
    // SAFETY: Both have the same size, and every value of a `gfp_t` is valid.
    let known = unsafe { transmute::<Flags, ffi::gfp_t>(GFP_KERNEL_ACCOUNT) };
    assert!(known == ffi::GFP_KERNEL_ACCOUNT);
};

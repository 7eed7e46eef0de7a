// SPDX-License-Identifier: GPL-2.0
// R10: a reference out of nothing takes `unsafe`, which is denied outside the rooms made for it.

use crate::{
    kernel_ext::typesafe::Pinned,
    rmap::anon_vma::AnonVma, //
};
use core::ptr::NonNull;

fn pin(anon_vma: &AnonVma) -> Pinned<AnonVma> {
    // SAFETY: Nobody would promise this.
    unsafe { Pinned::from_raw(NonNull::from(anon_vma)) }
}

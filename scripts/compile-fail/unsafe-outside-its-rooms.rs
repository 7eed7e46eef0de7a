// SPDX-License-Identifier: GPL-2.0
// R10: making a reference from a pointer takes `unsafe`, which only the listed files may use.

use crate::{
    kernel_ext::typesafe::Pinned,
    rmap::anon_vma::AnonVma, //
};
use core::ptr::NonNull;

fn pin(anon_vma: &AnonVma) -> Pinned<AnonVma> {
    // SAFETY: Of no interest: the block is refused first.
    unsafe { Pinned::from_raw(NonNull::from(anon_vma)) }
}

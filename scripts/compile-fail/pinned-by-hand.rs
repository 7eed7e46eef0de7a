// SPDX-License-Identifier: GPL-2.0
// R10: a reference comes from try_pin() and confirm(), or from its previous owner.

use crate::{
    kernel_ext::typesafe::Pinned,
    rmap::anon_vma::AnonVma, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};

fn pin(anon_vma: &AnonVma) -> Pinned<AnonVma> {
    Pinned(NonNull::from(anon_vma), PhantomData)
}

// SPDX-License-Identifier: GPL-2.0
// R4: that a page vouches for its pointer is a promise that somebody has to make.

use crate::{
    kernel_ext::typesafe::Anchor,
    rmap::anon_vma::AnonVma, //
};
use core::ptr::NonNull;

struct Stale(NonNull<AnonVma>);

impl Anchor for Stale {
    type Target = AnonVma;

    fn load(&self) -> Option<NonNull<AnonVma>> {
        Some(self.0)
    }

    fn vouches(&self) -> bool {
        true
    }
}

// SPDX-License-Identifier: GPL-2.0
// R4: an anchor promises that a pointer which it confirms leads to an allocated object.

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

    fn revalidate(&self) -> bool {
        true
    }
}

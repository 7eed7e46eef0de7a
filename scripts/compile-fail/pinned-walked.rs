// SPDX-License-Identifier: GPL-2.0
// R15, R18: a reference keeps the memory; only the family's lock keeps the tree.

use crate::{
    kernel_ext::typesafe::Pinned,
    rmap::anon_vma::AnonVma, //
};
use core::ops::ControlFlow;

fn walk(pinned: &Pinned<AnonVma>) -> ControlFlow<()> {
    pinned.for_each_vma(0, 0, |_| ControlFlow::Continue(()))
}

// SPDX-License-Identifier: GPL-2.0
// R6: an object that was just allocated is no anon_vma yet: its root leads nowhere.

use crate::{
    kernel_ext::typesafe::TypesafeBox,
    rmap::anon_vma::AnonVma, //
};

fn read(object: &TypesafeBox<AnonVma>) -> bool {
    AnonVma::is_root(object)
}

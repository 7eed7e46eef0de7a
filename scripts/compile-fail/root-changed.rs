// SPDX-License-Identifier: GPL-2.0
// R14: an anon_vma is given its root once.

use crate::rmap::anon_vma::{
    AnonVma,
    FreshAnonVma,
    NewAnonVma, //
};

fn adopt(fresh: FreshAnonVma, parent: &AnonVma) -> [NewAnonVma; 2] {
    [fresh.into_root(), fresh.into_child_of(parent)]
}

// SPDX-License-Identifier: GPL-2.0
// R15: a guard of any other lock is no proof that the family is locked.

use crate::{
    kernel_ext::rwsem::WriteGuard,
    rmap::{
        anon_vma::AnonVma,
        family::FamilyWrite, //
    },
};

fn lock<'a>(root: &'a AnonVma, other: WriteGuard<'a>) -> FamilyWrite<'a> {
    FamilyWrite::new(root, other)
}

// SPDX-License-Identifier: GPL-2.0
// R15: the proof that a family is locked is made where its root is locked.

use crate::{
    kernel_ext::rwsem::ReadGuard,
    rmap::{
        anon_vma::AnonVma,
        family::FamilyRead, //
    },
};

fn lock(root: &AnonVma, other: ReadGuard<'_>) -> FamilyRead {
    FamilyRead::new(root, other)
}

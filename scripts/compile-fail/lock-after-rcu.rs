// SPDX-License-Identifier: GPL-2.0
// R9: a lock is taken through a candidate alone, which releases it before RCU is left.

use crate::{
    kernel_ext::typesafe::Lockable,
    rmap::{
        anon_vma::AnonVma,
        family::FamilyRead, //
    },
};

fn lock(anon_vma: &AnonVma) -> Option<FamilyRead> {
    anon_vma.try_lock()
}

// SPDX-License-Identifier: GPL-2.0
// R12: a locked anon_vma comes from a lookup that was confirmed, or from lock_read().

use crate::rmap::{
    anon_vma::AnonVma,
    family::{
        FamilyRead,
        LockedAnonVma, //
    },
};

fn lock(family: FamilyRead, anon_vma: &AnonVma) -> LockedAnonVma<'_> {
    LockedAnonVma {
        family,
        kept: (),
        anon_vma,
        life: 0,
    }
}

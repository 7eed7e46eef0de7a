// SPDX-License-Identifier: GPL-2.0
// R10, R15: a pinned anon_vma is walked under the lock of its own family.

use crate::{
    kernel_ext::typesafe::Pinned,
    rmap::{
        anon_vma::AnonVma,
        family::{
            FamilyRead,
            LockedAnonVma, //
        },
        steps::{
            Correct,
            Steps, //
        },
    },
};

fn trust(family: FamilyRead, pin: Pinned<AnonVma>) -> Option<LockedAnonVma<'static>> {
    Correct.drop_pin(family, pin)
}

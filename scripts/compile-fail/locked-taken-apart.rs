// SPDX-License-Identifier: GPL-2.0
// R12: the lock of a locked candidate may be that of another family.

use crate::{
    kernel_ext::typesafe::LockedCandidate,
    rmap::{
        family::FamilyRead,
        page::PageRmap, //
    },
};

fn trust(locked: LockedCandidate<'_, PageRmap>) -> FamilyRead {
    locked.into_raw_parts().0
}

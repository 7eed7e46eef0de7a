// SPDX-License-Identifier: GPL-2.0
// R33: a chain does not change while it is walked.

use crate::rmap::{
    mm::MmapWrite,
    unlink::{
        unlink_anon_vmas,
        Emptied, //
    },
    vma::Vma, //
};

#[allow(unsafe_code)]
fn unlink(vma: &Vma, mmap: &mut MmapWrite<'_>) {
    for _ in vma.links(mmap) {
        // SAFETY: Of no interest: the borrow is refused first.
        unlink_anon_vmas(unsafe { Emptied::new(vma, mmap) });
    }
}

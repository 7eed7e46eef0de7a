// SPDX-License-Identifier: GPL-2.0
// R33: other holders of a shared reference to the lock may be reading the chain.

use crate::rmap::{
    mm::MmapWrite,
    unlink::{
        unlink_anon_vmas,
        Emptied, //
    },
    vma::Vma, //
};

#[allow(unsafe_code)]
fn unlink(vma: &Vma, mmap: &MmapWrite<'_>) {
    // SAFETY: Of no interest: the shared reference is refused first.
    unlink_anon_vmas(unsafe { Emptied::new(vma, mmap) });
}

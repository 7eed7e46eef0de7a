// SPDX-License-Identifier: GPL-2.0
// R31: under the mmap lock for reading a VMA never loses its anon_vma.

use crate::rmap::{
    mm::MmapRead,
    unlink::{
        unlink_anon_vmas,
        Emptied, //
    },
    vma::Vma, //
};

#[allow(unsafe_code)]
fn unlink(vma: &Vma, mmap: &mut MmapRead<'_>) {
    // SAFETY: Of no interest: the lock is refused first.
    unlink_anon_vmas(unsafe { Emptied::new(vma, mmap) });
}

// SPDX-License-Identifier: GPL-2.0
// R18: an anon_vma may be freed once the VMA's links are gone.

use crate::rmap::{
    mm::MmapWrite,
    unlink::{
        unlink_anon_vmas,
        Emptied, //
    },
    vma::Vma, //
};

#[allow(unsafe_code)]
fn unlink(vma: &Vma, mmap: &mut MmapWrite<'_>) -> Option<i32> {
    let anon_vma = vma.anon_vma(mmap)?;
    // SAFETY: Of no interest: the borrow is refused first.
    unlink_anon_vmas(unsafe { Emptied::new(vma, mmap) });
    Some(anon_vma.refcount())
}

// SPDX-License-Identifier: GPL-2.0
// R18: without its links an anon_vma may be gone.

use crate::rmap::{
    chain::Vma,
    link::unlink_anon_vmas,
    mm::MmapWrite, //
};

fn unlink(vma: &Vma, mmap: &mut MmapWrite<'_>) -> Option<i32> {
    let anon_vma = vma.anon_vma(mmap)?;
    unlink_anon_vmas(vma, mmap);
    Some(anon_vma.refcount())
}

// SPDX-License-Identifier: GPL-2.0
// R31: under the mmap lock for reading a VMA never loses its anon_vma.

use crate::rmap::{
    chain::Vma,
    link::unlink_anon_vmas,
    mm::MmapRead, //
};

fn unlink(vma: &Vma, mmap: &mut MmapRead<'_>) {
    unlink_anon_vmas(vma, mmap);
}

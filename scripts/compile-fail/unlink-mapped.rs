// SPDX-License-Identifier: GPL-2.0
// R21, R33: a VMA may map pages, which lead to its anon_vmas, so it is not unlinked as it is.

use crate::rmap::{
    mm::MmapWrite,
    unlink::unlink_anon_vmas,
    vma::Vma, //
};

fn unlink(vma: &Vma, _mmap: &mut MmapWrite<'_>) {
    unlink_anon_vmas(vma);
}

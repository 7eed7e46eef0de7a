// SPDX-License-Identifier: GPL-2.0
// R20, R33: the PTE is gone before the VMA is unlinked, which the caller promises.

use crate::rmap::{
    mm::MmapRead,
    page::PageRmap,
    vma::Vma, //
};

fn fault(vma: &Vma, page: &PageRmap, mmap: &MmapRead<'_>) -> bool {
    vma.add_new_anon_rmap(page, true, mmap)
}

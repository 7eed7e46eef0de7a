// SPDX-License-Identifier: GPL-2.0
// R19: a page that another VMA maps as well is not moved, which the caller promises.

use crate::rmap::{
    mm::MmapRead,
    page::PageRmap,
    vma::Vma, //
};

fn reuse(vma: &Vma, page: &PageRmap, mmap: &MmapRead<'_>) -> bool {
    vma.move_anon_rmap(page, mmap)
}

// SPDX-License-Identifier: GPL-2.0
// R33: dropping a VMA frees its links.

use crate::rmap::{
    mm::MmapRead,
    vma::Vma, //
};
use kernel::prelude::*;

fn count(vma: Pin<KBox<Vma>>, mmap: &MmapRead<'_>) -> usize {
    let links = vma.links(mmap);
    drop(vma);
    links.count()
}

// SPDX-License-Identifier: GPL-2.0
// R32: a fault may map a page in the VMA, where it was, unless `mmap_lock` is held for writing.

use crate::rmap::{
    kind::Rmap,
    mm::MmapRead,
    vma::Vma, //
};

fn shift<R: Rmap<Layout = ()>>(vma: &Vma<R>, mmap: &mut MmapRead<'_, R>) -> bool {
    vma.set_shift(1, mmap, ())
}

// SPDX-License-Identifier: GPL-2.0
// R18, R33: dropping a VMA unlinks it, so an anon_vma is borrowed from the VMA as well as from the lock.

use crate::rmap::{
    mm::MmapRead,
    vma::Vma, //
};
use kernel::prelude::*;

fn refcount(vma: Pin<KBox<Vma>>, mmap: &MmapRead<'_>) -> Option<i32> {
    let anon_vma = vma.anon_vma(mmap)?;
    drop(vma);
    Some(anon_vma.refcount())
}

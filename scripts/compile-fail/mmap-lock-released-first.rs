// SPDX-License-Identifier: GPL-2.0
// R34: the family's lock is taken inside the mmap lock, and released there.

use crate::rmap::{
    mm::MmapWrite,
    vma::Vma, //
};

fn release(vma: &Vma, mmap: MmapWrite<'_>) -> Option<()> {
    let family = vma.anon_vma(&mmap)?.lock_write();
    drop(mmap);
    drop(family);
    Some(())
}

// SPDX-License-Identifier: GPL-2.0
// R21, R33: the proof that a VMA maps no page is made in one place.

use crate::rmap::{
    mm::MmapWrite,
    unlink::Emptied,
    vma::Vma, //
};

fn emptied<'a, 'm>(vma: &'a Vma, mmap: &'a mut MmapWrite<'m>) -> Emptied<'a, 'm> {
    Emptied { vma, mmap }
}

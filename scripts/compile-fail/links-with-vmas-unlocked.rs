// SPDX-License-Identifier: GPL-2.0
// R28, R31: while faults are let in, `mmap_lock` for writing does not protect the chains.

use crate::rmap::{
    clone::{
        anon_vma_clone,
        Operation, //
    },
    mm::MmapWrite,
    vma::Vma, //
};
use kernel::prelude::*;

fn split(dst: &Vma, src: &Vma, mmap: &mut MmapWrite<'_>) -> Result {
    mmap.with_vmas_unlocked(|mmap| anon_vma_clone(dst, mmap, src, mmap, Operation::Copy))
}

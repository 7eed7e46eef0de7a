// SPDX-License-Identifier: GPL-2.0
// R34: fork holds the locks of both address spaces for writing.

use crate::rmap::{
    clone::Reuse,
    fork::anon_vma_fork,
    mm::{
        MmapRead,
        MmapWrite, //
    },
    vma::Vma, //
};
use kernel::prelude::*;

fn fork(child: &Vma, mmap: &MmapWrite<'_>, parent: &Vma, pmmap: &MmapRead<'_>) -> Result {
    anon_vma_fork(child, mmap, parent, pmmap, Reuse::ByRule)
}

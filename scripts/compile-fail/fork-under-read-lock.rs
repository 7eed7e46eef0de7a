// SPDX-License-Identifier: GPL-2.0
// R34: fork holds both address spaces' locks for writing.

use crate::rmap::{
    chain::Vma,
    link::{
        anon_vma_fork,
        Reuse, //
    },
    mm::{
        MmapRead,
        MmapWrite, //
    }, //
};
use kernel::prelude::*;

fn fork(child: &Vma, mmap: &MmapWrite<'_>, parent: &Vma, pmmap: &MmapRead<'_>) -> Result {
    anon_vma_fork(child, mmap, parent, pmmap, Reuse::ByRule)
}

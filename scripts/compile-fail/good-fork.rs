// SPDX-License-Identifier: GPL-2.0
// Right: a VMA is forked, and taken away again, under the locks for writing.

use crate::rmap::{
    chain::Vma,
    link::{
        anon_vma_fork,
        unlink_anon_vmas,
        Reuse, //
    },
    mm::Mm, //
};
use kernel::prelude::*;

fn fork_and_exit(parent: (&Mm, &Vma), child: (&Mm, &Vma)) -> Result {
    let pmmap = parent.0.mmap_write();
    let mut mmap = child.0.mmap_write_nested();
    anon_vma_fork(child.1, &mmap, parent.1, &pmmap, Reuse::ByRule)?;
    unlink_anon_vmas(child.1, &mut mmap);
    Ok(())
}

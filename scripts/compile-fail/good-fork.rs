// SPDX-License-Identifier: GPL-2.0
// Correct: a VMA is forked, and unlinked, under the locks for writing.

use crate::rmap::{
    clone::Reuse,
    fork::anon_vma_fork,
    mm::Mm,
    unlink::{
        unlink_anon_vmas,
        Emptied, //
    },
    vma::Vma, //
};
use kernel::prelude::*;

#[allow(unsafe_code)]
fn fork_and_exit(parent: (&Mm, &Vma), child: (&Mm, &Vma)) -> Result {
    let pmmap = parent.0.mmap_write();
    let mut mmap = child.0.mmap_write_nested();
    anon_vma_fork(child.1, &mmap, parent.1, &pmmap, Reuse::ByRule)?;
    // SAFETY: The child never had a page.
    unlink_anon_vmas(unsafe { Emptied::new(child.1, &mut mmap) });
    Ok(())
}

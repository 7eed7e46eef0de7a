// SPDX-License-Identifier: GPL-2.0
// R33: a chain does not change under the feet of a walk.

use crate::rmap::{
    chain::Vma,
    link::unlink_anon_vmas,
    mm::MmapWrite, //
};
use kernel::prelude::*;

fn unlink(vma: &Vma, mmap: &mut MmapWrite<'_>) -> Result {
    vma.for_each_link(mmap, |_| {
        unlink_anon_vmas(vma, mmap);
        Ok(())
    })
}

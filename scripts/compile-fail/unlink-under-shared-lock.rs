// SPDX-License-Identifier: GPL-2.0
// R33: others may look at the chain for as long as they share the lock.

use crate::rmap::{
    chain::Vma,
    link::unlink_anon_vmas,
    mm::MmapWrite, //
};

fn unlink(vma: &Vma, mmap: &MmapWrite<'_>) {
    unlink_anon_vmas(vma, mmap);
}

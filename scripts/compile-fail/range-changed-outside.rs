// SPDX-License-Identifier: GPL-2.0
// R21, R32: a PTE belongs to the VMA that covers its address, so only the model changes ranges.

use crate::{
    kernel_ext::interval_tree::Range,
    model::{
        mapping::Layout,
        space::Vma,
        Modelled, //
    },
    rmap::mm::MmapWrite,
};

fn shrink<R: Modelled>(vma: &Vma<R>, mmap: &mut MmapWrite<'_, R>) {
    let less = Range { start: 0, last: 0 };
    vma.core.set_range(less, mmap, Layout::kept());
}

// SPDX-License-Identifier: GPL-2.0
// Right: a page is looked up, and the VMAs that may map it are walked under the family's lock.

use crate::rmap::{
    anon_vma::PageRmap,
    lookup::page_lock_anon_vma, //
};
use core::ops::ControlFlow;

fn mark_all(page: &PageRmap) {
    let Some(locked) = page_lock_anon_vma(page) else {
        return;
    };
    let _ = locked.for_each_vma(page.index(), page.index(), |vma| {
        vma.mark();
        ControlFlow::<()>::Continue(())
    });
}

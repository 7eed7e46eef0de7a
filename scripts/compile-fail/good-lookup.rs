// SPDX-License-Identifier: GPL-2.0
// Correct: a page is looked up, and the VMAs that may map it are walked under the family's lock.

use crate::rmap::{
    lookup::page_lock_anon_vma,
    page::PageRmap, //
};
use core::ops::ControlFlow;

fn set_all_untracked(page: &PageRmap) {
    let Some(locked) = page_lock_anon_vma(page) else {
        return;
    };
    let _ = locked.for_each_vma(page.index(), page.index(), |vma| {
        vma.set_untracked();
        ControlFlow::<()>::Continue(())
    });
}

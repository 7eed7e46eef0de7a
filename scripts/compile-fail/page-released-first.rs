// SPDX-License-Identifier: GPL-2.0
// R4: whoever walks holds the page that led there.

use crate::rmap::{
    anon_vma::PageRmap,
    lookup::page_lock_anon_vma, //
};
use kernel::prelude::*;

fn release(page: KBox<PageRmap>) {
    let locked = page_lock_anon_vma(&page);
    drop(page);
    drop(locked);
}

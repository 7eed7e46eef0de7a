// SPDX-License-Identifier: GPL-2.0
// R4: a walk holds a reference to the page that it began with.

use crate::rmap::{
    lookup::page_lock_anon_vma,
    page::PageRmap, //
};
use kernel::prelude::*;

fn release(page: KBox<PageRmap>) {
    let locked = page_lock_anon_vma(&page);
    drop(page);
    drop(locked);
}

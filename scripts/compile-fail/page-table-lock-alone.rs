// SPDX-License-Identifier: GPL-2.0
// R34: page_table_lock is taken inside the mmap lock, and released there.

use crate::rmap::mm::{
    MmapLocked,
    MmapRead, //
};

fn release(mmap: MmapRead<'_>) {
    let page_table = mmap.lock_page_table();
    drop(mmap);
    drop(page_table);
}

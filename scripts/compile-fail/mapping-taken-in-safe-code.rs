// SPDX-License-Identifier: GPL-2.0
// R18: without a pin the anon_vma of the old page may be freed before the new page is mapped.

use crate::rmap::page::PageRmap;

fn migrate(new: &PageRmap, old: &PageRmap) {
    new.take_mapping_of(old);
}

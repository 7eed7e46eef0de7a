// SPDX-License-Identifier: GPL-2.0
// R3, R21: a PTE is counted if its VMA is linked to where the page leads, which the caller promises.

use crate::rmap::page::PageRmap;

fn add(page: &PageRmap) {
    page.add_anon_rmap();
}

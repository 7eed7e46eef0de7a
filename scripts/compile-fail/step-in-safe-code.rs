// SPDX-License-Identifier: GPL-2.0
// R20, R21: the step that stores `mapping` relies on what the engine knows of the page.

use crate::rmap::{
    anon_vma::AnonVma,
    page::PageRmap,
    steps::{
        Correct,
        Steps, //
    },
};

fn lead(page: &PageRmap, anon_vma: &AnonVma) {
    Correct.store_mapping(page, anon_vma);
}

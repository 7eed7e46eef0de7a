// SPDX-License-Identifier: GPL-2.0
// R1: pointer and tag are stored in one place, in one store.

use crate::rmap::{
    anon_vma::AnonVma,
    page::PageRmap, //
};
use kernel::sync::atomic::Relaxed;

fn set_anon(page: &PageRmap, anon_vma: &AnonVma) {
    page.mapping.store(anon_vma.key(), Relaxed);
}

// SPDX-License-Identifier: GPL-2.0
// R12: a reference is useless until the page has been asked again which anon_vma it leads to.

use crate::{
    kernel_ext::typesafe::{
        Candidate,
        Pinned, //
    },
    rmap::{
        anon_vma::AnonVma,
        page::PageRmap, //
    },
};

fn pin(candidate: Candidate<'_, PageRmap>) -> Option<Pinned<AnonVma>> {
    candidate.try_pin()
}

// SPDX-License-Identifier: GPL-2.0
// R10: what was pinned is confirmed or dropped, and is no candidate any more.

use crate::{
    kernel_ext::typesafe::Candidate,
    rmap::anon_vma::PageRmap, //
};

fn pin(candidate: Candidate<'_, PageRmap>) {
    let _first = candidate.try_pin();
    let _second = candidate.try_pin();
}

// SPDX-License-Identifier: GPL-2.0
// R10: what was pinned is confirmed, and not looked at as a candidate any more.

use crate::{
    prim::typesafe::Candidate,
    rmap::anon_vma::PageRmap, //
};

fn pin_and_look(candidate: Candidate<'_, PageRmap>) -> i32 {
    let _pinned = candidate.try_pin();
    candidate.object().refcount()
}

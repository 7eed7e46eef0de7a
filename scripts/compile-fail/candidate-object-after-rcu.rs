// SPDX-License-Identifier: GPL-2.0
// R5: the memory is an anon_vma only until the RCU read section ends.

use crate::{
    prim::typesafe::Candidate,
    rmap::anon_vma::PageRmap, //
};

fn refcount(candidate: Candidate<'_, PageRmap>) -> i32 {
    let anon_vma = candidate.object();
    drop(candidate);
    anon_vma.refcount()
}

// SPDX-License-Identifier: GPL-2.0
// R5: nothing but the lock leaves the attempt to lock.

use crate::{
    prim::typesafe::Candidate,
    rmap::anon_vma::PageRmap, //
};

fn keep(candidate: Candidate<'_, PageRmap>) -> Option<i32> {
    let mut kept = None;
    let _ = candidate.try_lock(|anon_vma| {
        kept = Some(anon_vma);
        None::<()>
    });
    kept.map(|anon_vma| anon_vma.refcount())
}

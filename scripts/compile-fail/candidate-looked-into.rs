// SPDX-License-Identifier: GPL-2.0
// R12: a candidate may be any anon_vma by now, so its fields cannot be read.

use crate::{
    kernel_ext::typesafe::Candidate,
    rmap::page::PageRmap, //
};
use core::ops::ControlFlow;

fn walk(candidate: &Candidate<'_, PageRmap>) -> ControlFlow<()> {
    let locked = candidate.object().lock_read();
    locked.for_each_vma(0, 0, |_| ControlFlow::Continue(()))
}

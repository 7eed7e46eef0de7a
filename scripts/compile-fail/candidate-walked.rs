// SPDX-License-Identifier: GPL-2.0
// R12: no VMA is walked before the page has been asked again.

use crate::{
    kernel_ext::typesafe::Candidate,
    rmap::page::PageRmap, //
};
use core::ops::ControlFlow;

fn walk(candidate: &Candidate<'_, PageRmap>) -> ControlFlow<()> {
    candidate.for_each_vma(0, 0, |_| ControlFlow::Continue(()))
}

// SPDX-License-Identifier: GPL-2.0
// R12: even under the lock no VMA is walked before the page has been asked again.

use crate::{
    kernel_ext::typesafe::LockedCandidate,
    rmap::page::PageRmap, //
};
use core::ops::ControlFlow;

fn walk(locked: &LockedCandidate<'_, PageRmap>) -> ControlFlow<()> {
    locked.for_each_vma(0, 0, |_| ControlFlow::Continue(()))
}

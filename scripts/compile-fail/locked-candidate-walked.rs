// SPDX-License-Identifier: GPL-2.0
// R12: not even under the lock, until the page was looked at again.

use crate::{
    kernel_ext::typesafe::LockedCandidate,
    rmap::anon_vma::PageRmap, //
};
use core::ops::ControlFlow;

fn walk(locked: &LockedCandidate<'_, PageRmap>) -> ControlFlow<()> {
    locked.for_each_vma(0, 0, |_| ControlFlow::Continue(()))
}

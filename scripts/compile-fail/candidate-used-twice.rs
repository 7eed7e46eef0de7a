// SPDX-License-Identifier: GPL-2.0
// R10: pinning uses the candidate up: it is confirmed or dropped next.

use crate::{
    kernel_ext::typesafe::Candidate,
    rmap::page::PageRmap, //
};

fn pin(candidate: Candidate<'_, PageRmap>) {
    let _first = candidate.try_pin();
    let _second = candidate.try_pin();
}

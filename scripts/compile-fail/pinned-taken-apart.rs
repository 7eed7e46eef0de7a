// SPDX-License-Identifier: GPL-2.0
// R12: the reference of a pinned candidate may be on another anon_vma.

use crate::{
    kernel_ext::typesafe::{
        Pinned,
        PinnedCandidate, //
    },
    rmap::{
        anon_vma::AnonVma,
        page::PageRmap, //
    },
};

fn trust(pinned: PinnedCandidate<'_, PageRmap>) -> Pinned<AnonVma> {
    pinned.into_raw_parts().1
}

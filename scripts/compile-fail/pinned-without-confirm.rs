// SPDX-License-Identifier: GPL-2.0
// R12: a reference was taken, but of which anon_vma?

use crate::{
    kernel_ext::typesafe::{
        Candidate,
        Pinned, //
    },
    rmap::anon_vma::{
        AnonVma,
        PageRmap, //
    },
};

fn pin(candidate: Candidate<'_, PageRmap>) -> Option<Pinned<AnonVma>> {
    candidate.try_pin()
}

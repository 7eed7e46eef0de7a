// SPDX-License-Identifier: GPL-2.0
// R4: a candidate comes from a page that was seen mapped in the same RCU read section.

use crate::{
    kernel_ext::typesafe::Candidate,
    rmap::{
        anon_vma::AnonVma,
        page::PageRmap, //
    },
};
use core::ptr::NonNull;
use kernel::sync::rcu;

fn find<'a>(page: &'a PageRmap, stale: NonNull<AnonVma>) -> Candidate<'a, PageRmap> {
    Candidate::from_raw_parts(page, stale, rcu::read_lock())
}

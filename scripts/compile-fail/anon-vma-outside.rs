// SPDX-License-Identifier: GPL-2.0
// R23: anon_vmas are allocated for prepare and fork alone, which link the parent's VMAs to a child.

use crate::rmap::anon_vma::{
    AnonVma,
    Cache,
    FreshAnonVma, //
};
use kernel::prelude::*;

fn allocate(cache: &Cache) -> Result<FreshAnonVma> {
    AnonVma::alloc(cache)
}

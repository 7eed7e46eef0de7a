// SPDX-License-Identifier: GPL-2.0
// R21, R23: links are allocated for prepare, clone and fork alone, whose steps use them.

use crate::rmap::chain::LinkReserve;
use kernel::prelude::*;

fn reserve() -> Result<LinkReserve> {
    LinkReserve::new(1)
}

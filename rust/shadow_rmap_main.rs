// SPDX-License-Identifier: GPL-2.0

//! A shadow of the kernel's anonymous reverse map.

#![deny(unsafe_code)]
#![allow(dead_code, unused_imports)]

use kernel::prelude::*;

mod bindings;
mod ffi;
mod prim;
mod rmap;
mod snapshot;
mod stats;

module! {
    type: ShadowRmap,
    name: "shadow_rmap",
    authors: ["The shadow_rmap developers"],
    description: "A shadow of the anonymous reverse map, checked against the host's own",
    license: "GPL",
}

struct ShadowRmap;

impl kernel::Module for ShadowRmap {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        pr_info!("loaded\n");
        Ok(Self)
    }
}

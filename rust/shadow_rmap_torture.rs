// SPDX-License-Identifier: GPL-2.0

//! `shadow_rmap_torture.ko`: the rules under load, and deliberate bugs that break them.
//!
//! It works on address spaces of its own, with counters of its own, beside `shadow_rmap.ko` or
//! without it. See [`torture`] and `Documentation/torture.rst`.

#![deny(unsafe_code)]
#![deny(unsafe_op_in_unsafe_fn)]
#![allow(
    dead_code,
    reason = "others use the rest; shadow_rmap_kunit.rs shows what no module uses"
)]

use kernel::prelude::*;

/// Names a slab cache of this module; no two modules may have one of the same name.
macro_rules! cache_name {
    ($name:literal) => {
        kernel::c_str!(concat!("shadow_rmap_torture_", $name))
    };
}

mod bindings;
mod ffi;
mod kernel_ext;
mod model;
mod rmap;
mod snapshot;
mod stats;
mod torture;
mod trace;

/// The steps of live mappings; this module has none.
pub(crate) type LiveFlavour = rmap::steps::Correct;

/// The windows of a kind that names none: nothing happens in them.
pub(crate) type UsualWindows = rmap::kind::Empty;

module! {
    type: ShadowRmapTorture,
    name: "shadow_rmap_torture",
    authors: ["The shadow_rmap developers"],
    description: "Torture of shadow_rmap's rules, and of rules broken on purpose",
    license: "GPL",
}

/// The module.
///
/// Fields are dropped from top to bottom: the torture ends before the caches go.
struct ShadowRmapTorture {
    _files: torture::control::Files,
    _statics: rmap::statics::Statics,
}

#[expect(unsafe_code, reason = "a promise about the order of fields")]
impl kernel::Module for ShadowRmapTorture {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        // SAFETY: It is the last field, and the torture ends before.
        let statics = unsafe { rmap::statics::Statics::create() }?;
        let dir = kernel_ext::debugfs::Dir::shared(c"shadow_rmap")?;
        Ok(Self {
            _files: torture::control::Files::new(&dir)?,
            _statics: statics,
        })
    }
}

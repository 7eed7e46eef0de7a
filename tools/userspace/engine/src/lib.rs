// SPDX-License-Identifier: GPL-2.0

//! The reverse map of the kernel module in user space: the same sources, over the crate `kernel`.
//!
//! The modules `kernel_ext`, `model`, `rmap`, `snapshot`, `stats` and `trace` are the files of `rust/`;
//! of `kernel_ext`, `debugfs` and `nofault` are left out: there is no such file system, and no host to
//! read. `bindings` stands for `rust/bindings` and `rust/helpers`, `torture` for a part of
//! `rust/torture`. Other crates use [`world`].

// As the kernel's build does, see `.cargo/config.toml`.
#![feature(arbitrary_self_types)]
#![deny(unsafe_op_in_unsafe_fn)]
#![allow(
    dead_code,
    unused_imports,
    reason = "the kernel's build shows what no module uses"
)]
#![allow(
    unknown_lints,
    clippy::manual_is_multiple_of,
    clippy::needless_update,
    reason = "the kernel's compilers may be older, and its structures have more fields"
)]

// The sources in `rust/` use the name of the kernel's crate.
extern crate pinned_init as pin_init;

/// Names a slab cache, as in `rust/shadow_rmap_main.rs`.
macro_rules! cache_name {
    ($name:literal) => {
        kernel::c_str!(concat!("shadow_rmap_user_", $name))
    };
}

mod bindings;
#[cfg(test)]
mod complete;
mod ffi;
mod kernel_ext;
mod module;
#[rustfmt::skip]
#[path = "../../../../rust/model/mod.rs"]
mod model;
#[rustfmt::skip]
#[path = "../../../../rust/rmap/mod.rs"]
mod rmap;
#[rustfmt::skip]
#[path = "../../../../rust/kernel_ext/rwonce.rs"]
mod rwonce;
#[rustfmt::skip]
#[path = "../../../../rust/snapshot/mod.rs"]
mod snapshot;
#[rustfmt::skip]
#[path = "../../../../rust/stats.rs"]
mod stats;
#[cfg(shadow_rmap_kunit)]
mod torture;
#[rustfmt::skip]
#[path = "../../../../rust/trace.rs"]
mod trace;
pub mod world;

pub use world::World;

#[cfg(test)]
use module::load_for_kunit;
use std::sync::OnceLock;

/// The steps of live mappings, of which there are none here.
pub(crate) type LiveFlavour = rmap::steps::Correct;

/// The windows of a kind that names none: tests may act in them.
#[cfg(shadow_rmap_kunit)]
pub(crate) type UsualWindows = rmap::testing::Hooked;
#[cfg(not(shadow_rmap_kunit))]
pub(crate) type UsualWindows = rmap::kind::Empty;

/// Returns the random sequence that the tests are to do, or 0 for the usual ones: a parameter of
/// the module, here the variable `SHADOW_RMAP_SEED`.
#[cfg(shadow_rmap_kunit)]
pub(crate) fn seed() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    *SEED.get_or_init(kernel::mock::random::seed_of_process)
}

/// Returns the check that is to be left out, or 0: see `scripts/silence.py`.
#[cfg(shadow_rmap_kunit)]
pub(crate) fn silence() -> u64 {
    static SILENCE: OnceLock<u64> = OnceLock::new();
    *SILENCE.get_or_init(|| {
        let check = std::env::var("SHADOW_RMAP_SILENCE");
        check.ok().and_then(|check| check.parse().ok()).unwrap_or(0)
    })
}

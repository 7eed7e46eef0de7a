// SPDX-License-Identifier: GPL-2.0

//! The reverse map of the kernel module under a scheduler that decides which thread runs next: the
//! same sources, over the crate `kernel` with shuttle's threads.
//!
//! | module | contents |
//! |---|---|
//! | `kernel_ext`, `model`, `rmap`, `snapshot`, `stats`, `trace` | files of `rust/`, but for `rwonce` |
//! | `bindings`, `ffi`, `module` | those of `tools/userspace/engine` |
//! | `rwonce` | as that of `rust/`, but each access is a point of a schedule |
//! | `torture` | the deliberate bugs, and steps that are chosen at run time |
//! | `bugs` | where each bug is looked for, or why it is not |
//! | `scenarios` | what the threads do |
//! | `execution` | one run of a scenario, from an empty module to an empty module |
//! | `schedulers` | random, PCT, depth-first, and the replay of a file |
//! | `record` | the choices of an execution, and the numbers of a search |
//! | `report` | what ends a search |
//! | `file` | schedules as files |
//! | [`cli`] | the command line |
//!
//! `Documentation/schedules.rst` says what a schedule is, and what the search cannot show.

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
        kernel::c_str!(concat!("shadow_rmap_schedules_", $name))
    };
}

#[path = "../../engine/src/bindings/mod.rs"]
mod bindings;
mod bugs;
pub mod cli;
mod execution;
#[path = "../../engine/src/ffi.rs"]
mod ffi;
mod file;
#[path = "../../engine/src/kernel_ext.rs"]
mod kernel_ext;
#[rustfmt::skip]
#[path = "../../../../rust/model/mod.rs"]
mod model;
#[path = "../../engine/src/module.rs"]
mod module;
mod record;
mod report;
#[rustfmt::skip]
#[path = "../../../../rust/rmap/mod.rs"]
mod rmap;
mod rwonce;
mod scenarios;
mod schedulers;
#[rustfmt::skip]
#[path = "../../../../rust/snapshot/mod.rs"]
mod snapshot;
#[rustfmt::skip]
#[path = "../../../../rust/stats.rs"]
mod stats;
mod torture;
#[rustfmt::skip]
#[path = "../../../../rust/trace.rs"]
mod trace;

/// The steps of live mappings, of which there are none here.
pub(crate) type LiveFlavour = rmap::steps::Correct;

/// The windows of a kind that names none: nothing happens in them.
pub(crate) type UsualWindows = rmap::kind::Empty;

// SPDX-License-Identifier: GPL-2.0

//! A shadow of the kernel's anonymous reverse map, compared with the host's own.
//!
//! Read `Documentation/` for what it is for, [`rmap`] for the rules, [`kernel_ext::typesafe`] for
//! the type-safe slab that they rest on, and [`device`] for how real processes drive it.

#![deny(unsafe_code)]
#![deny(unsafe_op_in_unsafe_fn)]
#![allow(
    dead_code,
    unused_imports,
    reason = "others use the rest; shadow_rmap_kunit.rs shows what no module uses"
)]

use kernel::{
    miscdevice::MiscDeviceOptions,
    prelude::*,
    time::Delta, //
};
use kernel_ext::module::OwnedDevice;

/// Names a slab cache of this module; no two modules may have one of the same name.
macro_rules! cache_name {
    ($name:literal) => {
        kernel::c_str!(concat!("shadow_rmap_", $name))
    };
}

mod bench;
mod bindings;
mod debugfs;
mod device;
mod ffi;
mod host;
mod kernel_ext;
#[cfg(any(shadow_rmap_case, shadow_rmap_busted))]
mod model;
mod rmap;
mod snapshot;
mod stats;
#[cfg(shadow_rmap_busted)]
mod torture;
mod trace;

/// The windows of a kind that names none: nothing happens in them.
pub(crate) type UsualWindows = rmap::kind::Empty;

/// The steps of live mappings.
#[cfg(not(shadow_rmap_busted))]
pub(crate) type LiveFlavour = rmap::steps::Correct;

/// The steps of a deliberately wrong module, for tests of the comparison: `SHADOW_RMAP_BUST=1`.
#[cfg(shadow_rmap_busted)]
pub(crate) type LiveFlavour = torture::at_load::AtLoad;

#[cfg(shadow_rmap_busted)]
pub(crate) use torture::at_load::is_chosen;

/// A misuse that must not compile, see `scripts/compile-fail/`.
#[cfg(shadow_rmap_case)]
mod case {
    include!(env!("SHADOW_RMAP_CASE"));
}

module! {
    type: ShadowRmap,
    name: "shadow_rmap",
    authors: ["The shadow_rmap developers"],
    description: "A shadow of the anonymous reverse map, compared with the host's own",
    license: "GPL",
    params: {
        shadow: u8 {
            default: 1,
            description: "Shadow live mappings; if 0, the device is a plain driver",
        },
        max_vmas: u64 {
            default: 65536,
            description: "VMAs that an open file may have in all processes together",
        },
        max_pages: u64 {
            default: 1048576,
            description: "Pages that an open file may have in all processes together",
        },
        host_hold: u8 {
            default: 0,
            description: "Milliseconds for which a check of one process keeps a root's lock between two looks",
        },
        bench_rounds: usize {
            default: 0,
            description: "Rounds of the benchmark, which needs all of the following; 0 for none",
        },
        bench_folio_lock_anon_vma_read: usize {
            default: 0,
            description: "The address of folio_lock_anon_vma_read()",
        },
        bench_anon_vma_prepare: usize {
            default: 0,
            description: "The address of __anon_vma_prepare()",
        },
        bench_anon_vma_fork: usize {
            default: 0,
            description: "The address of anon_vma_fork()",
        },
        bench_unlink_anon_vmas: usize {
            default: 0,
            description: "The address of unlink_anon_vmas()",
        },
        bench_anon_vma_clone: usize {
            default: 0,
            description: "The address of anon_vma_clone()",
        },
        bench_folio_add_new_anon_rmap: usize {
            default: 0,
            description: "The address of folio_add_new_anon_rmap()",
        },
        bench_folio_add_anon_rmap_ptes: usize {
            default: 0,
            description: "The address of folio_add_anon_rmap_ptes()",
        },
        bench_folio_remove_rmap_ptes: usize {
            default: 0,
            description: "The address of folio_remove_rmap_ptes()",
        },
        bench_folio_move_anon_rmap: usize {
            default: 0,
            description: "The address of folio_move_anon_rmap()",
        },
        bench_anon_rmap_tree_iter_first: usize {
            default: 0,
            description: "The address of anon_rmap_tree_iter_first()",
        },
        bench_anon_rmap_tree_iter_next: usize {
            default: 0,
            description: "The address of anon_rmap_tree_iter_next()",
        },
    },
}

/// The module.
///
/// Fields are dropped from top to bottom: first the device, so that no file can be opened, then
/// what open files used, then the caches.
#[pin_data]
struct ShadowRmap {
    #[pin]
    _device: OwnedDevice<device::file::OpenFile>,
    _debugfs: debugfs::DebugFs,
    _sweeper: device::mergeable::Sweeper,
    _published: device::registry::Published,
    _statics: rmap::statics::Statics,
}

#[expect(unsafe_code, reason = "a promise about the order of fields")]
impl kernel::InPlaceModule for ShadowRmap {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        use kernel_ext::module::parameter;

        let limits = device::Limits {
            shadow: parameter(&module_parameters::shadow) != 0,
            max_vmas: usize::try_from(parameter(&module_parameters::max_vmas))
                .unwrap_or(usize::MAX),
            max_pages: usize::try_from(parameter(&module_parameters::max_pages))
                .unwrap_or(usize::MAX),
        };
        let bench = bench::Parameters {
            rounds: parameter(&module_parameters::bench_rounds),
            addresses: host::bench::Addresses {
                lock: parameter(&module_parameters::bench_folio_lock_anon_vma_read),
                prepare: parameter(&module_parameters::bench_anon_vma_prepare),
                fork: parameter(&module_parameters::bench_anon_vma_fork),
                unlink: parameter(&module_parameters::bench_unlink_anon_vmas),
                clone: parameter(&module_parameters::bench_anon_vma_clone),
                add_new: parameter(&module_parameters::bench_folio_add_new_anon_rmap),
                add: parameter(&module_parameters::bench_folio_add_anon_rmap_ptes),
                remove: parameter(&module_parameters::bench_folio_remove_rmap_ptes),
                relocate: parameter(&module_parameters::bench_folio_move_anon_rmap),
                first: parameter(&module_parameters::bench_anon_rmap_tree_iter_first),
                next: parameter(&module_parameters::bench_anon_rmap_tree_iter_next),
            },
        };
        try_pin_init!(Self {
            // SAFETY: It is the last field, so all that uses a reverse map is dropped before.
            _statics: unsafe { rmap::statics::Statics::create() }?,
            _: {
                bench::run(bench)?;
            },
            _published: device::registry::publish(device::registry::Registry::new(limits)?)?,
            _sweeper: device::mergeable::Sweeper::new(
                device::registry::registry().ok_or(ENODEV)?
            )?,
            _debugfs: debugfs::DebugFs::new(
                device::registry::registry().ok_or(ENODEV)?,
                Delta::from_millis(parameter(&module_parameters::host_hold).into()),
            )?,
            _device <- OwnedDevice::register(MiscDeviceOptions {
                name: c"shadow_rmap",
            }),
        })
    }
}

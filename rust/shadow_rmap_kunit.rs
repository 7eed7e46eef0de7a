// SPDX-License-Identifier: GPL-2.0

//! `shadow_rmap_kunit.ko`: the KUnit suites. They run when the module is loaded.
//!
//! The suites stand at the end of the files that they test. All of these are compiled into this
//! module, so that it needs no other one.

#![deny(unsafe_code)]
#![deny(unsafe_op_in_unsafe_fn)]

use kernel::{
    miscdevice::MiscDeviceOptions,
    prelude::*,
    time::Delta, //
};
use kernel_ext::module::OwnedDevice;

/// Names a slab cache of this module; no two modules may have one of the same name.
macro_rules! cache_name {
    ($name:literal) => {
        kernel::c_str!(concat!("shadow_rmap_kunit_", $name))
    };
}

mod bench;
mod bindings;
mod debugfs;
mod device;
mod ffi;
mod host;
mod kernel_ext;
mod model;
mod rmap;
mod snapshot;
mod stats;
mod torture;
mod trace;

/// The steps of live mappings.
pub(crate) type LiveFlavour = rmap::steps::Correct;

/// The windows of a kind that names none: those of a torture, in which tests may act as well. With
/// windows of their own the tests would compile the engine once more.
pub(crate) type UsualWindows = torture::pressure::Pressure;

module! {
    type: ShadowRmapKunit,
    name: "shadow_rmap_kunit",
    authors: ["The shadow_rmap developers"],
    description: "KUnit suites of shadow_rmap",
    license: "GPL",
    params: {
        seed: u64 {
            default: 0,
            description: "The random sequence that the tests do; 0 for the usual ones",
        },
        silence: u64 {
            default: 0,
            description: "A check that is left out, by file and line, see scripts/silence.py",
        },
    },
}

/// Returns the random sequence that the tests are to do, or 0 for the usual ones.
pub(crate) fn seed() -> u64 {
    kernel_ext::module::parameter(&module_parameters::seed)
}

/// Returns the check that is to be left out, or 0: see [`rmap::rules::expected`].
pub(crate) fn silence() -> u64 {
    kernel_ext::module::parameter(&module_parameters::silence)
}

/// The module: debugfs `kunit/`, and what the suites need while they run.
///
/// Fields are dropped from top to bottom: the files go before the caches.
struct ShadowRmapKunit {
    _rules: kernel_ext::debugfs::File<()>,
    _stats: kernel_ext::debugfs::File<()>,
    _statics: rmap::statics::Statics,
}

#[expect(unsafe_code, reason = "a promise about the order of fields")]
impl kernel::Module for ShadowRmapKunit {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        // SAFETY: It is the last field, and the suites end before the module is unloaded.
        let statics = unsafe { rmap::statics::Statics::create() }?;
        let dir = kernel_ext::debugfs::Dir::shared(c"shadow_rmap")?.subdir(c"kunit")?;
        Ok(Self {
            _rules: dir.read_file(c"rules", (), |(), text| text.add(rmap::rules::show))?,
            _stats: dir.read_file(c"stats", (), |(), text| {
                text.add(stats::show)?;
                text.add(rmap::path::show)?;
                text.add(rmap::rules::show_broken)
            })?,
            _statics: statics,
        })
    }
}

/// Uses what the other two modules use, and is never called.
///
/// This crate has all source files, so it is the one in which the compiler finds code that no
/// module uses.
#[allow(dead_code, reason = "see above")]
fn used_by_other_modules() -> Result {
    bench::run(bench::Parameters {
        rounds: 0,
        addresses: host::bench::Addresses::default(),
    })?;
    let limits = device::Limits {
        shadow: true,
        max_vmas: 0,
        max_pages: 0,
    };
    let _published = device::registry::publish(device::registry::Registry::new(limits)?)?;
    let _debugfs = debugfs::DebugFs::new(device::registry::registry().ok_or(ENODEV)?, Delta::ZERO)?;
    let _sweeper = device::mergeable::Sweeper::new(device::registry::registry().ok_or(ENODEV)?)?;
    let _device = OwnedDevice::<device::file::OpenFile>::register(MiscDeviceOptions {
        name: c"shadow_rmap",
    });
    let dir = kernel_ext::debugfs::Dir::shared(c"shadow_rmap")?;
    let _torture = torture::control::Files::new(&dir)?;
    torture::at_load::choose(b"")?;
    let _steps = <torture::at_load::AtLoad as rmap::steps::Flavour>::steps::<rmap::kind::Live>();
    Ok(())
}

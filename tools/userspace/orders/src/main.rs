// SPDX-License-Identifier: GPL-2.0

//! Small cores of the reverse map in all executions of a weak memory model: the sources of the
//! kernel module, over the crate `kernel` with the words and threads of loom.
//!
//! | module | contents |
//! |---|---|
//! | `kernel_ext`, `rmap`, `stats`, `trace` | files of `rust/`, but for `rwonce` |
//! | `bindings`, `ffi` | those of `tools/userspace/engine` |
//! | `rwonce` | that of `tools/userspace/schedules` |
//! | `busted` | deliberate bugs, files of `rust/torture/busted/` |
//! | `cores` | what two threads do |
//! | `bugs` | in which core each bug is looked for |
//! | `report` | the result: one line of JSON |
//!
//! ```text
//! orders list
//! orders correct CORE
//! orders bug BUG
//! ```
//!
//! `Documentation/schedules.rst` says what is found, and what cannot be.

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
        kernel::c_str!(concat!("shadow_rmap_orders_", $name))
    };
}

#[path = "../../engine/src/bindings/mod.rs"]
mod bindings;
mod bugs;
mod busted;
mod cores;
#[path = "../../engine/src/ffi.rs"]
mod ffi;
#[path = "../../engine/src/kernel_ext.rs"]
mod kernel_ext;
mod report;
#[rustfmt::skip]
#[path = "../../../../rust/rmap/mod.rs"]
mod rmap;
#[path = "../../schedules/src/rwonce.rs"]
mod rwonce;
#[rustfmt::skip]
#[path = "../../../../rust/stats.rs"]
mod stats;
#[rustfmt::skip]
#[path = "../../../../rust/trace.rs"]
mod trace;

/// The steps of live mappings, of which there are none here.
pub(crate) type LiveFlavour = rmap::steps::Correct;

/// The windows of a kind that names none: nothing happens in them.
pub(crate) type UsualWindows = rmap::kind::Empty;

use kernel::mock::words;
use std::process::ExitCode;

/// The most accesses and switches of an execution: the longest core has a tenth of it.
const MOST_BRANCHES: usize = 10_000;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(words) => {
            eprintln!("error: {words}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &[&str]) -> Result<(), String> {
    match arguments {
        ["list"] => {
            list();
            Ok(())
        }
        ["correct", name] => {
            let core = cores::ALL.iter().find(|core| core.name == *name);
            let core = core.ok_or_else(|| format!("{name}: no such core"))?;
            explore(core.name, None, core.correct);
            Ok(())
        }
        ["bug", name] => {
            let bug = bugs::ALL.iter().find(|bug| bug.name == *name);
            let bug = bug.ok_or_else(|| format!("{name}: no such bug"))?;
            words::leave_out(bug.left_out);
            explore(bug.core, Some(bug), bug.execution);
            Ok(())
        }
        _ => Err("usage: orders list | correct CORE | bug BUG, see src/main.rs".to_owned()),
    }
}

/// Runs all executions. A report ends the process.
fn explore(core: &'static str, bug: Option<&'static bugs::Bug>, execution: fn()) {
    report::begin(core, bug);
    let mut model = loom::model::Builder::new();
    model.max_branches = MOST_BRANCHES;
    // That of the set-up, and that of the workqueue, which has nothing to do.
    model.max_threads = 2 + words::THREADS;
    model.check(execution);
    report::complete();
}

/// Prints cores and bugs.
fn list() {
    for core in cores::ALL {
        println!("{{\"core\": {:?}, \"about\": {:?}}}", core.name, core.about);
    }
    for bug in bugs::ALL {
        println!(
            "{{\"bug\": {:?}, \"rule\": {:?}, \"core\": {:?}}}",
            bug.name,
            bug.rule.name(),
            bug.core
        );
    }
}

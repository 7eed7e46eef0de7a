// SPDX-License-Identifier: GPL-2.0

//! Gives the sources the configuration of the kernel.

#[path = "../configuration.rs"]
mod configuration;

fn main() {
    configuration::print();
    // The table of the deliberate bugs is compiled for a torture.
    println!("cargo:rustc-cfg=shadow_rmap_torture");
}

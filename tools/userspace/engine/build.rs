// SPDX-License-Identifier: GPL-2.0

//! Gives the sources the configuration of the kernel.

#[path = "../configuration.rs"]
mod configuration;

fn main() {
    configuration::print();
    if std::env::var_os("CARGO_FEATURE_KUNIT").is_some() {
        println!("cargo:rustc-cfg=shadow_rmap_kunit");
    }
}

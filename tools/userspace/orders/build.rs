// SPDX-License-Identifier: GPL-2.0

//! Gives the sources the configuration of the kernel.

#[path = "../configuration.rs"]
mod configuration;

fn main() {
    configuration::print();
}

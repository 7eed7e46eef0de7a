// SPDX-License-Identifier: GPL-2.0

//! The configuration of the kernel that the `kernel` crate stands for: the one with the most
//! checks.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    for name in [
        "CONFIG_DEBUG_ATOMIC_SLEEP",
        "CONFIG_DEBUG_VM",
        "CONFIG_PREEMPT_RCU",
        "CONFIG_PROVE_LOCKING",
    ] {
        println!("cargo:rustc-check-cfg=cfg({name}, values(any()))");
        println!("cargo:rustc-cfg={name}=\"y\"");
    }
    for name in [
        "CONFIG_PREEMPT_RT",
        "CONFIG_UML",
        "shadow_rmap_busted",
        "shadow_rmap_torture",
        "shadow_rmap_kunit",
    ] {
        println!("cargo:rustc-check-cfg=cfg({name})");
    }
    // The table of the deliberate bugs is compiled for a torture.
    println!("cargo:rustc-cfg=shadow_rmap_torture");
}

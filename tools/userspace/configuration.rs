// SPDX-License-Identifier: GPL-2.0

//! The configuration of the kernel that the crate `kernel` stands for: the one with the most checks.

/// Prints it for cargo, from a build script.
pub fn print() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=../configuration.rs");
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
        "CONFIG_JUMP_LABEL",
        "CONFIG_PREEMPT_RT",
        "CONFIG_TRACEPOINTS",
        "CONFIG_UML",
        "linux_7_2",
        "shadow_rmap_busted",
        "shadow_rmap_torture",
        "shadow_rmap_kunit",
    ] {
        println!("cargo:rustc-check-cfg=cfg({name})");
    }
}

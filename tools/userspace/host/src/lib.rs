// SPDX-License-Identifier: GPL-2.0

//! The host kernel's own VMA and anonymous rmap code, compiled in user space from a kernel's tree.
//!
//! `scripts/host_userspace.py` makes a shared object of `mm/vma.c` and of what it cuts out of
//! `mm/rmap.c` and other files of the tree. [`Host`] loads it and runs processes over it: what a
//! mapping, a fork or an unmap does to VMAs and anon_vmas is decided by that code alone. The page
//! tables and the swap are small maps on this side ([`tables`]).
//!
//! [`Host::graph`] reads the result as a [`Graph`] of small integers, and [`verify()`] checks a
//! graph against the rules of the anonymous reverse map. One [`Host`] exists at a time: the code
//! has global state.

#![deny(unsafe_code, missing_docs)]

mod damage;
mod ffi;
pub mod graph;
mod host;
pub mod random;
mod read;
mod tables;
pub mod verify;

pub use damage::{Damage, Target, Value};
pub use graph::Graph;
pub use host::{Errno, Flags, Host, PAGE_SIZE, Pid};
pub use verify::{Violation, verify};

/// Names the fields that [`Host::damage`] can overwrite.
pub use ffi::Field;

// SPDX-License-Identifier: GPL-2.0

//! The one door to C: the kernel's bindings together with our own.
//!
//! Only the rooms that may hold `unsafe` code import this module.

pub(crate) use crate::bindings::*;
// The kernel's bindings know of these only that they exist.
#[allow(
    unused_imports,
    reason = "the torture does not read the host's structures"
)]
pub(crate) use crate::bindings::{
    anon_vma,
    anon_vma_chain, //
};
pub(crate) use kernel::bindings::*;

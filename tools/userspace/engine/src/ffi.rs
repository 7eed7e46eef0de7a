// SPDX-License-Identifier: GPL-2.0

//! Stands for `rust/ffi.rs`, without the structures of a host.

pub(crate) use crate::bindings::*;
pub(crate) use kernel::bindings::*;

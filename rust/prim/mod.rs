// SPDX-License-Identifier: GPL-2.0

//! What the kernel has and Rust does not yet: the module's own primitives.

pub(crate) mod percpu;

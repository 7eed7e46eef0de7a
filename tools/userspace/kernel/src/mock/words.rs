// SPDX-License-Identifier: GPL-2.0

//! The words that [`Atomic`](crate::sync::atomic::Atomic) and the locks are made of: the atomics of
//! `core`. With the feature `loom` they have the same layout, and the memory model of loom.

#[cfg(feature = "loom")]
#[path = "words/over_loom.rs"]
mod over;
#[cfg(not(feature = "loom"))]
#[path = "words/over_core.rs"]
mod over;

pub use over::*;

// SPDX-License-Identifier: GPL-2.0

//! The host: the running kernel's own VMAs, pages and `struct anon_vma`, read and never written.
//! Only [`bench`] lets it work, on VMAs of its own, to time it.
//!
//! This is the only place that knows the layout of the host's private structures; what it tells
//! others are numbers and [`Graph`](crate::snapshot::Graph)s.
//!
//! # Invariants of this module
//!
//! 1. A [`HostVma`](vma::HostVma) is a VMA that is not closed, for its whole life.
//! 2. What a VMA is linked to stays while its `mmap_lock` is held for writing, which
//! [`AllMmaps`](mm::AllMmaps) does.
//! 3. The interval trees of a family change only under the root's `rwsem` for writing.

#![allow(
    unsafe_code,
    reason = "reads the host's structures"
)]

pub(crate) mod bench;
pub(crate) mod graph;
pub(crate) mod mm;
pub(crate) mod vma;

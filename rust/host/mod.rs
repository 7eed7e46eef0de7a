// SPDX-License-Identifier: GPL-2.0

//! Reads the host's own VMAs, pages and `struct anon_vma`, and never writes to them.
//! Only [`bench`] calls functions of the host, on VMAs of its own, to measure them.
//!
//! No other folder knows the layout of the host's private structures. This one returns numbers and
//! [`Graph`](crate::snapshot::Graph)s.
//!
//! # Invariants of this module
//!
//! 1. A [`HostVma`](vma::HostVma) refers to a VMA that is not closed during its lifetime, and whose
//!    `mmap_lock` is held.
//! 2. The links of a VMA do not change while its `mmap_lock` is held for writing, as by
//!    [`AllMmaps`](mm::AllMmaps). A linked anon_vma exists.
//! 3. The interval trees of a family, and the ranges of the VMAs in them, change only under the root's `rwsem`,
//!    held for writing. Such a VMA exists.
//!
//! [`fsck`] and [`chains`] read any process, and rely on these alone:
//!
//! 4. A VMA in the maple tree is not closed, and keeps its anon_vma, while `mmap_lock` is held.

#![allow(unsafe_code, reason = "reads the host's structures")]

pub(crate) mod bench;
pub(crate) mod cell;
pub(crate) mod chains;
pub(crate) mod fsck;
pub(crate) mod graph;
pub(crate) mod hold;
pub(crate) mod mm;
pub(crate) mod page_table;
pub(crate) mod process;
pub(crate) mod swap;
pub(crate) mod vma;

// SPDX-License-Identifier: GPL-2.0

//! What the kernel has and Rust does not yet: the module's own primitives.
//!
//! | module | wraps |
//! |---|---|
//! | [`typesafe`] | `SLAB_TYPESAFE_BY_RCU` caches, and the lookup they are made for |
//! | [`rwsem`] | `struct rw_semaphore` |
//! | [`interval_tree`] | `INTERVAL_TREE_DEFINE()` |
//! | [`percpu`] | per-CPU counters |
//! | [`sort`] | `sort_r()` |
//!
//! [`gather`] copies what a lock protects without allocating under it.
//!
//! Nothing here knows of anon_vmas: each could be proposed for `rust/kernel/` as it stands.

pub(crate) mod gather;
pub(crate) mod interval_tree;
pub(crate) mod percpu;
pub(crate) mod rwsem;
pub(crate) mod sort;
pub(crate) mod typesafe;

// SPDX-License-Identifier: GPL-2.0

//! What the kernel has and Rust does not yet: the module's own primitives.
//!
//! | module | wraps |
//! |---|---|
//! | [`typesafe`] | `SLAB_TYPESAFE_BY_RCU` caches, and the lookup they are made for |
//! | [`lock`] | the lock of a family: one that spins, one that sleeps |
//! | [`rwsem`] | `struct rw_semaphore` |
//! | [`interval_tree`] | `INTERVAL_TREE_DEFINE()` |
//! | [`vma_tree`] | the maple tree, as `mm/vma.c` uses it |
//! | [`kthread`] | kernel threads |
//! | [`debugfs`] | files in debugfs that hold the module while they are open |
//! | [`spinlock`] | `spin_lock_nested()` |
//! | [`rwonce`] | `READ_ONCE()`, `WRITE_ONCE()` |
//! | [`percpu`] | per-CPU counters |
//! | [`frame`] | a page's memory as words that anybody may read and write |
//! | [`random`] | `struct rnd_state`, numbers that come again with their seed |
//! | [`mutex`] | a `DEFINE_MUTEX()` |
//! | [`sched`] | `preemptible()`, and what the kernel has complained of |
//! | [`slab`] | a `kmem_cache` for as long as the module is there |
//! | [`sort`] | `sort_r()` |
//!
//! [`gather`] copies what a lock protects without allocating under it. [`fail`] makes allocations
//! fail for tests.
//!
//! Nothing here knows of anon_vmas: each could be proposed for `rust/kernel/` as it stands.

pub(crate) mod debugfs;
pub(crate) mod fail;
pub(crate) mod frame;
pub(crate) mod gather;
pub(crate) mod interval_tree;
pub(crate) mod kthread;
pub(crate) mod lock;
pub(crate) mod mutex;
pub(crate) mod percpu;
pub(crate) mod random;
pub(crate) mod rwonce;
pub(crate) mod rwsem;
#[cfg(shadow_rmap_torture)]
pub(crate) mod sched;
pub(crate) mod slab;
pub(crate) mod sort;
pub(crate) mod spinlock;
pub(crate) mod typesafe;
pub(crate) mod vma_tree;

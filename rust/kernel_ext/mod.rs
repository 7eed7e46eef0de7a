// SPDX-License-Identifier: GPL-2.0

//! Kernel interfaces that `rust/kernel` does not wrap yet.
//!
//! | module | wraps |
//! |---|---|
//! | `complaints` | taint flags, and whether lockdep works |
//! | [`debugfs`] | debugfs files that keep the module loaded while they are open |
//! | [`fail`] | nothing: fault injection for the module's own tests |
//! | [`frame`] | a `struct page`, as an array of atomic words |
//! | [`gather`] | nothing: copies data under a lock without allocating under it |
//! | [`gfp`] | `__GFP_NORETRY` |
//! | [`interval_tree`] | `INTERVAL_TREE_DEFINE()` |
//! | [`kthread`] | `kthread_create()`, `kthread_bind()`, `kthread_stop()` |
//! | [`largest`] | nothing: finds the numbers of a list that are larger than a bound |
//! | [`log`] | `__ratelimit()` |
//! | [`module`] | `try_module_get()`, the owner of file operations, parameters |
//! | [`mutex`] | `DEFINE_MUTEX()` |
//! | [`nofault`] | `copy_from_kernel_nofault()` |
//! | [`percpu`] | per-CPU counters |
//! | [`random`] | `struct rnd_state` |
//! | [`rwonce`] | `READ_ONCE()`, `WRITE_ONCE()`, `atomic_dec_and_test()` |
//! | [`rwsem`] | `struct rw_semaphore` |
//! | [`sched`] | `preemptible()`, `rcu_preempt_depth()`, `cond_resched()` |
//! | [`slab`] | a `kmem_cache` in a static |
//! | [`sort`] | `sort_r_nonatomic()` |
//! | [`spinlock`] | `spin_lock_nested()`, `spin_lock_nest_lock()` |
//! | [`typesafe`] | `SLAB_TYPESAFE_BY_RCU` caches, and lookups in them |
//! | [`versions`] | nothing: what has another name in the `kernel` crate of 7.2 |
//! | [`vma_tree`] | the maple tree, as `mm/vma.c` uses it |
//! | [`workqueue`] | a `struct workqueue_struct` in a static |
//!
//! These modules know nothing of the reverse map.

#[cfg(shadow_rmap_torture)]
pub(crate) mod complaints;
pub(crate) mod debugfs;
pub(crate) mod fail;
pub(crate) mod frame;
pub(crate) mod gather;
pub(crate) mod gfp;
pub(crate) mod interval_tree;
pub(crate) mod kthread;
pub(crate) mod largest;
pub(crate) mod log;
pub(crate) mod module;
pub(crate) mod mutex;
pub(crate) mod nofault;
pub(crate) mod percpu;
pub(crate) mod random;
pub(crate) mod rwonce;
pub(crate) mod rwsem;
pub(crate) mod sched;
pub(crate) mod slab;
pub(crate) mod sort;
pub(crate) mod spinlock;
pub(crate) mod typesafe;
pub(crate) mod versions;
pub(crate) mod vma_tree;
pub(crate) mod workqueue;

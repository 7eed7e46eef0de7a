// SPDX-License-Identifier: GPL-2.0

//! Mirrors `kernel::bindings`: the C functions and types that `rust/kernel_ext` uses, with their
//! names.
//!
//! They are Rust functions, without symbols: C code of the kernel may be linked beside them.
//!
//! | module | C header |
//! |---|---|
//! | `kthread` | `linux/kthread.h`, `linux/sched.h` |
//! | `maple` | `linux/maple_tree.h` |
//! | `rwsem` | `linux/rwsem.h` |
//! | `slab` | `linux/slab.h` |
//! | `spin` | `linux/spinlock.h` |
//! | `workqueue` | `linux/workqueue.h` |

#![allow(
    non_camel_case_types,
    non_upper_case_globals,
    reason = "the names are those of C"
)]

mod kthread;
mod maple;
mod rwsem;
mod slab;
mod spin;
mod workqueue;

pub use self::{kthread::*, maple::*, rwsem::*, slab::*, spin::*, workqueue::*};

use crate::mock::rcu;

/// `struct lock_class_key`.
pub struct lock_class_key(pub(crate) ());

/// `struct page`: the memory itself, see [`crate::page`].
pub struct page(());

/// `gfp_t`.
pub type gfp_t = u32;

/// `GFP_KERNEL`.
pub const GFP_KERNEL: gfp_t = crate::alloc::flags::GFP_KERNEL.0;

/// `NUMA_NO_NODE`.
pub const NUMA_NO_NODE: i32 = -1;

/// `TAINT_BAD_PAGE`.
pub const TAINT_BAD_PAGE: u32 = 5;
/// `TAINT_DIE`.
pub const TAINT_DIE: u32 = 7;
/// `TAINT_WARN`.
pub const TAINT_WARN: u32 = 9;
/// `TAINT_SOFTLOCKUP`.
pub const TAINT_SOFTLOCKUP: u32 = 14;

/// `rcu_read_lock()`.
///
/// # Safety
///
/// None; it is unsafe in the kernel.
pub unsafe fn rcu_read_lock() {
    rcu::read_lock();
}

/// `rcu_read_unlock()`.
///
/// # Safety
///
/// None; it is unsafe in the kernel.
#[track_caller]
pub unsafe fn rcu_read_unlock() {
    rcu::read_unlock();
}

/// The name of a thread or a queue, from a format and its argument.
struct Named(String);

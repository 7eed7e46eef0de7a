// SPDX-License-Identifier: GPL-2.0

//! Stands for `rust/kernel_ext/mod.rs`, without `debugfs` and `nofault`.

#[rustfmt::skip]
#[path = "../../../../rust/kernel_ext/fail.rs"]
pub(crate) mod fail;
#[rustfmt::skip]
#[path = "../../../../rust/kernel_ext/frame.rs"]
pub(crate) mod frame;
#[rustfmt::skip]
#[path = "../../../../rust/kernel_ext/gather.rs"]
pub(crate) mod gather;
/// Stands for `rust/kernel_ext/gfp.rs`: nothing is reclaimed here.
pub(crate) mod gfp {
    pub(crate) use kernel::alloc::flags::GFP_KERNEL_ACCOUNT as GFP_BOUNDED;
}
#[rustfmt::skip]
#[path = "../../../../rust/kernel_ext/interval_tree.rs"]
pub(crate) mod interval_tree;
#[rustfmt::skip]
#[path = "../../../../rust/kernel_ext/kthread.rs"]
pub(crate) mod kthread;
#[rustfmt::skip]
#[path = "../../../../rust/kernel_ext/largest.rs"]
pub(crate) mod largest;
#[rustfmt::skip]
#[path = "../../../../rust/kernel_ext/mutex.rs"]
pub(crate) mod mutex;
#[rustfmt::skip]
#[path = "../../../../rust/kernel_ext/percpu.rs"]
pub(crate) mod percpu;
#[rustfmt::skip]
#[path = "../../../../rust/kernel_ext/random.rs"]
pub(crate) mod random;
// The crate chooses it: that of `rust/`, or one whose accesses are points of a schedule.
pub(crate) use crate::rwonce;
#[rustfmt::skip]
#[path = "../../../../rust/kernel_ext/rwsem.rs"]
pub(crate) mod rwsem;
#[rustfmt::skip]
#[path = "../../../../rust/kernel_ext/sched.rs"]
pub(crate) mod sched;
#[rustfmt::skip]
#[path = "../../../../rust/kernel_ext/slab.rs"]
pub(crate) mod slab;
#[rustfmt::skip]
#[path = "../../../../rust/kernel_ext/sort.rs"]
pub(crate) mod sort;
#[rustfmt::skip]
#[path = "../../../../rust/kernel_ext/spinlock.rs"]
pub(crate) mod spinlock;
#[rustfmt::skip]
#[path = "../../../../rust/kernel_ext/typesafe/mod.rs"]
pub(crate) mod typesafe;
#[rustfmt::skip]
#[path = "../../../../rust/kernel_ext/versions.rs"]
pub(crate) mod versions;
#[rustfmt::skip]
#[path = "../../../../rust/kernel_ext/vma_tree/mod.rs"]
pub(crate) mod vma_tree;
#[rustfmt::skip]
#[path = "../../../../rust/kernel_ext/workqueue.rs"]
pub(crate) mod workqueue;

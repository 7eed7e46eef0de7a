// SPDX-License-Identifier: GPL-2.0

//! The small helpers.

use core::ffi::{c_int, c_uint, c_void};
use kernel::{
    bindings::{self, gfp_t, maple_tree, page, rw_semaphore, slab_flags_t},
    cpu,
    mock::{context, schedule, slab},
};
use std::sync::atomic::{AtomicUsize, Ordering::*};

pub(crate) const SR_SLAB_TYPESAFE_BY_RCU: slab_flags_t = slab::TYPESAFE_BY_RCU;
pub(crate) const SR_SLAB_ACCOUNT: slab_flags_t = slab::ACCOUNT;
pub(crate) const SR_SLAB_POISON: slab_flags_t = slab::POISON;
pub(crate) const SR_SLAB_NO_MERGE: slab_flags_t = slab::NO_MERGE;

pub(crate) const SR_GFP_BOUNDED: gfp_t = bindings::GFP_KERNEL;

/// Number of counters, as in `rust/helpers/helpers.h`.
pub(crate) const SHADOW_RMAP_COUNTERS: u32 = 256;

/// Of all CPUs together.
static COUNTERS: [AtomicUsize; SHADOW_RMAP_COUNTERS as usize] =
    [const { AtomicUsize::new(0) }; SHADOW_RMAP_COUNTERS as usize];

pub(crate) unsafe fn shadow_rmap_counter_add(index: c_uint, by: usize) {
    COUNTERS[index as usize].fetch_add(by, Relaxed);
}

pub(crate) unsafe fn shadow_rmap_counters_add(
    first: c_uint,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
) {
    for (counter, by) in COUNTERS[first as usize..].iter().zip([a, b, c, d]) {
        counter.fetch_add(by, Relaxed);
    }
}

pub(crate) unsafe fn shadow_rmap_counter_sum(index: c_uint) -> usize {
    COUNTERS[index as usize].load(Relaxed)
}

pub(crate) unsafe fn shadow_rmap_cpu_online(cpu: c_uint) -> bool {
    cpu::is_online(cpu)
}

pub(crate) unsafe fn shadow_rmap_rcu_depth() -> c_int {
    context::rcu_depth() as c_int
}

pub(crate) unsafe fn shadow_rmap_preemptible() -> bool {
    context::preemptible()
}

pub(crate) unsafe fn shadow_rmap_page_address(page: *const page) -> *mut c_void {
    page.cast_mut().cast()
}

pub(crate) unsafe fn shadow_rmap_mt_init(tree: *mut maple_tree, lock: *mut rw_semaphore) {
    // SAFETY: The caller's promise.
    unsafe { bindings::mt_init(tree, lock) };
}

pub(crate) unsafe fn shadow_rmap_mt_on_stack(tree: *mut maple_tree) {
    // SAFETY: The caller's promise.
    unsafe { bindings::mt_on_stack(tree) };
}

pub(crate) unsafe fn shadow_rmap_preempt_here() {
    schedule::yield_now();
}

/// `might_sleep()`.
pub(crate) unsafe fn shadow_rmap_might_sleep() {
    context::might_sleep();
}

/// `cond_resched()`. Sleeps.
pub(crate) unsafe fn shadow_rmap_cond_resched() {
    context::might_sleep();
}

pub(crate) unsafe fn shadow_rmap_lockdep_works() -> bool {
    !context::has_splat()
}

/// A complaint is a warning, as in the kernel.
pub(crate) unsafe fn shadow_rmap_tainted(flag: c_uint) -> bool {
    flag == bindings::TAINT_WARN && context::has_splat()
}

/// A program is not unloaded.
pub(crate) unsafe fn shadow_rmap_try_module_get() -> bool {
    true
}

pub(crate) unsafe fn shadow_rmap_module_put() {}

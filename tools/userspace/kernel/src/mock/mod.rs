// SPDX-License-Identifier: GPL-2.0

//! The parts of the kernel that the engine's rules are about, made so that a broken rule is seen.
//!
//! | module | contents |
//! |---|---|
//! | [`alloc`] | allocations that fail on request |
//! | [`context`] | what the running thread may do; what the kernel would complain of |
//! | [`rcu`] | read sections, grace periods |
//! | [`slab`] | caches that recycle at will, and give memory back after a grace period |
//! | [`random`] | the choices of `slab`, which depend on a seed alone |
//! | [`schedule`] | where another thread may run, and how a thread waits |
//! | [`words`] | the atomics that all of this is made of |

pub mod alloc;
pub mod context;
pub mod random;
pub mod rcu;
pub mod schedule;
pub mod slab;
pub mod words;

/// Returns what a thread panics with.
pub fn panic_text<'a>(info: &'a std::panic::PanicHookInfo<'_>) -> &'a str {
    let payload = info.payload();
    payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without words")
}

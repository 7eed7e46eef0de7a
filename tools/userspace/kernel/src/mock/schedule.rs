// SPDX-License-Identifier: GPL-2.0

//! Where another thread may run, and how a thread waits: the one place that chooses between `std`
//! and shuttle.
//!
//! Usually threads are those of `std`. With the feature `shuttle` they are tasks of its scheduler,
//! one of which runs at a time: another one runs only from a [`point`] on, or when this one waits.
//! So a list of choices says all that a run does. Each access to an atomic, each operation of a
//! lock, each beginning and end of an RCU read section, and each call of the slab allocator is a
//! point.

#[cfg(feature = "shuttle")]
#[path = "schedule/over_shuttle.rs"]
mod over;
#[cfg(not(feature = "shuttle"))]
#[path = "schedule/over_std.rs"]
mod over;

pub use over::{pause, point, spin_until, thread, thread_local, wait_until, wake, yield_now};
#[cfg(feature = "shuttle")]
pub use over::{quietly, reset, set_finest};

/// What kind of place a point is, from the coarsest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grain {
    /// The engine says that a rule is about this place.
    Window,
    /// An operation of a lock, of RCU, of the slab allocator, or of a queue.
    Call,
    /// An access to an atomic.
    Access,
}

// SPDX-License-Identifier: GPL-2.0

//! Where another thread may run, and how a thread waits: the one place that chooses between `std`,
//! shuttle and loom.
//!
//! Usually threads are those of `std`. With the feature `shuttle` they are tasks of its scheduler,
//! one of which runs at a time: another one runs only from a [`point`] on, or when this one waits.
//! So a list of choices says all that a run does. Each access to an atomic, each operation of a
//! lock, each beginning and end of an RCU read section, and each call of the slab allocator is a
//! point.
//!
//! With the feature `loom` they are threads of loom. It switches at each access to one of the
//! [`words`](super::words), and nowhere else.

#[cfg(feature = "shuttle")]
#[path = "schedule/over_shuttle.rs"]
mod over;
#[cfg(feature = "loom")]
#[path = "schedule/over_loom.rs"]
mod over;
#[cfg(not(any(feature = "shuttle", feature = "loom")))]
#[path = "schedule/over_std.rs"]
mod over;

#[cfg(feature = "loom")]
pub(crate) use over::thread_local;
#[cfg(not(feature = "loom"))]
pub use over::thread_local;
pub use over::{pause, point, spin_until, thread, wait_until, wake, yield_now};
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

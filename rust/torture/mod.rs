// SPDX-License-Identifier: GPL-2.0

//! Rules broken on purpose, and a load under which that shows; the same load shows nothing where
//! they hold.
//!
//! | module | is |
//! |---|---|
//! | [`busted`] | the deliberate bugs, one line each |
//! | `pressure` | what threads do in the windows between two steps |
//! | `load` | what threads do all day: processes, walkers, and a thief of freed memory |
//! | `run` | one torture from beginning to end: threads, rounds, watchdog, verdict |
//! | `control` | debugfs `torture/` |
//!
//! A torture has a kind of reverse map of its own, `Model<L, AtRunTime>`: what it adds to the steps
//! of the engine it adds for that type, and for no other.

pub(crate) mod busted;
#[cfg(shadow_rmap_torture)]
pub(crate) mod control;
#[cfg(shadow_rmap_torture)]
mod load;
#[cfg(shadow_rmap_torture)]
pub(crate) mod pressure;
#[cfg(shadow_rmap_torture)]
mod run;

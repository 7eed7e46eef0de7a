// SPDX-License-Identifier: GPL-2.0

//! Deliberate bugs, and a load under which oracles catch them. Under the same load the correct
//! engine must cause no report.
//!
//! | module | contents |
//! |---|---|
//! | [`busted`] | the deliberate bugs: a type each, and a table |
//! | `at_load` | the steps of a deliberately wrong `shadow_rmap.ko` |
//! | `at_run_time` | the steps of the bug that was chosen when a torture or a test started |
//! | `preemptible` | a spinlock whose holder may be preempted |
//! | `pressure` | what threads do in the windows between two steps |
//! | `load` | the actions of the threads: processes, walkers, and reuse of freed memory |
//! | `run` | one torture from beginning to end: threads, rounds, watchdog, verdict |
//! | `control` | debugfs `torture/` |
//!
//! A torture without a bug runs `Model<L, Correct, Pressure>`: the steps of live mappings, with
//! threads in the windows. A torture with a bug runs `Model<L, AtRunTime, Pressure>`.

#[cfg(any(shadow_rmap_busted, shadow_rmap_kunit))]
pub(crate) mod at_load;
#[cfg(shadow_rmap_torture)]
pub(crate) mod at_run_time;
pub(crate) mod busted;
#[cfg(shadow_rmap_torture)]
pub(crate) mod control;
#[cfg(shadow_rmap_torture)]
mod load;
#[cfg(shadow_rmap_torture)]
pub(crate) mod preemptible;
#[cfg(shadow_rmap_torture)]
pub(crate) mod pressure;
#[cfg(shadow_rmap_torture)]
mod run;
#[cfg(shadow_rmap_kunit)]
#[path = "tests/oracles.rs"]
mod tests;

// SPDX-License-Identifier: GPL-2.0

//! Drives the host's own code and the engine with the same random steps, each side deciding for
//! itself, and compares them after each step.
//!
//! | module | contents |
//! |---|---|
//! | [`action`] | a step, and how it is written to a file |
//! | [`shadow`] | processes of the engine |
//! | [`pair`] | both sides, step by step |
//! | [`compare`] | the two states, and in words what differs |
//! | [`choose`] | the next step, at random |
//! | [`corpus`] | sequences that reached something new, and changes of them |
//! | [`worker`] | the process that does the steps |
//! | [`process`] | processes of this program |
//! | [`run`] | the process that starts workers, and watches them |
//! | [`trial`] | sequences that are tried in a process of their own |
//! | [`shrink`] | a shorter sequence that shows the same |
//! | [`scenario`] | a sequence in the language of `rmapctl` |
//! | [`report`] | the files that are left |

#![deny(unsafe_code, missing_docs)]

pub mod action;
pub mod choose;
pub mod compare;
pub mod corpus;
pub mod pair;
pub mod process;
pub mod report;
pub mod run;
pub mod scenario;
pub mod shadow;
pub mod shrink;
pub mod trial;
pub mod worker;

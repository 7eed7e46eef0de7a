// SPDX-License-Identifier: GPL-2.0

//! The interfaces of the module: the ioctls of the device, and the files in debugfs.

mod debugfs;
mod device;
mod host;
#[cfg(test)]
mod tests;

pub use debugfs::{
    Debugfs, Rule, ambiguous, compact_rules, compare_counts, complaints, last_line, parse_events,
    parse_rules, stat,
};
pub use device::{Check, Device, Events, Numbers};
pub use host::{HostCheck, Target, host_check};

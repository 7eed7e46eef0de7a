// SPDX-License-Identifier: GPL-2.0

//! Stands for `rust/torture/mod.rs`: the deliberate bugs, the choice of one, and the third lock,
//! which the suites use. The torture itself needs a kernel.

#[rustfmt::skip]
#[path = "../../../../rust/torture/at_run_time.rs"]
pub(crate) mod at_run_time;
#[rustfmt::skip]
#[path = "../../../../rust/torture/busted/mod.rs"]
pub(crate) mod busted;
#[rustfmt::skip]
#[path = "../../../../rust/torture/preemptible.rs"]
pub(crate) mod preemptible;

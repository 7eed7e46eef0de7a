// SPDX-License-Identifier: GPL-2.0

//! What the shadow's operations cost, beside the host's own, in one boot.
//!
//! It runs when the module is loaded with `bench_rounds=N` and the addresses of the host's
//! functions; each operation is a line `bench: {...}` of the kernel log. See
//! `Documentation/bench.rst`.

mod measure;
mod operations;

use crate::{
    host::bench::{
        Addresses,
        Functions, //
    },
    rmap::chain::SIZES, //
};
use kernel::prelude::*;

/// More would not fit into a line of the kernel log.
const MOST_ROUNDS: usize = 31;

/// What to measure.
#[derive(Clone, Copy)]
pub(crate) struct Parameters {
    /// How often each operation is timed; 0 for no measurement.
    pub(crate) rounds: usize,
    /// Where the host's functions are.
    pub(crate) addresses: Addresses,
}

/// Measures everything, and writes it to the kernel log. Sleeps.
///
/// # Errors
///
/// `EINVAL` for too many rounds, for an address that is not that of its function, and where shadow
/// and host did not do the same; `ENOMEM`.
pub(crate) fn run(parameters: Parameters) -> Result {
    let rounds = parameters.rounds;
    if rounds == 0 {
        return Ok(());
    }
    if rounds > MOST_ROUNDS {
        pr_err!("bench: bench_rounds={rounds} is more than {MOST_ROUNDS}\n");
        return Err(EINVAL);
    }
    let host = Functions::new(parameters.addresses)?;
    for (name, ours, hosts) in SIZES {
        pr_info!("bench: {{\"size\":\"{name}\",\"shadow\":{ours},\"host\":{hosts}}}\n");
    }
    let report = |name: &str, n: usize, times: measure::Times| {
        pr_info!("bench: {{\"operation\":\"{name}\",\"n\":{n},{times}}}\n");
    };
    report("lookup", 1, operations::lookup(&host, rounds)?);
    report("prepare-unlink", 1, operations::prepare(&host, rounds)?);
    for depth in [1, 2, 8, 64] {
        let times = operations::fork(&host, rounds, depth)?;
        report("fork-unlink", depth, times);
    }
    for vmas in [1, 100, 1000] {
        let times = operations::walk(&host, rounds, vmas)?;
        report("walk", vmas, times);
    }
    Ok(())
}

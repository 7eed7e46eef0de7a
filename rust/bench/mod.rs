// SPDX-License-Identifier: GPL-2.0

//! Measures the shadow's operations and the host's in one boot.
//!
//! It runs when the module is loaded with `bench_rounds=N` and the addresses of the host's
//! functions. The result of each operation is a line `bench: {...}` in the kernel log, see
//! `Documentation/bench.rst`.

mod measure;
mod operations;
mod shadow;

use crate::{
    host::bench::{
        self as host,
        Addresses,
        Functions, //
    },
    rmap::{
        anon_vma::AnonVma,
        chain::AnonVmaChain, //
    },
};
use core::mem;
use kernel::prelude::*;

/// The results of more rounds would not fit into a line of the kernel log.
const MOST_ROUNDS: usize = 31;

/// The sizes of an anon_vma and of a link, ours and the host's, in bytes.
pub(crate) const SIZES: [(&str, usize, usize); 2] = [
    ("anon_vma", mem::size_of::<AnonVma>(), host::SIZES[0]),
    (
        "anon_vma_chain",
        mem::size_of::<AnonVmaChain>(),
        host::SIZES[1],
    ),
];

/// Parameters of the benchmark.
#[derive(Clone, Copy)]
pub(crate) struct Parameters {
    /// Number of rounds for each operation; 0 for no measurement.
    pub(crate) rounds: usize,
    /// The addresses of the host's functions.
    pub(crate) addresses: Addresses,
}

/// Runs all measurements, and writes the results to the kernel log. Sleeps.
///
/// # Errors
///
/// `EINVAL` for too many rounds, for an address that is not that of its function, and if shadow and
/// host did different work; `ENOMEM`.
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
    for links in [1, 8] {
        let times = operations::split(&host, rounds, links)?;
        report("split-unlink", links, times);
    }
    report("page-new", 1, operations::page_new(&host, rounds)?);
    report("page-add", 1, operations::page_add(&host, rounds)?);
    report("page-move", 1, operations::page_move(&host, rounds)?);
    for vmas in [1, 100, 1000] {
        let times = operations::walk(&host, rounds, vmas)?;
        report("walk", vmas, times);
    }
    Ok(())
}

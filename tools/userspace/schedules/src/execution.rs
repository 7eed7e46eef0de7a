// SPDX-License-Identifier: GPL-2.0

//! One run of a scenario, from an empty module to an empty module.
//!
//! No execution sees what another one has left. The module, its caches and its workqueue are made
//! at the beginning and destroyed at the end, which waits for RCU; then no slab and no waiting
//! thread may be left. What remains is counters, of which only differences are used, and addresses:
//! these differ from run to run, and nothing depends on them, but for the order of two roots in
//! `take_all`, whose memory is in one slab. The slab allocator begins its choices anew, with a seed
//! that is a part of the schedule.

use crate::{
    model::{
        Modelled,
        mm::Mm,
        verify::{Live, oracle_of, verify},
    },
    module::Module,
    record::record,
    report,
    rmap::{
        oracle::{self, Oracle},
        rules::{self, Rule},
    },
    scenarios::World,
    snapshot::verify::Part,
    torture::{self, busted::Bust},
};
use kernel::{
    Result,
    mock::{rcu, schedule, slab},
};

/// Runs a scenario once; a report ends the process.
pub(crate) fn run<R: Modelled>(bust: &Bust, scenario: fn(&World<R>) -> Result) {
    slab::set_seed(record().seed);
    oracle::clear();
    torture::choose(bust);
    let before = Live::now();
    let done = Module::get().and_then(|module| {
        let world = World::<R>::new()?;
        scenario(&world)?;
        report::look();
        drop(world);
        drop(module);
        Ok(())
    });
    if let Err(error) = done {
        report::end(None, None, &format!("the scenario returns {error:?}"));
    }
    rcu::barrier();
    Oracle::Refcount.holds(Rule::R18, Live::now() == before);
    report::look();
    // As in a torture: with a bug, a check of a rule that fails does no harm yet.
    if let (true, Some(rule)) = (report::is_correct(), broken()) {
        let oracle = oracle_of(Part::Chains, Some(rule));
        report::end(Some(oracle), Some(rule), "a check of the rule fails");
    }
    if slab::slabs() > 0 || schedule::reset() > 0 {
        report::end(
            None,
            None,
            "an execution leaves slabs or waiting threads behind",
        );
    }
}

/// Returns the first rule that was broken. With correct steps the first one ends the process.
fn broken() -> Option<Rule> {
    let mut rules = rules::ALL.iter().map(|&(rule, ..)| rule);
    rules.find(|rule| rule.counts().violations > 0)
}

/// Verifies address spaces that no thread uses.
///
/// # Errors
///
/// `ENOMEM`.
pub(crate) fn at_rest<R: Modelled>(mms: &[&Mm<R>]) -> Result {
    report::look();
    if let Some((oracle, rule, words)) = verify(mms)?.first() {
        report::end(Some(oracle), rule, &words.to_string_lossy());
    }
    Ok(())
}

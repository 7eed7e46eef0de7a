// SPDX-License-Identifier: GPL-2.0

//! The verdict on a torture, and its results in words.

use super::{
    watch::disabled,
    Outcome,
    Run, //
};
use crate::{
    rmap::{
        oracle,
        rules::{
            self,
            Rule, //
        },
        window::WINDOWS, //
    },
    torture::{
        load::ACTIONS,
        pressure::{
            self,
            Mode, //
        }, //
    },
};
use kernel::{
    fmt,
    prelude::*,
    sync::atomic::Relaxed, //
};

/// Returns whether a bug was caught: by an oracle that the bug lists. A report by another oracle is
/// a finding.
pub(super) fn is_caught(run: &Run, outcome: &Outcome) -> bool {
    let admits = |(oracle, _)| run.plan.bust.oracles.contains(&oracle);
    run.is_busted() && outcome.first.is_some_and(admits)
}

/// Returns whether the outcome is the expected one.
fn is_as_expected(run: &Run, outcome: &Outcome) -> bool {
    if run.is_busted() {
        return is_caught(run, outcome);
    }
    outcome.first.is_none()
        && outcome.violations.iter().all(|n| *n == 0)
        && outcome.error.is_none()
        // Lookups that find nothing test nothing.
        && outcome.found > 0
        && !outcome.stuck
}

/// Returns the verdict in one word.
pub(super) fn verdict(run: &Run, outcome: &Outcome) -> &'static str {
    match (run.is_busted(), is_as_expected(run, outcome)) {
        (true, true) => "CAUGHT",
        (true, false) if outcome.first.is_some() => "FINDING",
        (true, false) => "MISSED",
        (false, true) => "SUCCESS",
        (false, false) => "FAILURE",
    }
}

/// Writes debugfs `torture/results`, line by line: KTAP.
pub(in super::super) fn write_results(
    run: &Run,
    say: &mut dyn FnMut(fmt::Arguments<'_>) -> fmt::Result,
) -> fmt::Result {
    let plan = &run.plan;
    let outcome = *run.outcome.lock();
    let first = outcome.first;
    say(fmt!("KTAP version 1"))?;
    say(fmt!("1..1"))?;
    say(fmt!("# name: {}", plan.bust.name))?;
    say(fmt!("# rule: {}", plan.bust.rule.map_or("-", Rule::name)))?;
    for number in plan.bust.museum {
        say(fmt!("# museum: {number}"))?;
    }
    say(fmt!("# load: {}", plan.mix.name()))?;
    say(fmt!("# protocol: {}", plan.protocol.name()))?;
    say(fmt!("# mode: {}", plan.mode.name()))?;
    if let Mode::Priorities(d) = plan.mode {
        let (n, k) = (plan.threads, pressure::longest_round());
        // The bound as its inverse: the number of rounds.
        let one_in = (1..d).fold(n as u128, |all, _| all.saturating_mul(k as u128));
        say(fmt!("# n: {n}"))?;
        say(fmt!("# k: {k}"))?;
        say(fmt!("# d: {d}"))?;
        say(fmt!("# bound: 1/{one_in}"))?;
    }
    say(fmt!("# seed: {}", plan.seed))?;
    say(fmt!("# threads: {}", plan.threads))?;
    say(fmt!("# secs: {}", plan.secs))?;
    say(fmt!("# ops: {}", plan.ops))?;
    say(fmt!("# stay: {}", plan.stay))?;
    say(fmt!("# fail: {}", plan.fail))?;
    say(fmt!(
        "# caught: {}",
        if is_caught(run, &outcome) {
            "yes"
        } else {
            "no"
        }
    ))?;
    say(fmt!("# inspection: {}", plan.bust.inspection))?;
    if let (Some((oracle, _)), true, false) = (first, run.is_busted(), is_caught(run, &outcome)) {
        say(fmt!("# finding: {}", oracle.name()))?;
    }
    say(fmt!(
        "# oracle: {}",
        first.map_or("-", |(oracle, _)| oracle.name())
    ))?;
    say(fmt!(
        "# oracle_rule: {}",
        first.and_then(|(_, rule)| rule).map_or("-", Rule::name)
    ))?;
    say(fmt!(
        "# words: {}",
        first.map_or("-", |(oracle, _)| oracle.words())
    ))?;
    for oracle in disabled(run.complaints) {
        say(fmt!("# disabled: {}", oracle.name()))?;
    }
    say(fmt!("# milliseconds: {}", outcome.millis))?;
    say(fmt!("# operations: {}", outcome.operations))?;
    say(fmt!("# rounds: {}", run.round.load(Relaxed)))?;
    say(fmt!("# near_misses: {}", outcome.near_misses))?;
    let reports: u32 = outcome.reports.iter().sum();
    let violations: usize = outcome.violations.iter().sum();
    say(fmt!("# reports: {reports}"))?;
    say(fmt!("# violations: {violations}"))?;
    say(fmt!("# found: {}", outcome.found))?;
    say(fmt!("# stuck: {}", outcome.stuck))?;
    if let Some(error) = outcome.error {
        say(fmt!("# error: {error:?}"))?;
    }
    for (n, (_, name, _)) in outcome.reports.iter().zip(oracle::ALL) {
        if *n > 0 {
            say(fmt!("# reports_{name}: {n}"))?;
        }
    }
    for (n, (_, name, _)) in outcome.violations.iter().zip(rules::ALL) {
        if *n > 0 {
            say(fmt!("# violations_{name}: {n}"))?;
        }
    }
    for (i, name) in WINDOWS.iter().enumerate() {
        let (passed, near) = pressure::counts(i);
        say(fmt!("# window_{name}: {passed} {near}"))?;
    }
    let mut last = 0;
    while let (Some(_), Some(step)) = (first, pressure::recent(last)) {
        last = step.when;
        say(fmt!(
            "# step: {last} thread {} {}",
            step.thread,
            step.window
        ))?;
    }
    for (n, name) in run.done.iter().zip(ACTIONS) {
        say(fmt!("# did_{name}: {}", n.load(Relaxed)))?;
    }
    let good = is_as_expected(run, &outcome);
    say(fmt!(
        "{} 1 {}",
        if good { "ok" } else { "not ok" },
        plan.bust.name
    ))?;
    let verdict = verdict(run, &outcome);
    say(fmt!(
        "# torture: End of test: {verdict} bust={} rule={} load={} protocol={} mode={} depth={} seed={} threads={} \
         secs={} ops={} stay={} fail={} operations={}",
        plan.bust.name,
        plan.bust.rule.map_or("-", Rule::name),
        plan.mix.name(),
        plan.protocol.name(),
        plan.mode.name(),
        match plan.mode {
            Mode::Random => 0,
            Mode::Priorities(depth) => depth,
        },
        plan.seed,
        plan.threads,
        plan.secs,
        plan.ops,
        plan.stay,
        plan.fail,
        outcome.operations
    ))
}

/// Writes debugfs `torture/status`: `key: value` lines.
pub(in super::super) fn write_status(run: &Run, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let plan = &run.plan;
    let state = if run.is_done() { "done" } else { "running" };
    writeln!(f, "state: {state}")?;
    writeln!(f, "bust: {}", plan.bust.name)?;
    writeln!(f, "protocol: {}", plan.protocol.name())?;
    writeln!(f, "mode: {}", plan.mode.name())?;
    writeln!(f, "seed: {}", plan.seed)?;
    writeln!(f, "threads: {}", plan.threads)?;
    writeln!(f, "secs: {}", plan.secs)?;
    let millis = if run.is_done() {
        run.outcome.lock().millis
    } else {
        run.millis()
    };
    writeln!(f, "elapsed_ms: {millis}")?;
    writeln!(f, "operations: {}", run.operations())?;
    writeln!(f, "rounds: {}", run.round.load(Relaxed))?;
    writeln!(f, "near_misses: {}", pressure::near_misses())?;
    writeln!(f, "reports: {}", oracle::reports())
}

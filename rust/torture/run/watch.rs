// SPDX-License-Identifier: GPL-2.0

//! The monitor of a torture.

use super::{
    violations,
    write_results,
    Run, //
};
use crate::{
    kernel_ext::complaints::Complaints,
    rmap::{
        oracle::{
            self,
            Oracle, //
        },
        rules::Rule,
        window::Window, //
    },
    torture::pressure, //
};
use kernel::{
    prelude::*,
    sync::atomic::{
        Acquire,
        Relaxed,
        Release, //
    },
    time::{
        delay::fsleep,
        Delta, //
    },
};

/// Reports if the kernel has reported anything since the torture began; `now` returns its reports.
/// Sleeps.
pub(super) fn check_kernel_reports(run: &Run, now: impl Fn() -> Complaints) {
    let mut complaints = now();
    if complaints.locks && !run.complaints.locks && !complaints.differ(run.complaints) {
        // Each report of the kernel switches lockdep off as well, before it sets the taint.
        fsleep(Delta::from_millis(10));
        complaints = now();
    }
    if complaints.differ(run.complaints) {
        Oracle::Kernel.report(None);
    } else if complaints.locks && !run.complaints.locks {
        Oracle::LockDiscipline.report(None);
    }
}

/// Returns the oracles that cannot detect new reports of the kernel, because of the reports
/// `before` the torture began.
pub(super) fn disabled(before: Complaints) -> impl Iterator<Item = Oracle> {
    [
        (before.has_taints(), Oracle::Kernel),
        (before.locks, Oracle::LockDiscipline),
    ]
    .into_iter()
    .filter_map(|(disabled, oracle)| disabled.then_some(oracle))
}

/// The time without progress.
///
/// Between two looks at most [`STEP`](Self::STEP) counts: while the machine as a whole stands still
/// no thread can make progress.
pub(super) struct Waited {
    last: i64,
    millis: i64,
}

impl Waited {
    /// The most that counts between two looks, in milliseconds.
    pub(super) const STEP: i64 = 50;

    /// Starts at `now`, in milliseconds.
    pub(super) fn new(now: i64) -> Self {
        Self {
            last: now,
            millis: 0,
        }
    }

    /// Adds the time until `now`, without progress. Returns whether it is more than `most` by then.
    pub(super) fn is_longer(&mut self, now: i64, most: i64) -> bool {
        self.millis += (now - self.last).min(Self::STEP);
        self.last = now;
        self.millis > most
    }
}

/// Prints the first report, if there is one. Returns whether there is.
fn announce(run: &Run) -> bool {
    let first = oracle::first();
    if let Some((oracle, rule)) = first {
        pr_info!(
            "torture: {} by {} ({}) after {} ms, {} operations, near misses {}: {}\n",
            if run.is_busted() {
                "caught"
            } else {
                "reported"
            },
            oracle.name(),
            rule.map_or("-", Rule::name),
            run.millis(),
            run.operations(),
            pressure::near_misses(),
            oracle.words()
        );
    }
    first.is_some()
}

/// Watches a torture until it is over, and prints its results.
pub(in super::super) fn watch(run: &Run) {
    for oracle in disabled(run.complaints) {
        pr_warn!(
            "torture: kernel has reported before: new reports cannot be detected (oracle {} disabled)\n",
            oracle.name()
        );
    }
    let (mut beats, mut waited) = (0, Waited::new(run.millis()));
    while run.ended.load(Acquire) == 0 {
        check_kernel_reports(run, Complaints::now);
        if run.beats.load(Relaxed) != beats || run.is_over() {
            beats = run.beats.load(Relaxed);
            waited = Waited::new(run.millis());
        } else if waited.is_longer(run.millis(), run.plan.hangs) {
            Oracle::Watchdog.report(None);
        }
        if run.is_over() {
            break;
        }
        fsleep(Delta::from_millis(1));
    }
    // At once: the damage may crash the kernel.
    let early = announce(run);
    {
        let mut outcome = run.outcome.lock();
        outcome.millis = run.millis();
        outcome.operations = run.operations();
        outcome.near_misses = pressure::near_misses();
    }
    run.end();
    let mut waited = Waited::new(run.millis());
    let mut stuck = false;
    while run.ended.load(Acquire) == 0 && !stuck {
        stuck = waited.is_longer(run.millis(), run.plan.hangs);
        fsleep(Delta::from_millis(1));
    }
    if !early {
        if stuck {
            Oracle::Watchdog.report(None);
        }
        // The cache was destroyed meanwhile, which may have made the kernel report.
        check_kernel_reports(run, Complaints::now);
        announce(run);
    }
    {
        let mut outcome = run.outcome.lock();
        outcome.stuck = stuck;
        outcome.found = pressure::counts(Window::Confirmed as usize).0;
        outcome.first = oracle::first();
        for (reports, (oracle, ..)) in outcome.reports.iter_mut().zip(oracle::ALL) {
            *reports = oracle.reports();
        }
        outcome.violations = violations();
        for (now, before) in outcome.violations.iter_mut().zip(run.violations) {
            *now = now.wrapping_sub(before);
        }
    }
    run.complete.store(1, Release);
    let _ = write_results(run, &mut |line| {
        pr_info!("{line}\n");
        Ok(())
    });
}

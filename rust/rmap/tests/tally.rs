// SPDX-License-Identifier: GPL-2.0

//! Compares the checks that were executed with those that the paths declare.

use super::{
    counts,
    declared,
    Path,
    ALL, //
};
use crate::rmap::{
    deferred,
    rules::{
        self,
        expected, //
    },
};
use core::{
    array,
    ptr, //
};
use kernel::prelude::*;

/// Compares what was executed with what the paths say.
pub(super) struct Tally {
    /// How many operations were counted wrongly.
    pub(super) wrong: usize,
}

impl Tally {
    pub(super) fn new() -> Self {
        // Frees that other tests have put off are counted before this.
        deferred::flush();
        Self { wrong: 0 }
    }

    /// Runs `f`. All checks that it makes must be counted, and no others.
    pub(super) fn counts_all<T>(&mut self, what: &str, f: impl FnOnce() -> T) -> T {
        let (executed, counted) = (expected::executions(), declared());
        let result = f();
        let now = expected::executions().into_iter().zip(declared());
        let before = executed.into_iter().zip(counted);
        let mut wrong = false;
        for ((now, before), (_, name, _)) in now.zip(before).zip(rules::ALL) {
            let (made, counted) = (now.0 - before.0, now.1 - before.1);
            if made != counted {
                pr_info!("{what}: {name}: {made} checks were made, {counted} are counted\n");
                wrong = true;
            }
        }
        self.wrong += usize::from(wrong);
        result
    }

    /// As [`counts_all`](Self::counts_all); `f` passes `paths`, and no others.
    pub(super) fn passes<T>(&mut self, what: &str, paths: &[&Path], f: impl FnOnce() -> T) {
        let passed: [usize; ALL.len()] =
            array::from_fn(|i| ALL.get(i).map_or(0, |path| path.sum()));
        let steps_before = steps();
        self.counts_all(what, || drop(f()));
        let now = steps().into_iter().zip(steps_before);
        for ((now, before), (rule, name, _)) in now.zip(rules::ALL) {
            let of = |path: &&Path| path.steps.iter().filter(|of| **of == *rule).count();
            let expected: usize = paths.iter().map(of).sum();
            if now - before != expected {
                pr_info!(
                    "{what}: {name}: {} steps are counted, not {expected}\n",
                    now - before
                );
                self.wrong += 1;
            }
        }
        for (i, (path, before)) in ALL.iter().zip(passed).enumerate() {
            let n = path.sum() - before;
            let expected = paths.iter().filter(|of| ptr::eq(**of, *path)).count();
            if n != expected {
                pr_info!("{what}: path {i} was passed {n} times, and not {expected} times\n");
                self.wrong += 1;
            }
        }
    }
}

/// Returns how many steps of each rule the paths stand for.
fn steps() -> [usize; rules::ALL.len()] {
    array::from_fn(|i| rules::ALL.get(i).map_or(0, |(rule, ..)| counts(*rule).0))
}

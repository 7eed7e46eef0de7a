// SPDX-License-Identifier: GPL-2.0

//! The violations of a check, apart from all those since the module was loaded.
//!
//! The verifier finds violations in the graph that a check has taken: they belong to that check. The
//! engine's own checks find others while it handles an event: they belong to the whole module, and the
//! next check of each reader reports them.

use crate::rmap::rules::{
    self,
    Rule, //
};
#[cfg(shadow_rmap_kunit)]
use kernel::macros::kunit_tests;
use kernel::sync::atomic::{
    Atomic,
    Full, //
};

/// How many of the violations that the engine's own checks have found were reported to one reader.
/// Each reader has one of its own, so that it gets a report of each such violation once.
pub(crate) struct Reported(Atomic<usize>);

impl Reported {
    /// Creates the value of a reader for which nothing counts that was found before.
    pub(crate) fn new(verified: &Verified) -> Self {
        Self(Atomic::new(verified.by_engine()))
    }

    /// Takes the violations that the engine has found since the last call.
    pub(super) fn take(&self, verified: &Verified) -> NewOnes<'_> {
        self.take_up_to(verified.by_engine())
    }

    /// Takes those that no call has taken of `all` violations, a number that never falls.
    fn take_up_to(&self, all: usize) -> NewOnes<'_> {
        let number = all.saturating_sub(self.0.xchg(all, Full));
        NewOnes {
            reported: self,
            number,
        }
    }
}

/// Violations that a check is about to report to a reader. Unless they are delivered, the next check
/// of the reader reports them.
#[must_use = "dropping this says that the reader has no report of them"]
pub(super) struct NewOnes<'a> {
    reported: &'a Reported,
    number: usize,
}

impl NewOnes<'_> {
    /// Returns how many there are.
    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// Notes that the reader has the report of them.
    pub(super) fn delivered(mut self) {
        self.number = 0;
    }
}

impl Drop for NewOnes<'_> {
    fn drop(&mut self) {
        // Another check of the same reader may have taken others meanwhile: it keeps these.
        self.reported.0.fetch_sub(self.number, Full);
    }
}

/// How many violations of rules the verifier has found since the module was loaded. It is locked
/// while they are counted, so that they can be told from those that the engine's checks find.
#[derive(Default)]
pub(crate) struct Verified(usize);

impl Verified {
    /// Counts a violation that the verifier has found.
    pub(super) fn add(&mut self, rule: Rule) {
        rule.violated();
        self.0 += 1;
    }

    /// Returns how many violations of rules the engine's own checks have found.
    fn by_engine(&self) -> usize {
        rules::violations().saturating_sub(self.0)
    }
}

#[cfg(shadow_rmap_kunit)]
#[kunit_tests(shadow_rmap_violations)]
mod tests {
    use super::*;

    /// A check with a result that is not delivered leaves its violations to the next one.
    #[test]
    fn none_is_lost() {
        let reported = Reported(Atomic::new(2));
        drop(reported.take_up_to(5));
        let first = reported.take_up_to(5);
        let second = reported.take_up_to(7);
        assert_eq!([first.number(), second.number()], [3, 2]);
        drop(first);
        second.delivered();
        let last = reported.take_up_to(7);
        assert_eq!(last.number(), 3);
        last.delivered();
        assert_eq!(reported.take_up_to(7).number(), 0);
    }
}

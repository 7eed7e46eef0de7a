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
use kernel::sync::atomic::{
    Atomic,
    Full, //
};

/// How many violations of rules the engine's own checks had found at the last check of a reader. Each
/// reader has one of its own, which reports each such violation once.
pub(crate) struct Reported(Atomic<usize>);

impl Reported {
    /// Creates the value of a reader for which nothing counts that was found before.
    pub(crate) fn new(verified: &Verified) -> Self {
        Self(Atomic::new(verified.by_engine()))
    }

    /// Returns how many violations the engine has found since the last call.
    pub(super) fn new_ones(&self, verified: &Verified) -> usize {
        let all = verified.by_engine();
        all.saturating_sub(self.0.xchg(all, Full))
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

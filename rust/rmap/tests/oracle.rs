// SPDX-License-Identifier: GPL-2.0

//! Tests of `oracle.rs`.

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_oracle)]
mod suite {
    use super::super::*;
    use kernel::prelude::*;

    /// The first that speaks up is remembered with its rule, all are counted, and all of it can be
    /// forgotten. Each has its own name and words.
    #[test]
    fn the_first_is_remembered() -> Result {
        clear();
        let silent = (first(), reports());
        let held = Oracle::Tag.holds(Rule::R1, true);
        let still = first();
        Oracle::Watchdog.report(None);
        let ((), n) = Rule::R12.expect_violations(|| {
            Oracle::LockIdentity.holds(Rule::R12, false);
        });
        let told = (first(), reports(), Oracle::LockIdentity.reports());
        clear();
        for &(oracle, name, words) in ALL {
            oracle.report(Some(Rule::R39));
            let right = first() == Some((oracle, Some(Rule::R39)));
            clear();
            assert!(right && (oracle.name(), oracle.words()) == (name, words));
        }
        let forgotten = (first(), reports());

        assert!(silent == (None, 0) && held && still.is_none());
        assert!(told == (Some((Oracle::Watchdog, None)), 2, 1) && n == 1);
        assert!(forgotten == (None, 0));
        Ok(())
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Tests of `rules.rs`.

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_rules)]
mod suite {
    use super::super::*;
    use crate::rmap::testing::Job;

    /// A test that expects a violation of one rule does not swallow one of another rule.
    #[test]
    fn another_rule_is_not_expected() -> Result {
        let ((((), inner), outer), both) = Rule::R1.expect_violations(|| {
            Rule::R2.expect_violations(|| {
                Rule::R3.expect_violations(|| {
                    Rule::R2.violated();
                })
            })
        });
        let (((), last), first) = Rule::R1.expect_violations(|| {
            let result = Rule::R2.expect_violations(|| Rule::R1.violated());
            Rule::R1.violated();
            result
        });

        assert_eq!([inner, outer, both], [0, 1, 0]);
        assert_eq!([last, first], [0, 2]);
        Ok(())
    }

    /// A test that expects a violation does not swallow that of another thread: it is counted.
    #[test]
    fn another_thread_is_not_expected() -> Result {
        let violations = Rule::R1.counts().violations;
        let (theirs, ours) = Rule::R1.expect_violations(|| {
            let job = Job::start(|| Rule::R1.violated())?;
            job.join()?;
            Rule::R1.violated();
            Ok::<_, Error>(Rule::R1.counts().violations)
        });
        let counted = theirs.unwrap_or(0).wrapping_sub(violations);
        // It was no real one: this test takes it back.
        Rule::R1.violations().add(0_usize.wrapping_sub(counted));
        let own = Job::start(|| Rule::R1.expect_violations(|| Rule::R1.violated()).1)?;
        let own = own.join();

        assert_eq!([counted, ours], [1, 1]);
        assert!(own == Ok(1));
        assert_eq!(Rule::R1.counts().violations, violations);
        Ok(())
    }

    /// A violation that no test expects is counted, and so is the check that finds it.
    #[test]
    fn checks_and_violations_are_counted() -> Result {
        let before = Rule::R1.counts();
        Rule::R1.step();
        let held = Rule::R1.check(true);
        let executions = || expected::executions().into_iter().sum::<usize>();
        let executed = executions();
        let (broken, n) = Rule::R1.expect_violations(|| {
            [
                Rule::R1.check(false),
                Rule::R1.holds(false),
                Rule::R1.guard(false),
            ]
        });
        let executed = executions() - executed;
        let after = Rule::R1.counts();

        assert!(held && broken == [false; 3]);
        assert_eq!(n, 3);
        assert_eq!(executed, 1);
        assert_eq!(after.steps - before.steps, 1);
        // A path would count the second, and a guard is no check.
        assert_eq!(after.checks - before.checks, 2);
        assert_eq!(after.violations, before.violations);
        Ok(())
    }
}

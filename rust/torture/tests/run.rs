// SPDX-License-Identifier: GPL-2.0

//! Tests of `run.rs`.

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_torture)]
mod suite {
    use super::super::*;
    use crate::{
        model::page::Page,
        rmap::testing::wait_for,
        torture::{
            busted,
            control::{
                bust_named,
                parse, //
            }, //
        },
    };

    fn plan() -> Plan {
        Plan {
            bust: &busted::CORRECT,
            mix: Mix::All,
            protocol: Protocol::RwSem,
            mode: Mode::Random,
            seed: 1,
            threads: 2,
            secs: 60,
            ops: 2_000,
            stay: 128,
            fail: 64,
            hangs: 30,
        }
    }

    /// Where nobody does anything the watchdog speaks up, and it is not waited for ever.
    #[test]
    fn a_hang_is_told() -> Result {
        oracle::clear();
        let run = Run::new(plan())?;
        watch(&run);
        let told = oracle::first();
        let stuck = run.is_stuck();
        oracle::clear();

        assert!(told == Some((Oracle::Watchdog, None)));
        assert!(stuck && run.is_done());
        Ok(())
    }

    /// A complaint of the kernel that was not there before is one.
    #[test]
    fn a_complaint_is_told() -> Result {
        fn told(now: impl Fn(Complaints) -> Complaints) -> Result<Option<(Oracle, Option<Rule>)>> {
            oracle::clear();
            let run = Run::new(plan())?;
            hear_the_kernel(&run, || now(run.complaints));
            let told = oracle::first();
            oracle::clear();
            Ok(told)
        }
        let nothing = told(|before| before)?;
        let one = told(Complaints::with_one_more)?;
        let lockdep = told(|before| before.with_lockdep(true))?;
        let before = Complaints::now();
        // Who has spoken already does not do so again, and that is told.
        let expected = (!before.locks).then_some((Oracle::LockDiscipline, None));
        let heard = |before: Complaints| {
            [Oracle::Kernel, Oracle::LockDiscipline]
                .map(|oracle| deaf(before).any(|deaf| deaf == oracle))
        };

        assert!(nothing.is_none() && lockdep == expected);
        assert!(one == Some((Oracle::Kernel, None)));
        assert!(heard(before.with_lockdep(true))[1] && !heard(before.with_lockdep(false))[1]);
        assert!(heard(before.with_one_more())[0] && heard(before)[0] == before.has_taints());
        Ok(())
    }

    /// Of a machine that stands still nobody is said to hang.
    #[test]
    fn a_machine_that_stands_still_is_no_hang() -> Result {
        let mut patience = Patience::new(0);
        let pause = patience.is_over(1_000_000, 4_000);
        let looks = (1..)
            .find(|i| patience.is_over(1_000_000 + i * 10, 4_000))
            .ok_or(EINVAL)?;

        assert!(!pause && looks == (4_000 - Patience::STEP) / 10 + 1);
        Ok(())
    }

    /// A short torture of the correct rules does what it was asked for, and nobody has anything to
    /// say; so it is under each lock.
    #[test]
    fn correct_rules_are_clean() -> Result {
        for protocol in [Protocol::RwSem, Protocol::Spin, Protocol::Preemptible] {
            oracle::clear();
            let plan = Plan {
                protocol,
                hangs: HANGS,
                ..plan()
            };
            let run = Run::new(plan)?;
            let director = start(&run)?;
            let ended = wait_for(|| run.ended.load(Acquire) != 0);
            let operations = run.operations();
            let told = oracle::first();
            run.end();
            drop(director);

            assert!(ended.is_ok() && operations >= 2_000);
            assert!(told.is_none() && violations() == run.violations);
        }
        Ok(())
    }

    /// What is left over when all is done is told, also where no round has looked for it.
    #[test]
    fn what_is_left_at_the_end_is_told() -> Result {
        oracle::clear();
        // The load that is looked at least often, and ended from here: no round must be the one.
        let plan = Plan {
            mix: Mix::Forks,
            ops: 0,
            hangs: HANGS,
            ..plan()
        };
        let run = Run::new(plan)?;
        let director = start(&run)?;
        let begun = wait_for(|| run.round.load(Acquire) != 0);
        let left = Page::<Model<rwsem::RwSem>>::new(0)?;
        let (ended, violations) = Rule::R18.expect_violations(|| {
            run.end();
            wait_for(|| run.ended.load(Acquire) != 0)
        });
        let (rounds, told) = (run.round.load(Relaxed), oracle::first());
        drop(director);
        drop(left);
        oracle::clear();

        assert!(begun.is_ok() && ended.is_ok());
        assert!(rounds < plan.mix.round().1);
        assert!(told == Some((Oracle::Refcount, Some(Rule::R18))) && violations == 1);
        Ok(())
    }

    /// What is written to `control` is understood, or refused.
    #[test]
    fn control_is_understood() -> Result {
        let plan = parse("bust=R12 secs=10 seed=1 threads=4\n")?;
        let defaults = plan.bust.name == "SkipsSecondCheck"
            && (plan.secs, plan.seed, plan.threads) == (10, 1, 4)
            && plan.protocol == Protocol::RwSem
            && plan.mode == Mode::Random;
        let other = parse("bust=museum:4 protocol=spin mode=pct depth=2 load=moves")?;
        let chosen = other.bust.name == "LeavesRcuEarly"
            && other.protocol == Protocol::Spin
            && other.mode == Mode::Priorities(2)
            && other.mix == Mix::Moves;
        let none = parse("bust=none")?.bust.rule.is_none();
        let mut refused = 0;
        let nonsense = [
            "",
            "bust=R40",
            "bust=museum:0",
            "bust=none secs=0",
            "bust=none threads=99",
            "bust=none protocol=mutex",
            "bust=none colour=blue",
            "bust",
            "bust=KeepsLastReference protocol=spin",
        ];
        for line in nonsense {
            refused += usize::from(parse(line).err() == Some(EINVAL));
        }
        let each = busted::ALL
            .iter()
            .filter(|bust| !bust.under.is_empty())
            .all(|bust| bust_named(bust.name).is_some_and(|found| found.name == bust.name));

        assert!(defaults && chosen && none && each);
        assert_eq!(refused, nonsense.len());
        Ok(())
    }

    /// Each deliberate bug breaks one thing, and no two the same.
    #[test]
    fn bugs_differ() -> Result {
        let mut all = 0_u64;
        let mut one_each = true;
        for bust in busted::ALL {
            one_each &= bust.breaks.count_ones() == 1 && all & bust.breaks == 0;
            all |= bust.breaks;
        }

        assert!(one_each && busted::CORRECT.breaks == 0);
        Ok(())
    }
}

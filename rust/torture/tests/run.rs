// SPDX-License-Identifier: GPL-2.0

//! Tests of `run/`.

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_torture)]
mod suite {
    use super::super::{
        results::{
            is_caught,
            verdict, //
        },
        threads::{
            finish,
            Clean, //
        },
        watch::{
            check_kernel_reports,
            disabled,
            Waited, //
        },
        *,
    };
    use crate::{
        kernel_ext::rwsem::RwSem,
        model::{
            page::Page,
            verify::Live, //
        },
        torture::{
            busted,
            control::{
                bust_named,
                parse, //
            },
            load::World, //
        },
    };
    use kernel::{
        fmt,
        str::CString,
        time::{
            delay::fsleep,
            Delta, //
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
            // The operations limit it, however slow the machine is.
            secs: 100_000,
            ops: 2_000,
            stay: 128,
            fail: 64,
            hangs: 30,
        }
    }

    /// A report of an oracle, and the rule if it is known.
    type Report = Option<(Oracle, Option<Rule>)>;

    /// The watchdog (WD) reports if no thread makes progress, and the monitor does not wait for
    /// threads that do not end.
    #[test]
    fn a_hang_is_reported() -> Result {
        oracle::clear();
        let run = Run::new(plan())?;
        watch(&run);
        let first = oracle::first();
        let stuck = run.is_stuck();
        oracle::clear();

        assert!(first == Some((Oracle::Watchdog, None)));
        assert!(stuck && run.is_done());
        Ok(())
    }

    /// A new report of the kernel is reported (KA, LD). After an old one the oracle is disabled.
    #[test]
    fn a_report_of_the_kernel_is_reported() -> Result {
        fn first(now: impl Fn(Complaints) -> Complaints) -> Result<Report> {
            oracle::clear();
            let run = Run::new(plan())?;
            check_kernel_reports(&run, || now(run.complaints));
            let first = oracle::first();
            oracle::clear();
            Ok(first)
        }
        let nothing = first(|before| before)?;
        let taint = first(Complaints::with_one_more)?;
        let lockdep = first(|before| before.with_lockdep(true))?;
        let before = Complaints::now();
        // Lockdep does not report a second time.
        let expected = (!before.locks).then_some((Oracle::LockDiscipline, None));
        let are_disabled = |before: Complaints| {
            [Oracle::Kernel, Oracle::LockDiscipline]
                .map(|oracle| disabled(before).any(|disabled| disabled == oracle))
        };

        assert!(nothing.is_none() && lockdep == expected);
        assert!(taint == Some((Oracle::Kernel, None)));
        assert!(are_disabled(before.with_lockdep(true))[1]);
        assert!(!are_disabled(before.with_lockdep(false))[1]);
        assert!(are_disabled(before.with_one_more())[0]);
        assert!(are_disabled(before)[0] == before.has_taints());
        Ok(())
    }

    /// The time in which the machine as a whole stood still does not count as a hang.
    #[test]
    fn a_machine_that_stands_still_is_no_hang() -> Result {
        let mut waited = Waited::new(0);
        let pause = waited.is_longer(1_000_000, 4_000);
        let looks = (1..)
            .find(|i| waited.is_longer(1_000_000 + i * 10, 4_000))
            .ok_or(EINVAL)?;

        assert!(!pause && looks == (4_000 - Waited::STEP) / 10 + 1);
        Ok(())
    }

    /// A short torture of the correct steps does its operations without a report, under each lock.
    #[test]
    fn correct_steps_are_clean() -> Result {
        for protocol in [Protocol::RwSem, Protocol::Spin, Protocol::Preemptible] {
            oracle::clear();
            let plan = Plan {
                protocol,
                hangs: HANGS,
                ..plan()
            };
            let run = Run::new(plan)?;
            let coordinator = start(&run)?;
            while run.ended.load(Acquire) == 0 {
                fsleep(Delta::from_millis(1));
            }
            let operations = run.operations();
            let first = oracle::first();
            run.end();
            drop(coordinator);

            assert!(operations >= 2_000);
            assert!(first.is_none() && violations() == run.violations);
        }
        Ok(())
    }

    /// An object that is left over at the end of a torture is reported (RL), and only then.
    #[test]
    fn a_leak_at_the_end_is_reported() -> Result {
        fn first(leak: bool) -> Result<(Report, usize)> {
            oracle::clear();
            let run = Run::new(plan())?;
            let world = World::<Clean<RwSem>>::new(Mix::Forks)?;
            let baseline = Live::now();
            let left = leak.then(|| Page::<Clean<RwSem>>::new(0)).transpose()?;
            let ((), n) = Rule::R18.expect_violations(|| finish(&run, world, baseline));
            let first = oracle::first();
            drop(left);
            oracle::clear();
            Ok((first, n))
        }

        assert!(first(false)? == (None, 0));
        assert!(first(true)? == (Some((Oracle::Refcount, Some(Rule::R18))), 1));
        Ok(())
    }

    /// Only the oracles that a bug lists catch it. A report by another one is a finding, and of the
    /// correct steps any report is a failure.
    #[test]
    fn a_report_by_another_oracle_is_no_catch() -> Result {
        /// Returns the verdict, and whether the results say that the bug was caught.
        fn judge(bust: &'static Bust, first: Report) -> Result<(&'static str, bool)> {
            let run = Run::new(Plan { bust, ..plan() })?;
            let outcome = Outcome {
                first,
                found: 1,
                ..Outcome::new()
            };
            *run.outcome.lock() = outcome;
            let (mut caught, mut agree) = (false, false);
            let verdict = verdict(&run, &outcome);
            let end = CString::try_from_fmt(fmt!("End of test: {verdict} "))?;
            write_results(&run, &mut |line| {
                let line = CString::try_from_fmt(line).map_err(|_| fmt::Error)?;
                let has = |words: &[u8]| {
                    line.to_bytes()
                        .windows(words.len())
                        .any(|part| part == words)
                };
                caught |= has(b"# caught: yes");
                agree |= has(end.to_bytes());
                Ok(())
            })
            .map_err(|_| ENOMEM)?;
            if !agree || caught != is_caught(&run, &outcome) {
                return Err(EINVAL);
            }
            Ok((verdict, caught))
        }
        let mut right = true;
        for bust in busted::ALL {
            for (oracle, ..) in oracle::ALL {
                let listed = bust.oracles.contains(oracle);
                let expected = if listed {
                    ("CAUGHT", true)
                } else {
                    ("FINDING", false)
                };
                right &= judge(bust, Some((*oracle, bust.rule)))? == expected;
            }
            right &= judge(bust, None)? == ("MISSED", false);
        }

        assert!(right);
        assert!(judge(&busted::CORRECT, None)? == ("SUCCESS", false));
        assert!(judge(&busted::CORRECT, Some((Oracle::Tag, None)))? == ("FAILURE", false));
        Ok(())
    }

    /// Lines for `control` are parsed, or refused.
    #[test]
    fn control_is_parsed() -> Result {
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
            .all(|bust| bust_named(bust.name).is_some_and(|found| found.name == bust.name));

        assert!(defaults && chosen && none && each);
        assert_eq!(refused, nonsense.len());
        Ok(())
    }

    /// Each bug has a name and a number of its own, a rule, a protocol, and an oracle.
    #[test]
    fn bugs_are_complete() -> Result {
        let complete = busted::ALL.iter().enumerate().all(|(i, bust)| {
            let same = busted::ALL.iter().filter(|other| other.name == bust.name);
            same.count() == 1
                && bust.number == i + 1
                && bust.rule.is_some()
                && !bust.under.is_empty()
                && !bust.oracles.is_empty()
        });

        assert!(complete && busted::CORRECT.number == 0);
        Ok(())
    }
}

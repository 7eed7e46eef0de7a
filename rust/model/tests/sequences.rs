// SPDX-License-Identifier: GPL-2.0

//! Tests of `sequences.rs`.

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_reference)]
mod suite {
    use super::super::super::Model;
    use super::super::*;
    use crate::{
        kernel_ext::{
            lock::{
                FamilyLock,
                Spin, //
            },
            rwsem::RwSem, //
        },
        rmap::rules::{
            Rule,
            Rules, //
        },
        torture::busted, //
    };

    /// The sequences that are done when none is asked for.
    const SEEDS: [u64; 3] = [1, 2, 3];
    /// Steps of each.
    const STEPS: usize = 10_000;
    /// How long each may take, in milliseconds: where everything is slow fewer steps are done.
    const MILLIS: i64 = 4_000;

    /// Model and reference agree, under spinlocks (R19-R27, R31, R37).
    #[test]
    fn sequences_under_spinlocks() -> Result {
        let outcome = sequences::<Spin>()?;

        assert_eq!(outcome.wrong, 0);
        assert!(!outcome.leaked);
        assert!(outcome.cut || outcome.reached.is_all());
        Ok(())
    }

    /// Model and reference agree, under semaphores (R19-R27, R31, R37).
    #[test]
    fn sequences_under_semaphores() -> Result {
        let outcome = sequences::<RwSem>()?;

        assert_eq!(outcome.wrong, 0);
        assert!(!outcome.leaked);
        assert!(outcome.cut || outcome.reached.is_all());
        Ok(())
    }

    /// deliberate bug: an anon_vma that is in use is handed out again (R24).
    #[test]
    fn reusing_what_is_in_use_differs() -> Result {
        let differs = differs::<busted::ReusesBusy>(&[Rule::R24])?;

        assert!(differs);
        Ok(())
    }

    /// deliberate bug: a link is forgotten at fork (R23).
    #[test]
    fn a_forgotten_link_differs() -> Result {
        let differs = differs::<busted::ForgetsRootLink>(&[Rule::R21, Rule::R23])?;

        assert!(differs);
        Ok(())
    }

    /// deliberate bug: VMAs of different anon_vmas are merged (R26).
    #[test]
    fn merging_what_is_different_differs() -> Result {
        let differs = differs::<busted::MergesDifferent>(&[Rule::R26])?;

        assert!(differs);
        Ok(())
    }

    /// deliberate bug: a VMA that was forked shares its anon_vma (R27).
    #[test]
    fn sharing_what_was_forked_differs() -> Result {
        let differs = differs::<busted::SharesForked>(&[Rule::R27])?;

        assert!(differs);
        Ok(())
    }

    /// deliberate bug: the newest link stands last (R22).
    #[test]
    fn another_order_differs() -> Result {
        let differs = differs::<busted::LinksLast>(&[Rule::R22])?;

        assert!(differs);
        Ok(())
    }

    /// deliberate bug: a page that comes from swap for several goes to one of them (R20).
    #[test]
    fn another_anon_vma_differs() -> Result {
        let differs = differs::<busted::KeepsSharedPages>(&[Rule::R20])?;

        assert!(differs);
        Ok(())
    }

    /// How sequences went.
    #[derive(Default)]
    struct Outcome {
        /// How many ended in disagreement.
        wrong: usize,
        /// Whether something was left behind.
        leaked: bool,
        /// Whether they were cut short, for want of time.
        cut: bool,
        reached: Reached,
    }

    /// Does the sequences.
    fn sequences<L: FamilyLock>() -> Result<Outcome> {
        let mut outcome = Outcome::default();
        let asked_for = [crate::seed()];
        let (seeds, millis) = match asked_for {
            [0] => (&SEEDS[..], MILLIS),
            // Who asks for one wants all of it.
            _ => (&asked_for[..], i64::MAX),
        };
        for &seed in seeds {
            let before = Live::now();
            let start = Instant::<Monotonic>::now();
            let mut pair = Pair::<Model<L>>::new()?;
            let plan = Plan {
                seed,
                steps: STEPS,
                millis,
                earnest: true,
            };
            let report = plan.carry_out(&mut pair)?;
            let reached = pair.reference.reached();
            drop(pair);
            let lock = if L::SLEEPS { "rwsem" } else { "spin" };
            pr_info!(
                "reference: seed {seed}, {lock}: {} steps in {} ms, {reached:?}\n",
                report.steps,
                start.elapsed().as_millis()
            );
            outcome.wrong += usize::from(!report.agreed);
            outcome.leaked |= Live::now() != before;
            outcome.cut |= report.steps < STEPS;
            outcome.reached.add(&reached);
        }
        Ok(outcome)
    }

    /// Whether the reference notices that the model does not obey a rule.  `fires` are those whose
    /// own checks notice it as well.
    fn differs<B: Rules>(fires: &[Rule]) -> Result<bool> {
        if let Some((rule, rest)) = fires.split_first() {
            return rule.expect_violations(|| differs::<B>(rest)).0;
        }
        let plan = Plan {
            seed: 1,
            steps: STEPS,
            millis: i64::MAX,
            earnest: false,
        };
        let report = plan.carry_out(&mut Pair::<Model<RwSem, B>>::new()?)?;
        pr_info!(
            "reference: a deliberate bug differs at step {}\n",
            report.steps
        );
        Ok(!report.agreed)
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Sequences that must agree, and deliberate bugs that the comparison must see.

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_reference)]
mod suite {
    use super::super::*;
    use crate::{
        kernel_ext::rwsem::RwSem,
        model::{
            Model, //
        },
        rmap::{
            lock::{
                FamilyLock,
                Spin, //
            },
            rules::Rule, //
        },
        torture::{
            at_run_time::AtRunTime,
            busted::{
                self,
                Numbered, //
            }, //
        }, //
    };

    /// The sequences, unless the module parameter `seed` asks for another one.
    const SEEDS: [u64; 4] = [1, 2, 3, 4];
    /// Steps of each sequence.
    const STEPS: usize = 2_000;
    /// How often the sequences together reach the rarest of the events of [`Reached`], at least.
    /// The reference alone decides that: it is the same on each machine.
    const LEAST: usize = 5;

    /// Model and reference agree, under spinlocks (R19-R27, R31, R36, R37).
    #[test]
    fn sequences_under_spinlocks() -> Result {
        let outcome = sequences::<Spin>()?;

        assert_eq!(outcome.disagreed, 0);
        assert!(!outcome.leaked);
        // Of a sequence that was asked for it is not known what it reaches.
        assert!(crate::seed() != 0 || outcome.reached.least() >= LEAST);
        Ok(())
    }

    /// Model and reference agree, under semaphores (R19-R27, R31, R36, R37).
    #[test]
    fn sequences_under_semaphores() -> Result {
        let outcome = sequences::<RwSem>()?;

        assert_eq!(outcome.disagreed, 0);
        assert!(!outcome.leaked);
        // Of a sequence that was asked for it is not known what it reaches.
        assert!(crate::seed() != 0 || outcome.reached.least() >= LEAST);
        Ok(())
    }

    /// A deliberate bug reuses an anon_vma with an active VMA (R24).
    #[test]
    fn reuse_of_a_busy_anon_vma_differs() -> Result {
        let differs = differs::<busted::fork::ReusesBusy>(1, &[Rule::R24])?;

        assert!(differs);
        Ok(())
    }

    /// A deliberate bug forgets a link at fork (R23).
    #[test]
    fn a_forgotten_link_differs() -> Result {
        let differs = differs::<busted::fork::ForgetsRootLink>(1, &[Rule::R21, Rule::R23])?;

        assert!(differs);
        Ok(())
    }

    /// A deliberate bug merges VMAs with different anon_vmas (R26).
    #[test]
    fn a_merge_of_different_vmas_differs() -> Result {
        let differs = differs::<busted::merge::MergesDifferent>(1, &[Rule::R26])?;

        assert!(differs);
        Ok(())
    }

    /// A deliberate bug shares the anon_vma of a fork child (R27).
    #[test]
    fn sharing_with_a_fork_child_differs() -> Result {
        let differs = differs::<busted::prepare::SharesForked>(1, &[Rule::R27])?;

        assert!(differs);
        Ok(())
    }

    /// A deliberate bug puts the newest link last (R22).
    #[test]
    fn another_order_differs() -> Result {
        let differs = differs::<busted::vma::LinksLast>(1, &[Rule::R22])?;

        assert!(differs);
        Ok(())
    }

    /// A deliberate bug gives a page with several users to one user's anon_vma (R20).
    #[test]
    fn another_anon_vma_differs() -> Result {
        let differs = differs::<busted::page::KeepsSharedPages>(1, &[Rule::R20])?;

        assert!(differs);
        Ok(())
    }

    /// A deliberate bug drops the links that only the VMA that goes has (R25).
    #[test]
    fn a_merge_that_drops_links_differs() -> Result {
        let differs = differs::<busted::merge::DropsLinksInMerge>(2, &[Rule::R25])?;

        assert!(differs);
        Ok(())
    }

    /// How the sequences ended.
    #[derive(Default)]
    struct Outcome {
        /// How many ended with a difference or a violation.
        disagreed: usize,
        /// Whether objects were left over.
        leaked: bool,
        /// The events of all sequences.
        reached: Reached,
    }

    /// Does the sequences.
    fn sequences<L: FamilyLock>() -> Result<Outcome> {
        let mut outcome = Outcome::default();
        let asked_for = [crate::seed()];
        let seeds = match asked_for {
            [0] => &SEEDS[..],
            _ => &asked_for[..],
        };
        for &seed in seeds {
            let before = Live::now();
            let mut pair = Pair::<Model<L>>::new()?;
            let plan = Plan {
                seed,
                steps: STEPS,
                must_agree: true,
            };
            let report = plan.carry_out(&mut pair)?;
            let events = pair.reference.reached();
            drop(pair);
            let lock = if L::SLEEPS { "rwsem" } else { "spin" };
            let steps = report.steps;
            pr_info!("reference: seed {seed}, {lock}: {steps} steps, {events:?}\n");
            outcome.disagreed += usize::from(!report.agreed);
            outcome.leaked |= Live::now() != before;
            outcome.reached.add(&events);
        }
        Ok(outcome)
    }

    /// Returns whether the comparison notices in the sequence `seed` that the model has a
    /// deliberate bug. `fires` are the rules whose own checks notice it as well.
    fn differs<B: Numbered>(seed: u64, fires: &[Rule]) -> Result<bool> {
        if let Some((rule, rest)) = fires.split_first() {
            return rule.expect_violations(|| differs::<B>(seed, rest)).0;
        }
        let plan = Plan {
            seed,
            steps: 5 * STEPS,
            must_agree: false,
        };
        let _bug = AtRunTime::with::<B>();
        let report = plan.carry_out(&mut Pair::<Model<RwSem, AtRunTime>>::new()?)?;
        pr_info!(
            "reference: a deliberate bug differs at step {}\n",
            report.steps
        );
        Ok(!report.agreed)
    }
}

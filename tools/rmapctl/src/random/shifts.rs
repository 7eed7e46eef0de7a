// SPDX-License-Identifier: GPL-2.0

//! Sequences in which boundaries between VMAs shift, links are lost and inherited, and VMAs are unmapped,
//! without a check between: each round has new mappings, and one check at its end.
//!
//! The host tells the driver of few of these steps. What it does not tell has to be found from what is left at
//! the end, so short rounds find more than long ones.

use super::{Generator, Kind};
use crate::model::FIRST_PROCESS;
use crate::scenario::{Advice, Prot, Step};
use rand::Rng;
use rand::seq::IndexedRandom;

/// Mappings of a round, and pages of each.
const MAPPINGS: usize = 3;
const PAGES: u64 = 12;
/// Steps of a round, without those that map.
const ROUND: std::ops::RangeInclusive<u64> = 4..=12;

/// The kinds of step and their weights.
const WEIGHTS: [(Kind, u32); 10] = [
    (Kind::Flag, 30),
    (Kind::Protect, 14),
    (Kind::Write, 24),
    (Kind::Read, 8),
    (Kind::Move, 8),
    (Kind::Onto, 14),
    (Kind::Unmap, 10),
    (Kind::Over, 5),
    (Kind::Dontneed, 2),
    (Kind::Fork, 3),
];

impl Generator {
    /// Picks the steps of one round, `left` at most. Each is applied to the model.
    ///
    /// # Errors
    ///
    /// The generator made an impossible step.
    pub(super) fn round(&mut self, left: u64, add: &mut dyn FnMut(&Step)) -> Result<u64, String> {
        let mut steps = Vec::new();
        let others = self.model.processes().keys();
        let processes: Vec<_> = others
            .filter(|name| *name != FIRST_PROCESS)
            .cloned()
            .collect();
        if !processes.is_empty() {
            steps.push(Step::Exit { processes });
        }
        steps.push(Step::Exec {
            process: FIRST_PROCESS.to_owned(),
        });
        for _ in 0..MAPPINGS {
            steps.push(Step::Map {
                process: FIRST_PROCESS.to_owned(),
                mapping: self.mapping_name(),
                pages: PAGES,
                prot: Prot::ReadWrite,
                over: None,
                pgoff: 0,
            });
        }
        for step in &steps {
            self.model.apply(step)?;
            add(step);
        }
        let wanted = self.rng.random_range(ROUND).min(left);
        for _ in 0..wanted {
            let step = self.shift();
            self.model
                .apply(&step)
                .map_err(|message| format!("`{step}`: {message}"))?;
            add(&step);
        }
        Ok(wanted)
    }

    /// Picks a step that is possible now; a write, if 50 kinds are not.
    fn shift(&mut self) -> Step {
        for _ in 0..50 {
            let process = self.any_process();
            let kind = WEIGHTS
                .choose_weighted(&mut self.rng, |(_, weight)| *weight)
                .map_or(Kind::Write, |(kind, _)| *kind);
            if let Some(step) = self.try_step(kind, &process) {
                return step;
            }
        }
        Step::Exec {
            process: FIRST_PROCESS.to_owned(),
        }
    }

    /// Picks pages, and gives their VMA other flags, or those of its neighbour.
    pub(super) fn try_flag(&mut self, process: &str) -> Option<Step> {
        let advice = match self.rng.random_range(0..4) {
            0 => Advice::Dontfork,
            1 => Advice::Dofork,
            2 => Advice::Random,
            _ => Advice::Normal,
        };
        let target = self.pages(process, |page| page.mapped && !page.sealed)?;
        Some(Step::Advise { target, advice })
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Commands in which an allocation fails, and the end of a sequence with such commands.

use super::Generator;
use crate::scenario::{Prot, Range, Step, Target};
use rand::Rng;

/// The allocation that fails is at most the 64th.
const MOST_BITS: u32 = 6;

impl Generator {
    /// Puts `fail N` before some of the commands that can be done again if they fail half way. A move of several
    /// VMAs cannot: a part of them is not there any more.
    pub(super) fn may_fail(&mut self, step: Step) -> Step {
        let fits = match &step {
            Step::Touch { .. } | Step::Fork { .. } | Step::Map { .. } => true,
            Step::Protect { target, .. }
            | Step::Unmap { target }
            | Step::Dontneed { target }
            | Step::Advise { target, .. }
            | Step::Lock { target } => !matches!(target.range, Range::Stride(..)),
            _ => false,
        };
        if !self.limits.fail || !fits || !self.rng.random_bool(0.3) {
            return step;
        }
        let bits = self.rng.random_range(0..=MOST_BITS);
        Step::Fail {
            after: self.rng.random_range(0..1 << bits),
            command: Box::new(step),
        }
    }

    /// Returns steps after which nothing may be untracked: every process begins anew, with a mapping.
    pub(super) fn begin_anew(&self) -> Vec<Step> {
        const PAGES: u64 = 8;
        let anew = |process: &String| {
            let mapping = "anew".to_owned();
            [
                Step::Exec {
                    process: process.clone(),
                },
                Step::Map {
                    process: process.clone(),
                    mapping: mapping.clone(),
                    pages: PAGES,
                    prot: Prot::ReadWrite,
                    over: None,
                    pgoff: 0,
                },
                Step::Touch {
                    target: Target {
                        process: process.clone(),
                        mapping,
                        range: Range::Span(0, PAGES),
                    },
                    write: true,
                    byte: Some(1),
                },
            ]
        };
        self.model.processes().keys().flat_map(anew).collect()
    }
}

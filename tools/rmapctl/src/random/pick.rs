// SPDX-License-Identifier: GPL-2.0

//! Picks mappings, pages, and the arguments of commands that leave pages at their place.

use super::{Generator, MAX_PINNED, discardable};
use crate::model::{MAX_PINS, Mapping, Page};
use crate::scenario::{Advice, Prot, Range, Step, Target};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use rand::Rng;
use rand::seq::IndexedRandom;

impl Generator {
    pub(super) fn any_prot(&mut self) -> Prot {
        match self.rng.random_range(0..6) {
            0 => Prot::None,
            1 | 2 => Prot::Read,
            _ => Prot::ReadWrite,
        }
    }

    pub(super) fn try_advise(&mut self, process: &str) -> Option<Step> {
        // Two of them twice: few pages can take `dofork`.
        const ADVICE: [Advice; 11] = [
            Advice::Dontfork,
            Advice::Dontfork,
            Advice::Dofork,
            Advice::Dofork,
            Advice::Guard,
            Advice::Unguard,
            Advice::PopulateRead,
            Advice::PopulateWrite,
            Advice::Pageout,
            Advice::Random,
            Advice::Normal,
        ];
        let advice = *ADVICE.choose(&mut self.rng)?;
        let target = self.pages(process, |page| match advice {
            Advice::Dontfork => discardable(page),
            Advice::Guard => discardable(page) && !page.locked,
            Advice::Unguard => page.guard,
            Advice::Dofork => page.dontfork,
            Advice::PopulateRead => page.allows(false),
            Advice::PopulateWrite => page.allows(true),
            // Whether the kernel knows it depends on its configuration.
            Advice::Mergeable => false,
            Advice::Pageout => page.mapped && !page.locked,
            Advice::Random | Advice::Normal => page.mapped,
        })?;
        Some(Step::Advise { target, advice })
    }

    pub(super) fn try_pin(&mut self, process: &str) -> Option<Step> {
        let mut target = self.pages(process, |page| page.allows(false))?;
        if let Range::Span(first, end) | Range::Stride(first, end, _) = target.range {
            target.range = Range::Span(first, end.min(first + MAX_PINNED));
        }
        let room = self.model.process(process).ok()?.pins + MAX_PINNED <= MAX_PINS;
        room.then_some(Step::Pin { target })
    }

    /// Picks a call that the kernel must refuse, because the pages are sealed.
    pub(super) fn try_refused(&mut self, process: &str) -> Option<Step> {
        let mut target = self.pages(process, |page| page.mapped && page.sealed)?;
        if let Range::Stride(first, end, _) = target.range {
            target.range = Range::Span(first, end);
        }
        let command = match self.rng.random_bool(0.5) {
            true => Step::Unmap { target },
            false => Step::Protect {
                target,
                prot: Prot::None,
            },
        };
        Some(Step::Refused {
            errno: Errno::EPERM,
            command: Box::new(command),
        })
    }

    /// Picks a touch that kills the process: of a guard page, or against the protection of the
    /// page.
    pub(super) fn try_dies(&mut self, process: &str) -> Option<Step> {
        let write = self.rng.random_bool(0.5);
        let target = self.pages(process, |page| page.mapped && !page.allows(write))?;
        self.may_end().then(|| Step::Dies {
            signal: Signal::SIGSEGV,
            touch: Box::new(Step::Touch {
                target,
                write,
                byte: None,
            }),
        })
    }

    /// Picks several generations, as far as there may be so many processes.
    pub(super) fn try_tree(&mut self, process: &str) -> Option<Step> {
        const SHAPES: [(u64, u64, usize); 4] = [(1, 2, 2), (2, 1, 2), (3, 1, 3), (2, 2, 6)];
        let &(depth, children, made) = SHAPES.choose(&mut self.rng)?;
        let room = self.model.processes().len() + made <= self.limits.max_processes;
        let target = self.pages(process, |page| page.allows(true) && !page.dontfork)?;
        let step = Step::Tree {
            target,
            depth,
            children,
            byte: self.rng.random(),
        };
        // The names of the children follow from that of the process, so it can be the root of one
        // tree only.
        (room && self.model.clone().apply(&step).is_ok()).then_some(step)
    }

    pub(super) fn any_mapping(&mut self, process: &str) -> Option<(String, Mapping)> {
        let mappings: Vec<_> = self.model.process(process).ok()?.mappings.iter().collect();
        let (name, mapping) = mappings.choose(&mut self.rng)?;
        Some(((*name).clone(), (*mapping).clone()))
    }

    pub(super) fn any_index(
        &mut self,
        map: &Mapping,
        good: impl Fn(&Page) -> bool,
    ) -> Option<usize> {
        let indices: Vec<usize> = (0..map.pages.len())
            .filter(|index| good(&map.pages[*index]))
            .collect();
        indices.choose(&mut self.rng).copied()
    }

    /// Picks pages of a mapping, all of them `good`: a run, sometimes with a stride.
    pub(super) fn pages(&mut self, process: &str, good: impl Fn(&Page) -> bool) -> Option<Target> {
        let (mapping, map) = self.any_mapping(process)?;
        let first = self.any_index(&map, &good)?;
        let run = map.pages[first..]
            .iter()
            .take_while(|page| good(page))
            .count();
        let last = match self.rng.random_range(0..5) {
            0 => run,
            1 => 1,
            _ => self.rng.random_range(1..=run),
        };
        let (first, end) = (first as u64, (first + last) as u64);
        let range = match last >= 4 && self.rng.random_bool(0.2) {
            true => Range::Stride(first, end, self.rng.random_range(2..4)),
            false => Range::Span(first, end),
        };
        Some(Target {
            process: process.to_owned(),
            mapping,
            range,
        })
    }

    /// Returns the byte that every page of `target` contains, if it is known and the same.
    pub(super) fn common_value(&self, target: &Target) -> Option<u8> {
        let runs = self.model.runs(target).ok()?;
        let map = self.model.mapping(&target.process, &target.mapping).ok()?;
        let mut values = runs
            .iter()
            .flat_map(|run| run.first..run.first + run.count)
            .map(|page| map.pages.get(page as usize).and_then(|page| page.value));
        let first = values.next()??;
        values.all(|value| value == Some(first)).then_some(first)
    }
}

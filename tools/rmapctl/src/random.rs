// SPDX-License-Identifier: GPL-2.0

//! Generates random scenarios whose steps are all valid.
//!
//! The generator keeps a model of the steps so far, and picks a step that is possible now. The same
//! seed and limits give the same scenario on every machine. The weights favour forks, writes after
//! forks, and splits by `unmap` and `protect`, because these make anon_vma trees grow and shrink.

use crate::model::{FIRST_PROCESS, Mapping, Model, Page};
use crate::scenario::{Mode, Prot, Range, Step, Target};
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::fmt::Write;

/// Limits of a random scenario.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Steps, without checks.
    pub steps: u64,
    /// Check after this many steps.
    pub check_every: u64,
    /// Most processes alive at once.
    pub max_processes: usize,
    /// Most pages of a mapping.
    pub max_pages: u64,
    /// The kind of mapping.
    pub mode: Mode,
}

/// Most mappings of one process at once.
const MAX_MAPPINGS: usize = 6;

/// The kinds of step and their weights.
const WEIGHTS: [(Kind, u32); 10] = [
    (Kind::Write, 26),
    (Kind::Read, 7),
    (Kind::Fork, 17),
    (Kind::Protect, 13),
    (Kind::Unmap, 10),
    (Kind::Dontneed, 5),
    (Kind::Move, 7),
    (Kind::Map, 6),
    (Kind::Exit, 8),
    (Kind::Exec, 1),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Write,
    Read,
    Fork,
    Protect,
    Unmap,
    Dontneed,
    Move,
    Map,
    Exit,
    Exec,
}

/// Generates the text of a scenario: a comment, `mode` if it is not the default, `check every`, the
/// steps, a last `check`.
pub fn generate(seed: u64, limits: &Limits) -> Result<String, String> {
    let mut generator = Generator {
        rng: Xoshiro256PlusPlus::seed_from_u64(seed),
        limits: *limits,
        model: Model::new(),
        next_process: 1,
        next_mapping: 1,
    };
    let mut text = format!("# random: seed={seed} steps={}\n", limits.steps);
    if limits.mode != Mode::Pinned {
        let _ = writeln!(text, "mode {}", limits.mode);
    }
    if limits.check_every > 0 {
        let _ = writeln!(text, "check every {}", limits.check_every);
    }
    for _ in 0..limits.steps {
        let step = generator.step();
        generator.model.apply(&step).map_err(|message| {
            format!("seed {seed}: the generator made an impossible step `{step}`: {message}")
        })?;
        let _ = writeln!(text, "{step}");
    }
    text.push_str("check\n");
    Ok(text)
}

struct Generator {
    rng: Xoshiro256PlusPlus,
    limits: Limits,
    model: Model,
    next_process: u64,
    next_mapping: u64,
}

impl Generator {
    /// Picks the next step. After 20 kinds that are not possible now it takes `map`.
    fn step(&mut self) -> Step {
        for _ in 0..20 {
            let process = self.any_process();
            let kind = WEIGHTS
                .choose_weighted(&mut self.rng, |(_, weight)| *weight)
                .map_or(Kind::Write, |(kind, _)| *kind);
            if let Some(step) = self.try_step(kind, &process) {
                return step;
            }
        }
        let process = self.any_process();
        match self.try_map(&process) {
            Some(step) => step,
            None => Step::Exec { process },
        }
    }

    fn any_process(&mut self) -> String {
        let names: Vec<&String> = self.model.processes().keys().collect();
        names
            .choose(&mut self.rng)
            .map_or(FIRST_PROCESS.to_owned(), |name| (*name).clone())
    }

    fn try_step(&mut self, kind: Kind, process: &str) -> Option<Step> {
        match kind {
            Kind::Write => {
                let target = self.pages(process, |page| page.allows(true))?;
                let byte = Some(self.rng.random());
                Some(Step::Touch {
                    target,
                    write: true,
                    byte,
                })
            }
            Kind::Read => {
                let target = self.pages(process, |page| page.allows(false))?;
                let byte = self.common_value(&target);
                Some(Step::Touch {
                    target,
                    write: false,
                    byte,
                })
            }
            Kind::Fork => {
                let alive = self.model.processes().len();
                // The child of a process without mappings would test nothing.
                let dull = self.model.process(process).ok()?.mappings.is_empty();
                if alive >= self.limits.max_processes || dull {
                    return None;
                }
                let child = format!("p{}", self.next_process);
                self.next_process += 1;
                Some(Step::Fork {
                    process: process.to_owned(),
                    children: vec![child],
                })
            }
            Kind::Protect => {
                let target = self.pages(process, |page| page.mapped)?;
                let prot = *[
                    Prot::Read,
                    Prot::Read,
                    Prot::ReadWrite,
                    Prot::ReadWrite,
                    Prot::ReadWrite,
                    Prot::None,
                ]
                .choose(&mut self.rng)?;
                Some(Step::Protect { target, prot })
            }
            Kind::Unmap => {
                let target = self.pages(process, |page| page.mapped)?;
                Some(Step::Unmap { target })
            }
            Kind::Dontneed => {
                let target = self.pages(process, |page| page.mapped)?;
                Some(Step::Dontneed { target })
            }
            Kind::Move => self.try_move(process),
            Kind::Map => self.try_map(process),
            Kind::Exit => {
                // The last process never exits; the fewer processes, the rarer an exit.
                let alive = self.model.processes().len();
                let room = self.limits.max_processes.max(2);
                if alive < 2 || self.rng.random_range(0..room) >= alive {
                    return None;
                }
                let processes = vec![process.to_owned()];
                Some(Step::Exit { processes })
            }
            Kind::Exec => Some(Step::Exec {
                process: process.to_owned(),
            }),
        }
    }

    fn mapping_name(&mut self) -> String {
        let name = format!("m{}", self.next_mapping);
        self.next_mapping += 1;
        name
    }

    fn try_map(&mut self, process: &str) -> Option<Step> {
        if self.model.process(process).ok()?.mappings.len() >= MAX_MAPPINGS {
            return None;
        }
        let pages = self.rng.random_range(1..=self.limits.max_pages);
        let pgoff = match self.rng.random_bool(0.3) {
            true => self.rng.random_range(0..self.limits.max_pages),
            false => 0,
        };
        Some(Step::Map {
            process: process.to_owned(),
            mapping: self.mapping_name(),
            pages,
            pgoff,
        })
    }

    /// Moves pages that are certainly one VMA: mremap refuses to resize several.
    fn try_move(&mut self, process: &str) -> Option<Step> {
        let (mapping, map) = self.any_mapping(process)?;
        let start = self.any_index(&map, |page| page.mapped)?;
        let is_start = |index: usize| map.pages[index].boundary || !map.pages[index - 1].mapped;
        let mut first = start;
        while first > 0 && !is_start(first) {
            first -= 1;
        }
        let mut end = start + 1;
        while end < map.pages.len() && map.pages[end].mapped && !map.pages[end].boundary {
            end += 1;
        }
        let whole = map.pages.iter().filter(|page| page.mapped).count() == end - first;
        let keep = self.rng.random_bool(0.3);
        let all = whole && !keep && self.rng.random_bool(0.5);
        // A VMA that is left behind as a whole loses its links.
        let (first, end) = match all || (keep && self.rng.random_bool(0.7)) {
            true => (first, end),
            false => {
                let first = self.rng.random_range(first..end);
                (first, self.rng.random_range(first + 1..=end))
            }
        };
        let count = (end - first) as u64;
        let most = self.limits.max_pages.max(count);
        let pages = match self.rng.random_range(0..4) {
            0 if !keep => Some(self.rng.random_range(1..=most)),
            _ => None,
        };
        let (range, name) = match all {
            true => (Range::All, None),
            false => {
                if self.model.process(process).ok()?.mappings.len() >= MAX_MAPPINGS {
                    return None;
                }
                let name = self.mapping_name();
                (Range::Span(first as u64, end as u64), Some(name))
            }
        };
        Some(Step::Move {
            target: Target {
                process: process.to_owned(),
                mapping,
                range,
            },
            pages,
            name,
            keep,
        })
    }

    fn any_mapping(&mut self, process: &str) -> Option<(String, Mapping)> {
        let mappings: Vec<_> = self.model.process(process).ok()?.mappings.iter().collect();
        let (name, mapping) = mappings.choose(&mut self.rng)?;
        Some(((*name).clone(), (*mapping).clone()))
    }

    fn any_index(&mut self, map: &Mapping, good: impl Fn(&Page) -> bool) -> Option<usize> {
        let indices: Vec<usize> = (0..map.pages.len())
            .filter(|index| good(&map.pages[*index]))
            .collect();
        indices.choose(&mut self.rng).copied()
    }

    /// Picks pages of a mapping, all of them `good`: a run, sometimes with a stride.
    fn pages(&mut self, process: &str, good: impl Fn(&Page) -> bool) -> Option<Target> {
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
    fn common_value(&self, target: &Target) -> Option<u8> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;

    const LIMITS: Limits = Limits {
        steps: 2000,
        check_every: 1,
        max_processes: 12,
        max_pages: 64,
        mode: Mode::Pinned,
    };

    #[test]
    fn the_same_seed_makes_the_same_scenario() {
        let once = generate(7, &LIMITS).expect("generates");
        assert_eq!(once, generate(7, &LIMITS).expect("generates"));
        assert_ne!(once, generate(8, &LIMITS).expect("generates"));
    }

    #[test]
    fn what_is_made_is_valid_and_has_everything() {
        for seed in 0..20 {
            let text = generate(seed, &LIMITS).expect("generates");
            Scenario::parse(&text).expect("is valid");
            for keyword in [
                "map ",
                "touch ",
                "fork ",
                "exit ",
                "exec ",
                "protect ",
                "unmap ",
                "dontneed ",
                "move ",
                " keep",
                "exit main",
                " write ",
                " read ",
            ] {
                assert!(text.contains(keyword), "seed {seed} has no `{keyword}`");
            }
            assert_eq!(text.lines().count(), 2 + 2000 + 1);
        }
    }

    /// The mode changes nothing but its line: every step is valid in both modes.
    #[test]
    fn the_mode_is_the_first_line() {
        let limits = Limits {
            mode: Mode::Mergeable,
            ..LIMITS
        };
        let text = generate(7, &limits).expect("generates");
        Scenario::parse(&text).expect("is valid");
        assert_eq!(text.lines().nth(1), Some("mode mergeable"));
        let without = text.replacen("mode mergeable\n", "", 1);
        assert_eq!(without, generate(7, &LIMITS).expect("generates"));
    }

    #[test]
    fn small_limits_are_kept() {
        let limits = Limits {
            max_processes: 1,
            max_pages: 1,
            check_every: 0,
            steps: 200,
            ..LIMITS
        };
        let text = generate(1, &limits).expect("generates");
        Scenario::parse(&text).expect("is valid");
        assert!(!text.contains("fork") && !text.contains("check every"));
    }
}

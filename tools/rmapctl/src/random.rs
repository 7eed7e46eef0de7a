// SPDX-License-Identifier: GPL-2.0

//! Generates random scenarios whose steps are all valid.
//!
//! The generator keeps a model of the steps so far, and picks a step that is possible now. The same
//! seed and limits give the same scenario on every machine. The weights favour forks, writes after
//! forks, and splits by `unmap` and `protect`, because these make anon_vma trees grow and shrink.

mod fail;
mod pick;
mod places;
mod shifts;
#[cfg(test)]
mod tests;

use crate::model::{FIRST_PROCESS, Model, Page};
use crate::scenario::{Mode, Step};
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
    /// Short rounds in which boundaries shift, with one check at the end of each; the limits of processes and
    /// pages do not matter then.
    pub shifts: bool,
    /// In some commands an allocation fails, so checks permit untracked VMAs, but for the last check.
    pub fail: bool,
}

/// Most mappings of one process at once.
const MAX_MAPPINGS: usize = 6;

/// Most pages of one `pin`.
const MAX_PINNED: u64 = 16;

/// The kinds of step and their weights.
const WEIGHTS: [(Kind, u32); 23] = [
    (Kind::Write, 52),
    (Kind::Read, 14),
    (Kind::Fork, 34),
    (Kind::Protect, 24),
    (Kind::Unmap, 16),
    (Kind::Dontneed, 10),
    (Kind::Move, 14),
    (Kind::Onto, 10),
    (Kind::Map, 12),
    (Kind::Over, 8),
    (Kind::Exit, 16),
    (Kind::Dies, 3),
    (Kind::Tree, 3),
    (Kind::Exec, 2),
    (Kind::Advise, 20),
    (Kind::Lock, 5),
    (Kind::Unlock, 4),
    (Kind::Seal, 2),
    (Kind::Poke, 10),
    (Kind::Pin, 4),
    (Kind::Unpin, 4),
    (Kind::Thread, 8),
    (Kind::Refused, 4),
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
    Onto,
    Map,
    Over,
    Exit,
    /// A touch that kills the process.
    Dies,
    /// Several generations at once.
    Tree,
    Exec,
    Advise,
    /// `advise dontfork` or `dofork`, whatever the pages have.
    Flag,
    Lock,
    Unlock,
    Seal,
    Poke,
    Pin,
    Unpin,
    Thread,
    Refused,
}

/// The kinds of command that a thread can execute, or that can run beside one.
const BESIDE: [Kind; 8] = [
    Kind::Write,
    Kind::Write,
    Kind::Read,
    Kind::Protect,
    Kind::Unmap,
    Kind::Dontneed,
    Kind::Advise,
    Kind::Lock,
];

/// Generates the text of a scenario: a comment, `mode` if it is not the default, `check every`, the
/// steps, a last `check`.
pub fn generate(seed: u64, limits: &Limits) -> Result<String, String> {
    let mut generator = Generator {
        rng: Xoshiro256PlusPlus::seed_from_u64(seed),
        limits: *limits,
        model: Model::new(),
        next_process: 1,
        next_mapping: 1,
        thread: None,
        places: false,
    };
    generator.places = generator.rng.random_bool(0.5);
    let mut text = format!("# random: seed={seed} steps={}\n", limits.steps);
    if limits.mode != Mode::Pinned {
        let _ = writeln!(text, "mode {}", limits.mode);
    }
    if limits.shifts {
        return shifts(seed, generator, text);
    }
    if limits.check_every > 0 && !limits.fail {
        let _ = writeln!(text, "check every {}", limits.check_every);
    }
    let (mut left, mut made) = (limits.steps, 0);
    while left > 0 || generator.thread.is_some() {
        let step = generator.step(left);
        left = left.saturating_sub(1);
        made += 1;
        generator.add(seed, step, &mut text)?;
        if limits.fail && limits.check_every > 0 && made % limits.check_every == 0 {
            text.push_str("check untracked>=0\n");
        }
    }
    if limits.fail {
        for step in generator.begin_anew() {
            generator.add(seed, step, &mut text)?;
        }
    }
    text.push_str("check\n");
    Ok(text)
}

/// Adds rounds of shifted boundaries to a scenario.
fn shifts(seed: u64, mut generator: Generator, mut text: String) -> Result<String, String> {
    generator.places = true;
    generator.limits.max_processes = 2;
    let mut left = generator.limits.steps;
    while left > 0 {
        let mut add = |step: &Step| {
            let _ = writeln!(text, "{step}");
        };
        let steps = generator.round(left, &mut add);
        left -= steps.map_err(|message| format!("seed {seed}: an impossible step: {message}"))?;
        text.push_str("check\n");
    }
    Ok(text)
}

struct Generator {
    rng: Xoshiro256PlusPlus,
    limits: Limits,
    model: Model,
    next_process: u64,
    next_mapping: u64,
    /// The process in which a thread runs, and whether a command has run beside it.
    thread: Option<(String, bool)>,
    /// Pages are put at chosen places. Otherwise the kernel may give holes to other mappings.
    places: bool,
}

impl Generator {
    /// Adds a step to the model, and to the text, there perhaps with `fail`.
    fn add(&mut self, seed: u64, step: Step, text: &mut String) -> Result<(), String> {
        self.model.apply(&step).map_err(|message| {
            format!("seed {seed}: the generator made an impossible step `{step}`: {message}")
        })?;
        let _ = writeln!(text, "{}", self.may_fail(step));
        Ok(())
    }

    /// Picks the next step; `left` steps remain. After 20 kinds that are not possible now it takes
    /// `map`.
    fn step(&mut self, left: u64) -> Step {
        if let Some((process, beside)) = self.thread.take() {
            if !beside && left > 1 {
                if let Some(step) = self.beside(&process) {
                    self.thread = Some((process, true));
                    return step;
                }
            }
            return Step::Wait {
                threads: Vec::new(),
            };
        }
        for _ in 0..20 {
            let process = self.any_process();
            let kind = WEIGHTS
                .choose_weighted(&mut self.rng, |(_, weight)| *weight)
                .map_or(Kind::Write, |(kind, _)| *kind);
            if kind == Kind::Thread && left < 3 {
                continue;
            }
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

    /// Picks a command that is possible while a thread of `process` runs.
    fn beside(&mut self, process: &str) -> Option<Step> {
        for _ in 0..20 {
            let kind = match self.rng.random_bool(0.2) {
                true => Kind::Fork,
                false => *BESIDE.choose(&mut self.rng)?,
            };
            let Some(step) = self.try_step(kind, process) else {
                continue;
            };
            if self.model.clone().apply(&step).is_ok() {
                return Some(step);
            }
        }
        None
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
                let target = self.pages(process, |page| page.mapped && !page.sealed)?;
                let prot = self.any_prot();
                Some(Step::Protect { target, prot })
            }
            Kind::Unmap => {
                let target = self.pages(process, |page| page.mapped && !page.sealed)?;
                Some(Step::Unmap { target })
            }
            Kind::Dontneed => {
                let target = self.pages(process, |page| discardable(page) && !page.locked)?;
                Some(Step::Dontneed { target })
            }
            Kind::Move => self.try_move(process),
            Kind::Onto if self.places => self.try_onto(process),
            Kind::Map => self.try_map(process),
            Kind::Over if self.places => self.try_over(process),
            Kind::Onto | Kind::Over => None,
            Kind::Advise => self.try_advise(process),
            Kind::Flag => self.try_flag(process),
            Kind::Lock => {
                let target = self.pages(process, |page| page.allows(false))?;
                Some(Step::Lock { target })
            }
            Kind::Unlock => {
                let target = self.pages(process, |page| page.mapped && page.locked)?;
                Some(Step::Unlock { target })
            }
            Kind::Seal => {
                let target = self.pages(process, |page| page.mapped)?;
                Some(Step::Seal { target })
            }
            Kind::Poke => {
                let force = self.rng.random_bool(0.5);
                let target = match force {
                    true => self.pages(process, |page| page.mapped && !page.guard)?,
                    false => self.pages(process, |page| page.allows(true))?,
                };
                Some(Step::Poke {
                    writer: self.any_process(),
                    target,
                    byte: Some(self.rng.random()),
                    force,
                })
            }
            Kind::Pin => self.try_pin(process),
            Kind::Unpin => {
                let pinned = self.model.process(process).ok()?.pins > 0;
                pinned.then(|| Step::Unpin {
                    process: process.to_owned(),
                    byte: None,
                })
            }
            Kind::Thread => {
                let kind = *BESIDE.choose(&mut self.rng)?;
                let command = Box::new(self.try_step(kind, process)?);
                self.thread = Some((process.to_owned(), false));
                Some(Step::Thread {
                    thread: "t".to_owned(),
                    command,
                })
            }
            Kind::Refused => self.try_refused(process),
            Kind::Exit => {
                let processes = vec![process.to_owned()];
                self.may_end().then_some(Step::Exit { processes })
            }
            Kind::Dies => self.try_dies(process),
            Kind::Tree => self.try_tree(process),
            Kind::Exec => Some(Step::Exec {
                process: process.to_owned(),
            }),
        }
    }

    /// Returns whether a process may end. The last one never does; the fewer processes, the rarer
    /// an end.
    fn may_end(&mut self) -> bool {
        let alive = self.model.processes().len();
        let room = self.limits.max_processes.max(2);
        alive >= 2 && self.rng.random_range(0..room) < alive
    }
}

/// Returns whether the contents of a page may be dropped. `/dev/zero`, which a dry run maps, is more
/// strict about sealed pages than the device.
fn discardable(page: &Page) -> bool {
    page.mapped && (!page.sealed || page.allows(true))
}

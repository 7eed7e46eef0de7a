// SPDX-License-Identifier: GPL-2.0

//! Makes a sequence that shows a difference shorter, and its numbers smaller.

use std::time::{Duration, Instant};

use host::Flags;
use host::random::Step;

use crate::action::Action;
use crate::trial::{Outcome, Trials};

/// Shrinking ends after so long, with what it has.
const MOST: Duration = Duration::from_secs(60);

struct Shrink<'a> {
    trials: &'a mut Trials,
    wanted: Outcome,
    best: Vec<Action>,
    repeated: bool,
    end: Instant,
}

/// Returns the shortest sequence that was found to do like `wanted`, and what it does.
///
/// # Errors
///
/// `wanted` is a death, and no trial repeats it: the machine may have ended the process or stopped
/// it for a while.
pub fn shrink(
    trials: &mut Trials,
    actions: &[Action],
    wanted: &Outcome,
) -> Result<(Vec<Action>, Outcome), String> {
    let mut best = actions.to_vec();
    if let Outcome::Differs(step, _) = wanted {
        best.truncate(*step);
    }
    let mut shrink = Shrink {
        trials,
        wanted: wanted.clone(),
        best,
        repeated: false,
        end: Instant::now() + MOST,
    };
    loop {
        let before = shrink.best.clone();
        shrink.fewer();
        shrink.smaller();
        if shrink.best == before || shrink.is_over() {
            break;
        }
    }
    match (shrink.trials.outcome(&shrink.best), wanted) {
        (Ok(last), _) if last.is_like(wanted) => Ok((shrink.best, last)),
        (_, Outcome::Dies(words)) if !shrink.repeated => {
            Err(format!("{words}, but the same steps do not repeat that"))
        }
        // It was seen: the host's state came from before the sequence.
        _ => Ok((actions.to_vec(), wanted.clone())),
    }
}

impl Shrink<'_> {
    fn is_over(&self) -> bool {
        Instant::now() >= self.end
    }

    /// Takes a candidate if it does the same. An error is something else.
    fn take(&mut self, candidate: Vec<Action>) -> bool {
        if self.is_over() {
            return false;
        }
        let Ok(outcome) = self.trials.outcome(&candidate) else {
            return false;
        };
        let like = outcome.is_like(&self.wanted);
        if like {
            self.repeated = true;
            self.best = candidate;
            if let Outcome::Differs(step, _) = outcome {
                self.best.truncate(step);
            }
        }
        like
    }

    /// Leaves out steps: first half of them, at last each by itself.
    fn fewer(&mut self) {
        let mut size = self.best.len().div_ceil(2);
        while size > 0 {
            let mut from = 0;
            while from < self.best.len() {
                let mut candidate = self.best.clone();
                candidate.drain(from..(from + size).min(self.best.len()));
                if candidate.is_empty() || !self.take(candidate) {
                    from += size;
                }
            }
            size = if size == 1 { 0 } else { size.div_ceil(2) };
        }
    }

    /// Tries smaller numbers in each step.
    fn smaller(&mut self) {
        let mut at = 0;
        while at < self.best.len() {
            for simpler in simpler(self.best[at]) {
                let mut candidate = self.best.clone();
                candidate[at] = simpler;
                if simpler.fits() && self.take(candidate) {
                    break;
                }
            }
            at += 1;
        }
    }
}

/// Returns simpler steps of the same kind, the simplest first.
fn simpler(action: Action) -> Vec<Action> {
    let Action { fail, step } = action;
    let mut all = Vec::new();
    if fail > 0 {
        all.push(Action { fail: 0, step });
        all.extend((1..fail).map(|fail| Action { fail, step }));
    }
    let mut add = |step: Step| all.push(Action { fail, step });
    let less = |number: u64| (1..number).take(4);
    match step {
        Step::Map {
            pid,
            page,
            pages,
            writable,
        } => {
            for pages in less(pages) {
                add(Step::Map {
                    pid,
                    page,
                    pages,
                    writable,
                });
            }
            if !writable {
                add(Step::Map {
                    pid,
                    page,
                    pages,
                    writable: true,
                });
            }
        }
        Step::MapFile {
            pid, page, pages, ..
        } => {
            add(Step::Map {
                pid,
                page,
                pages,
                writable: true,
            });
        }
        Step::Unmap { pid, page, pages } => {
            for pages in less(pages) {
                add(Step::Unmap { pid, page, pages });
            }
        }
        Step::Change {
            pid,
            page,
            pages,
            set,
            clear,
        } => {
            for pages in less(pages) {
                add(Step::Change {
                    pid,
                    page,
                    pages,
                    set,
                    clear,
                });
            }
            if clear == Flags::NONE && set != Flags::RANDOM {
                add(Step::Change {
                    pid,
                    page,
                    pages,
                    set: Flags::RANDOM,
                    clear,
                });
            }
        }
        Step::Move {
            pid,
            page,
            old,
            new,
            to,
            keep,
        } => {
            if keep {
                add(Step::Move {
                    pid,
                    page,
                    old,
                    new,
                    to,
                    keep: false,
                });
            }
            for pages in less(old.min(new)) {
                add(Step::Move {
                    pid,
                    page,
                    old: pages,
                    new: pages,
                    to,
                    keep,
                });
            }
        }
        Step::Resize {
            pid,
            page,
            old,
            new,
        } => {
            for new in less(new) {
                add(Step::Resize {
                    pid,
                    page,
                    old,
                    new,
                });
            }
        }
        Step::Spawn
        | Step::Write { .. }
        | Step::Read { .. }
        | Step::SwapOut { .. }
        | Step::Fork { .. }
        | Step::Exit { .. }
        | Step::Fail { .. } => {}
    }
    all
}

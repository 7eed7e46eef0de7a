// SPDX-License-Identifier: GPL-2.0

//! Sequences that took branches of the host's code which none before had taken, and new sequences
//! made of them.

use host::random::Random;

use crate::action::Action;

/// So many sequences are kept.
const MEMBERS: usize = 1000;

/// The sequences.
#[derive(Default)]
pub struct Corpus(Vec<Vec<Action>>);

/// A step of a sequence that is to be done: one of a member, or a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planned {
    /// This one.
    Known(Action),
    /// One that is chosen when its turn comes.
    New,
}

impl Corpus {
    /// Returns how many sequences it has.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether it has none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a sequence, in the place of another if there are too many.
    pub fn add(&mut self, actions: &[Action], random: &mut Random) {
        if self.0.len() < MEMBERS {
            self.0.push(actions.to_vec());
        } else {
            self.0[random.below(MEMBERS as u64) as usize] = actions.to_vec();
        }
    }

    fn member(&self, random: &mut Random) -> &[Action] {
        // The latest ones are chosen more often.
        let len = self.0.len() as u64;
        let age = random.below(len).min(random.below(len));
        &self.0[self.0.len() - 1 - age as usize]
    }

    /// Plans a sequence of at most `most` steps: a changed member, and then new steps.
    pub fn plan(&self, random: &mut Random, most: usize) -> Vec<Planned> {
        if self.0.is_empty() || random.below(4) == 0 {
            return vec![Planned::New; most];
        }
        let mut plan: Vec<Planned> = self
            .member(random)
            .iter()
            .map(|&a| Planned::Known(a))
            .collect();
        for _ in 0..=random.below(3) {
            let at = random.below(plan.len() as u64 + 1) as usize;
            match random.below(5) {
                0 => plan.truncate(at),
                1 => {
                    let other = self.member(random);
                    let from = random.below(other.len() as u64 + 1) as usize;
                    plan.truncate(at);
                    plan.extend(other[from..].iter().map(|&a| Planned::Known(a)));
                }
                2 => {
                    plan.insert(at, Planned::New);
                }
                3 if at < plan.len() => {
                    plan.remove(at);
                }
                _ if at < plan.len() => plan[at] = changed(plan[at], random),
                _ => {}
            }
        }
        plan.truncate(most * 3 / 4);
        plan.resize(most, Planned::New);
        plan
    }
}

/// Returns the same step with another failing allocation, or another step.
fn changed(step: Planned, random: &mut Random) -> Planned {
    match step {
        Planned::Known(action) if random.below(2) == 0 => {
            let fail = if action.fail == 0 || random.below(2) == 0 {
                1 + random.below(12)
            } else {
                0
            };
            Planned::Known(Action { fail, ..action })
        }
        _ => Planned::New,
    }
}

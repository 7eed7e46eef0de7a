// SPDX-License-Identifier: GPL-2.0

//! The host and the shadow, driven with the same steps. Each decides by itself; after each step
//! both must be the same.

use engine::world::{self, State};
use host::random::{PROCESSES, Step};
use host::verify::is_known;
use host::{Errno, Graph, Host};

use crate::action::Action;
use crate::compare::{self, Difference};
use crate::shadow::Shadow;

/// After so many steps the engine's structures are verified.
const VERIFY_EVERY: usize = 64;

/// Both sides.
pub struct Pair {
    /// Dropped before the host, which is one at a time.
    shadow: Shadow,
    host: Host,
    /// What the shadow has done, and which of its allocations failed in each step.
    done: Vec<(Step, usize)>,
    /// The state after the last step.
    state: State,
    /// Whether a known warning of the host may come.
    stale: bool,
    /// Whether an allocation of the host failed in the last step.
    failed: bool,
    violations: usize,
}

impl Pair {
    /// Both sides without processes.
    ///
    /// # Errors
    ///
    /// A text that says what is missing.
    pub fn new() -> Result<Self, String> {
        Ok(Self {
            host: Host::new()?,
            shadow: Shadow::new(),
            done: Vec::new(),
            state: State::default(),
            stale: false,
            failed: false,
            violations: world::violations(),
        })
    }

    /// Returns the state after the last step.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The host's side, for a test that does on it what the shadow does not.
    pub fn host(&mut self) -> &mut Host {
        &mut self.host
    }

    /// Returns whether an allocation of the host failed in the last step.
    pub fn failed(&self) -> bool {
        self.failed
    }

    /// Returns the pids of the processes that live.
    pub fn pids(&self) -> Vec<usize> {
        self.shadow.pids()
    }

    /// Returns how many branches of the host's code were ever taken.
    pub fn edges(&self) -> u64 {
        self.host.edges()
    }

    /// Does a step on both sides.
    ///
    /// # Errors
    ///
    /// Each difference, and what is wrong on one of the sides.
    pub fn step(&mut self, action: Action) -> Result<(), Vec<Difference>> {
        let full = self.shadow.pids().len() >= PROCESSES;
        if full && matches!(action.step, Step::Spawn | Step::Fork { .. }) {
            return Ok(());
        }
        let count = u64::from(action.fail > 0);
        self.host.fail_allocations(action.fail, count);
        let result = action.step.run(&mut self.host);
        let failed = count > 0 && self.host.allocations() >= action.fail;
        self.host.fail_allocations(0, 0);
        self.failed = failed;

        let graph = self.host.graph();
        let mut found = self.check_host(&graph, failed && action.step.is_mmap());
        let host = compare::of_host(&graph);
        let differences = if failed {
            self.follow_failure(action.step, result, &host)
        } else {
            self.follow(action.step, result, &host)
        };
        found.extend(differences);
        found.extend(self.check_shadow());
        self.state = host;
        if found.is_empty() { Ok(()) } else { Err(found) }
    }

    /// Verifies the engine, and lets all processes exit; returns what is wrong then, or left on one
    /// side.
    pub fn end(mut self) -> Option<Difference> {
        if let Some(wrong) = self.verified() {
            return Some(wrong);
        }
        for pid in self.host.pids() {
            // It is one of those that live.
            let _ = self.host.exit(pid);
        }
        if let Some(problem) = self.host.problems().first() {
            return Some(compare::problem(problem));
        }
        let left: u64 = self.host.objects().values().sum();
        if left != 0 {
            let words = format!("the host: objects are left: {:?}", self.host.objects());
            return Some(Difference::new(18, words));
        }
        drop(self.shadow);
        if let Some(wrong) = new_violations(&mut self.violations) {
            return Some(wrong);
        }
        let numbers = world::numbers();
        let left = numbers.anon_vmas + numbers.links + numbers.pages + numbers.slots;
        (left != 0)
            .then(|| Difference::new(18, format!("the shadow: objects are left: {numbers:?}")))
    }

    /// Checks the host's graph by itself.
    fn check_host(&mut self, graph: &Graph, starved: bool) -> Vec<Difference> {
        let violations = host::verify(graph).into_iter();
        let mut found: Vec<_> = violations
            .map(|v| Difference::new(v.rule, format!("the host: {}", v.what)))
            .collect();
        for problem in self.host.problems() {
            if !is_known(&problem, self.stale, starved) {
                found.push(compare::problem(&problem));
            }
        }
        let lost = self.host.lost_objects(graph).into_iter();
        found.extend(lost.map(|words| Difference::new(18, format!("the host: {words}"))));
        self.stale = graph.has_stale_offset();
        found
    }

    /// Checks the engine by itself.
    fn check_shadow(&mut self) -> Vec<Difference> {
        let mut found = Vec::new();
        if self.done.len() % VERIFY_EVERY == 0 {
            found.extend(self.verified());
        }
        found.extend(new_violations(&mut self.violations));
        found
    }

    /// Verifies the engine's structures.
    fn verified(&self) -> Option<Difference> {
        let (rule, words) = self.shadow.verify()?;
        let rule = rule.and_then(|rule| rule.trim_start_matches('R').parse().ok());
        Some(Difference::new(rule, format!("the shadow: {words}")))
    }

    /// Does a step on the shadow's side, all of whose allocations succeed.
    fn follow(&mut self, step: Step, result: Result<(), Errno>, host: &State) -> Vec<Difference> {
        let (ours, _) = self.shadow.run(step, 0);
        self.done.push((step, 0));
        let mut found = compare::states(&self.shadow.state(), host);
        found.extend(compare::results(ours, result));
        found
    }

    /// Does a step in which one of the host's allocations failed. What the rules permit then is
    /// what the shadow does when one of its own allocations fails, whichever it is, or none: the
    /// host may do without. The host must have done one of these.
    fn follow_failure(
        &mut self,
        step: Step,
        result: Result<(), Errno>,
        host: &State,
    ) -> Vec<Difference> {
        let mut fail = usize::from(result.is_err());
        let first = loop {
            let (ours, reached) = self.shadow.run(step, fail);
            let state = self.shadow.state();
            let mut found = compare::states(&state, host);
            found.extend(compare::failures(ours, result));
            if found.is_empty() {
                self.done.push((step, fail));
                return found;
            }
            // As long as nothing has happened, the next one can be tried at once.
            if !reached || ours.is_ok() || state != self.state {
                break found;
            }
            fail += 1;
        };
        self.other_outcomes(step, result, host)
            .map_or(first, |()| Vec::new())
    }

    /// Looks for the host's outcome among all that are permitted, each from the beginning.
    fn other_outcomes(
        &mut self,
        step: Step,
        result: Result<(), Errno>,
        host: &State,
    ) -> Option<()> {
        for fail in 0.. {
            let mut other = Shadow::new();
            for &(step, fail) in &self.done {
                let _ = other.run(step, fail);
            }
            let (ours, reached) = other.run(step, fail);
            let same = compare::failures(ours, result).is_none();
            if same && compare::states(&other.state(), host).is_empty() {
                self.shadow = other;
                self.done.push((step, fail));
                return Some(());
            }
            if fail > 0 && !reached {
                break;
            }
        }
        None
    }
}

/// Returns what the engine's own checks have found since there were `before` violations.
fn new_violations(before: &mut usize) -> Option<Difference> {
    let new = world::violations() - *before;
    *before += new;
    let words = format!("the shadow: its own checks found {new} violations");
    (new != 0).then(|| Difference::new(None, words))
}

/// Does a sequence from the beginning; returns whether something differs. `tell` gets the number of
/// that step, from 1, and what differs, before the processes exit: a damaged host may crash then.
///
/// # Errors
///
/// A text that says what is missing.
pub fn run(actions: &[Action], tell: impl FnOnce(usize, &[Difference])) -> Result<bool, String> {
    let mut pair = Pair::new()?;
    for (number, &action) in actions.iter().enumerate() {
        if let Err(found) = pair.step(action) {
            tell(number + 1, &found);
            return Ok(true);
        }
    }
    let wrong = pair.end();
    let differs = wrong.is_some();
    if let Some(wrong) = wrong {
        tell(actions.len(), &[wrong]);
    }
    Ok(differs)
}

// SPDX-License-Identifier: GPL-2.0

//! Sequences that are tried in a process of their own, because the host may crash or hang.

use std::io::Write;
use std::process::ChildStdin;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use crate::action::Action;
use crate::compare::Difference;
use crate::process::Process;

/// What a sequence does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Both sides are the same.
    Same,
    /// They differ, after this step, counted from 1.
    Differs(usize, Difference),
    /// The process has died, or the step takes too long: in these words.
    Dies(String),
}

impl Outcome {
    /// Returns whether it shows the same: something of the same rule. A host that uses freed memory
    /// may crash as well, or not.
    pub fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Same, _) | (_, Self::Same) => false,
            (Self::Differs(_, mine), Self::Differs(_, theirs)) => mine.rule == theirs.rule,
            (Self::Dies(_), _) | (_, Self::Dies(_)) => true,
        }
    }
}

/// A process that tries sequences; a new one is started when it has ended.
pub struct Trials {
    running: Option<Running>,
    limit: Duration,
    /// How many sequences were tried.
    pub tried: usize,
}

struct Running {
    process: Process,
    input: ChildStdin,
}

impl Running {
    fn start() -> Result<Self, String> {
        let (process, input) = Process::start_with_input(&["try".to_owned()])?;
        Ok(Self { process, input })
    }

    fn ask(&mut self, actions: &[Action], limit: Duration) -> Result<Outcome, String> {
        let mut text: String = actions.iter().map(|action| format!("{action}\n")).collect();
        text.push_str("run\n");
        // If it has died, the answer says so.
        let _ = self
            .input
            .write_all(text.as_bytes())
            .and_then(|()| self.input.flush());
        loop {
            match self.process.lines.recv_timeout(limit) {
                Ok(line) if line == "same" => return Ok(Outcome::Same),
                Ok(line) => {
                    if let Some(outcome) = differs(&line) {
                        return Ok(outcome);
                    }
                    // What the host prints is no answer.
                }
                Err(RecvTimeoutError::Timeout) => {
                    return Ok(Outcome::Dies("the host hangs".to_owned()));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let death = self.process.ended()?;
                    return Ok(Outcome::Dies(death.unwrap_or("it ends".to_owned())));
                }
            }
        }
    }
}

/// Reads the line in which a process says that something differs.
pub fn differs(line: &str) -> Option<Outcome> {
    let mut fields = line.strip_prefix("differs\t")?.splitn(3, '\t');
    let step = fields.next()?.parse().ok()?;
    let rule: Option<u32> = fields.next()?.parse().ok();
    let words = fields.next()?;
    Some(Outcome::Differs(step, Difference::new(rule, words)))
}

impl Trials {
    /// Tries sequences, each for so long at most.
    pub fn new(limit: Duration) -> Self {
        Self {
            running: None,
            limit,
            tried: 0,
        }
    }

    /// Does a sequence from the beginning.
    ///
    /// # Errors
    ///
    /// A text: no process can be started, or it fails by itself.
    pub fn outcome(&mut self, actions: &[Action]) -> Result<Outcome, String> {
        self.tried += 1;
        let mut running = match self.running.take() {
            Some(running) => running,
            None => Running::start()?,
        };
        let outcome = running.ask(actions, self.limit)?;
        if outcome == Outcome::Same {
            self.running = Some(running);
        }
        Ok(outcome)
    }
}

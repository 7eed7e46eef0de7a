// SPDX-License-Identifier: GPL-2.0

//! Sequences that are tried in a process of their own, because the host may crash or hang.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use crate::action::Action;
use crate::compare::Difference;

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
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
    errors: Receiver<String>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads the lines of a child in a thread.
pub fn lines_of(from: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (send, receive) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
            if send
                .send(String::from_utf8_lossy(&line).into_owned())
                .is_err()
            {
                break;
            }
        }
    });
    receive
}

/// Returns the command that runs this program again.
pub fn myself(arguments: &[String]) -> Result<Command, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(program);
    command.args(arguments);
    Ok(command)
}

/// Chooses the line of a dead process's messages that says why.
pub fn reason(messages: &[String], status: &str) -> String {
    let telling = [
        "ERROR: ",
        "runtime error:",
        "panicked at",
        "Assertion",
        "BUG",
    ];
    let line = messages
        .iter()
        .find(|line| telling.iter().any(|word| line.contains(word)));
    match line {
        Some(line) => {
            // Addresses and process ids are other ones each time.
            let words = line
                .split_whitespace()
                .filter(|word| !word.starts_with("=="));
            format!("the host crashes: {}", words.collect::<Vec<_>>().join(" "))
        }
        None => format!("the host crashes: {status}"),
    }
}

impl Running {
    fn start() -> Result<Self, String> {
        let mut child = myself(&["try".to_owned()])?
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        let missing = || "a pipe is missing".to_owned();
        Ok(Self {
            input: child.stdin.take().ok_or_else(missing)?,
            lines: lines_of(child.stdout.take().ok_or_else(missing)?),
            errors: lines_of(child.stderr.take().ok_or_else(missing)?),
            child,
        })
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
            match self.lines.recv_timeout(limit) {
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
                    let status = self.child.wait().map_err(|error| error.to_string())?;
                    let messages: Vec<String> = self.errors.iter().collect();
                    if let Some(error) = messages.iter().find(|line| line.starts_with("error: ")) {
                        return Err(error.trim_start_matches("error: ").to_owned());
                    }
                    return Ok(Outcome::Dies(reason(&messages, &status.to_string())));
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
    /// A text, if no process can be started.
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

// SPDX-License-Identifier: GPL-2.0

//! The scenario language: one command on each line, parsed and checked before anything runs.
//!
//! A [`Scenario`] keeps the lines and the nesting of `repeat` blocks. [`Scenario::walk`] unrolls
//! the blocks, replaces the loop counters and passes one [`Step`] after another to its caller: the
//! static check, the engine, or a test.

mod advice;
mod condition;
mod parse;
mod parse_command;
mod step;
mod substitute;
mod target;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_of_words;
mod words;

pub use advice::Advice;
pub use condition::{Comparison, Condition, Field, Value};
pub use step::{Destination, Mode, Step};
pub use target::{Place, Prot, Range, Target};

use crate::model::Model;
use substitute::{Counters, strip_comment, substitute};
use words::{check_name, number};

/// The most pages that one mapping may have.
pub const MAX_PAGES: u64 = 1 << 20;
/// The most processes that one `tree` may make.
pub const MAX_TREE: u64 = 4096;
/// The most steps that the blocks of one file may unroll to.
const MAX_STEPS: u64 = 10_000_000;
/// The most blocks that may be open in one place.
const MAX_DEPTH: usize = 64;
/// The longest name of a process or mapping, so that a request fits into one atomic pipe write.
const MAX_NAME: usize = 63;

/// An error in a scenario, with its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScenarioError {
    /// Line number, from 1; 0 if the error belongs to no line.
    pub line: usize,
    /// The error in words.
    pub message: String,
}

impl ScenarioError {
    /// Makes an error of `line`.
    pub fn new(line: usize, message: impl Into<String>) -> Self {
        Self {
            line,
            message: message.into(),
        }
    }

    /// Formats it as `FILE:LINE: message`.
    pub fn in_file(&self, file: &str) -> String {
        match self.line {
            0 => format!("{file}: {}", self.message),
            line => format!("{file}:{line}: {}", self.message),
        }
    }
}

/// A line, or a block of lines.
#[derive(Debug, Clone)]
enum Node {
    Line {
        line: usize,
        text: String,
    },
    Repeat {
        line: usize,
        count: String,
        counter: Option<String>,
        body: Vec<Node>,
    },
}

/// A parsed scenario file.
#[derive(Debug, Clone)]
pub struct Scenario {
    nodes: Vec<Node>,
    needs: Needs,
}

/// What the engine has to know of a scenario before its first step.
#[derive(Debug, Clone, Copy, Default)]
pub struct Needs {
    /// Pages are put at chosen places, so that no other mapping may take the addresses of holes.
    pub reserved_holes: bool,
    /// A condition is about [`Field::Opens`] or [`Field::Closes`].
    pub events: bool,
}

impl Needs {
    fn note(&mut self, step: &Step) {
        match step {
            Step::Map { over: Some(_), .. }
            | Step::Move {
                to: Destination::Onto(_),
                ..
            } => self.reserved_holes = true,
            Step::Refused { command, .. } | Step::Fail { command, .. } => self.note(command),
            Step::Check(conditions) | Step::Expect(conditions) => {
                self.events |= conditions.iter().any(Condition::is_about_events);
            }
            _ => {}
        }
    }
}

impl Scenario {
    /// Parses a scenario and checks all of it: syntax, names, ranges.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        let mut scenario = Self::parse_blocks(text)?;
        let mut model = Model::new();
        let mut needs = Needs::default();
        scenario.walk(&mut |line, step| {
            needs.note(step);
            model
                .apply(step)
                .map_err(|message| ScenarioError::new(line, message))
        })?;
        model
            .all_waited_for()
            .map_err(|message| ScenarioError::new(0, message))?;
        scenario.needs = needs;
        Ok(scenario)
    }

    fn parse_blocks(text: &str) -> Result<Self, ScenarioError> {
        // The innermost open block is the last; the first holds the file itself.
        let mut open: Vec<(usize, String, Option<String>, Vec<Node>)> =
            vec![(0, String::new(), None, Vec::new())];
        for (index, raw) in text.lines().enumerate() {
            let line = index + 1;
            let text = strip_comment(raw).trim();
            let mut words = text.split_whitespace();
            match words.next() {
                None => {}
                Some("repeat") => {
                    let count = words.next().ok_or_else(|| {
                        ScenarioError::new(line, "`repeat`: expected a number of times")
                    })?;
                    let counter = match (words.next(), words.next(), words.next()) {
                        (None, ..) => None,
                        (Some("as"), Some(name), None)
                            if check_name(name).is_ok() && !name.contains(['.', '-']) =>
                        {
                            Some(name.to_owned())
                        }
                        _ => {
                            return Err(ScenarioError::new(
                                line,
                                "expected `repeat N` or `repeat N as COUNTER`",
                            ));
                        }
                    };
                    // The first is the file itself.
                    if open.len() > MAX_DEPTH {
                        let message = format!("more than {MAX_DEPTH} blocks inside each other");
                        return Err(ScenarioError::new(line, message));
                    }
                    open.push((line, count.to_owned(), counter, Vec::new()));
                }
                Some("end") => {
                    if words.next().is_some() {
                        return Err(ScenarioError::new(line, "unexpected argument after `end`"));
                    }
                    let block = match open.len() {
                        1 => None,
                        _ => open.pop(),
                    };
                    let (start, count, counter, body) =
                        block.ok_or_else(|| ScenarioError::new(line, "`end` without `repeat`"))?;
                    if let Some((.., outer)) = open.last_mut() {
                        outer.push(Node::Repeat {
                            line: start,
                            count,
                            counter,
                            body,
                        });
                    }
                }
                Some(_) => {
                    if let Some((.., block)) = open.last_mut() {
                        block.push(Node::Line {
                            line,
                            text: text.to_owned(),
                        });
                    }
                }
            }
        }
        match open.pop() {
            Some((0, _, _, nodes)) => Ok(Self {
                nodes,
                needs: Needs::default(),
            }),
            Some((line, ..)) => Err(ScenarioError::new(line, "`repeat` without `end`")),
            None => Ok(Self {
                nodes: Vec::new(),
                needs: Needs::default(),
            }),
        }
    }

    /// Returns what the engine has to know before the first step.
    pub fn needs(&self) -> Needs {
        self.needs
    }

    /// Calls `f` with the line number and the step, for each step in the order of execution.
    pub fn walk<F>(&self, f: &mut F) -> Result<(), ScenarioError>
    where
        F: FnMut(usize, &Step) -> Result<(), ScenarioError>,
    {
        let mut budget = MAX_STEPS;
        walk(&self.nodes, &mut Counters::new(), &mut budget, f)
    }
}

fn walk<F>(
    nodes: &[Node],
    counters: &mut Counters,
    budget: &mut u64,
    f: &mut F,
) -> Result<(), ScenarioError>
where
    F: FnMut(usize, &Step) -> Result<(), ScenarioError>,
{
    for node in nodes {
        match node {
            Node::Line { line, text } => {
                *budget = budget.checked_sub(1).ok_or_else(|| {
                    ScenarioError::new(*line, format!("more than {MAX_STEPS} steps"))
                })?;
                let step = Step::parse(&substitute(text, counters))
                    .map_err(|message| ScenarioError::new(*line, message))?;
                f(*line, &step)?;
            }
            Node::Repeat {
                line,
                count,
                counter,
                body,
            } => {
                let count = number(&substitute(count, counters))
                    .map_err(|message| ScenarioError::new(*line, message))?;
                if count == 0 || count > MAX_STEPS {
                    return Err(ScenarioError::new(
                        *line,
                        format!("`repeat` takes 1 to {MAX_STEPS}, not {count}"),
                    ));
                }
                let hidden = counter
                    .as_ref()
                    .and_then(|name| counters.get(name).map(|value| (name.clone(), *value)));
                for i in 0..count {
                    if let Some(name) = counter {
                        counters.insert(name.clone(), i);
                    }
                    walk(body, counters, budget, f)?;
                }
                if let Some(name) = counter {
                    counters.remove(name);
                }
                counters.extend(hidden);
            }
        }
    }
    Ok(())
}

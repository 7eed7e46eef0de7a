// SPDX-License-Identifier: GPL-2.0

//! A step, with the allocation that fails in it, and how it is written to a file.

use std::fmt;

use host::Flags;
use host::random::Step;

/// A step of both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Action {
    /// Which of the host's allocations fails during the step, from 1; 0 for none.
    pub fail: u64,
    /// The step. Never [`Step::Fail`].
    pub step: Step,
}

impl From<Step> for Action {
    fn from(step: Step) -> Self {
        Self { fail: 0, step }
    }
}

/// One line, which [`parse`](Action::parse) reads again.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.fail > 0 {
            write!(f, "fail {} ", self.fail)?;
        }
        match self.step {
            Step::Spawn => write!(f, "spawn"),
            Step::Map {
                pid,
                page,
                pages,
                writable,
            } => {
                let how = if writable { "rw" } else { "r" };
                write!(f, "map {pid} {page} {pages} {how}")
            }
            Step::MapFile {
                pid,
                page,
                pages,
                pgoff,
            } => write!(f, "map-file {pid} {page} {pages} {pgoff}"),
            Step::Unmap { pid, page, pages } => write!(f, "unmap {pid} {page} {pages}"),
            Step::Write { pid, page } => write!(f, "write {pid} {page}"),
            Step::Read { pid, page } => write!(f, "read {pid} {page}"),
            Step::SwapOut { pid, page } => write!(f, "swap-out {pid} {page}"),
            Step::Change {
                pid,
                page,
                pages,
                set,
                clear,
            } => write!(f, "change {pid} {page} {pages} {} {}", set.0, clear.0),
            Step::Move {
                pid,
                page,
                old,
                new,
                to,
                keep,
            } => {
                let keep = if keep { " keep" } else { "" };
                write!(f, "move {pid} {page} {old} {new} {to}{keep}")
            }
            Step::Resize {
                pid,
                page,
                old,
                new,
            } => write!(f, "resize {pid} {page} {old} {new}"),
            Step::Fork { pid } => write!(f, "fork {pid}"),
            Step::Exit { pid } => write!(f, "exit {pid}"),
            Step::Fail { nth } => write!(f, "fail {nth}"),
        }
    }
}

/// The words of a line.
struct Words<'a> {
    line: &'a str,
    rest: std::str::SplitWhitespace<'a>,
}

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<&'a str> {
        self.rest.next()
    }

    fn number(&mut self) -> Result<u64, String> {
        let word = self.next().unwrap_or("the end of the line");
        word.parse()
            .map_err(|_| format!("`{}`: expected a number, found {word}", self.line))
    }

    fn pid(&mut self) -> Result<usize, String> {
        Ok(self.number()? as usize)
    }
}

impl Action {
    /// Reads a line; `None` for one that is empty or a comment.
    ///
    /// # Errors
    ///
    /// A text that names the line and what is wrong in it.
    pub fn parse(line: &str) -> Result<Option<Self>, String> {
        let line = line.split('#').next().unwrap_or_default().trim();
        let mut words = Words {
            line,
            rest: line.split_whitespace(),
        };
        let Some(mut word) = words.next() else {
            return Ok(None);
        };
        let mut fail = 0;
        if word == "fail" {
            fail = words.number()?;
            word = words.next().unwrap_or_default();
        }
        let step = Self::step(word, &mut words)?;
        match words.next() {
            Some(more) => Err(format!("`{line}`: unexpected `{more}`")),
            None => Ok(Some(Self { fail, step })),
        }
    }

    fn step(word: &str, words: &mut Words<'_>) -> Result<Step, String> {
        Ok(match word {
            "spawn" => Step::Spawn,
            "map" => Step::Map {
                pid: words.pid()?,
                page: words.number()?,
                pages: words.number()?,
                writable: match words.next() {
                    Some("rw") => true,
                    Some("r") => false,
                    _ => return Err(format!("`{}`: expected rw or r", words.line)),
                },
            },
            "map-file" => Step::MapFile {
                pid: words.pid()?,
                page: words.number()?,
                pages: words.number()?,
                pgoff: words.number()?,
            },
            "unmap" => Step::Unmap {
                pid: words.pid()?,
                page: words.number()?,
                pages: words.number()?,
            },
            "write" => Step::Write {
                pid: words.pid()?,
                page: words.number()?,
            },
            "read" => Step::Read {
                pid: words.pid()?,
                page: words.number()?,
            },
            "swap-out" => Step::SwapOut {
                pid: words.pid()?,
                page: words.number()?,
            },
            "change" => Step::Change {
                pid: words.pid()?,
                page: words.number()?,
                pages: words.number()?,
                set: Flags(words.number()?),
                clear: Flags(words.number()?),
            },
            "move" => Step::Move {
                pid: words.pid()?,
                page: words.number()?,
                old: words.number()?,
                new: words.number()?,
                to: words.number()?,
                keep: match words.rest.clone().next() {
                    Some("keep") => words.next().is_some(),
                    _ => false,
                },
            },
            "resize" => Step::Resize {
                pid: words.pid()?,
                page: words.number()?,
                old: words.number()?,
                new: words.number()?,
            },
            "fork" => Step::Fork { pid: words.pid()? },
            "exit" => Step::Exit { pid: words.pid()? },
            _ => return Err(format!("`{}`: unknown step `{word}`", words.line)),
        })
    }

    /// Returns whether both sides can do it: its addresses are within the pages that they have.
    pub fn fits(&self) -> bool {
        let within = |first: u64, pages: u64| first < SIZE && (1..=SIZE - first).contains(&pages);
        match self.step {
            Step::Spawn | Step::Fork { .. } | Step::Exit { .. } => true,
            Step::Map { page, pages, .. }
            | Step::MapFile { page, pages, .. }
            | Step::Unmap { page, pages, .. }
            | Step::Change { page, pages, .. } => within(page, pages),
            Step::Write { page, .. } | Step::Read { page, .. } | Step::SwapOut { page, .. } => {
                within(page, 1)
            }
            Step::Move {
                page, old, new, to, ..
            } => within(page, old) && within(to, new),
            Step::Resize { page, old, new, .. } => within(page, old) && within(page, new),
            Step::Fail { .. } => false,
        }
    }
}

/// How many pages an address space has.
pub const SIZE: u64 = 64;

/// Reads a file of steps, one a line.
///
/// # Errors
///
/// As [`Action::parse`].
pub fn parse_all(text: &str) -> Result<Vec<Action>, String> {
    let mut actions = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let action =
            Action::parse(line).map_err(|error| format!("line {}: {error}", number + 1))?;
        if let Some(action) = action {
            if !action.fits() {
                return Err(format!(
                    "line {}: `{line}`: beyond the {SIZE} pages that a process has",
                    number + 1
                ));
            }
            actions.push(action);
        }
    }
    Ok(actions)
}

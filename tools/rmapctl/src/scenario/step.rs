// SPDX-License-Identifier: GPL-2.0

//! One command of a scenario, with all names and numbers filled in.

use super::{Condition, Prot, Target};
use nix::sys::signal::Signal;
use std::fmt;

/// The kind of mapping that the driver creates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// The host never removes a VMA by a merge.
    Pinned,
    /// The host may merge VMAs.
    Mergeable,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Pinned => "pinned",
            Mode::Mergeable => "mergeable",
        })
    }
}

/// One command with all names and numbers filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// `map P M PAGES [at PGOFF]`
    Map {
        process: String,
        mapping: String,
        pages: u64,
        pgoff: u64,
    },
    /// `touch P M RANGE [write|read] [BYTE]`
    Touch {
        target: Target,
        write: bool,
        byte: Option<u8>,
    },
    /// `fork P C...`
    Fork {
        process: String,
        children: Vec<String>,
    },
    /// `exit P...`; a name may end in `*`
    Exit { processes: Vec<String> },
    /// `exec P`
    Exec { process: String },
    /// `protect P M RANGE rw|r|none`
    Protect { target: Target, prot: Prot },
    /// `unmap P M RANGE`
    Unmap { target: Target },
    /// `dontneed P M RANGE`
    Dontneed { target: Target },
    /// `move P M RANGE [to NEWPAGES] [as NAME [keep]]`
    Move {
        target: Target,
        pages: Option<u64>,
        name: Option<String>,
        /// The old place stays mapped, without the pages.
        keep: bool,
    },
    /// `tree P DEPTH CHILDREN write M RANGE [BYTE]`
    Tree {
        target: Target,
        depth: u64,
        children: u64,
        byte: u8,
    },
    /// `dies SIGNAL touch ...`: the touch must kill the process.
    Dies { signal: Signal, touch: Box<Step> },
    /// `mode pinned|mergeable`
    Mode(Mode),
    /// `check [CONDITION...]`
    Check(Vec<Condition>),
    /// `check every N|off`
    CheckEvery(Option<u64>),
    /// `expect CONDITION...`
    Expect(Vec<Condition>),
    /// `show`
    Show,
    /// `compare`
    Compare,
    /// `rules`
    Rules,
    /// `save NAME PATH`
    Save { name: String, path: String },
    /// `print TEXT`
    Print(String),
}

impl Step {
    /// Returns whether a process executes the step, so that it counts for `check every`.
    pub fn is_command(&self) -> bool {
        !matches!(
            self,
            Step::Mode(_)
                | Step::Check(_)
                | Step::CheckEvery(_)
                | Step::Expect(_)
                | Step::Show
                | Step::Compare
                | Step::Rules
                | Step::Save { .. }
                | Step::Print(_)
        )
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |conditions: &[Condition]| -> String {
            conditions.iter().map(|c| format!(" {c}")).collect()
        };
        match self {
            Step::Map {
                process,
                mapping,
                pages,
                pgoff,
            } => {
                write!(f, "map {process} {mapping} {pages}")?;
                match pgoff {
                    0 => Ok(()),
                    pgoff => write!(f, " at {pgoff}"),
                }
            }
            Step::Touch {
                target,
                write,
                byte,
            } => {
                let verb = if *write { "write" } else { "read" };
                write!(f, "touch {target} {verb}")?;
                byte.map_or(Ok(()), |byte| write!(f, " {byte}"))
            }
            Step::Fork { process, children } => {
                write!(f, "fork {process} {}", children.join(" "))
            }
            Step::Exit { processes } => write!(f, "exit {}", processes.join(" ")),
            Step::Exec { process } => write!(f, "exec {process}"),
            Step::Protect { target, prot } => write!(f, "protect {target} {prot}"),
            Step::Unmap { target } => write!(f, "unmap {target}"),
            Step::Dontneed { target } => write!(f, "dontneed {target}"),
            Step::Move {
                target,
                pages,
                name,
                keep,
            } => {
                write!(f, "move {target}")?;
                if let Some(pages) = pages {
                    write!(f, " to {pages}")?;
                }
                if let Some(name) = name {
                    write!(f, " as {name}")?;
                }
                match keep {
                    true => f.write_str(" keep"),
                    false => Ok(()),
                }
            }
            Step::Tree {
                target,
                depth,
                children,
                byte,
            } => write!(
                f,
                "tree {} {depth} {children} write {} {} {byte}",
                target.process, target.mapping, target.range
            ),
            Step::Dies { signal, touch } => write!(f, "dies {} {touch}", signal.as_str()),
            Step::Mode(mode) => write!(f, "mode {mode}"),
            Step::Check(conditions) => write!(f, "check{}", list(conditions)),
            Step::CheckEvery(None) => f.write_str("check every off"),
            Step::CheckEvery(Some(n)) => write!(f, "check every {n}"),
            Step::Expect(conditions) => write!(f, "expect{}", list(conditions)),
            Step::Show => f.write_str("show"),
            Step::Compare => f.write_str("compare"),
            Step::Rules => f.write_str("rules"),
            Step::Save { name, path } => write!(f, "save {name} {path}"),
            Step::Print(text) => write!(f, "print {text}"),
        }
    }
}

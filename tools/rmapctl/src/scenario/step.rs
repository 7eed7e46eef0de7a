// SPDX-License-Identifier: GPL-2.0

//! One command of a scenario, with all names and numbers filled in.

use super::{Advice, Condition, Place, Prot, Target};
use nix::errno::Errno;
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

/// Where `move` puts pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// Another address; the mapping keeps its name.
    Elsewhere,
    /// Another address, under this name.
    As(String),
    /// The pages of another mapping from this one on.
    Onto(Place),
}

/// One command with all names and numbers filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// `map P M PAGES [ro|none] [over M PAGE] [at PGOFF]`
    Map {
        process: String,
        mapping: String,
        pages: u64,
        prot: Prot,
        over: Option<Place>,
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
    /// `advise P M RANGE ADVICE`
    Advise { target: Target, advice: Advice },
    /// `lock P M RANGE`
    Lock { target: Target },
    /// `unlock P M RANGE`
    Unlock { target: Target },
    /// `seal P M RANGE`
    Seal { target: Target },
    /// `poke Q P M RANGE [BYTE] [force]`: process Q writes to the pages of P.
    Poke {
        writer: String,
        target: Target,
        byte: Option<u8>,
        /// By `/proc/PID/mem`, whatever the protection is.
        force: bool,
    },
    /// `pin P M RANGE`
    Pin { target: Target },
    /// `unpin P [BYTE]`
    Unpin { process: String, byte: Option<u8> },
    /// `move P M RANGE [to NEWPAGES] [as NAME|onto M PAGE] [keep]`
    Move {
        target: Target,
        pages: Option<u64>,
        to: Destination,
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
    /// `refused ERRNO COMMAND`: the kernel must refuse the command, which changes nothing.
    Refused { errno: Errno, command: Box<Step> },
    /// `fail N COMMAND`: after N allocations one fails; the command is repeated if it failed by that.
    Fail { after: u64, command: Box<Step> },
    /// `thread T COMMAND`: a thread executes the command, together with what follows.
    Thread { thread: String, command: Box<Step> },
    /// `wait [T...]`: waits for these threads, or for all.
    Wait { threads: Vec<String> },
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
    /// Returns the pages that the command is about.
    pub fn target(&self) -> Option<&Target> {
        match self {
            Step::Touch { target, .. }
            | Step::Protect { target, .. }
            | Step::Unmap { target }
            | Step::Dontneed { target }
            | Step::Advise { target, .. }
            | Step::Lock { target }
            | Step::Unlock { target }
            | Step::Seal { target }
            | Step::Pin { target }
            | Step::Poke { target, .. }
            | Step::Move { target, .. } => Some(target),
            _ => None,
        }
    }

    /// Returns the process that executes the command, if it is one process.
    pub fn process(&self) -> Option<&str> {
        match self {
            Step::Map { process, .. }
            | Step::Fork { process, .. }
            | Step::Exec { process }
            | Step::Unpin { process, .. } => Some(process),
            Step::Poke { writer, .. } => Some(writer),
            other => other.target().map(|target| target.process.as_str()),
        }
    }

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
                prot,
                over,
                pgoff,
            } => {
                write!(f, "map {process} {mapping} {pages}")?;
                f.write_str(match prot {
                    Prot::ReadWrite => "",
                    Prot::Read => " ro",
                    Prot::None => " none",
                })?;
                if let Some(place) = over {
                    write!(f, " over {place}")?;
                }
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
            Step::Advise { target, advice } => write!(f, "advise {target} {advice}"),
            Step::Lock { target } => write!(f, "lock {target}"),
            Step::Unlock { target } => write!(f, "unlock {target}"),
            Step::Seal { target } => write!(f, "seal {target}"),
            Step::Poke {
                writer,
                target,
                byte,
                force,
            } => {
                write!(f, "poke {writer} {target}")?;
                if let Some(byte) = byte {
                    write!(f, " {byte}")?;
                }
                f.write_str(if *force { " force" } else { "" })
            }
            Step::Pin { target } => write!(f, "pin {target}"),
            Step::Unpin { process, byte } => {
                write!(f, "unpin {process}")?;
                byte.map_or(Ok(()), |byte| write!(f, " {byte}"))
            }
            Step::Move {
                target,
                pages,
                to,
                keep,
            } => {
                write!(f, "move {target}")?;
                if let Some(pages) = pages {
                    write!(f, " to {pages}")?;
                }
                match to {
                    Destination::Elsewhere => {}
                    Destination::As(name) => write!(f, " as {name}")?,
                    Destination::Onto(place) => write!(f, " onto {place}")?,
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
            Step::Refused { errno, command } => write!(f, "refused {errno:?} {command}"),
            Step::Fail { after, command } => write!(f, "fail {after} {command}"),
            Step::Thread { thread, command } => write!(f, "thread {thread} {command}"),
            Step::Wait { threads } => {
                f.write_str("wait")?;
                threads.iter().try_for_each(|name| write!(f, " {name}"))
            }
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

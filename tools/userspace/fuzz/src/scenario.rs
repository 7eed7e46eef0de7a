// SPDX-License-Identifier: GPL-2.0

//! Writes steps in the language of `rmapctl run`.
//!
//! A process has one mapping `m` of as many pages as steps use; where a step maps something, there
//! is a mapping with another name in its place. What the language has no word for becomes a comment.

use std::collections::BTreeMap;
use std::fmt::Write;

use host::Flags;
use host::random::Step;

use crate::action::{Action, SIZE};

/// The scenario of a sequence; `words` say what it shows.
pub fn scenario(actions: &[Action], words: &str) -> String {
    let mut text = Text {
        out: String::new(),
        names: BTreeMap::new(),
        processes: 0,
        mappings: 0,
    };
    let file = actions
        .iter()
        .any(|action| matches!(action.step, Step::MapFile { .. }));
    let _ = writeln!(text.out, "# SPDX-License-Identifier: GPL-2.0\n#");
    let _ = writeln!(text.out, "# {}\n", words.replace('\n', " "));
    text.line(if file {
        "mode pinned"
    } else {
        "mode mergeable"
    });
    text.line("check every 1");
    for action in actions {
        text.action(action);
    }
    text.out
}

/// A process: its name, and the mapping to which each of its pages belongs, with the page of it.
#[derive(Clone)]
struct Process {
    name: String,
    pages: Vec<(String, u64)>,
}

struct Text {
    out: String,
    /// The processes that live, by their pids.
    names: BTreeMap<usize, Process>,
    processes: usize,
    mappings: usize,
}

impl Text {
    fn line(&mut self, line: &str) {
        let _ = writeln!(self.out, "{line}");
    }

    /// Adds a process with the lowest pid that is free.
    fn add(&mut self, process: Process) {
        let free = (0..).find(|pid| !self.names.contains_key(pid));
        self.names.insert(free.unwrap_or(0), process);
        self.processes += 1;
    }

    fn next_name(&self) -> String {
        match self.processes {
            0 => "main".to_owned(),
            n => format!("p{n}"),
        }
    }

    fn action(&mut self, action: &Action) {
        // There `fail N` lets N allocations succeed, and the exit of a process cannot fail.
        let fail = match (action.fail, action.step) {
            (0, _) | (_, Step::Spawn | Step::Exit { .. }) => String::new(),
            (nth, _) => format!("fail {} ", nth - 1),
        };
        match self.command(action.step) {
            Some(commands) => {
                for command in commands {
                    self.line(&format!("{fail}{command}"));
                }
            }
            None => self.line(&format!("# no word for: {action}")),
        }
    }

    /// Returns the mapping that has these pages, and its range, if one has them all.
    fn target(&self, pid: usize, page: u64, pages: u64) -> Option<String> {
        let process = self.names.get(&pid)?;
        let wanted = process.pages.get(page as usize..(page + pages) as usize)?;
        let (mapping, first) = wanted.first()?;
        let whole = wanted
            .iter()
            .zip(*first..)
            .all(|((name, number), expected)| name == mapping && *number == expected);
        whole.then(|| format!("{} {mapping} {first}..{}", process.name, first + pages))
    }

    fn command(&mut self, step: Step) -> Option<Vec<String>> {
        match step {
            Step::Spawn => self.spawn(),
            Step::Map {
                pid,
                page,
                pages,
                writable,
            } => self.map(pid, page, pages, if writable { "" } else { " ro" }, page),
            Step::MapFile {
                pid,
                page,
                pages,
                pgoff,
            } => self.map(pid, page, pages, "", pgoff),
            Step::Unmap { pid, page, pages } => {
                Some(vec![format!("unmap {}", self.target(pid, page, pages)?)])
            }
            Step::Write { pid, page } => {
                Some(vec![format!("touch {} write", self.target(pid, page, 1)?)])
            }
            Step::Read { pid, page } => {
                Some(vec![format!("touch {} read", self.target(pid, page, 1)?)])
            }
            Step::SwapOut { pid, page } => Some(vec![format!(
                "advise {} pageout",
                self.target(pid, page, 1)?
            )]),
            Step::Change {
                pid,
                page,
                pages,
                set,
                clear,
            } => {
                let target = self.target(pid, page, pages)?;
                let command = match (set, clear) {
                    (Flags::WRITE, _) => format!("protect {target} rw"),
                    (_, Flags::WRITE) => format!("protect {target} r"),
                    (Flags::LOCKED, _) => format!("lock {target}"),
                    (_, Flags::LOCKED) => format!("unlock {target}"),
                    (Flags::SEALED, _) => format!("seal {target}"),
                    (Flags::DONTCOPY, _) => format!("advise {target} dontfork"),
                    (_, Flags::DONTCOPY) => format!("advise {target} dofork"),
                    _ => return None,
                };
                Some(vec![command])
            }
            Step::Move {
                pid,
                page,
                old,
                new,
                to,
                keep,
            } => self.relocate(pid, (page, old), (to, new), keep),
            // The language has no word for another length in place.
            Step::Resize { .. } => None,
            Step::Fork { pid } => {
                let parent = self.names.get(&pid)?.clone();
                let child = self.next_name();
                let command = format!("fork {} {child}", parent.name);
                self.add(Process {
                    name: child,
                    ..parent
                });
                Some(vec![command])
            }
            Step::Exit { pid } => {
                let process = self.names.remove(&pid)?;
                Some(vec![format!("exit {}", process.name)])
            }
            Step::Fail { .. } => None,
        }
    }

    /// A process with nothing in the pages of `m`.
    fn spawn(&mut self) -> Option<Vec<String>> {
        let name = self.next_name();
        let mut commands = Vec::new();
        if self.processes > 0 {
            let other = self.names.values().next()?.name.clone();
            commands.push(format!("fork {other} {name}"));
            commands.push(format!("exec {name}"));
        }
        commands.push(format!("map {name} m {SIZE}"));
        commands.push(format!("unmap {name} m all"));
        let pages = (0..SIZE).map(|page| ("m".to_owned(), page)).collect();
        self.add(Process { name, pages });
        Some(commands)
    }

    fn map(
        &mut self,
        pid: usize,
        page: u64,
        pages: u64,
        prot: &str,
        pgoff: u64,
    ) -> Option<Vec<String>> {
        let process = self.names.get_mut(&pid)?;
        self.mappings += 1;
        let mapping = format!("m{}", self.mappings);
        let (under, first) = process.pages.get(page as usize)?.clone();
        for number in 0..pages {
            *process.pages.get_mut((page + number) as usize)? = (mapping.clone(), number);
        }
        let name = &process.name;
        Some(vec![format!(
            "map {name} {mapping} {pages}{prot} over {under} {first} at {pgoff}"
        )])
    }

    fn relocate(
        &mut self,
        pid: usize,
        (page, old): (u64, u64),
        (to, new): (u64, u64),
        keep: bool,
    ) -> Option<Vec<String>> {
        // The language cannot keep the source of a move to another length; nor can mremap().
        if keep && new != old {
            return None;
        }
        let target = self.target(pid, page, old)?;
        let (mapping, first) = self.names.get(&pid)?.pages.get(to as usize)?.clone();
        let length = if new == old {
            String::new()
        } else {
            format!(" to {new}")
        };
        let keep = if keep { " keep" } else { "" };
        Some(vec![format!(
            "move {target}{length} onto {mapping} {first}{keep}"
        )])
    }
}

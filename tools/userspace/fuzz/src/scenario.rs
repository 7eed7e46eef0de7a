// SPDX-License-Identifier: GPL-2.0

//! Writes steps in the language of `rmapctl run`.
//!
//! The process `main` has no mapping: it is the parent of those that steps start. Each of these has one
//! mapping `m` of as many pages as steps use, which are not mapped at first. Behind them one page of `m`
//! stays mapped, so that `m` is there; another one between keeps it from being a neighbour. The language
//! names mapped pages only, so a step over a hole becomes a command for each part. What it has no word for
//! becomes a comment.

use std::collections::BTreeMap;
use std::fmt::Write;

use host::Flags;
use host::random::Step;

use crate::action::{Action, SIZE};

/// The commands that set and clear a flag.
const WORDS: [(Flags, &[&str]); 5] = [
    (Flags::WRITE, &["protect PAGES rw", "protect PAGES r"]),
    (
        Flags::RANDOM,
        &["advise PAGES random", "advise PAGES normal"],
    ),
    (Flags::LOCKED, &["lock PAGES", "unlock PAGES"]),
    (
        Flags::DONTCOPY,
        &["advise PAGES dontfork", "advise PAGES dofork"],
    ),
    (Flags::SEALED, &["seal PAGES"]),
];

/// The commands that set (`way` 0) or clear (1) all of these flags, if there are such.
fn words_of(mut flags: Flags, way: usize) -> Option<Vec<&'static str>> {
    let mut all = Vec::new();
    for (flag, words) in WORDS {
        if flags.0 & flag.0 != 0 {
            flags.0 &= !flag.0;
            all.push(*words.get(way)?);
        }
    }
    (flags == Flags::NONE).then_some(all)
}

/// The scenario of a sequence; `words` say what it shows.
pub fn scenario(actions: &[Action], words: &str) -> String {
    let mut text = Text {
        out: String::new(),
        living: BTreeMap::new(),
        processes: 0,
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

/// A page of `m`, as far as the language asks.
#[derive(Clone, Copy, Default)]
struct Page {
    mapped: bool,
    /// Whether a child does not get it.
    dontcopy: bool,
    /// Whether it is not swapped out on request.
    locked: bool,
}

/// A process: its name, and its pages.
#[derive(Clone)]
struct Process {
    name: String,
    pages: Vec<Page>,
}

impl Process {
    fn new(name: String) -> Self {
        Self {
            name,
            pages: vec![Page::default(); SIZE as usize],
        }
    }

    fn range(&mut self, page: u64, pages: u64) -> Option<&mut [Page]> {
        self.pages.get_mut(page as usize..(page + pages) as usize)
    }

    /// Returns the words for each run of mapped pages.
    fn runs(&self, page: u64, pages: u64) -> Option<Vec<String>> {
        let range = self.pages.get(page as usize..(page + pages) as usize)?;
        let mut first = page;
        let mut runs = Vec::new();
        for run in range.chunk_by(|one, next| one.mapped == next.mapped) {
            let end = first + run.len() as u64;
            if run[0].mapped {
                runs.push(format!("{} m {first}..{end}", self.name));
            }
            first = end;
        }
        Some(runs)
    }

    /// Returns the words that name these pages, if all are mapped.
    fn target(&self, page: u64, pages: u64) -> Option<String> {
        let range = self.pages.get(page as usize..(page + pages) as usize)?;
        let all = range.iter().all(|page| page.mapped);
        all.then(|| format!("{} m {page}..{}", self.name, page + pages))
    }
}

struct Text {
    out: String,
    /// The processes that live, by their pids.
    living: BTreeMap<usize, Process>,
    processes: usize,
}

impl Text {
    fn line(&mut self, line: &str) {
        let _ = writeln!(self.out, "{line}");
    }

    /// Adds a process with the lowest pid that is free.
    fn add(&mut self, process: Process) {
        let free = (0..).find(|pid| !self.living.contains_key(pid));
        self.living.insert(free.unwrap_or(0), process);
        self.processes += 1;
    }

    fn next_name(&self) -> String {
        format!("p{}", self.processes)
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

    fn command(&mut self, step: Step) -> Option<Vec<String>> {
        match step {
            Step::Spawn => Some(self.spawn()),
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
                let process = self.living.get_mut(&pid)?;
                let runs = process.runs(page, pages)?;
                process.range(page, pages)?.fill(Page::default());
                Some(runs.iter().map(|run| format!("unmap {run}")).collect())
            }
            Step::Write { pid, page } => Some(vec![format!(
                "touch {} write",
                self.living.get(&pid)?.target(page, 1)?
            )]),
            Step::Read { pid, page } => Some(vec![format!(
                "touch {} read",
                self.living.get(&pid)?.target(page, 1)?
            )]),
            Step::SwapOut { pid, page } => {
                let process = self.living.get(&pid)?;
                let target = process.target(page, 1)?;
                let locked = process.pages.get(page as usize)?.locked;
                (!locked).then(|| vec![format!("advise {target} pageout")])
            }
            Step::Change {
                pid,
                page,
                pages,
                set,
                clear,
            } => {
                let process = self.living.get_mut(&pid)?;
                let words = [words_of(set, 0)?, words_of(clear, 1)?].concat();
                let mut commands = Vec::new();
                for run in process.runs(page, pages)? {
                    commands.extend(words.iter().map(|words| words.replace("PAGES", &run)));
                }
                for page in process.range(page, pages)? {
                    page.dontcopy |= set.0 & Flags::DONTCOPY.0 != 0;
                    page.dontcopy &= clear.0 & Flags::DONTCOPY.0 == 0;
                    page.locked |= set.0 & Flags::LOCKED.0 != 0;
                    page.locked &= clear.0 & Flags::LOCKED.0 == 0;
                }
                Some(commands)
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
                let mut process = self.living.get(&pid)?.clone();
                let child = self.next_name();
                let command = format!("fork {} {child}", process.name);
                process.name = child;
                for page in &mut process.pages {
                    page.mapped &= !page.dontcopy;
                    page.locked = false;
                }
                self.add(process);
                Some(vec![command])
            }
            Step::Exit { pid } => {
                let process = self.living.remove(&pid)?;
                Some(vec![format!("exit {}", process.name)])
            }
            Step::Fail { .. } => None,
        }
    }

    /// A process with nothing in the pages of `m`.
    fn spawn(&mut self) -> Vec<String> {
        let name = self.next_name();
        let commands = vec![
            format!("fork main {name}"),
            format!("map {name} m {}", SIZE + 2),
            format!("unmap {name} m 0..{}", SIZE + 1),
        ];
        self.add(Process::new(name));
        commands
    }

    fn map(
        &mut self,
        pid: usize,
        page: u64,
        pages: u64,
        prot: &str,
        pgoff: u64,
    ) -> Option<Vec<String>> {
        let process = self.living.get_mut(&pid)?;
        process.range(page, pages)?.fill(Page {
            mapped: true,
            ..Page::default()
        });
        let name = &process.name;
        Some(vec![format!(
            "map {name} m {pages}{prot} over m {page} at {pgoff}"
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
        let process = self.living.get_mut(&pid)?;
        let target = process.target(page, old)?;
        let mut moved = process.range(page, old)?.to_vec();
        moved.resize(new as usize, *moved.last()?);
        if !keep {
            process.range(page, old)?.fill(Page::default());
        }
        process.range(to, new)?.copy_from_slice(&moved);
        let length = if new == old {
            String::new()
        } else {
            format!(" to {new}")
        };
        let keep = if keep { " keep" } else { "" };
        Some(vec![format!("move {target}{length} onto m {to}{keep}")])
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Writes steps in the language of `rmapctl run`.
//!
//! The process `main` has no mapping: it is the parent of those that steps start. Each of these has one
//! mapping `m` of as many pages as steps use, which are not mapped at first. Behind them one page of `m`
//! stays mapped, so that `m` is there; another one between keeps it from being a neighbour. The language
//! names mapped pages only, so a step over a hole becomes a command for each part; and it sets flags one
//! after the other. What it has no word for becomes a comment. `rmapctl` does a command again that has
//! failed, so behind a `fail` a scenario may do more than the steps have done.

use std::collections::BTreeMap;
use std::fmt::Write;

use host::Flags;
use host::random::{PROCESSES, Step};

use crate::action::{Action, SIZE};

/// The commands that set and clear a flag. `lock` makes pages as well, so it is not among them.
const WORDS: [(Flags, &[&str]); 4] = [
    (Flags::WRITE, &["protect PAGES rw", "protect PAGES r"]),
    (
        Flags::RANDOM,
        &["advise PAGES random", "advise PAGES normal"],
    ),
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
    /// Whether the parent had it, and this process did not get it: `m` has no such page here.
    missing: bool,
    /// Whether it is sealed.
    sealed: bool,
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

    /// Returns the first page and the number of pages of each run of mapped pages.
    fn runs(&self, page: u64, pages: u64) -> Option<Vec<(u64, u64)>> {
        let range = self.pages.get(page as usize..(page + pages) as usize)?;
        let mut first = page;
        let mut runs = Vec::new();
        for run in range.chunk_by(|one, next| one.mapped == next.mapped) {
            let count = run.len() as u64;
            if run[0].mapped {
                runs.push((first, count));
            }
            first += count;
        }
        Some(runs)
    }

    /// Returns the words that name pages.
    fn words(&self, (page, pages): (u64, u64)) -> String {
        format!("{} m {page}..{}", self.name, page + pages)
    }

    /// Returns the words that name these pages, if all are mapped.
    fn target(&self, page: u64, pages: u64) -> Option<String> {
        let whole = self.runs(page, pages)? == [(page, pages)];
        whole.then(|| self.words((page, pages)))
    }

    /// Returns whether `m` has these pages, and none is sealed.
    fn is_open(&self, page: u64, pages: u64) -> bool {
        let range = self.pages.get(page as usize..(page + pages) as usize);
        range.is_some_and(|range| range.iter().all(|page| !page.missing && !page.sealed))
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

    /// Writes a step. One that becomes a comment changes nothing here, as it changes nothing in `rmapctl`.
    fn action(&mut self, action: &Action) {
        let before = self.living.clone();
        // There `fail N` lets N allocations succeed, and the exit of a process cannot fail.
        let fail = match (action.fail, action.step) {
            (0, _) | (_, Step::Spawn | Step::Exit { .. }) => String::new(),
            (nth, _) => format!("fail {} ", nth - 1),
        };
        match self.command(action.step) {
            // One failure is not one for each part.
            Some(commands) if fail.is_empty() || commands.len() <= 1 => {
                for command in commands {
                    self.line(&format!("{fail}{command}"));
                }
            }
            _ => {
                self.living = before;
                self.line(&format!("# no word for: {action}"));
            }
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
                for &(page, pages) in &runs {
                    if !process.is_open(page, pages) {
                        return None;
                    }
                }
                for &(page, pages) in &runs {
                    process.range(page, pages)?.fill(Page::default());
                }
                let unmap = |&run: &(u64, u64)| format!("unmap {}", process.words(run));
                Some(runs.iter().map(unmap).collect())
            }
            Step::Write { pid, page } => Some(vec![format!(
                "touch {} write",
                self.living.get(&pid)?.target(page, 1)?
            )]),
            Step::Read { pid, page } => Some(vec![format!(
                "touch {} read",
                self.living.get(&pid)?.target(page, 1)?
            )]),
            Step::SwapOut { pid, page } => Some(vec![format!(
                "advise {} pageout",
                self.living.get(&pid)?.target(page, 1)?
            )]),
            Step::Change {
                pid,
                page,
                pages,
                set,
                clear,
            } => self.change(pid, (page, pages), set, clear),
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
                if self.living.len() >= PROCESSES {
                    return Some(Vec::new());
                }
                let mut process = self.living.get(&pid)?.clone();
                let child = self.next_name();
                let command = format!("fork {} {child}", process.name);
                process.name = child;
                for page in &mut process.pages {
                    page.missing |= page.mapped && page.dontcopy;
                    page.mapped &= !page.dontcopy;
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
        if self.living.len() >= PROCESSES {
            return Vec::new();
        }
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
        if !process.is_open(page, pages) {
            return None;
        }
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
        let process = self.living.get_mut(&pid)?;
        let overlap = page < to + new && to < page + old;
        // mremap() cannot keep the source of a move to another length.
        if overlap || (keep && new != old) {
            return None;
        }
        if !process.is_open(page, old) || !process.is_open(to, new) {
            return None;
        }
        let runs = match new == old {
            // Gaps behind the first VMA stay as they are, here and there.
            true if process.pages.get(page as usize)?.mapped => process.runs(page, old)?,
            _ => {
                process.target(page, old)?;
                vec![(page, old)]
            }
        };
        let mut commands = Vec::new();
        for (first, count) in runs {
            let (onto, length) = (to + first - page, if new == old { count } else { new });
            let words = process.words((first, count));
            let resized = if length == count {
                String::new()
            } else {
                format!(" to {length}")
            };
            let kept = if keep { " keep" } else { "" };
            commands.push(format!("move {words}{resized} onto m {onto}{kept}"));
            let mut moved = process.range(first, count)?.to_vec();
            moved.resize(length as usize, *moved.last()?);
            if !keep {
                process.range(first, count)?.fill(Page::default());
            }
            process.range(onto, length)?.copy_from_slice(&moved);
        }
        Some(commands)
    }

    /// Other flags for the pages up to the first that is not mapped, where the host stops.
    fn change(
        &mut self,
        pid: usize,
        (page, pages): (u64, u64),
        set: Flags,
        clear: Flags,
    ) -> Option<Vec<String>> {
        let process = self.living.get_mut(&pid)?;
        // A seal comes last.
        let words = [words_of(clear, 1)?, words_of(set, 0)?].concat();
        let first = process.runs(page, pages)?.first().copied();
        let Some((_, count)) = first.filter(|run| run.0 == page) else {
            return Some(Vec::new());
        };
        if !process.is_open(page, count) {
            return None;
        }
        let run = process.words((page, count));
        for page in process.range(page, count)? {
            page.dontcopy |= set.0 & Flags::DONTCOPY.0 != 0;
            page.dontcopy &= clear.0 & Flags::DONTCOPY.0 == 0;
            page.sealed |= set.0 & Flags::SEALED.0 != 0;
        }
        let command = |words: &&str| words.replace("PAGES", &run);
        Some(words.iter().map(command).collect())
    }
}

// SPDX-License-Identifier: GPL-2.0

//! The state of a scenario: processes, their mappings, and the state of each page.
//!
//! The static check applies every step to a model before anything runs. The engine uses a model to
//! turn names into addresses. The random generator uses one to find steps that are possible.

mod apply;
mod pages;
mod place;
#[cfg(test)]
mod tests;
mod threads;

use crate::scenario::{Prot, Range, Target};
use std::collections::{BTreeMap, BTreeSet};
use threads::Thread;

/// The process that a scenario starts with.
pub const FIRST_PROCESS: &str = "main";
/// The most pages that a process can have pinned.
pub const MAX_PINS: u64 = 256;

/// One page of a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// False once the page was unmapped or moved away.
    pub mapped: bool,
    /// Its protection.
    pub prot: Prot,
    /// A VMA may start here. Stays true, although the host may have merged mergeable VMAs: there is no
    /// boundary at any other page in either mode.
    pub boundary: bool,
    /// The first byte, if a write has set it.
    pub value: Option<u8>,
    /// In a guard region: an access kills the process.
    pub guard: bool,
    /// In a locked VMA.
    pub locked: bool,
    /// In a sealed VMA.
    pub sealed: bool,
    /// A child does not get it.
    pub dontfork: bool,
    /// A hole whose address may belong to another mapping now.
    pub lent: bool,
}

impl Page {
    const FRESH: Page = Page {
        mapped: true,
        prot: Prot::ReadWrite,
        boundary: false,
        value: None,
        guard: false,
        locked: false,
        sealed: false,
        dontfork: false,
        lent: false,
    };

    const HOLE: Page = Page {
        mapped: false,
        prot: Prot::None,
        boundary: true,
        ..Page::FRESH
    };

    const LENT: Page = Page {
        lent: true,
        ..Page::HOLE
    };

    /// Returns a page that the VMA of this one gains when it grows.
    fn grown(self) -> Page {
        Page {
            boundary: false,
            value: None,
            guard: false,
            ..self
        }
    }

    /// Returns whether this page can be accessed without a signal.
    pub fn allows(&self, write: bool) -> bool {
        self.mapped
            && !self.guard
            && match self.prot {
                Prot::ReadWrite => true,
                Prot::Read => !write,
                Prot::None => false,
            }
    }
}

/// A mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// The address of page 0; 0 in a static check.
    pub base: u64,
    /// Its pages; unmapped ones stay as holes.
    pub pages: Vec<Page>,
}

/// A living process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// The number of processes created before it.
    pub sequence: u64,
    /// Its mappings.
    pub mappings: BTreeMap<String, Mapping>,
    /// The number of pages that it has pinned.
    pub pins: u64,
}

/// Consecutive pages, for one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The first page.
    pub first: u64,
    /// The number of pages.
    pub count: u64,
}

impl Run {
    fn indices(self) -> std::ops::Range<usize> {
        self.first as usize..(self.first + self.count) as usize
    }
}

/// The state of a scenario.
#[derive(Debug, Clone, Default)]
pub struct Model {
    processes: BTreeMap<String, Process>,
    ended: BTreeSet<String>,
    threads: BTreeMap<String, Thread>,
    made: u64,
    mapped_once: bool,
    checked_once: bool,
}

impl Model {
    /// Makes the state at the start: one process without mappings.
    pub fn new() -> Self {
        let mut model = Self::default();
        model.make(FIRST_PROCESS, BTreeMap::new());
        model
    }

    /// Returns the living processes by name.
    pub fn processes(&self) -> &BTreeMap<String, Process> {
        &self.processes
    }

    /// Returns the number of processes created so far.
    pub fn made(&self) -> u64 {
        self.made
    }

    fn make(&mut self, name: &str, mappings: BTreeMap<String, Mapping>) {
        let process = Process {
            sequence: self.made,
            mappings,
            pins: 0,
        };
        self.made += 1;
        self.processes.insert(name.to_owned(), process);
    }

    fn unknown(&self, name: &str) -> String {
        match self.ended.contains(name) {
            true => format!("process `{name}` has ended"),
            false => format!("there is no process `{name}`"),
        }
    }

    /// Returns the living process `name`.
    pub fn process(&self, name: &str) -> Result<&Process, String> {
        self.processes.get(name).ok_or_else(|| self.unknown(name))
    }

    fn process_mut(&mut self, name: &str) -> Result<&mut Process, String> {
        let unknown = self.unknown(name);
        self.processes.get_mut(name).ok_or(unknown)
    }

    /// Returns the mapping `mapping` of `process`.
    pub fn mapping(&self, process: &str, mapping: &str) -> Result<&Mapping, String> {
        self.process(process)?
            .mappings
            .get(mapping)
            .ok_or_else(|| format!("process `{process}` has no mapping `{mapping}`"))
    }

    fn mapping_mut(&mut self, process: &str, mapping: &str) -> Result<&mut Mapping, String> {
        self.process_mut(process)?
            .mappings
            .get_mut(mapping)
            .ok_or_else(|| format!("process `{process}` has no mapping `{mapping}`"))
    }

    /// Sets the address of page 0 of a mapping.
    pub fn set_base(&mut self, process: &str, mapping: &str, base: u64) -> Result<(), String> {
        self.mapping_mut(process, mapping)?.base = base;
        Ok(())
    }

    /// Splits a range of pages into the runs of its calls.
    ///
    /// # Errors
    ///
    /// A page of the range is beyond the end of the mapping, or was unmapped or moved away, or a
    /// thread works on it.
    pub fn runs(&self, target: &Target) -> Result<Vec<Run>, String> {
        let Target {
            process,
            mapping: name,
            range,
        } = target;
        let pages = &self.mapping(process, name)?.pages;
        let have = pages.len() as u64;
        let runs = match *range {
            Range::All => {
                let mut runs: Vec<Run> = Vec::new();
                for (page, _) in (0..).zip(pages).filter(|(_, page)| page.mapped) {
                    match runs.last_mut() {
                        Some(run) if run.first + run.count == page => run.count += 1,
                        _ => runs.push(Run {
                            first: page,
                            count: 1,
                        }),
                    }
                }
                runs
            }
            Range::Span(first, end) | Range::Stride(first, end, _)
                if first >= end || end > have =>
            {
                return Err(format!(
                    "mapping `{name}` of `{process}` has pages 0..{have}; {range} is beyond its end"
                ));
            }
            Range::Span(first, end) => vec![Run {
                first,
                count: end - first,
            }],
            Range::Stride(first, end, stride) => (first..end)
                .step_by(usize::try_from(stride).unwrap_or(usize::MAX))
                .map(|first| Run { first, count: 1 })
                .collect(),
        };
        self.no_thread_at(process, name, &runs)?;
        for run in &runs {
            for index in run.indices() {
                if !pages[index].mapped {
                    return Err(format!(
                        "page {index} of `{name}` in `{process}` has been unmapped or moved away"
                    ));
                }
            }
        }
        Ok(runs)
    }

    /// Returns the living processes that `exit` names, in the order of their creation.
    pub fn matching(&self, names: &[String]) -> Result<Vec<String>, String> {
        let mut all: Vec<String> = Vec::new();
        for name in names {
            match name.strip_suffix('*') {
                None => {
                    self.process(name)?;
                    all.push(name.clone());
                }
                Some(stem) => {
                    let mut found: Vec<_> = self
                        .processes
                        .iter()
                        .filter(|(name, _)| name.starts_with(stem))
                        .collect();
                    if found.is_empty() {
                        return Err(format!("no process has a name like `{name}`"));
                    }
                    found.sort_by_key(|(_, process)| process.sequence);
                    all.extend(found.into_iter().map(|(name, _)| name.clone()));
                }
            }
        }
        let distinct: BTreeSet<&String> = all.iter().collect();
        match distinct.len() == all.len() {
            true => Ok(all),
            false => Err("`exit` names a process twice".to_owned()),
        }
    }

    /// Returns the forks of a `tree` as pairs of parent and child, parents first.
    pub fn tree(process: &str, depth: u64, children: u64) -> Vec<(String, String)> {
        let mut all = Vec::new();
        let mut level = vec![process.to_owned()];
        for _ in 0..depth {
            let mut next = Vec::new();
            for parent in &level {
                for i in 0..children {
                    let child = format!("{parent}.{i}");
                    all.push((parent.clone(), child.clone()));
                    next.push(child);
                }
            }
            level = next;
        }
        all
    }
}

/// Notes that a VMA may start at `index` from now on.
fn mark(pages: &mut [Page], index: usize) {
    if let Some(page) = pages.get_mut(index) {
        page.boundary = true;
    }
}

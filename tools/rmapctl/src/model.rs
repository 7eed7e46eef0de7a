// SPDX-License-Identifier: GPL-2.0

//! What a scenario knows by itself: processes, their mappings, and the state of each page.
//!
//! The static check applies every step to a model before anything runs; the engine keeps one to turn
//! names into addresses; the random generator asks one which steps are possible.

use crate::scenario::{Prot, Range, Step, Target};
use std::collections::{BTreeMap, BTreeSet};

/// The process that a scenario starts with.
pub const FIRST_PROCESS: &str = "main";

/// One page of a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Not unmapped or moved away.
    pub mapped: bool,
    /// Its protection.
    pub prot: Prot,
    /// A VMA may start here. Never forgotten: a pinned VMA is not merged away.
    pub boundary: bool,
    /// The first byte, when a write has set it.
    pub value: Option<u8>,
}

impl Page {
    const FRESH: Page = Page {
        mapped: true,
        prot: Prot::ReadWrite,
        boundary: false,
        value: None,
    };

    const HOLE: Page = Page {
        mapped: false,
        prot: Prot::None,
        boundary: true,
        value: None,
    };

    /// May this page be accessed without a signal?
    pub fn allows(&self, write: bool) -> bool {
        self.mapped
            && match self.prot {
                Prot::ReadWrite => true,
                Prot::Read => !write,
                Prot::None => false,
            }
    }
}

/// A mapping by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// The address of page 0; 0 while nothing has run.
    pub base: u64,
    /// Its pages; those that are gone stay as holes.
    pub pages: Vec<Page>,
}

/// A living process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Counts up with each process made.
    pub sequence: u64,
    /// Its mappings.
    pub mappings: BTreeMap<String, Mapping>,
}

/// Consecutive pages: one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The first page.
    pub first: u64,
    /// How many.
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
    made: u64,
    mapped_once: bool,
    checked_once: bool,
}

impl Model {
    /// A scenario that has just begun: one process without mappings.
    pub fn new() -> Self {
        let mut model = Self::default();
        model.make(FIRST_PROCESS, BTreeMap::new());
        model
    }

    /// The living processes by name.
    pub fn processes(&self) -> &BTreeMap<String, Process> {
        &self.processes
    }

    /// How many processes there have been.
    pub fn made(&self) -> u64 {
        self.made
    }

    fn make(&mut self, name: &str, mappings: BTreeMap<String, Mapping>) {
        let process = Process {
            sequence: self.made,
            mappings,
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

    /// The living process `name`.
    pub fn process(&self, name: &str) -> Result<&Process, String> {
        self.processes.get(name).ok_or_else(|| self.unknown(name))
    }

    fn process_mut(&mut self, name: &str) -> Result<&mut Process, String> {
        let unknown = self.unknown(name);
        self.processes.get_mut(name).ok_or(unknown)
    }

    /// The mapping `mapping` of `process`.
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

    /// Says where page 0 of a mapping is.
    pub fn set_base(&mut self, process: &str, mapping: &str, base: u64) -> Result<(), String> {
        self.mapping_mut(process, mapping)?.base = base;
        Ok(())
    }

    /// The calls that a range of pages stands for.
    ///
    /// # Errors
    ///
    /// A page of the range is beyond the mapping, or is not mapped any more.
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
                    "mapping `{name}` of `{process}` has {have} pages; {range} is beyond"
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
        for run in &runs {
            for index in run.indices() {
                if !pages[index].mapped {
                    return Err(format!(
                        "page {index} of `{name}` in `{process}` is not mapped any more"
                    ));
                }
            }
        }
        Ok(runs)
    }

    /// The living processes that `exit` names, in the order in which they were made.
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
                        return Err(format!("no process is called `{name}`"));
                    }
                    found.sort_by_key(|(_, process)| process.sequence);
                    all.extend(found.into_iter().map(|(name, _)| name.clone()));
                }
            }
        }
        let distinct: BTreeSet<&String> = all.iter().collect();
        match distinct.len() == all.len() {
            true => Ok(all),
            false => Err("a process can end only once".to_owned()),
        }
    }

    /// The forks of a `tree`, parents first: pairs of parent and child.
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

    /// Does what `step` does, or says why it cannot be done.
    pub fn apply(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Map {
                process,
                mapping,
                pages,
                ..
            } => {
                let mappings = &mut self.process_mut(process)?.mappings;
                if mappings.contains_key(mapping) {
                    return Err(format!(
                        "process `{process}` already has a mapping `{mapping}`"
                    ));
                }
                let mut pages = vec![Page::FRESH; *pages as usize];
                mark(&mut pages, 0);
                mappings.insert(mapping.clone(), Mapping { base: 0, pages });
                self.mapped_once = true;
            }
            Step::Touch {
                target,
                write,
                byte,
            } => self.touch(target, *write, *byte)?,
            Step::Fork { process, children } => {
                for child in children {
                    self.fork(process, child)?;
                }
            }
            Step::Exit { processes } => {
                for name in self.matching(processes)? {
                    self.end(&name);
                }
            }
            Step::Exec { process } => self.process_mut(process)?.mappings.clear(),
            Step::Protect { target, prot } => self.change(target, |page| page.prot = *prot)?,
            Step::Unmap { target } => {
                self.change(target, |page| *page = Page::HOLE)?;
                self.forget_if_gone(&target.process, &target.mapping)?;
            }
            Step::Dontneed { target } => {
                for run in self.runs(target)? {
                    let mapping = self.mapping_mut(&target.process, &target.mapping)?;
                    for page in &mut mapping.pages[run.indices()] {
                        page.value = None;
                    }
                }
            }
            Step::Move {
                target,
                pages,
                name,
            } => self.relocate(target, *pages, name.as_deref())?,
            Step::Tree {
                target,
                depth,
                children,
                byte,
            } => {
                for (parent, child) in Self::tree(&target.process, *depth, *children) {
                    self.fork(&parent, &child)?;
                    let target = Target {
                        process: child,
                        ..target.clone()
                    };
                    self.touch(&target, true, Some(*byte))?;
                }
            }
            Step::Dies { touch, .. } => {
                if let Step::Touch { target, .. } = touch.as_ref() {
                    self.runs(target)?;
                    self.end(&target.process);
                }
            }
            Step::Mode(_) if self.mapped_once => {
                return Err("`mode` comes before the first `map`".to_owned());
            }
            Step::Check(_) | Step::CheckEvery(Some(_)) => self.checked_once = true,
            Step::Expect(_) if !self.checked_once => {
                return Err("`expect` speaks of the last check; there was none".to_owned());
            }
            Step::Mode(_)
            | Step::CheckEvery(None)
            | Step::Expect(_)
            | Step::Show
            | Step::Compare
            | Step::Rules
            | Step::Save { .. }
            | Step::Print(_) => {}
        }
        Ok(())
    }

    /// A child as its parent is.
    pub fn fork(&mut self, process: &str, child: &str) -> Result<(), String> {
        let mappings = self.process(process)?.mappings.clone();
        if self.processes.contains_key(child) {
            return Err(format!("`{child}` is alive"));
        }
        self.make(child, mappings);
        Ok(())
    }

    /// The process is no more.
    pub fn end(&mut self, process: &str) {
        self.processes.remove(process);
        self.ended.insert(process.to_owned());
    }

    fn touch(&mut self, target: &Target, write: bool, byte: Option<u8>) -> Result<(), String> {
        let runs = self.runs(target)?;
        let Target {
            process, mapping, ..
        } = target;
        let pages = &mut self.mapping_mut(process, mapping)?.pages;
        for run in runs {
            for index in run.indices() {
                let page = &mut pages[index];
                if !page.allows(write) {
                    let verb = if write { "writing" } else { "reading" };
                    return Err(format!(
                        "page {index} of `{mapping}` in `{process}` is protected ({}): {verb} it \
                         is fatal; say `dies SIGSEGV touch ...` if that is meant",
                        page.prot
                    ));
                }
                if write {
                    page.value = Some(byte.unwrap_or(1));
                }
            }
        }
        Ok(())
    }

    /// Changes pages in a way that splits VMAs.
    fn change(&mut self, target: &Target, f: impl Fn(&mut Page)) -> Result<(), String> {
        let runs = self.runs(target)?;
        let pages = &mut self.mapping_mut(&target.process, &target.mapping)?.pages;
        for run in runs {
            let indices = run.indices();
            for index in indices.clone() {
                f(&mut pages[index]);
            }
            mark(pages, indices.start);
            mark(pages, indices.end);
        }
        Ok(())
    }

    fn relocate(
        &mut self,
        target: &Target,
        pages: Option<u64>,
        name: Option<&str>,
    ) -> Result<(), String> {
        let Target {
            process, mapping, ..
        } = target;
        let run = match self.runs(target)?.as_slice() {
            [run] => *run,
            _ => return Err("the pages to move are not in one piece".to_owned()),
        };
        let source = self.mapping_mut(process, mapping)?;
        let mut moved: Vec<Page> = source.pages[run.indices()].to_vec();
        let prot = moved.first().map_or(Prot::ReadWrite, |page| page.prot);
        moved.resize(
            pages.unwrap_or(run.count) as usize,
            Page {
                prot,
                ..Page::FRESH
            },
        );
        mark(&mut moved, 0);
        match name {
            None => {
                source.pages.truncate(run.first as usize);
                source.pages.append(&mut moved);
            }
            Some(name) => {
                source.pages[run.indices()].fill(Page::HOLE);
                mark(&mut source.pages, run.indices().end);
                self.forget_if_gone(process, mapping)?;
                let mappings = &mut self.process_mut(process)?.mappings;
                if mappings.contains_key(name) {
                    return Err(format!(
                        "process `{process}` already has a mapping `{name}`"
                    ));
                }
                let mapping = Mapping {
                    base: 0,
                    pages: moved,
                };
                mappings.insert(name.to_owned(), mapping);
            }
        }
        Ok(())
    }

    /// A mapping without pages has no name any more.
    fn forget_if_gone(&mut self, process: &str, mapping: &str) -> Result<(), String> {
        if !self
            .mapping(process, mapping)?
            .pages
            .iter()
            .any(|page| page.mapped)
        {
            self.process_mut(process)?.mappings.remove(mapping);
        }
        Ok(())
    }
}

/// A VMA may start at `index` from now on.
fn mark(pages: &mut [Page], index: usize) {
    if let Some(page) = pages.get_mut(index) {
        page.boundary = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(lines: &[&str]) -> Model {
        let mut model = Model::new();
        for line in lines {
            model
                .apply(&Step::parse(line).expect("parses"))
                .expect("applies");
        }
        model
    }

    #[test]
    fn all_means_what_is_left() {
        let model = model(&["map main m 8", "unmap main m 1..7/3"]);
        let target = Target {
            process: "main".to_owned(),
            mapping: "m".to_owned(),
            range: Range::All,
        };
        let runs = model.runs(&target).expect("mapped");
        let pairs: Vec<_> = runs.iter().map(|run| (run.first, run.count)).collect();
        assert_eq!(pairs, [(0, 1), (2, 2), (5, 3)]);
    }

    #[test]
    fn a_part_moves_under_its_own_name() {
        let model = model(&[
            "map main m 8",
            "touch main m all write 3",
            "move main m 2..4 to 3 as n",
        ]);
        let moved = &model.mapping("main", "n").expect("is there").pages;
        let values: Vec<_> = moved.iter().map(|page| page.value).collect();
        assert_eq!(values, [Some(3), Some(3), None]);
        let left = &model.mapping("main", "m").expect("is there").pages;
        assert!(!left[2].mapped && !left[3].mapped && left[4].boundary);
    }

    #[test]
    fn a_mapping_without_pages_is_forgotten() {
        let model = model(&["map main m 2", "fork main c", "unmap main m 0..2/1"]);
        assert!(model.mapping("main", "m").is_err());
        assert!(model.mapping("c", "m").is_ok());
    }

    #[test]
    fn a_tree_names_its_processes_level_by_level() {
        let names: Vec<_> = Model::tree("p", 2, 2).into_iter().map(|(_, c)| c).collect();
        assert_eq!(names, ["p.0", "p.1", "p.0.0", "p.0.1", "p.1.0", "p.1.1"]);
    }
}

// SPDX-License-Identifier: GPL-2.0

//! The effect of each step on the model, and the errors of impossible steps.

use super::{Mapping, Model, Page};
use crate::scenario::{Prot, Step, Target};

impl Model {
    /// Applies `step`, or returns the reason why it is impossible.
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
                keep,
            } => self.relocate(target, *pages, name.as_deref(), *keep)?,
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
                return Err("`expect` needs a check before it".to_owned());
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

    /// Adds `child` with the mappings of its parent.
    pub fn fork(&mut self, process: &str, child: &str) -> Result<(), String> {
        let mappings = self.process(process)?.mappings.clone();
        if self.processes.contains_key(child) {
            return Err(format!("there is already a process `{child}`"));
        }
        self.make(child, mappings);
        Ok(())
    }

    /// Removes an ended process.
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
                         kills the process; write `dies SIGSEGV touch ...` if this is intended",
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

    /// Changes pages by a call that splits VMAs at both ends of each run.
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
        keep: bool,
    ) -> Result<(), String> {
        let Target {
            process, mapping, ..
        } = target;
        let run = match self.runs(target)?.as_slice() {
            [run] => *run,
            _ => {
                return Err(
                    "the pages to move are not contiguous; move each part by itself".to_owned(),
                );
            }
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
                if keep {
                    for page in &mut source.pages[run.indices()] {
                        page.value = None;
                    }
                } else {
                    source.pages[run.indices()].fill(Page::HOLE);
                    mark(&mut source.pages, run.indices().end);
                    self.forget_if_gone(process, mapping)?;
                }
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

    /// Removes a mapping that has no page left, so that its name is free.
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

/// Notes that a VMA may start at `index` from now on.
fn mark(pages: &mut [Page], index: usize) {
    if let Some(page) = pages.get_mut(index) {
        page.boundary = true;
    }
}

// SPDX-License-Identifier: GPL-2.0

//! The effect of each step on the model, and the errors of impossible steps.

use super::{Model, Page, mark};
use crate::scenario::{Destination, Step, Target};

impl Model {
    /// Applies `step`, or returns the reason why it is impossible.
    pub fn apply(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Map {
                process,
                mapping,
                pages,
                prot,
                over,
                ..
            } => self.map(process, mapping, *pages, *prot, over.as_ref())?,
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
                    self.no_thread_in(&name)?;
                    self.end(&name);
                }
            }
            Step::Exec { process } => {
                self.no_thread_in(process)?;
                let process = self.process_mut(process)?;
                process.mappings.clear();
                process.pins = 0;
            }
            Step::Protect { target, prot } => self.protect(target, *prot)?,
            Step::Unmap { target } => {
                self.unsealed(target)?;
                self.change(target, |page| *page = Page::HOLE)?;
                self.forget_if_gone(&target.process, &target.mapping)?;
            }
            Step::Dontneed { target } => self.dontneed(target)?,
            Step::Advise { target, advice } => self.advise(target, *advice)?,
            Step::Lock { target } => self.lock(target)?,
            Step::Unlock { target } => self.change(target, |page| page.locked = false)?,
            Step::Seal { target } => self.change(target, |page| page.sealed = true)?,
            Step::Poke {
                writer,
                target,
                byte,
                force,
            } => self.poke(writer, target, *byte, *force)?,
            Step::Pin { target } => self.pin(target)?,
            Step::Unpin { process, .. } => self.unpin(process)?,
            Step::Move {
                target,
                pages,
                to,
                keep,
            } => self.relocate(target, *pages, to, *keep)?,
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
                    self.no_thread_in(&target.process)?;
                    self.end(&target.process);
                }
            }
            Step::Refused { command, .. } => self.possible(command)?,
            Step::Fail { command, .. } => self.apply(command)?,
            Step::Thread { thread, command } => self.start_thread(thread, command)?,
            Step::Wait { threads } => self.end_threads(threads)?,
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

    /// Fails if the names or pages of a command do not exist, whether or not the kernel refuses it.
    fn possible(&self, command: &Step) -> Result<(), String> {
        if let Some(process) = command.process() {
            self.process(process)?;
        }
        if let Some(target) = command.target() {
            self.runs(target)?;
        }
        let place = match command {
            Step::Map { over, .. } => over.as_ref(),
            Step::Move {
                to: Destination::Onto(place),
                ..
            } => Some(place),
            _ => None,
        };
        match (place, command.process()) {
            (Some(place), Some(process)) => self.mapping(process, &place.mapping).map(drop),
            _ => Ok(()),
        }
    }

    /// Adds `child` with the mappings of its parent.
    pub fn fork(&mut self, process: &str, child: &str) -> Result<(), String> {
        let touched = self.forkable(process)?;
        let mut mappings = self.process(process)?.mappings.clone();
        for (mapping, run) in touched {
            let pages = mappings
                .get_mut(&mapping)
                .map(|map| &mut map.pages[run.indices()]);
            for page in pages.into_iter().flatten() {
                page.value = None;
            }
        }
        if self.processes.contains_key(child) {
            return Err(format!("there is already a process `{child}`"));
        }
        for mapping in mappings.values_mut() {
            for index in 0..mapping.pages.len() {
                let page = &mut mapping.pages[index];
                page.locked = false;
                if page.dontfork && page.mapped {
                    *page = Page::LENT;
                    mark(&mut mapping.pages, index + 1);
                }
            }
        }
        mappings.retain(|_, mapping| mapping.pages.iter().any(|page| page.mapped));
        self.make(child, mappings);
        Ok(())
    }

    /// Removes an ended process.
    pub fn end(&mut self, process: &str) {
        self.processes.remove(process);
        self.ended.insert(process.to_owned());
    }
}

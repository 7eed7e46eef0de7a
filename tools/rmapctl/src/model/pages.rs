// SPDX-License-Identifier: GPL-2.0

//! Commands that leave pages at their place: touches, protection, advice, locks, seals, pins.

use super::{MAX_PINS, Model, Page, mark};
use crate::scenario::{Advice, Prot, Target};

impl Model {
    /// Calls `why` for each page of `target`; a text is the reason why the command is impossible.
    pub(super) fn demand(
        &self,
        target: &Target,
        why: impl Fn(&Page) -> Option<&'static str>,
    ) -> Result<(), String> {
        let pages = &self.mapping(&target.process, &target.mapping)?.pages;
        for run in self.runs(target)? {
            for index in run.indices() {
                if let Some(why) = why(&pages[index]) {
                    return Err(format!(
                        "page {index} of `{}` in `{}` {why}",
                        target.mapping, target.process
                    ));
                }
            }
        }
        Ok(())
    }

    /// Fails if a page of `target` is sealed.
    pub(super) fn unsealed(&self, target: &Target) -> Result<(), String> {
        self.demand(target, |page| page.sealed.then_some(SEALED))
    }

    /// Changes each page of `target`.
    pub(super) fn set(&mut self, target: &Target, f: impl Fn(&mut Page)) -> Result<(), String> {
        let runs = self.runs(target)?;
        let pages = &mut self.mapping_mut(&target.process, &target.mapping)?.pages;
        for run in runs {
            pages[run.indices()].iter_mut().for_each(&f);
        }
        Ok(())
    }

    /// Changes pages by a call that splits VMAs at both ends of each run.
    pub(super) fn change(&mut self, target: &Target, f: impl Fn(&mut Page)) -> Result<(), String> {
        let runs = self.runs(target)?;
        let pages = &mut self.mapping_mut(&target.process, &target.mapping)?.pages;
        for run in runs {
            pages[run.indices()].iter_mut().for_each(&f);
            mark(pages, run.indices().start);
            mark(pages, run.indices().end);
        }
        Ok(())
    }

    pub(super) fn touch(
        &mut self,
        target: &Target,
        write: bool,
        byte: Option<u8>,
    ) -> Result<(), String> {
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
                    let prot = page.prot;
                    let state = match page.guard {
                        true => "in a guard region".to_owned(),
                        false => format!("protected ({prot})"),
                    };
                    return Err(format!(
                        "page {index} of `{mapping}` in `{process}` is {state}: {verb} it \
                         kills the process; write `dies SIGSEGV touch ...` if this is intended"
                    ));
                }
                if write {
                    page.value = Some(byte.unwrap_or(1));
                }
            }
        }
        Ok(())
    }

    pub(super) fn dontneed(&mut self, target: &Target) -> Result<(), String> {
        self.demand(target, |page| page.locked.then_some(LOCKED))?;
        self.set(target, |page| page.value = None)
    }

    pub(super) fn advise(&mut self, target: &Target, advice: Advice) -> Result<(), String> {
        match advice {
            Advice::Dontfork => self.change(target, |page| page.dontfork = true),
            Advice::Dofork => self.change(target, |page| page.dontfork = false),
            Advice::Guard => {
                self.demand(target, |page| page.locked.then_some(LOCKED))?;
                self.set(target, |page| {
                    page.guard = true;
                    page.value = None;
                })
            }
            Advice::Unguard => self.set(target, |page| page.guard = false),
            Advice::PopulateRead | Advice::PopulateWrite => {
                let write = advice == Advice::PopulateWrite;
                self.demand(target, |page| (!page.allows(write)).then_some(NO_ACCESS))
            }
            Advice::Mergeable | Advice::Random | Advice::Normal => self.change(target, |_| {}),
            Advice::Pageout => self.demand(target, |page| page.locked.then_some(LOCKED)),
        }
    }

    pub(super) fn lock(&mut self, target: &Target) -> Result<(), String> {
        self.demand(target, |page| (!page.allows(false)).then_some(NO_ACCESS))?;
        self.change(target, |page| page.locked = true)
    }

    pub(super) fn poke(
        &mut self,
        writer: &str,
        target: &Target,
        byte: Option<u8>,
        force: bool,
    ) -> Result<(), String> {
        self.process(writer)?;
        self.demand(target, |page| match force {
            true => page.guard.then_some(NO_ACCESS),
            false => (!page.allows(true)).then_some(NO_POKE),
        })?;
        self.set(target, |page| page.value = Some(byte.unwrap_or(1)))
    }

    pub(super) fn pin(&mut self, target: &Target) -> Result<(), String> {
        self.demand(target, |page| (!page.allows(false)).then_some(NO_ACCESS))?;
        let pages: u64 = self.runs(target)?.iter().map(|run| run.count).sum();
        let process = self.process_mut(&target.process)?;
        process.pins += pages;
        match process.pins {
            0..=MAX_PINS => Ok(()),
            _ => Err(format!("a process has at most {MAX_PINS} pages pinned")),
        }
    }

    pub(super) fn unpin(&mut self, process: &str) -> Result<(), String> {
        match std::mem::take(&mut self.process_mut(process)?.pins) {
            0 => Err(format!("process `{process}` has pinned no page")),
            _ => Ok(()),
        }
    }

    pub(super) fn protect(&mut self, target: &Target, prot: Prot) -> Result<(), String> {
        self.unsealed(target)?;
        self.change(target, |page| page.prot = prot)
    }
}

pub(super) const SEALED: &str =
    "is sealed: the call fails; write `refused EPERM ...` if this is intended";
const LOCKED: &str =
    "may be locked: the call fails; write `refused EINVAL ...` if this is intended";
const NO_ACCESS: &str = "cannot be accessed: the call fails";
const NO_POKE: &str = "cannot be written to: the call fails with EFAULT; add `force`";

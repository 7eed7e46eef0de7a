// SPDX-License-Identifier: GPL-2.0

//! Checks the host's reverse map of any process, while the processes run.
//!
//! The unit of consistency is the family: with the `rwsem` of its root held for reading, the trees
//! of the family, `num_children` and `num_active_vmas` of the anon_vmas in it, and the links of the
//! VMAs in these trees do not change. Documentation/host-check.rst has a table of what is checked,
//! and what is not because it may change.
//!
//! Locks, in this order: `mmap_lock` for reading, of one process at a time; the `rwsem` of one root
//! for reading; the lock of a page table. Nothing is allocated under these. The memory needed does
//! not depend on the number of processes or VMAs: an anon_vma is examined at one of its links, so
//! there is no set of those seen.

mod chain;
mod examine;
mod family;
mod notes;
mod patience;
pub(super) mod read;

use super::{
    mm::is_being_killed,
    process::{
        Pid,
        Process,
        Processes,
        ReadLocked, //
    },
    vma::HostVma, //
};
use crate::{
    kernel_ext::sched::cond_resched,
    snapshot::{
        family::Fault,
        Comm, //
    },
};
use examine::Copied;
pub(super) use family::Family;
use kernel::{
    prelude::*,
    time::Delta, //
};
use notes::{
    Faults,
    Look,
    Notes,
    WORDS, //
};
use patience::Patience;
use read::Area;

/// Number of looks under one hold of `mmap_lock`: at a VMA, or at some PTEs.
const BATCH: usize = 64;

/// What is checked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// All processes: an anon_vma is examined at the first link of its tree. If that is of a process
    /// that started after the check, the next check examines it.
    All,
    /// One process: an anon_vma is examined at the first link of its VMAs.
    One,
}

/// The result of a check.
#[derive(Clone, Copy, Default)]
pub(crate) struct Counts {
    /// Address spaces.
    pub(crate) mms: usize,
    /// VMAs, with an anon_vma or without.
    pub(crate) vmas: usize,
    /// anon_vmas whose trees and counters were examined.
    pub(crate) anon_vmas: usize,
    /// Links of the VMAs.
    pub(crate) chains: usize,
    /// VMAs that were given up, because another task waited for a lock.
    pub(crate) left_out: usize,
    /// Faults.
    pub(crate) violations: usize,
}

/// A fault with the place at which it was found.
pub(crate) struct Finding<'a> {
    /// The process.
    pub(crate) pid: i32,
    pub(crate) comm: &'a Comm,
    /// The addresses of the VMA.
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// The fault; `None`: so many more than have been reported for this VMA.
    pub(crate) fault: Option<Fault>,
    pub(crate) more: usize,
}

/// Checks one process, or all that exist now. Calls `report` with each fault, without a lock.
/// Sleeps.
///
/// A check of one process holds the root's lock for `hold` between two looks at the anon_vmas of
/// one of its VMAs: the longer, the more likely a host that changes the family without this lock
/// does so then. Tasks that need the lock wait.
///
/// # Errors
///
/// `ESRCH` if the process has ended, `EINVAL` if it is a kernel thread; `ENOMEM`; `EINTR` if the
/// caller is being killed; those of `report`.
pub(crate) fn check(
    which: Option<(&Pid, i32)>,
    hold: Delta,
    report: &mut dyn FnMut(Finding<'_>) -> Result,
) -> Result<Counts> {
    let mut checker = Checker {
        notes: Notes::new(64, which.map_or(Delta::ZERO, |_| hold))?,
        scope: Scope::All,
        report,
    };
    if let Some((pid, number)) = which {
        checker.scope = Scope::One;
        checker.process(&Process::of(pid, number)?)?;
    } else {
        for process in Processes::now() {
            checker.process(&process)?;
            cond_resched();
        }
    }
    Ok(checker.notes.counts)
}

/// How a batch ended.
enum Stop {
    /// Behind the last VMA.
    End,
    /// At this address: the lock has been held long enough.
    Here,
    /// At a VMA with faults, which are to be reported.
    Faults { start: usize, end: usize },
    /// At a chain for which there is no room.
    Room,
}

/// A check that is going on.
struct Checker<'a> {
    notes: Notes,
    scope: Scope,
    report: &'a mut dyn FnMut(Finding<'_>) -> Result,
}

impl Checker<'_> {
    /// Checks one address space.
    fn process(&mut self, process: &Process) -> Result {
        self.notes.counts.mms += 1;
        self.notes.begin();
        let mut at = 0;
        loop {
            match self.batch(process, &mut at)? {
                Stop::End => return Ok(()),
                Stop::Here => {}
                Stop::Faults { start, end } => self.tell(process, start, end)?,
                Stop::Room => self.notes.grow()?,
            }
            cond_resched();
            if is_being_killed() {
                return Err(EINTR);
            }
        }
    }

    /// Reports the faults of a VMA.
    fn tell(&mut self, process: &Process, start: usize, end: usize) -> Result {
        let faults = core::mem::replace(&mut self.notes.faults, Faults::new());
        self.notes.counts.violations += faults.number;
        let more = faults.number.saturating_sub(WORDS);
        // Behind the faults with words comes one for the others.
        for i in 0..faults.number.min(WORDS + 1) {
            let fault = faults.list.get(i).copied().flatten();
            (self.report)(Finding {
                pid: process.pid,
                comm: &process.comm,
                start,
                end,
                fault,
                more,
            })?;
        }
        Ok(())
    }

    /// Checks some VMAs from address `at` on, which is moved behind them.
    fn batch(&mut self, process: &Process, at: &mut usize) -> Result<Stop> {
        let mmap = process.read()?;
        for _ in 0..BATCH {
            let Some(vma) = mmap.vma_from(*at) else {
                return Ok(Stop::End);
            };
            let (start, end) = (vma.start(), vma.end());
            let counts = self.notes.counts;
            // One that begins before was looked at up to `at`.
            let look = if *at > start {
                Look::Whole
            } else {
                self.vma(&mmap, vma)?
            };
            let next = match look {
                Look::Whole => self.pages(&mmap, vma, (*at).max(start))?,
                Look::GivenUp => Some(end),
                Look::NoRoom => None,
            };
            let Some(next) = next else {
                // It is looked at again.
                self.notes.counts = counts;
                self.notes.faults = Faults::new();
                return Ok(Stop::Room);
            };
            *at = next;
            if self.notes.faults.number > 0 {
                return Ok(Stop::Faults { start, end });
            }
            if mmap.is_contended() {
                break;
            }
        }
        Ok(Stop::Here)
    }

    /// Examines a VMA.
    fn vma(&mut self, mmap: &ReadLocked<'_>, vma: HostVma<'_>) -> Result<Look> {
        self.notes.counts.vmas += 1;
        let family = match Family::lock(mmap, vma) {
            Ok(Some(family)) => family,
            Ok(None) => {
                // A prepare sets the pointer first: a chain is never seen without one.
                let area = Area::at(vma.key()).ok_or(EFAULT)?;
                if area.first != area.head && vma.anon_vma_key() == 0 {
                    self.notes.found(Fault::ChainAlone);
                }
                return Ok(Look::Whole);
            }
            Err(error) if error == EFAULT => {
                self.notes.found(Fault::LeadsNowhere { place: 0 });
                return Ok(Look::Whole);
            }
            Err(error) => return Err(error),
        };
        let area = Area::at(vma.key()).ok_or(EFAULT)?;
        self.notes.root = family.root();
        let is_contended = || family.is_contended() || mmap.is_contended();
        let patience = Patience::new(&is_contended);
        let notes = &mut self.notes;
        let done = match examine::read_chain(&area, &patience, notes) {
            Ok(Copied::All) => examine::examine(vma.key(), &area, self.scope, &patience, notes),
            Ok(Copied::Endless) => Ok(()),
            Ok(Copied::NoRoom) => return Ok(Look::NoRoom),
            Err(error) => Err(error),
        };
        self.notes.look_of(done)
    }

    /// Examines some pages of a VMA from `address` on. Returns where to go on; `None` if there was
    /// no room for its chain.
    fn pages(
        &mut self,
        mmap: &ReadLocked<'_>,
        vma: HostVma<'_>,
        address: usize,
    ) -> Result<Option<usize>> {
        let end = vma.end();
        if vma.has_odd_pages() {
            return Ok(Some(end));
        }
        // The root's lock is held, for another thread may map a page by an anon_vma that it has
        // seen published and that is not linked yet.
        let family = match Family::lock(mmap, vma) {
            Ok(Some(family)) => family,
            // Shared memory may be large, and a merge that loses an anon_vma is one of private VMAs.
            Ok(None) if vma.is_shared() => return Ok(Some(end)),
            Ok(None) => return self.lone_pages(mmap, vma, address).map(Some),
            Err(error) if error == EFAULT => return Ok(Some(end)),
            Err(error) => return Err(error),
        };
        let area = Area::at(vma.key()).ok_or(EFAULT)?;
        let reported = self.notes.faults;
        let is_contended = || family.is_contended() || mmap.is_contended();
        let patience = Patience::new(&is_contended);
        match examine::read_chain(&area, &patience, &mut self.notes) {
            Ok(Copied::All) => {}
            Ok(Copied::NoRoom) => return Ok(None),
            // Any anon_vma may be on it.
            other => {
                self.notes.faults = reported;
                self.notes.look_of(other.map(drop))?;
                return Ok(Some(end));
            }
        }
        // What is wrong with the chain itself has been reported.
        self.notes.faults = reported;
        let (keys, faults) = (&self.notes.keys, &mut self.notes.faults);
        let next = vma.pages_from(mmap, address, |address, page| {
            if !keys.contains(&page.mapping) {
                faults.add(Fault::PageElsewhere { address });
            } else if page.index != page.at {
                faults.add(Fault::PageIndex {
                    address,
                    index: page.index,
                    expected: page.at,
                });
            }
        })?;
        Ok(Some(next))
    }

    /// Examines some pages of a VMA without an anon_vma from `address` on. Returns where to go on.
    fn lone_pages(
        &mut self,
        mmap: &ReadLocked<'_>,
        vma: HostVma<'_>,
        address: usize,
    ) -> Result<usize> {
        let faults = &mut self.notes.faults;
        vma.pages_from(mmap, address, |address, _| {
            // A fault sets the pointer before it maps a page: it may have done both since.
            if vma.anon_vma_acquired().is_none() {
                faults.add(Fault::PageAlone { address });
            }
        })
    }
}

#[cfg(shadow_rmap_kunit)]
#[path = "tests/world.rs"]
mod world;

#[cfg(shadow_rmap_kunit)]
#[path = "tests/faults.rs"]
mod tests;

// SPDX-License-Identifier: GPL-2.0

//! Looks at other address spaces of an open file: the host does not tell when one of them ends, or
//! unmaps a VMA.

use super::{
    follow::{
        follow,
        Prepare, //
    },
    found::Found, //
};
use crate::{
    device::{
        file::OpenFile,
        live::LiveMm, //
        registry::Registry,
        sync::Cause,
    },
    host::{
        mm::Tried,
        swap, //
    },
    kernel_ext::{
        kthread::{
            KThread,
            Stop, //
        },
        sched::resched_each, //
    }, //
};
use kernel::{
    prelude::*,
    sync::Arc,
    time::msecs_to_jiffies, //
};

/// Milliseconds between two looks at all address spaces.
const PERIOD: u32 = 1000;

/// Each time that so many looks are over, those address spaces that seem unchanged are looked at,
/// too.
const ALL_AFTER: usize = 10;

/// Brings an address space up to date, but for new anon_vmas and pages, unless any thread holds its
/// `mmap_lock` now. Returns whether it did so. Sleeps.
///
/// Once the host has removed its mappings, nothing is left of it.
///
/// # Errors
///
/// `ENOMEM`; the next look then does the rest.
fn sweep(mm: &Arc<LiveMm>) -> Result<bool> {
    // For writing: `munmap()` removes VMAs from the tree, keeps the lock for reading, and unlinks them.
    let Some(locked) = Tried::write(&mm.host) else {
        return Ok(false);
    };
    mm.note_early_closes();
    // The host's lock is released after the cells are empty.
    let core = mm.core.clone();
    let mut mmap = core.mmap_write();
    let here = locked.mm()?;
    let found = Found::all(here, mm)?;
    if !found.are_settled() || found.len() != mm.nr_vmas() {
        found.with(|| follow(mm, here, &mut mmap, Prepare::None, Cause::Event))?;
    }
    mm.note_look();
    Ok(true)
}

/// Which address spaces are looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::device) enum Which {
    /// All.
    All,
    /// Those that have ended, or seem to have changed.
    Changed,
}

/// Looks at address spaces of `file`, but not at those with the keys `but`. Returns whether any was
/// left out because a thread holds its lock now. Sleeps.
///
/// # Errors
///
/// `ENOMEM`.
pub(in crate::device) fn sweep_others(
    file: &OpenFile,
    but: &[usize],
    which: Which,
) -> Result<bool> {
    let mut left_out = false;
    for mm in resched_each(file.mms()?) {
        let skipped = which == Which::Changed && mm.seems_unchanged();
        if !skipped && !but.contains(&mm.key()) {
            left_out |= !sweep(&mm)?;
        }
    }
    Ok(left_out)
}

/// Looks at all address spaces with mergeable mappings.
fn sweep_all(registry: &Registry, which: Which) -> Result {
    for file in registry.files()? {
        if file.is_mergeable() {
            sweep_others(&file, &[], which)?;
        }
    }
    Ok(())
}

/// A thread that looks at all address spaces again and again, until it is dropped: no process may
/// do anything else with a file that others have left.
pub(crate) struct Sweeper(#[expect(dead_code, reason = "is dropped")] KThread);

impl Sweeper {
    /// Starts the thread. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(registry: Arc<Registry>) -> Result<Self> {
        let ticks = msecs_to_jiffies(PERIOD);
        let run = move |stop: &Stop| {
            for round in 1_usize.. {
                stop.sleep(ticks);
                if stop.requested() {
                    break;
                }
                let which = if round % ALL_AFTER == 0 {
                    Which::All
                } else {
                    Which::Changed
                };
                // Swap space that is gone by the next check must be known, too.
                swap::note();
                // Without memory the next round does the rest.
                let _ = sweep_all(&registry, which);
            }
        };
        Ok(Self(KThread::spawn(fmt!("shadow_rmap_sweep"), run)?))
    }
}

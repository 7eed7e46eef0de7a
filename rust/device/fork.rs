// SPDX-License-Identifier: GPL-2.0

//! Updates the shadow at a fork.
//!
//! Which ancestor's anon_vma the fork reuses is decided by the rule (R24), and compared with what
//! the host has decided. The host decides before it calls `open`. If a related process exits or
//! forks between the two, then both outcomes are right: the shadow follows the host, and counts
//! that as ambiguous.
//!
//! To tell such a case, each close, fork and unlink tells the address spaces whose `mmap_lock` is
//! held for writing at that moment: one that is forking may have decided before. And a fork looks whether the
//! `mmap_lock` of another address space is held: one that is exiting, or forking as well, may have
//! changed the host's links, and not yet the shadow's. A process that waits holds no lock.

use super::{
    events::{
        close,
        share_pages,
        track, //
    },
    links,
    live::{
        LiveMm,
        LiveVma, //
    },
    mergeable,
    sync,
    vm_ops::Opening, //
};
use crate::{
    host::mm::LockedMm,
    rmap::{
        clone::{
            reusable,
            Reuse, //
        },
        fork::anon_vma_fork,
        mm::MmapWrite, //
    },
    snapshot::Reused,
    stats, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::Relaxed,
        Arc,
        ArcBorrow, //
    },
    time::{
        delay::fsleep,
        Delta, //
    },
};

/// How often a fork waits for address spaces of the file that are locked, before it takes the host's
/// choice: the first time for a millisecond, then twice as long each time. The host may lock an address
/// space for a moment without changing it, as when the memory nodes of a cgroup change.
const PAUSES: usize = 6;

/// Shadows a fork of `source`, which is in the address space `parent`. Sleeps.
///
/// # Errors
///
/// `ENOMEM`, or beyond a limit; then nothing is left of the new VMA.
pub(super) fn forked(
    opening: &Opening<'_>,
    parent: LockedMm<'_>,
    source: ArcBorrow<'_, LiveVma>,
) -> Result<Arc<LiveVma>> {
    let (mm, host) = (&source.mm, opening.host());
    let is_first = mm.begins_to_fork(host.mm_key());
    if is_first {
        mm.set_refused_child(None);
    }
    let forked = shadowed(opening, parent, source, is_first);
    if is_first && forked.is_err() {
        mm.set_refused_child(Some(host.mm()));
    }
    forked
}

/// As [`forked`]; `is_first` says whether this is the first VMA of the fork.
fn shadowed(
    opening: &Opening<'_>,
    parent: LockedMm<'_>,
    source: ArcBorrow<'_, LiveVma>,
    is_first: bool,
) -> Result<Arc<LiveVma>> {
    let file = &source.mm.file;
    let child = opening.host().mm_key();
    let mut parent_mmap = source.mm.core.mmap_write();
    // From here on the pages of the parent are shared. The host blocks faults in one VMA after the
    // other, so each VMA is updated at its own callback.
    if is_first {
        source.mm.pauses_at_fork.store(0, Relaxed);
        sync::mm(&source.mm, parent, &mut parent_mmap)?;
    } else {
        sync::vma(source.into(), parent, &mut parent_mmap)?;
    }
    let but = [source.mm.key(), child];
    let mut choices = choices(opening, &source, &parent_mmap);
    let mut left_out = false;
    while choices.is_some_and(|(by_rule, seen)| by_rule != seen) {
        // A VMA that has lost its links, and was not looked at since, counts no more in the host.
        left_out = if file.is_mergeable() {
            drop(parent_mmap);
            mergeable::sweep_others(file, &but, mergeable::Which::All)?
        } else {
            let family = links::family(&source, &parent_mmap)?;
            drop(parent_mmap);
            links::unlink_lost_elsewhere(file, &family, &but)
        };
        let pauses = source.mm.pauses_at_fork.load(Relaxed);
        let again = left_out && pauses < PAUSES;
        if again {
            source.mm.pauses_at_fork.store(pauses + 1, Relaxed);
            fsleep(Delta::from_millis(1 << pauses));
        }
        parent_mmap = source.mm.core.mmap_write();
        choices = self::choices(opening, &source, &parent_mmap);
        if !again {
            break;
        }
    }
    stats::EVENT_FORK.inc();
    file.note_change(&but);
    let (reuse, reused) = choose(choices, &source, child, left_out);
    copy(opening, &source, &parent_mmap, reuse, reused)
}

/// Gives the child a copy of `source`.
///
/// # Errors
///
/// As [`forked`].
fn copy(
    opening: &Opening<'_>,
    source: &LiveVma,
    parent_mmap: &MmapWrite<'_>,
    reuse: Reuse,
    reused: Option<(Reused, Reused)>,
) -> Result<Arc<LiveVma>> {
    let (file, host) = (&source.mm.file, opening.host());
    let known = file.mm(host.mm_key());
    let mm = match &known {
        Some(mm) => mm.clone(),
        None => LiveMm::new(file.as_arc_borrow(), host)?,
    };
    let mut mmap = mm.core.mmap_write_nested();
    let vma = track(&mm, opening, host.pages(), reused)?;
    vma.note_links(host);
    vma.set_place(source.place.get());
    // A fork may copy pages of zeroes of a VMA that has no anon_vma.
    vma.may_have_zero_pages
        .store(source.may_have_zero_pages.load(Relaxed), Relaxed);
    let forked = anon_vma_fork(&vma.core, &mmap, &source.core, parent_mmap, reuse)
        .and_then(|()| share_pages(&vma, host.locked(), source, &mmap))
        .and_then(|()| match known {
            Some(_) => Ok(()),
            None => file.insert_mm(&mm),
        });
    if let Err(error) = forked {
        close(&vma, &mut mmap);
        return Err(error);
    }
    if source.core.is_untracked() {
        vma.core.set_untracked();
    }
    Ok(vma)
}

/// Returns which place on the chain of `source` the rule and the host have chosen (`None`: no
/// place), if the host's choice is known.
fn choices(
    opening: &Opening<'_>,
    source: &LiveVma,
    mmap: &MmapWrite<'_>,
) -> Option<(Option<usize>, Option<usize>)> {
    let seen = opening.reused(source, source.core.nr_links())?;
    Some((reusable(&source.core, mmap), seen))
}

/// Chooses the anon_vma that a fork of `source` to the address space `child` reuses, and returns
/// the choices of rule and host that are compared. `left_out` says whether any address space could not
/// be looked at.
fn choose(
    choices: Option<(Option<usize>, Option<usize>)>,
    source: &LiveVma,
    child: usize,
    left_out: bool,
) -> (Reuse, Option<(Reused, Reused)>) {
    let Some((by_rule, seen)) = choices else {
        return (Reuse::ByRule, None);
    };
    let choice = |place: Option<usize>| place.map_or(Reused::None, Reused::At);
    if by_rule == seen {
        // Another process may exit before the links are cloned, which changes nothing.
        return (Reuse::AsSeen(seen), Some((choice(by_rule), choice(seen))));
    }
    // Some of the family are missing in the shadow: only the host knows.
    if source.core.is_untracked() {
        return (Reuse::AsSeen(seen), None);
    }
    // In this order: an exit that is over by the second look has left its mark at the latest then.
    let mm = &source.mm;
    let locked = left_out || mm.file.is_another_locked(&[mm.key(), child]);
    if locked || mm.changed_around.load(Relaxed) {
        mm.file.count_ambiguous();
        return (Reuse::AsSeen(seen), Some((choice(seen), choice(seen))));
    }
    (Reuse::ByRule, Some((choice(by_rule), choice(seen))))
}

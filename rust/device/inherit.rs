// SPDX-License-Identifier: GPL-2.0

//! Gives VMAs the links that the host has given them without a callback: those of a VMA that is
//! gone, has lost its links, or is about to lose them.
//!
//! Only the memory of the host's anon_vma tells which VMA that was, and type-safe memory comes
//! again: the host frees an anon_vma, and the next one may lie there. Then no VMA is linked to the
//! old one any more. A VMA that is taken for its heir has the structure that it would have with a new
//! anon_vma, unless the new one has other users. So these are looked for first.

use super::{
    layout,
    links::unlink_alone,
    live::{
        LiveMm,
        LiveVma, //
    },
};
use crate::{
    host::{
        mm::LockedMm,
        vma::HostVma, //
    },
    kernel_ext::{
        gfp::GFP_BOUNDED,
        sched::resched_each,
        sort::sort_by_key, //
    },
    rmap::{
        merge::{
            dup_anon_vma,
            is_mergeable_anon_vma, //
        },
        mm::MmapWrite,
        prepare::Sharing, //
    },
};
use kernel::{
    prelude::*,
    sync::{
        atomic::Relaxed,
        Arc, //
    }, //
};

/// Which VMAs may inherit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Heirs {
    /// Those without links in the shadow.
    Unfaulted,
    /// Those that have lost their links in the host, and have others now.
    Lost,
}

/// A VMA that has, or had, an anon_vma: the key of that in the host, when that was noted, and its
/// index.
type Owner = ((usize, u64), usize);

/// Returns the last one of `owners`, which are sorted, with this key for which `fits` holds.
fn newest(owners: &[Owner], key: usize, fits: impl Fn(usize) -> bool) -> Option<usize> {
    let end = owners.partition_point(|owner| owner.0 .0 <= key);
    let fit = owners.get(..end)?.iter().rev();
    let mut fit = fit
        .take_while(|owner| owner.0 .0 == key)
        .map(|owner| owner.1);
    fit.find(|&index| fits(index))
}

/// Gives VMAs of an address space the links of VMAs that are gone, or have lost their links, if the
/// host has done so: a merge, or a move beside the VMA, was the cause. `all` are its VMAs. Sleeps.
///
/// Returns the indices of those that have lost their own links for that, in order.
///
/// # Errors
///
/// `ENOMEM`.
pub(super) fn inherit(
    all: &[Arc<LiveVma>],
    heirs: Heirs,
    here: LockedMm<'_>,
    mmap: &mut MmapWrite<'_>,
) -> Result<KVVec<usize>> {
    let (mut settled, mut givers) = (KVVec::<Owner>::new(), KVVec::<Owner>::new());
    let (mut waiting, mut unlinked) = (KVVec::new(), KVVec::new());
    for (i, vma) in resched_each(all).enumerate() {
        let look = |host: HostVma<'_>| (host.anon_vma_key(), vma.has_lost_links(host));
        let now = vma.host.read(here, look);
        let (key, lost) = now.unwrap_or((0, true));
        let unfaulted = vma.core.is_unfaulted();
        if key != 0 && (unfaulted || lost) && (heirs == Heirs::Unfaulted) == unfaulted {
            waiting.push((key, i), GFP_BOUNDED)?;
        }
        match (unfaulted, lost) {
            (true, _) => {}
            (false, true) => givers.push((vma.noted(), i), GFP_BOUNDED)?,
            (false, false) => settled.push((vma.noted(), i), GFP_BOUNDED)?,
        }
    }
    let has_moved = all
        .first()
        .is_some_and(|vma| vma.mm.has_moved.load(Relaxed));
    if waiting.is_empty() && !has_moved {
        return Ok(unlinked);
    }
    sort_by_key(&mut settled, |&owner| owner);
    sort_by_key(&mut givers, |&owner| owner);
    let mut pairs = KVVec::with_capacity(waiting.len(), GFP_BOUNDED)?;
    for &(key, i) in resched_each(&waiting) {
        let Some(giver) = newest(&givers, key, |giver| giver != i) else {
            continue;
        };
        // A VMA that has the anon_vma now has the new one, if the memory has come again.
        let giver = newest(&settled, key, |_| true).unwrap_or(giver);
        pairs.push((i, giver), GFP_BOUNDED)?;
    }
    for &(heir, giver) in resched_each(&heirs_first(pairs, all.len())?) {
        let (i, heir, giver) = (heir, all.get(heir), all.get(giver));
        let (Some(heir), Some(giver)) = (heir, giver) else {
            continue;
        };
        if giver.core.is_unfaulted() {
            continue;
        }
        if heirs == Heirs::Lost {
            unlink_alone(heir, mmap);
            unlinked.push(i, GFP_BOUNDED)?;
        }
        give(giver, heir, here, mmap)?;
    }
    if heirs == Heirs::Lost && has_moved {
        unlink_stale(all, &settled, &mut unlinked, here, mmap)?;
        sort_by_key(&mut unlinked, |&i| i);
    }
    Ok(unlinked)
}

/// Sorts pairs of an heir and a giver, which are indices below `end`: a VMA that is both gives before it
/// loses its own links. Sleeps.
///
/// # Errors
///
/// `ENOMEM`.
fn heirs_first(mut pairs: KVVec<(usize, usize)>, end: usize) -> Result<KVVec<(usize, usize)>> {
    let mut heirs = KVVec::with_capacity(pairs.len(), GFP_BOUNDED)?;
    if pairs.is_empty() {
        return Ok(heirs);
    }
    // How many wait for each VMA, and its own pair.
    let mut waits = KVVec::from_elem((0_usize, None), end, GFP_BOUNDED)?;
    for (place, &(heir, giver)) in resched_each(&pairs).enumerate() {
        if let Some(wait) = waits.get_mut(giver) {
            wait.0 += 1;
        }
        if let Some(wait) = waits.get_mut(heir) {
            wait.1 = Some(place);
        }
    }
    let is_free = |waits: &[(usize, Option<usize>)], heir: usize| {
        waits.get(heir).is_some_and(|wait| wait.0 == 0)
    };
    for first in resched_each(0..pairs.len()) {
        let mut next = Some(first);
        while let Some(place) = next.take() {
            let Some(pair) = pairs.get_mut(place) else {
                break;
            };
            let (heir, giver) = *pair;
            if heir == end || !is_free(&waits, heir) {
                break;
            }
            // It is taken.
            pair.0 = end;
            heirs.push((heir, giver), GFP_BOUNDED)?;
            if let Some(wait) = waits.get_mut(giver) {
                wait.0 -= 1;
                next = wait.1;
            }
        }
    }
    // Those that wait for each other, in any order.
    for &pair in resched_each(&pairs).filter(|pair| pair.0 != end) {
        heirs.push(pair, GFP_BOUNDED)?;
    }
    Ok(heirs)
}

/// Takes the links of those `settled` VMAs away that have the anon_vma of another one in the host, but
/// not in the shadow, which has noted their links earlier. They have lost these, and share the new
/// anon_vma, which lies in the memory of the old one. Sleeps.
fn unlink_stale(
    all: &[Arc<LiveVma>],
    settled: &[Owner],
    unlinked: &mut KVVec<usize>,
    here: LockedMm<'_>,
    mmap: &mut MmapWrite<'_>,
) -> Result {
    for group in resched_each(settled.chunk_by(|one, next| one.0 .0 == next.0 .0)) {
        let Some((last, older)) = group.split_last() else {
            continue;
        };
        let Some(newest) = all.get(last.1).and_then(|vma| vma.own_key(mmap)) else {
            continue;
        };
        for &(_, i) in resched_each(older) {
            let Some(vma) = all.get(i) else {
                continue;
            };
            let alone = vma.host.read(here, |host| host.has_root_alone());
            if vma.own_key(mmap) != Some(newest) && alone == Some(true) {
                unlink_alone(vma, mmap);
                unlinked.push(i, GFP_BOUNDED)?;
            }
        }
    }
    Ok(())
}

/// Gives `heir`, which has none, the links of `giver`, if the rules permit that (R26). Sleeps.
fn give(giver: &LiveVma, heir: &LiveVma, here: LockedMm<'_>, mmap: &MmapWrite<'_>) -> Result {
    if may_take(heir, giver, mmap) {
        dup_anon_vma(&heir.core, &giver.core, mmap, Sharing::Singleton)?;
        heir.host.read(here, |host| heir.note_links(host));
    }
    Ok(())
}

/// Returns whether `vma` may take in addresses of `other` (R26).
pub(super) fn may_take(vma: &LiveVma, other: &LiveVma, mmap: &MmapWrite<'_>) -> bool {
    let (target, source) = (&vma.core, &other.core);
    let sharing = Sharing::Singleton;
    is_mergeable_anon_vma(target, Some(source), Some(source), mmap, sharing)
}

/// Gives the anon_vma of `vma`, which is about to lose its links, to those VMAs of the address space
/// that share it in the host, where the shadow does not know that yet. Of these it looks at some
/// hundreds at most: one call may remove thousands of VMAs. Sleeps.
///
/// # Errors
///
/// `ENOMEM`.
pub(super) fn share_before_unlink(
    vma: &LiveVma,
    here: LockedMm<'_>,
    mmap: &mut MmapWrite<'_>,
) -> Result {
    if vma.core.is_unfaulted() {
        return Ok(());
    }
    let mm = &vma.mm;
    // Since the host has unlinked the VMA another thread may have got the memory of its anon_vma.
    let may_come_again =
        mm.has_moved.load(Relaxed) || mm.had_threads.load(Relaxed) || mm.users() > 1;
    let mut is_first = true;
    for other in resched_each(&doubtful(mm, here)?).filter(|other| other.id() != vma.id()) {
        let look = |host: HostVma<'_>| {
            let lost = other.has_lost_links(host);
            let shares = vma.had_anon_vma_of(host) && (lost || other.core.is_unfaulted());
            shares.then_some(lost)
        };
        let Some(lost) = other.host.read_near(here, look).flatten() else {
            continue;
        };
        if core::mem::take(&mut is_first) && may_come_again && is_had(vma, here)? {
            mm.has_unseen_links.store(true, Relaxed);
            return Ok(());
        }
        layout::settle_around(other, here, mmap)?;
        if lost {
            unlink_alone(other, mmap);
        }
        give(vma, other, here, mmap)?;
    }
    Ok(())
}

/// Returns the VMAs that may have links in the host of which the shadow does not know: those without
/// links, and those that have lost theirs. Looks at all VMAs once after a move into a VMA that was there
/// before. Sleeps.
fn doubtful(mm: &LiveMm, here: LockedMm<'_>) -> Result<KVVec<Arc<LiveVma>>> {
    // A VMA loses its links and stays only when its pages are moved.
    if mm.has_moved.load(Relaxed) && !mm.knows_lost.load(Relaxed) {
        for vma in resched_each(&mm.vmas()?) {
            if vma.host.read_near(here, |host| vma.has_lost_links(host)) == Some(true) {
                vma.is_lost.store(true, Relaxed);
                mm.note_doubtful(vma);
            }
        }
        mm.knows_lost.store(true, Relaxed);
    }
    let doubtful = mm.doubtful()?;
    for vma in resched_each(&doubtful) {
        if !vma.may_lose.load(Relaxed) {
            continue;
        }
        // The host takes them right after the callback, so they are gone by now, or stay.
        vma.may_lose.store(false, Relaxed);
        if vma.host.read_near(here, |host| vma.has_lost_links(host)) == Some(true) {
            vma.is_lost.store(true, Relaxed);
        }
    }
    Ok(doubtful)
}

/// Returns whether another VMA has the anon_vma of `vma`, or one in the same memory: then the next
/// look finds by the key which other VMAs share it. Sleeps.
fn is_had(vma: &LiveVma, here: LockedMm<'_>) -> Result<bool> {
    another_has(vma, vma.noted().0, here, |host| vma.had_anon_vma_of(host))
}

/// Returns whether another VMA of the address space of `vma` has links, and has the host's anon_vma with
/// this key as when they were noted, and `fits` holds for it. Sleeps.
///
/// # Errors
///
/// `ENOMEM`.
pub(super) fn another_has(
    vma: &LiveVma,
    key: usize,
    here: LockedMm<'_>,
    fits: impl Fn(HostVma<'_>) -> bool,
) -> Result<bool> {
    let all = vma.mm.vmas_with(key)?;
    let mut others = resched_each(&all).filter(|other| other.id() != vma.id());
    Ok(others.any(|other| {
        let has_it = |host: HostVma<'_>| !other.has_lost_links(host) && fits(host);
        !other.core.is_unfaulted() && other.host.read_near(here, has_it) == Some(true)
    }))
}

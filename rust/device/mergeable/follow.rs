// SPDX-License-Identifier: GPL-2.0

//! Explains the host's layout of an address space by permitted steps, and takes them.
//!
//! The host calls the driver for each new VMA and each split. It calls nothing when
//!
//! * a VMA grows into free addresses, because it is extended, or a new or moved mapping is merged
//!   into it;
//! * a VMA is merged into its neighbour, or the boundary between the two shifts. This is permitted
//!   if no page changes its offset, and if `is_mergeable_anon_vma()` says so (R26): the two share
//!   an anon_vma, or one has none and the other is no fork child;
//! * a VMA is unmapped, or its process ends.
//!
//! So a VMA may have gained addresses. If another one had them, then it was merged, or the boundary
//! has shifted. If that one is gone and a merge is not permitted, then it was unmapped before: its
//! pages are not there any more. If they are, then the host has merged VMAs that it must not, which
//! is a difference. So is a merge into a VMA that has not inherited the links (R21).

use crate::{
    device::{
        events,
        inherit::{
            inherit,
            may_take,
            Heirs, //
        },
        layout,
        links,
        live::{
            mapping,
            ByPlace,
            LiveMm,
            LiveVma,
            Place, //
        },
        sync::Cause, //
    },
    host::{
        mm::LockedMm,
        vma::HostVma, //
    },
    kernel_ext::sched::resched_each,
    rmap::{
        merge::{
            anon_vma_merge,
            dup_anon_vma,
            is_fork_child, //
        },
        mm::MmapWrite,
        prepare::Sharing, //
    },
    stats, //
};
use kernel::{
    page::PAGE_SHIFT,
    prelude::*,
    sync::{
        atomic::Relaxed,
        Arc, //
    },
};

/// The most VMAs, one beside the other, that are looked at for one that is gone.
const MOST_GONE: usize = 64;

/// Which VMAs get an anon_vma because the host has given them one without a callback.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::device) enum Prepare {
    /// All.
    All,
    /// All but this one. Its fault is the cause: the host has prepared it just now, and the shadow is about
    /// to. `mmap_lock` is locked for reading, so another thread may be between removing VMAs and unlinking
    /// them.
    Fault(u64),
    /// None: that is left to the next event of the process.
    None,
}

/// Brings layout and links of an address space up to date, but not its pages. Sleeps.
///
/// Each VMA that the host has is in the cell of the shadow's VMA; those with empty cells are gone.
///
/// # Errors
///
/// `ENOMEM`; those of [`Cause::go_on`]. The next update then does the rest.
pub(in crate::device) fn follow(
    mm: &LiveMm,
    here: LockedMm<'_>,
    mmap: &mut MmapWrite<'_>,
    prepare: Prepare,
    cause: Cause,
) -> Result {
    let all = mm.vmas()?;
    let by_place = ByPlace::new(all.iter())?;
    let some_gone = all.iter().any(|vma| is_gone(vma));
    for vma in resched_each(&all) {
        let unfaulted = vma.core.is_unfaulted();
        vma.was_unfaulted.store(unfaulted, Relaxed);
        if unfaulted && is_gone(vma) && vma.may_have_zero_pages.load(Relaxed) {
            // The host may have prepared it without a callback, and given its links to another VMA.
            mm.has_unseen_links.store(true, Relaxed);
        }
    }
    inherit(&all, Heirs::Unfaulted, here, mmap)?;
    // First with the links as they were, because VMAs may have lost theirs after a merge.
    layout::until_settled(|| {
        let mut is_changed = false;
        for vma in resched_each(&all) {
            cause.go_on()?;
            is_changed |= settle(vma, &by_place, (Look::First, some_gone), here, mmap)?;
        }
        Ok(is_changed)
    })?;
    inherit(&all, Heirs::Lost, here, mmap)?;
    for vma in resched_each(&all) {
        links::unlink_lost_alone(vma, here, mmap);
    }
    for vma in resched_each(&all) {
        if let Some(now) = vma.host.read(here, Place::of) {
            layout::reset(vma, now);
        }
    }
    for vma in resched_each(&all) {
        cause.go_on()?;
        settle(vma, &by_place, (Look::Last, some_gone), here, mmap)?;
    }
    if some_gone {
        mm.file.note_change(&[mm.key()]);
        if matches!(prepare, Prepare::Fault(_)) {
            mm.closed_early.store(true, Relaxed);
        }
    }
    for vma in resched_each(&all) {
        if is_gone(vma) && mm.vma(vma.number()).is_some() {
            stats::EVENT_VANISH.inc();
            events::close(vma, mmap);
        }
    }
    for vma in resched_each(&all) {
        take_range_of_host(vma, here, mmap);
    }
    mm.note_others();
    if prepare == Prepare::None {
        return Ok(());
    }
    let late = resched_each(&all).filter(|vma| prepare != Prepare::Fault(vma.id()));
    let late = late.map(|vma| (vma, vma.key_in_host(here)));
    links::prepare_all_as_seen(late, here, mmap)
}

/// Gives `vma` the range that it has in the host, unless it is gone. Sleeps.
fn take_range_of_host(vma: &LiveVma, here: LockedMm<'_>, mmap: &mut MmapWrite<'_>) {
    let range = |host: HostVma<'_>| (Place::of(host).addresses, host.range());
    if let Some((addresses, range)) = vma.host.read(here, range) {
        layout::take_range(vma, addresses, range, mmap);
    }
}

/// Returns whether the host has removed `vma`.
fn is_gone(vma: &LiveVma) -> bool {
    vma.host.key().is_none()
}

/// Which look [`settle`] is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    /// Only permitted merges are taken.
    First,
    /// What they do not explain is explained in another way, or shows as a difference.
    Last,
}

/// Takes over what `vma` has gained without an event. Returns whether it has taken any. Sleeps.
///
/// If that is not permitted, the place stays as it is, and the comparison shows the difference.
/// `some_gone` says whether any VMA is gone.
fn settle(
    vma: &Arc<LiveVma>,
    by_place: &ByPlace,
    (look, some_gone): (Look, bool),
    here: LockedMm<'_>,
    mmap: &mut MmapWrite<'_>,
) -> Result<bool> {
    let Some(now) = vma.host.read(here, |host| vma.place_before_unlink(host)) else {
        return Ok(false);
    };
    if some_gone && vma.place.get().shift() == now.shift() {
        lose_to_gone(vma, now, by_place, mmap)?;
    }
    let was = vma.place.get();
    if was == now || was.shift() != now.shift() {
        return Ok(false);
    }
    let mut grown = was;
    'gains: for gain in was
        .gains(now)
        .into_iter()
        .filter(|(start, end)| start < end)
    {
        for other in resched_each(&by_place.at(gain)?) {
            let place = other.place.get();
            if other.id() == vma.id() || !place.has_some_of(gain) {
                continue;
            }
            // One that is gone was merged altogether only if the links permit that now.
            let permitted = match is_gone(other) {
                true => may_take(vma, other, mmap),
                false => may_have_taken(vma, other, mmap),
            };
            let merges = place.shift() == now.shift() && permitted;
            match (merges, is_gone(other)) {
                (true, false) => {
                    // A boundary has shifted.
                    if had_links(vma, other, here)
                        && dup_anon_vma(&vma.core, &other.core, mmap, Sharing::Singleton)?
                    {
                        vma.host.read(here, |host| vma.note_links(host));
                    }
                }
                // Merged, or unmapped: what `vma` would have inherited, it has by now.
                (true, true) => {
                    let has_inherited = !vma.core.is_unfaulted() || other.core.is_unfaulted();
                    if !has_inherited && shows_pages_of(vma, other, gain, here, mmap)? {
                        vma.wrongly_merged.store(other.id(), Relaxed);
                    }
                }
                (false, _) if look == Look::First => continue 'gains,
                // Neither merged nor unmapped. But a VMA that is gone may have taken it from
                // `other` before.
                (false, false) if !some_gone => continue 'gains,
                (false, _) if shows_pages_of(vma, other, gain, here, mmap)? => {
                    vma.wrongly_merged.store(other.id(), Relaxed);
                }
                // Unmapped.
                (false, _) => {}
            }
            let rest = place.without(gain, was);
            other.set_place(rest);
            let is_left = rest.addresses.0 < rest.addresses.1;
            if merges && is_gone(other) && !is_left {
                merge(vma, other, here, mmap);
            }
        }
        grown = grown.with_gain(gain, now);
    }
    if grown != was {
        // Pages of others may be there.
        vma.may_have_zero_pages.store(true, Relaxed);
        vma.set_place(grown);
    }
    Ok(grown != was)
}

/// Returns whether `vma` may take in addresses of `other`, or could at the begin of this look (R26).
fn may_have_taken(vma: &LiveVma, other: &LiveVma, mmap: &MmapWrite<'_>) -> bool {
    let unfaulted = |vma: &LiveVma| vma.was_unfaulted.load(Relaxed);
    let could = match (unfaulted(vma), unfaulted(other)) {
        (true, true) => true,
        (true, false) => !is_fork_child(&other.core),
        (false, true) => !is_fork_child(&vma.core),
        (false, false) => false,
    };
    could || may_take(vma, other, mmap)
}

/// Returns whether `other`, of which `vma` has gained addresses, had links then, which `vma` has inherited
/// and not lost since.
fn had_links(vma: &LiveVma, other: &LiveVma, here: LockedMm<'_>) -> bool {
    let key = vma.key_in_host(here);
    if other.was_unfaulted.load(Relaxed) {
        // It has inherited them itself, before or after.
        return key == other.key_in_host(here);
    }
    let lost = |host: HostVma<'_>| other.has_lost_links(host);
    let some_lost = vma.mm.has_moved.load(Relaxed) || other.host.read(here, lost) == Some(true);
    !some_lost || key == other.noted().0
}

/// Takes from `vma` what it has lost to a VMA that has gained it without an event, and is gone. Sleeps.
fn lose_to_gone(vma: &LiveVma, now: Place, by_place: &ByPlace, mmap: &MmapWrite<'_>) -> Result {
    let was = vma.place.get();
    let ((start, end), (first, last)) = (was.addresses, now.addresses);
    let has_taken = |other: &LiveVma| {
        let shift = other.place.get().shift();
        // One that had lost its links had got the page offsets of a new mapping.
        let has_moved = vma.mm.has_moved.load(Relaxed);
        let continues = shift == was.shift() || (was.shift() == 0 && has_moved);
        let had_none = has_moved && !is_fork_child(&vma.core);
        continues && (had_none || may_have_taken(vma, other, mmap))
    };
    // It may have been behind others that are gone, and have grown into free addresses before. Another VMA
    // may be at its place by now.
    let is_taken = |beside: &mut dyn Iterator<Item = &Arc<LiveVma>>| {
        resched_each(beside.take(MOST_GONE)).any(|vma| is_gone(vma) && has_taken(vma))
    };
    let mut rest = was.addresses;
    if start < first && first < end && is_taken(&mut by_place.before(start)) {
        rest.0 = first;
    }
    if start < last && last < end && is_taken(&mut by_place.behind(end)) {
        rest.1 = last;
    }
    vma.set_place(was.between(rest));
    Ok(())
}

/// Merges `other`, which is gone, into `vma`, unless it was unmapped: `vma` has no anon_vma then,
/// which it would have inherited. Sleeps.
fn merge(vma: &LiveVma, other: &LiveVma, here: LockedMm<'_>, mmap: &mut MmapWrite<'_>) {
    if vma.core.is_unfaulted() && !other.core.is_unfaulted() {
        return;
    }
    take_range_of_host(vma, here, mmap);
    stats::EVENT_MERGE.inc();
    // The pages appear in the range of `vma` at the next look.
    anon_vma_merge(&vma.core, mapping::emptied(other, mmap), Sharing::Singleton);
    events::forget(other);
}

/// Returns whether the host maps, in `vma`, a page that `other` mapped at the same place, among
/// those that `vma` has gained.
///
/// The memory of a page that was unmapped may come again as a new page of `vma`, whose anon_vma is
/// that of `vma`. So such a page proves something only if `other` had that anon_vma, too.
fn shows_pages_of(
    vma: &LiveVma,
    other: &LiveVma,
    gain: (usize, usize),
    here: LockedMm<'_>,
    mmap: &MmapWrite<'_>,
) -> Result<bool> {
    let place = other.place.get();
    let offset = |address: usize| place.shift().wrapping_add(address >> PAGE_SHIFT);
    let (start, end) = place.addresses;
    let addresses = (start.max(gain.0), end.min(gain.1));
    let (first, end) = (offset(addresses.0), offset(addresses.1));
    let pages = other.pages_in(first, end.wrapping_sub(1))?;
    if pages.is_empty() {
        return Ok(false);
    }
    let limit = vma.mm.file.max_pages();
    let look = |host: HostVma<'_>| {
        if host.pages() > limit {
            // It would take too long.
            return Ok(KVVec::new());
        }
        host.mapped_pages_in(addresses)
    };
    let look = vma.host.read(here, look);
    let there = look.unwrap_or_else(|| Ok(KVVec::new()))?;
    let (own, shared) = vma
        .host
        .read(here, |host| {
            let shared = match vma.core.is_unfaulted() {
                true => other.had_anon_vma_of(host),
                false => vma.own_key(mmap) == other.own_key(mmap),
            };
            (host.anon_vma_key(), shared)
        })
        .unwrap_or((0, false));
    let shown = resched_each(&pages).any(|(at, page)| {
        there
            .binary_search_by_key(at, |there| there.at)
            .ok()
            .and_then(|i| there.get(i))
            .is_some_and(|there| there.key == page.key() && (shared || there.mapping != own))
    });
    Ok(shown)
}

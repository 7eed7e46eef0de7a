// SPDX-License-Identifier: GPL-2.0

//! Where the VMAs of an address space are: what follows from the events, and which other changes
//! are permitted.
//!
//! The host tells the driver of each new VMA, each split and each end of a VMA. It does not tell
//! when
//!
//! * a VMA grows into free addresses, because it is extended, or a new mapping is merged into it;
//! * the boundary between two neighbours shifts, because a part of one is merged into the other.
//!   This is permitted if no page changes its offset, and if the two share an anon_vma, or one has
//!   none and the other is no fork child (R26).
//!
//! A VMA may not lose addresses in any other way. So the shadow takes over what a VMA has gained,
//! and takes it from the VMAs that had it. If a place differs from the host's after that, no
//! permitted step leads there: it stays as it is, and the comparison shows the difference.

use super::live::{
    Addresses,
    LiveVma,
    Place, //
};
use crate::{
    host::{
        mm::LockedMm,
        vma::HostVma, //
    },
    kernel_ext::{
        interval_tree::Range,
        sched::resched_each, //
    },
    rmap::{
        merge::is_fork_child,
        mm::MmapWrite, //
    }, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::Relaxed,
        Arc, //
    }, //
};

/// The most passes of [`until_settled`].
const PASSES: usize = 8;

/// Calls `pass` as long as it returns that a VMA has taken something: that may permit what another
/// one has taken.
///
/// # Errors
///
/// Those of `pass`.
pub(super) fn until_settled(mut pass: impl FnMut() -> Result<bool>) -> Result {
    for _ in 0..PASSES {
        if !pass()? {
            break;
        }
    }
    Ok(())
}

/// Takes over what `vma` has gained without an event. `had` returns the VMAs that had some of the
/// addresses. Returns whether it has taken any. Sleeps.
///
/// # Errors
///
/// `ENOMEM`; those of `had`.
pub(super) fn settle(
    vma: &LiveVma,
    here: LockedMm<'_>,
    had: impl Fn(Addresses) -> Result<KVVec<Arc<LiveVma>>>,
    mmap: &MmapWrite<'_>,
) -> Result<bool> {
    if vma.mm.file.is_mergeable() {
        // Done before, for all VMAs of the address space.
        return Ok(false);
    }
    let look = |host: HostVma<'_>| {
        (
            vma.place_before_unlink(host),
            Place::of(host),
            Links::of(vma, host),
        )
    };
    let Some((now, place, links)) = vma.host.read(here, look) else {
        return Ok(false);
    };
    reset(vma, place);
    let was = vma.place.get();
    if was == now || was.shift() != now.shift() {
        return Ok(false);
    }
    let mut grown = was;
    for gain in was
        .gains(now)
        .into_iter()
        .filter(|(start, end)| start < end)
    {
        let mut losers = had(gain)?;
        losers.retain(|other| other.id() != vma.id() && other.place.get().has_some_of(gain));
        let loses = |other: &Arc<LiveVma>| {
            let theirs = other.host.read(here, |host| Links::of(other, host));
            let theirs = theirs.unwrap_or_default();
            // If it has lost its links, it may have got other page offsets with that.
            let continues = other.place.get().shift() == now.shift()
                || (theirs.are_lost && theirs.shift == now.shift());
            continues && may_share((vma, links), (other, theirs), mmap)
        };
        if !resched_each(&losers).all(loses) {
            continue;
        }
        for other in resched_each(&losers) {
            other.set_place(other.place.get().without(gain, was));
        }
        grown = grown.with_gain(gain, now);
    }
    if grown != was {
        // The pages of a VMA that was moved beside this one may be there.
        vma.may_have_zero_pages.store(true, Relaxed);
        vma.set_place(grown);
    }
    Ok(grown != was)
}

/// As [`settle`], for one VMA at an event.
///
/// # Errors
///
/// `ENOMEM`.
pub(super) fn settle_one(vma: &LiveVma, here: LockedMm<'_>, mmap: &MmapWrite<'_>) -> Result<bool> {
    settle(vma, here, |addresses| vma.mm.vmas_at(addresses), mmap)
}

/// As [`settle_one`], for a VMA that is about to be split, or to lose or get links, and for those
/// beside it: what was permitted before is settled before.
///
/// # Errors
///
/// `ENOMEM`.
pub(super) fn settle_around(vma: &LiveVma, here: LockedMm<'_>, mmap: &MmapWrite<'_>) -> Result {
    let beside = |host: HostVma<'_>| [host.start().wrapping_sub(1), host.end()];
    let beside = vma.host.read(here, beside);
    until_settled(|| {
        let mut is_changed = settle_one(vma, here, mmap)?;
        for address in beside.into_iter().flatten() {
            let other = here.vma_at(address).and_then(|host| vma.mm.vma_of(host));
            if let Some(other) = other {
                is_changed |= settle_one(&other, here, mmap)?;
            }
        }
        Ok(is_changed)
    })
}

/// Gives `vma` the page offsets of a VMA that was just mapped, if the host has done so. It does
/// when `MREMAP_DONTUNMAP` leaves the VMA behind: an unfaulted one without any other sign.
pub(super) fn reset(vma: &LiveVma, now: Place) {
    let was = vma.place.get();
    if vma.core.is_unfaulted() && was.shift() != now.shift() && now.shift() == 0 {
        vma.set_place(was.unlinked());
    }
}

/// Gives the shadow's VMA, in its interval trees, the range that it has in the host. Sleeps.
pub(super) fn take_range(
    vma: &LiveVma,
    addresses: Addresses,
    range: Range,
    mmap: &mut MmapWrite<'_>,
) {
    let here = vma.core.range(mmap);
    if here.is_some_and(|here| (here.start, here.last) != (range.start, range.last)) {
        vma.core.set_range(range, mmap, ());
    }
    vma.start.store(addresses.0, Relaxed);
    let (charged, pages) = (vma.charged.load(Relaxed), range.last - range.start + 1);
    // What does not fit is not counted, and such a VMA is untracked.
    let gained = pages.saturating_sub(charged);
    if charged != pages && (gained == 0 || vma.mm.file.has_room_to_grow(gained)) {
        vma.charged.store(pages, Relaxed);
        vma.mm.file.recharge(charged, pages);
    }
}

/// What the host tells of the links of a VMA.
#[derive(Clone, Copy, Default)]
struct Links {
    /// The key of its anon_vma; 0 for none.
    key: usize,
    /// Whether it has lost links that it has in the shadow.
    are_lost: bool,
    shift: usize,
}

impl Links {
    fn of(vma: &LiveVma, host: HostVma<'_>) -> Self {
        Self {
            key: host.anon_vma_key(),
            are_lost: vma.has_lost_links(host),
            shift: Place::of(host).shift(),
        }
    }
}

/// Returns whether a boundary may have shifted between two VMAs (R26): they share the anon_vma, or did at
/// the last look; or one has none, or had none at the last look or since, and the other is no fork child.
fn may_share(
    (vma, ours): (&LiveVma, Links),
    (other, theirs): (&LiveVma, Links),
    mmap: &MmapWrite<'_>,
) -> bool {
    if ours.key != 0 && ours.key == theirs.key {
        return true;
    }
    // A VMA that has many links has had them from its begin.
    let is_child = |vma: &LiveVma, links: Links| is_fork_child(&vma.core) && !links.are_lost;
    if is_child(vma, ours) || is_child(other, theirs) {
        let own = vma.own_key(mmap);
        return own.is_some() && own == other.own_key(mmap);
    }
    let had_none = vma.core.is_unfaulted() || other.core.is_unfaulted();
    had_none || ours.are_lost || theirs.are_lost || ours.key == 0 || theirs.key == 0
}

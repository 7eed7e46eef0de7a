// SPDX-License-Identifier: GPL-2.0

//! Updates the links of a VMA: at a write fault, and after changes for which the host calls no
//! driver.

use super::{
    events,
    file::OpenFile,
    inherit::{
        another_has,
        share_before_unlink, //
    },
    layout,
    live::{
        mapping,
        LiveVma,
        Place, //
    }, //
};
use crate::{
    host::{
        mm::{
            LockedMm,
            Tried, //
        },
        vma::HostVma, //
    },
    kernel_ext::{
        gather::gather,
        gfp::GFP_BOUNDED,
        sched::resched_each,
        sort::sort_by_key, //
    },
    rmap::{
        mm::{
            MmapLocked,
            MmapWrite, //
        },
        prepare::{
            anon_vma_prepare,
            Sharing, //
        },
        unlink::unlink_anon_vmas, //
    },
};
use kernel::{
    prelude::*,
    sync::{
        atomic::Relaxed,
        Arc, //
    }, //
};

/// Updates the links of `vma` at a write fault. The host has called `anon_vma_prepare()` before;
/// the shadow does the same with the same `neighbours`. Sleeps.
///
/// # Errors
///
/// `ENOMEM`.
pub(super) fn fault<'a>(
    vma: &LiveVma,
    host: HostVma<'_>,
    neighbours: impl FnOnce() -> [Option<(HostVma<'a>, Arc<LiveVma>)>; 2],
) -> Result {
    let lost = vma.has_lost_links(host);
    if !lost && !vma.core.is_unfaulted() {
        return Ok(());
    }
    let neighbours = neighbours();
    // The boundary has shifted before this first fault. The next look finds the VMA that has gained
    // what this one has lost, and prepares this one.
    let mut all = neighbours.iter().flatten();
    if has_shifted_unfaulted(host, vma) || all.any(|(h, v)| has_shifted_unfaulted(*h, v)) {
        vma.mm.has_unseen_links.store(true, Relaxed);
        return Ok(());
    }
    if !lost && has_inherited(vma, host, &neighbours)? {
        // As above.
        vma.mm.has_unseen_links.store(true, Relaxed);
        return Ok(());
    }
    let some_lost = |(host, vma): &(HostVma<'_>, Arc<LiveVma>)| vma.has_lost_links(*host);
    if !lost && host.mm_users() <= 1 && !neighbours.iter().flatten().any(some_lost) {
        return prepare_as_faulted(vma, host, neighbours, &vma.mm.core.mmap_read());
    }
    // Other threads may fault in neighbours at the same time, so exclude them.
    let mut mmap = vma.mm.core.mmap_write();
    // Another thread may have given the VMA an anon_vma before, and noted its links since.
    if vma.has_lost_links(host) {
        unlink(vma, host.locked(), &mut mmap);
    }
    for (_, lost) in neighbours.iter().flatten().filter(|near| some_lost(near)) {
        unlink(lost, host.locked(), &mut mmap);
    }
    prepare_as_faulted(vma, host, neighbours, &mmap)
}

/// Returns whether a VMA has an anon_vma in the host alone, and was at another place before that.
fn has_shifted_unfaulted(host: HostVma<'_>, vma: &LiveVma) -> bool {
    vma.core.is_unfaulted()
        && host.anon_vma_key() != 0
        && vma.place.get().addresses != (host.start(), host.end())
}

/// Returns whether `vma`, which has no anon_vma in the shadow, has in the host that of a VMA with which it
/// could not share one at a fault (R27): it had it before. Sleeps.
fn has_inherited(
    vma: &LiveVma,
    host: HostVma<'_>,
    neighbours: &[Option<(HostVma<'_>, Arc<LiveVma>)>; 2],
) -> Result<bool> {
    let key = host.anon_vma_key();
    let [next, prev] = neighbours;
    let next = next
        .as_ref()
        .is_some_and(|(next, _)| next.anon_vma_key() == key && host.is_compatible_with(*next));
    let prev = prev
        .as_ref()
        .is_some_and(|(prev, _)| prev.anon_vma_key() == key && prev.is_compatible_with(host));
    if key == 0 || next || prev {
        return Ok(false);
    }
    another_has(vma, key, host.locked(), |_| true)
}

/// Gives `vma` an anon_vma as the host has done at a fault.
pub(super) fn prepare_as_faulted(
    vma: &LiveVma,
    host: HostVma<'_>,
    neighbours: [Option<(HostVma<'_>, Arc<LiveVma>)>; 2],
    mmap: &impl MmapLocked,
) -> Result {
    // `find_mergeable_anon_vma()` tries the next VMA first.
    for (near, neighbour) in neighbours.iter().flatten() {
        if has_shifted_unfaulted(*near, neighbour) {
            // Another thread has prepared it since. With links it could not take in what it has gained.
            vma.mm.has_unseen_links.store(true, Relaxed);
            continue;
        }
        prepare_as_seen(neighbour, host.locked(), mmap)?;
    }
    prepare_beside(vma, host, neighbours, mmap)
}

/// As [`prepare_as_faulted`]; those of the `neighbours` that have no anon_vma in the shadow had none
/// in the host either when it gave `vma` its own. Another thread may have prepared them since: its own
/// callback or the next look follows.
pub(super) fn prepare_beside(
    vma: &LiveVma,
    host: HostVma<'_>,
    neighbours: [Option<(HostVma<'_>, Arc<LiveVma>)>; 2],
    mmap: &impl MmapLocked,
) -> Result {
    layout::reset(vma, Place::of(host));
    // Two threads that fault in neighbours at the same time may each have found the other VMA
    // without an anon_vma. The host may have prepared this VMA without a callback, when its
    // neighbours were others. Or the VMA has taken addresses of a neighbour, and lost them again.
    // What the host has seen is unknown here, so follow it.
    let has_taken = |(near, _): &(HostVma<'_>, Arc<LiveVma>)| {
        let continues = Place::of(*near).shift() == Place::of(host).shift();
        continues && near.anon_vma_key() == host.anon_vma_key()
    };
    let unknown = vma.mm.had_threads.load(Relaxed)
        || vma.mm.has_unseen_links.load(Relaxed)
        || vma.may_have_zero_pages.load(Relaxed)
        || neighbours.iter().flatten().any(has_taken);
    // One that is without an anon_vma in the shadow has none to share, whatever the host has given it by
    // now.
    let permitted = |near: HostVma<'_>, live: &LiveVma| {
        let has_it = !unknown || near.anon_vma_key() == host.anon_vma_key();
        has_it && !live.core.is_unfaulted()
    };
    let [next, prev] = neighbours;
    let next = next.filter(|(next, vma)| host.is_compatible_with(*next) && permitted(*next, vma));
    let prev = prev.filter(|(prev, vma)| prev.is_compatible_with(host) && permitted(*prev, vma));
    if unknown && next.is_none() && prev.is_none() {
        return prepare_as_seen(vma, host.locked(), mmap);
    }
    anon_vma_prepare(
        &vma.core,
        mmap,
        [
            next.as_ref().map(|(_, next)| &next.core),
            prev.as_ref().map(|(_, prev)| &prev.core),
        ],
        Sharing::Singleton,
    )?;
    vma.note_links(host);
    Ok(())
}

/// Gives `vma` an anon_vma if the host has done so without a callback: that of the VMA with which
/// the host shares one, if the rules allow that (R27), or a new one.
pub(super) fn prepare_as_seen(vma: &LiveVma, here: LockedMm<'_>, mmap: &impl MmapLocked) -> Result {
    if !vma.core.is_unfaulted() {
        return Ok(());
    }
    match vma.host.read(here, |host| host.anon_vma_key()) {
        None | Some(0) => Ok(()),
        // What another thread prepares after this is without an anon_vma in the shadow, and stays so here.
        Some(key) => prepare_with(vma, here, mmap, &vma.mm.vmas_with(key)?),
    }
}

/// As [`prepare_as_seen`]; the VMA with which the host shares the anon_vma is the first one of
/// `among` that may be that.
pub(super) fn prepare_with(
    vma: &LiveVma,
    here: LockedMm<'_>,
    mmap: &impl MmapLocked,
    among: &[Arc<LiveVma>],
) -> Result {
    if !vma.core.is_unfaulted() {
        return Ok(());
    }
    let key_and_place = |host: HostVma<'_>| (host.anon_vma_key(), Place::of(host));
    let Some((seen, place)) = vma.host.read(here, key_and_place) else {
        return Ok(());
    };
    if seen == 0 {
        return Ok(());
    }
    layout::reset(vma, place);
    // Both keys are read now, so they are equal only if the anon_vma is the same.
    let shares_it = |host: HostVma<'_>, other: &LiveVma| {
        host.anon_vma_key() == seen && !other.has_lost_links(host)
    };
    let shares = resched_each(among).find(|other| {
        let shares = |host: HostVma<'_>| shares_it(host, other);
        // Cheap, and before the look at the host: one with another noted key counts as having lost its
        // links.
        let may = !other.core.is_unfaulted() && other.noted().0 == seen;
        may && other.host.read(here, shares) == Some(true)
    });
    anon_vma_prepare(
        &vma.core,
        mmap,
        [shares.map(|other| &other.core), None],
        Sharing::Singleton,
    )?;
    vma.host.read(here, |host| vma.note_links(host));
    Ok(())
}

/// As [`prepare_as_seen`], for all VMAs of an address space, each with the key of its anon_vma in
/// the host.
///
/// # Errors
///
/// `ENOMEM`.
pub(super) fn prepare_all_as_seen<'a>(
    vmas: impl Iterator<Item = (&'a Arc<LiveVma>, usize)>,
    here: LockedMm<'_>,
    mmap: &impl MmapLocked,
) -> Result {
    // The VMAs with one anon_vma are side by side, in order of address.
    let mut keys = KVVec::new();
    let mut all = KVVec::new();
    let mut late = false;
    for (vma, key) in resched_each(vmas).filter(|&(_, key)| key != 0) {
        late |= vma.core.is_unfaulted();
        keys.push((key, keys.len()), GFP_BOUNDED)?;
        all.push(vma.clone(), GFP_BOUNDED)?;
    }
    if !late {
        return Ok(());
    }
    sort_by_key(&mut keys, |&key| key);
    let mut sharers = KVVec::with_capacity(all.len(), GFP_BOUNDED)?;
    for &(_, i) in resched_each(&keys) {
        sharers.push(all.get(i).ok_or(EINVAL)?.clone(), GFP_BOUNDED)?;
    }
    let mut start = 0;
    for group in resched_each(keys.chunk_by(|one, next| one.0 == next.0)) {
        let group = sharers.get(start..start + group.len()).ok_or(EINVAL)?;
        start += group.len();
        for vma in group {
            prepare_with(vma, here, mmap, group)?;
        }
    }
    Ok(())
}

/// Takes the links of `vma` away because the host has done so, and has not closed the VMA:
/// `mremap(MREMAP_DONTUNMAP)` has moved all its pages away (R33). Sleeps.
fn unlink(vma: &LiveVma, here: LockedMm<'_>, mmap: &mut MmapWrite<'_>) {
    let settled = layout::settle_around(vma, here, mmap);
    let shared = settled.and_then(|()| share_before_unlink(vma, here, mmap));
    unlink_alone(vma, mmap);
    // What has happened since, to a VMA without links.
    let settled = shared.and_then(|()| layout::settle_around(vma, here, mmap));
    if settled.is_err() {
        events::untrack(vma, mmap);
    }
}

/// As [`unlink`]; no VMA that the shadow has not prepared yet shares the anon_vma.
pub(super) fn unlink_alone(vma: &LiveVma, mmap: &mut MmapWrite<'_>) {
    vma.mm.file.note_change(&[vma.mm.key()]);
    unlink_anon_vmas(mapping::emptied(vma, mmap));
    vma.set_place(vma.place.get().unlinked());
    vma.mm.note_doubtful(vma);
}

/// `mremap`: the host has moved pages to `target`. It may have merged the moved range into that VMA,
/// and have given it the links. The VMA that had them loses them only after this call. Sleeps.
///
/// # Errors
///
/// `ENOMEM`.
pub(super) fn moved_to(target: &LiveVma, here: LockedMm<'_>) -> Result {
    if target.awaits_move.load(Relaxed) {
        // The VMA that had them was noted when the host made this one.
        target.awaits_move.store(false, Relaxed);
        target.mm.has_moved.store(true, Relaxed);
        return Ok(());
    }
    target.mm.note_move();
    let mut mmap = target.mm.core.mmap_write();
    layout::settle_around(target, here, &mmap)?;
    unlink_lost(target, here, &mut mmap);
    prepare_as_seen(target, here, &mmap)?;
    // The VMA that is about to lose its links is not among those that are known.
    target.mm.note_move();
    Ok(())
}

/// As [`unlink`], if the host has done so.
pub(super) fn unlink_lost(vma: &LiveVma, here: LockedMm<'_>, mmap: &mut MmapWrite<'_>) {
    if vma.host.read(here, |host| vma.has_lost_links(host)) == Some(true) {
        unlink(vma, here, mmap);
    }
}

/// As [`unlink_lost`], in a look at all VMAs of the address space: the links were given on before, by
/// [`inherit`](super::inherit::inherit).
pub(super) fn unlink_lost_alone(vma: &LiveVma, here: LockedMm<'_>, mmap: &mut MmapWrite<'_>) {
    if vma.host.read(here, |host| vma.has_lost_links(host)) == Some(true) {
        unlink_alone(vma, mmap);
    }
}

/// Returns the numbers of the VMAs that are linked to the root of `vma`. Sleeps.
///
/// # Errors
///
/// `ENOMEM`.
pub(super) fn family(vma: &LiveVma, mmap: &impl MmapLocked) -> Result<KVVec<usize>> {
    let Some(anon_vma) = vma.core.anon_vma(mmap) else {
        return Ok(KVVec::new());
    };
    gather(
        || anon_vma.root().lock_read(),
        |root| root.number_of_vmas(),
        |root, all| root.push_each(all, |vma| vma.id() as usize),
    )
}

/// Takes the links of those VMAs of `family` away that have lost them in the host, in address spaces of
/// `file` in which nothing happens now, but not in those with the keys `but`. Returns whether any was left
/// out. Sleeps.
pub(super) fn unlink_lost_elsewhere(file: &OpenFile, family: &[usize], but: &[usize]) -> bool {
    let mut left_out = false;
    // A VMA that is unlinked in order to be closed is in the tree of VMAs no more, so not read.
    let is_lost = |vma: &LiveVma, here: LockedMm<'_>| {
        let lost = |host: HostVma<'_>| host.mm_users() > 0 && vma.has_lost_links(host);
        vma.host.read(here, lost) == Some(true)
    };
    for &number in resched_each(family) {
        let Some(vma) = file.numbers.get(number) else {
            continue;
        };
        // This is dropped after the guard of its lock.
        let mm = vma.mm.clone();
        if but.contains(&mm.key()) {
            continue;
        }
        let Some(locked) = Tried::read(&mm.host) else {
            left_out = true;
            continue;
        };
        let Ok(here) = locked.mm() else {
            continue;
        };
        if !is_lost(&vma, here) {
            continue;
        }
        let mut mmap = mm.core.mmap_write();
        if is_lost(&vma, here) {
            unlink(&vma, here, &mut mmap);
        }
    }
    left_out
}

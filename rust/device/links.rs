// SPDX-License-Identifier: GPL-2.0

//! Updates the links of a VMA: at a write fault, and after changes for which the host calls no
//! driver.

use super::{
    layout,
    live::{
        mapping,
        LiveMm,
        LiveVma,
        Place, //
    }, //
};
use crate::{
    host::vma::HostVma,
    kernel_ext::sched::resched_each,
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
    sync::ArcBorrow, //
};

/// Updates the links of `vma` at a write fault. The host has called `anon_vma_prepare()` before;
/// the shadow does the same with the same `neighbours`. Sleeps.
///
/// # Errors
///
/// `ENOMEM`.
pub(super) fn fault(
    vma: &LiveVma,
    host: HostVma<'_>,
    neighbours: [Option<(HostVma<'_>, ArcBorrow<'_, LiveVma>)>; 2],
) -> Result {
    let lost = vma.has_lost_links(host);
    if !lost && !vma.core.is_unfaulted() {
        return Ok(());
    }
    // The boundary has shifted before this first fault. The next look finds the VMA that has gained
    // what this one has lost, and prepares this one.
    let shifted = |host: HostVma<'_>, vma: &LiveVma| {
        vma.core.is_unfaulted()
            && host.anon_vma_key() != 0
            && vma.place.get().addresses != (host.start(), host.end())
    };
    if shifted(host, vma) || neighbours.iter().flatten().any(|(h, v)| shifted(*h, v)) {
        return Ok(());
    }
    let some_lost = |(host, vma): &(HostVma<'_>, ArcBorrow<'_, LiveVma>)| vma.has_lost_links(*host);
    if !lost && host.mm_users() <= 1 && !neighbours.iter().flatten().any(some_lost) {
        return prepare_as_faulted(vma, host, neighbours, &vma.mm.core.mmap_read());
    }
    // Other threads may fault in neighbours at the same time, so exclude them.
    let mut mmap = vma.mm.core.mmap_write();
    if lost {
        unlink(vma, &mut mmap);
    }
    for (_, lost) in neighbours.iter().flatten().filter(|near| some_lost(near)) {
        unlink(lost, &mut mmap);
    }
    prepare_as_faulted(vma, host, neighbours, &mmap)
}

/// Gives `vma` an anon_vma as the host has done at a fault.
fn prepare_as_faulted(
    vma: &LiveVma,
    host: HostVma<'_>,
    neighbours: [Option<(HostVma<'_>, ArcBorrow<'_, LiveVma>)>; 2],
    mmap: &impl MmapLocked,
) -> Result {
    layout::reset(vma, Place::of(host));
    // `find_mergeable_anon_vma()` tries the next VMA first.
    let [next, prev] = neighbours;
    for (_, neighbour) in [next, prev].into_iter().flatten() {
        prepare_as_seen(&neighbour, mmap)?;
    }
    // Two threads that fault in neighbours at the same time may each have found the other VMA
    // without an anon_vma. The order is unknown here, so follow the host.
    let raced =
        |other: HostVma<'_>| host.mm_users() > 1 && other.anon_vma_key() != host.anon_vma_key();
    let next = next.filter(|(next, _)| host.is_compatible_with(*next) && !raced(*next));
    let prev = prev.filter(|(prev, _)| prev.is_compatible_with(host) && !raced(*prev));
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
pub(super) fn prepare_as_seen(vma: &LiveVma, mmap: &impl MmapLocked) -> Result {
    let key_and_place = |host: HostVma<'_>| (host.anon_vma_key(), Place::of(host));
    let Some((seen, place)) = vma.host.read(key_and_place) else {
        return Ok(());
    };
    if seen == 0 || !vma.core.is_unfaulted() {
        return Ok(());
    }
    layout::reset(vma, place);
    let all = vma.mm.vmas()?;
    // Both keys are read now, so they are equal only if the anon_vma is the same.
    let shares_it = |host: HostVma<'_>, other: &LiveVma| {
        host.anon_vma_key() == seen && !other.has_lost_links(host)
    };
    let shares = all.iter().find(|other| {
        !other.core.is_unfaulted() && other.host.read(|host| shares_it(host, other)) == Some(true)
    });
    anon_vma_prepare(
        &vma.core,
        mmap,
        [shares.map(|other| &other.core), None],
        Sharing::Singleton,
    )?;
    vma.host.read(|host| vma.note_links(host));
    Ok(())
}

/// Takes the links of `vma` away because the host has done so, and has not closed the VMA:
/// `mremap(MREMAP_DONTUNMAP)` has moved all its pages away (R33). Sleeps.
fn unlink(vma: &LiveVma, mmap: &mut MmapWrite<'_>) {
    vma.mm.file.note_change(&[vma.mm.key()]);
    unlink_anon_vmas(mapping::emptied(vma, mmap));
    vma.place.set(vma.place.get().unlinked());
}

/// As [`unlink`], if the host has done so.
pub(super) fn unlink_lost(vma: &LiveVma, mmap: &mut MmapWrite<'_>) {
    if vma.host.read(|host| vma.has_lost_links(host)) == Some(true) {
        unlink(vma, mmap);
    }
}

/// Takes the links of those VMAs away that have lost them in the host, in all address spaces of the
/// file but `but` in which nothing happens now. Sleeps.
///
/// # Errors
///
/// `ENOMEM`.
pub(super) fn unlink_lost_elsewhere(but: &LiveMm) -> Result {
    for mm in but.file.mms()? {
        if mm.key() == but.key() {
            continue;
        }
        let mut mmap = mm.core.mmap_write();
        for vma in resched_each(mm.vmas()?) {
            let unlinked = vma
                .host
                .read(|host| host.anon_vma_key() == 0 && host.mm_users() > 0);
            // The order matters: a VMA that is unlinked in order to be closed is still open when
            // its address space is unlocked.
            if unlinked == Some(true) && !vma.core.is_unfaulted() && !mm.is_locked_by_host() {
                unlink(&vma, &mut mmap);
            }
        }
    }
    Ok(())
}

/// Copies the links of `vma`, which is about to be closed, to other VMAs if the host has done so:
/// at an `mremap()` the host may merge the moved range into a VMA without anon_vma. Sleeps.
///
/// # Errors
///
/// `ENOMEM`.
pub(super) fn copy_links_at_close(vma: &LiveVma, mmap: &MmapWrite<'_>) -> Result {
    // At the end of an address space there is no merge.
    if vma.core.is_unfaulted() || vma.host.read(|host| host.mm_users()).unwrap_or(0) == 0 {
        return Ok(());
    }
    for target in resched_each(vma.mm.unfaulted()?) {
        if target.host.read(|host| vma.had_anon_vma_of(host)) == Some(true) {
            anon_vma_prepare(
                &target.core,
                mmap,
                [Some(&vma.core), None],
                Sharing::Singleton,
            )?;
            target.host.read(|host| target.note_links(host));
        }
    }
    Ok(())
}

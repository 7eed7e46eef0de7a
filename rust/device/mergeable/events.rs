// SPDX-License-Identifier: GPL-2.0

//! Updates the shadow at each callback for a mergeable mapping.
//!
//! Each callback first brings up to date what it depends on. If nothing has happened to the VMA and
//! its neighbours, only these are looked at.

use super::{
    follow::{
        follow,
        Prepare, //
    },
    found::Found,
    sweep::{
        sweep_others,
        Which, //
    }, //
};
use crate::{
    device::{
        events,
        file::OpenFile,
        fork, links,
        live::{
            LiveMm,
            LiveVma,
            MOST_DOUBTFUL, //
        },
        sync::Cause,
        vm_ops::{
            is_of,
            Opening, //
        },
    },
    host::{
        mm::LockedMm,
        vma::HostVma, //
    },
    kernel_ext::sched::resched_each,
    stats, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::Relaxed,
        Arc,
        ArcBorrow, //
    },
};

/// `mmap()`, as [`events::mapped`]. Sleeps.
///
/// # Errors
///
/// Those of [`events::mapped`].
pub(super) fn mapped(
    file: ArcBorrow<'_, OpenFile>,
    opening: &Opening<'_>,
    here: LockedMm<'_>,
) -> Result<Option<Arc<LiveVma>>> {
    make_room(&file, here, opening.host().pages())?;
    let vma = events::mapped(file, opening)?;
    if let Some(vma) = &vma {
        vma.mm.note_call();
    }
    Ok(vma)
}

/// Looks at all address spaces of `file` if it has reached a limit: VMAs may be gone.
fn make_room(file: &OpenFile, here: LockedMm<'_>, pages: usize) -> Result {
    if !file.is_shadowed() || file.has_room_for(pages) {
        return Ok(());
    }
    if let Some(mm) = file.mm(here.key()) {
        let core = mm.core.clone();
        let mut mmap = core.mmap_write();
        Found::all(here, &mm)?.with(|| follow(&mm, here, &mut mmap, Prepare::All, Cause::Event))?;
    }
    sweep_others(file, &[here.key()], Which::All).map(drop)
}

/// `open`: the host has copied a VMA, by fork, split or move. Sleeps.
///
/// `here` is the address space of the copy; `forking` returns that of the process that forks. It is
/// called only if the VMA may be a copy of one of another address space.
///
/// A copy of an untracked VMA is untracked.
pub(super) fn opened<'a>(
    file: ArcBorrow<'_, OpenFile>,
    opening: &Opening<'_>,
    here: LockedMm<'a>,
    forking: impl FnOnce() -> Option<LockedMm<'a>>,
) -> Option<Arc<LiveVma>> {
    // The VMA has the number of its source.
    let source = file.numbers.get(opening.host().private_number());
    let source = source.filter(|source| opening.lock_of(source).is_some());
    let result = match &source {
        None => Err(EINVAL),
        Some(source) if source.mm.key() == here.key() => copied(opening, source, here),
        Some(source) => {
            let parent = forking().ok_or(EINVAL);
            parent.and_then(|parent| forked(opening, source, parent))
        }
    };
    match (source, result) {
        (_, Ok(vma)) => return Some(vma),
        (Some(source), Err(_)) => events::untrack(&source, &source.mm.core.mmap_read()),
        (None, Err(_)) if file.is_shadowed() => file.count_untracked(),
        (None, Err(_)) => {}
    }
    None
}

/// Returns the VMA with the number of `vma` at `address`.
fn host_at<'a>(here: LockedMm<'a>, vma: &LiveVma, address: usize) -> Option<HostVma<'a>> {
    here.vma_at(address)
        .filter(|host| host.private_number() == vma.number() && is_of(*host, &vma.mm.file))
}

/// A split, or a move.
fn copied(
    opening: &Opening<'_>,
    source: &Arc<LiveVma>,
    here: LockedMm<'_>,
) -> Result<Arc<LiveVma>> {
    let mm = &source.mm;
    mm.note_call();
    // At a split the tree still has the whole source, and has not got the copy. It adds no pages.
    let whole = host_at(here, source, opening.host().start());
    let more = if whole.is_some() {
        0
    } else {
        opening.host().pages()
    };
    make_room(&mm.file, here, more)?;
    let host = whole.or_else(|| host_at(here, source, source.place.get().addresses.0));
    let near = host.map(|host| near(here, host, mm)).transpose()?;
    if let Some(near) = near.filter(Found::are_settled) {
        return near.with(|| events::copy(opening, source.as_arc_borrow()));
    }
    Found::all(here, mm)?.with(|| {
        follow(
            mm,
            here,
            &mut mm.core.mmap_write(),
            Prepare::All,
            Cause::Event,
        )?;
        events::copy(opening, source.as_arc_borrow())
    })
}

/// Returns `host`, and the VMAs directly after and before it.
fn near<'a>(here: LockedMm<'a>, host: HostVma<'a>, mm: &LiveMm) -> Result<Found<'a>> {
    let mut near = Found::new();
    near.add(host, mm)?;
    for host in neighbours(here, host).into_iter().flatten() {
        near.add(host, mm)?;
    }
    Ok(near)
}

/// Returns the VMAs directly after and before `host`, whatever they map.
fn neighbours<'a>(here: LockedMm<'a>, host: HostVma<'a>) -> [Option<HostVma<'a>>; 2] {
    [host.end(), host.start().wrapping_sub(1)].map(|address| here.vma_at(address))
}

/// A fork of the process that has the address space `parent`.
fn forked(
    opening: &Opening<'_>,
    source: &Arc<LiveVma>,
    parent: LockedMm<'_>,
) -> Result<Arc<LiveVma>> {
    let (mm, child) = (&source.mm, opening.host().mm_key());
    let found = if mm.begins_to_fork(child) {
        // Which anon_vma is reused depends on the other processes of the family.
        sweep_others(&mm.file, &[mm.key(), child], Which::Changed)?;
        Found::all(parent, mm)?
    } else {
        // No thread changes the layout of the parent while it forks.
        let mut one = Found::new();
        if let Some(host) = host_at(parent, source, opening.host().start()) {
            one.add(host, mm)?;
        }
        one
    };
    found.with(|| fork::forked(opening, parent, source.as_arc_borrow()))
}

/// `mremap`: the host has moved pages to `host`.
pub(super) fn moved(file: &OpenFile, host: HostVma<'_>) {
    if let Some(vma) = file.numbers.get(host.private_number()) {
        vma.mm.note_move();
    }
}

/// `fault`: the host is about to map a page, an anonymous one if `write`. Sleeps.
pub(super) fn fault(file: &OpenFile, host: HostVma<'_>, here: LockedMm<'_>, write: bool) {
    let vma = file.numbers.get(host.private_number());
    let Some(vma) = vma.filter(|vma| vma.mm.key() == here.key()) else {
        // It has the number of the VMA of which it is a copy, if the host has not called `open`.
        if host.private_number() != 0 {
            file.numbers.count_unannounced();
        }
        return;
    };
    let mm = &vma.mm;
    stats::EVENT_FAULT.inc();
    // No fork of this address space runs now.
    mm.changed_around.store(false, Relaxed);
    mm.note_threads();
    if !write {
        vma.may_have_zero_pages.store(true, Relaxed);
        return;
    }
    if !vma.core.is_unfaulted() && !vma.has_lost_links(host) {
        return;
    }
    if prepared(mm, &vma, host, here).is_err() {
        events::untrack(&vma, &mm.core.mmap_read());
    }
}

/// Gives `vma` an anon_vma as the host has done at a fault.
fn prepared(mm: &Arc<LiveMm>, vma: &Arc<LiveVma>, host: HostVma<'_>, here: LockedMm<'_>) -> Result {
    // Other threads may fault in neighbours at the same time, so exclude them.
    let mut mmap = mm.core.mmap_write();
    let mut others = Found::new();
    let neighbours = neighbours(here, host);
    for host in neighbours.into_iter().flatten() {
        others.add(host, mm)?;
    }
    let mut live = [None, None];
    for (live, host) in live.iter_mut().zip(neighbours) {
        *live = host.and_then(|host| Some((host, mm.vma_of(host)?)));
    }
    // Otherwise it may have been prepared before, or have taken the links of another VMA.
    let alone = host.has_fresh_anon_vma() && !vma.may_have_zero_pages.load(Relaxed);
    let shares =
        |(near, _): &(HostVma<'_>, Arc<LiveVma>)| near.anon_vma_key() == host.anon_vma_key();
    let is_known = alone || live.iter().flatten().any(shares);
    let is_settled = vma.is_in_place(host) && !vma.has_lost_links(host) && others.are_settled();
    if is_known && is_settled && !may_have_inherited(host, mm, here)? {
        others.add(host, mm)?;
        return others.with(|| links::prepare_beside(vma, host, live, &mmap));
    }
    Found::all(here, mm)?.with(|| {
        follow(mm, here, &mut mmap, Prepare::Fault(vma.id()), Cause::Event)?;
        links::prepare_as_faulted(vma, host, live, &mmap)
    })
}

/// Returns whether a VMA that is gone, or has lost its links since, may have given `host` its anon_vma, or a
/// look at all is due because the host has other VMAs than it had at the last one. Sleeps.
fn may_have_inherited(host: HostVma<'_>, mm: &LiveMm, here: LockedMm<'_>) -> Result<bool> {
    if !mm.has_other_vmas() {
        return Ok(false);
    }
    if !mm.leaves_look_out() {
        return Ok(true);
    }
    // The anon_vma of one that is gone has this key, or one that the shadow does not know: the host has
    // prepared it without a callback, at a write to a page of zeroes or after a move.
    let doubtful = mm.doubtful()?;
    if doubtful.len() == MOST_DOUBTFUL {
        return Ok(true);
    }
    let is_unknown = |vma: &LiveVma| {
        vma.may_have_zero_pages.load(Relaxed)
            || vma.may_lose.load(Relaxed)
            || vma.is_lost.load(Relaxed)
    };
    let found = |vma: &LiveVma| host_at(here, vma, vma.place.get().addresses.0);
    if resched_each(&doubtful).any(|vma| is_unknown(vma) && found(vma).is_none()) {
        return Ok(true);
    }
    let has_lost = |vma: &LiveVma| found(vma).is_none_or(|host| vma.has_lost_links(host));
    Ok(resched_each(&mm.vmas_with(host.anon_vma_key())?).any(|vma| has_lost(vma)))
}

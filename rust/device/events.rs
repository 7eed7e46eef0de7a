// SPDX-License-Identifier: GPL-2.0

//! Updates the shadow at each callback of the host: the shadow does by its own rules what the host
//! has done by `mm/rmap.c`.
//!
//! `open` cannot fail. If memory or a limit is exhausted, the VMA stays untracked and is counted,
//! and its family is marked. No VMA is left half built.

use super::{
    file::OpenFile,
    fork,
    inherit::share_before_unlink,
    layout,
    links,
    live::{
        mapping,
        LiveMm,
        LiveVma,
        PageRoom,
        Place, //
    },
    vm_ops::Opening, //
};
use crate::{
    host::{
        mm::LockedMm,
        vma::HostVma, //
    },
    kernel_ext::{
        gfp::GFP_BOUNDED,
        sched::resched_each, //
    },
    rmap::{
        clone::{
            anon_vma_clone,
            Operation, //
        },
        mm::{
            MmapLocked,
            MmapWrite, //
        },
        unlink::unlink_anon_vmas, //
    },
    snapshot::Reused,
    stats,
    trace, //
};
use core::ops::ControlFlow;
use kernel::{
    prelude::*,
    sync::{
        atomic::Relaxed,
        Arc,
        ArcBorrow, //
    },
};

/// `mmap()`: creates the shadow of a new VMA, which has no pages. Sleeps.
///
/// Returns `None` if the module was loaded with `shadow=0`.
///
/// # Errors
///
/// `EINVAL` for `MAP_SHARED`; `ENOMEM` without memory or beyond `max_vmas`; `ENOSPC` beyond
/// `max_pages`.
pub(crate) fn mapped(
    file: ArcBorrow<'_, OpenFile>,
    opening: &Opening<'_>,
) -> Result<Option<Arc<LiveVma>>> {
    let host = opening.host();
    if host.is_shared() {
        return Err(EINVAL);
    }
    if !file.is_shadowed() {
        return Ok(None);
    }
    stats::EVENT_MAP.inc();
    let known = file.mm(host.mm_key());
    let mm = match &known {
        Some(mm) => mm.clone(),
        None => LiveMm::new(file, host)?,
    };
    let vma = track(&mm, opening, host.pages(), None)?;
    if known.is_none() {
        if let Err(error) = file.insert_mm(&mm) {
            forget(&vma);
            return Err(error);
        }
    }
    Ok(Some(vma))
}

/// Creates a [`LiveVma`] without links, adds it to the list of its address space, and adds `pages`
/// pages to the count of the file.
pub(super) fn track(
    mm: &Arc<LiveMm>,
    opening: &Opening<'_>,
    pages: usize,
    reused: Option<(Reused, Reused)>,
) -> Result<Arc<LiveVma>> {
    let vma = LiveVma::new(mm, opening, reused)?;
    mm.file.charge(pages)?;
    vma.charged.store(pages, Relaxed);
    let inserted = mm.insert(&vma).and_then(|()| {
        mm.file
            .numbers
            .insert(&vma)
            .inspect_err(|_| _ = mm.remove(&vma))
    });
    if let Err(error) = inserted {
        mm.file.uncharge(pages);
        return Err(error);
    }
    Ok(vma)
}

/// Reverts [`track`]; the VMA has no links any more.
pub(super) fn forget(vma: &LiveVma) {
    vma.host.clear();
    vma.mm.file.numbers.remove(vma);
    vma.mm.file.uncharge(vma.charged.load(Relaxed));
    if vma.mm.remove(vma) {
        // No VMA is left in which a page could turn up.
        vma.mm.note_whole_look();
        vma.mm.file.remove_mm(&vma.mm);
    }
}

/// `open`: the host has copied `source` to a new VMA, by fork, split or move. Sleeps.
///
/// A copy of an untracked VMA is untracked.
pub(crate) fn opened(
    file: ArcBorrow<'_, OpenFile>,
    opening: &Opening<'_>,
    source: Option<ArcBorrow<'_, LiveVma>>,
) -> Option<Arc<LiveVma>> {
    let Some(source) = source else {
        if file.is_shadowed() {
            file.count_untracked();
        }
        return None;
    };
    let forked = opening.host().mm_key() != source.mm.key();
    let result = if forked {
        let parent = opening.lock_of(&source).ok_or(EINVAL);
        parent.and_then(|parent| fork::forked(opening, parent, source))
    } else {
        copy(opening, source)
    };
    if result.is_err() {
        untrack(&source, &source.mm.core.mmap_read());
    }
    result.ok()
}

/// Counts a VMA of `source`'s family that is not shadowed, and marks the family.
pub(super) fn untrack(source: &LiveVma, mmap: &impl MmapLocked) {
    source.mm.file.count_untracked();
    if source.core.is_untracked() {
        // Its family was marked before.
        return;
    }
    source.core.set_untracked();
    let Some(anon_vma) = source.core.anon_vma(mmap) else {
        return;
    };
    let root = anon_vma.root().lock_read();
    let _: ControlFlow<()> = root.for_each_vma(0, usize::MAX, |vma| {
        vma.set_untracked();
        ControlFlow::Continue(())
    });
}

/// Shadows a split or a move. Sleeps.
///
/// # Errors
///
/// `ENOMEM`, or beyond a limit; then nothing is left of the new VMA.
pub(super) fn copy(opening: &Opening<'_>, source: ArcBorrow<'_, LiveVma>) -> Result<Arc<LiveVma>> {
    let host = opening.host();
    let here = host.locked();
    let mm = &source.mm;
    // No fork of this address space runs now.
    mm.changed_around.store(false, Relaxed);
    let mut mmap = mm.core.mmap_write();
    let source: Arc<LiveVma> = source.into();
    // What neighbours have gained from it was in its range.
    layout::settle_around(&source, here, &mmap)?;
    links::unlink_lost(&source, here, &mut mmap);
    links::prepare_as_seen(&source, here, &mmap)?;

    let (start, end) = source
        .host
        .read(here, |source| (source.start(), source.end()))
        .ok_or(EINVAL)?;
    let is_split = start <= host.start() && host.end() <= end;
    if is_split {
        stats::EVENT_SPLIT.inc();
    } else {
        stats::EVENT_MOVE.inc();
    }

    // The pages of a part were counted for the whole VMA already.
    let vma = track(mm, opening, if is_split { 0 } else { host.pages() }, None)?;
    vma.note_links(host);
    vma.may_have_zero_pages
        .store(source.may_have_zero_pages.load(Relaxed), Relaxed);
    let cloned =
        anon_vma_clone(&vma.core, &mmap, &source.core, &mmap, Operation::Copy).and_then(|()| {
            if is_split {
                Ok(())
            } else {
                share_pages(&vma, here, &source, &mmap)
            }
        });
    if let Err(error) = cloned {
        close(&vma, &mut mmap);
        return Err(error);
    }
    if source.core.is_untracked() {
        vma.core.set_untracked();
    }
    if is_split {
        split(&source, &vma, host, &mut mmap);
    } else {
        source.may_lose.store(true, Relaxed);
        mm.note_doubtful(&source);
        vma.awaits_move.store(!mm.file.is_mergeable(), Relaxed);
        trace::move_vma(|| (source.id(), vma.id(), host.pages()));
    }
    Ok(vma)
}

/// Takes the range of `part` away from `source`, as the host will do after the callback.
fn split(source: &Arc<LiveVma>, part: &LiveVma, host: HostVma<'_>, mmap: &mut MmapWrite<'_>) {
    let start_and_range = |whole: HostVma<'_>| (whole.start(), whole.range());
    let Some((start, whole)) = source.host.read(host.locked(), start_and_range) else {
        return;
    };
    let (pages, taken) = (host.pages(), host.range());
    let mut rest = whole;
    if host.start() == start {
        rest.start += pages;
        source.start.store(host.end(), Relaxed);
    } else {
        rest.last -= pages;
    }
    source.core.set_range(rest, mmap, ());
    let place = source.place.get().split_off(Place::of(host));
    #[cfg(shadow_rmap_busted)]
    let place = match crate::is_chosen("KeepsThePlace") {
        true => source.place.get(),
        false => place,
    };
    source.set_place(place);
    let all = whole.last - whole.start + 1;
    mapping::split(source, part, (taken.start, taken.last), all, mmap);
    let charged = source.charged.load(Relaxed);
    let moved = pages.min(charged);
    source.charged.store(charged - moved, Relaxed);
    part.charged.store(moved, Relaxed);
}

/// Maps the pages of `source` that lie in the range of `vma` in `vma` as well.
///
/// # Errors
///
/// `ENOMEM`; then none is mapped.
pub(super) fn share_pages(
    vma: &LiveVma,
    here: LockedMm<'_>,
    source: &LiveVma,
    mmap: &impl MmapLocked,
) -> Result {
    let range = vma.host.read(here, |host| host.range()).ok_or(EINVAL)?;
    let pages = source.pages_in(range.start, range.last)?;
    let mut rooms = KVVec::with_capacity(pages.len(), GFP_BOUNDED)?;
    for _ in resched_each(&pages) {
        rooms.push(PageRoom::new(GFP_BOUNDED)?, GFP_BOUNDED)?;
    }
    mapping::map_all_again(vma, rooms, pages, mmap);
    Ok(())
}

/// Removes a VMA: its pages, its links, and itself.
pub(super) fn close(vma: &LiveVma, mmap: &mut MmapWrite<'_>) {
    // The pages go before the links by which they are found (R21), and the links before the page
    // table (R33).
    unlink_anon_vmas(mapping::emptied(vma, mmap));
    forget(vma);
}

/// Settles what depends on a VMA that is about to be closed. Sleeps.
///
/// # Errors
///
/// `ENOMEM`.
fn settle_before_close(vma: &LiveVma, here: LockedMm<'_>, mmap: &mut MmapWrite<'_>) -> Result {
    if vma.core.is_unfaulted() && vma.may_have_zero_pages.load(Relaxed) {
        // The host may have prepared it without a callback, and given its links to another VMA.
        vma.mm.has_unseen_links.store(true, Relaxed);
    }
    layout::settle_one(vma, here, mmap)?;
    share_before_unlink(vma, here, mmap)?;
    let lost = |host: HostVma<'_>| Place::of(host).shift() != vma.place.get().shift();
    if vma.host.read(here, lost) == Some(true) {
        // It had lost its links before, and got the page offsets of a new mapping.
        links::unlink_alone(vma, mmap);
        layout::settle_one(vma, here, mmap)?;
    }
    Ok(())
}

/// `close`: the host has unlinked the VMA. Sleeps.
pub(crate) fn closed(vma: Arc<LiveVma>, here: LockedMm<'_>) {
    stats::EVENT_CLOSE.inc();
    // An address space that ends has unlinked all its VMAs before it closes the first.
    if !vma.mm.has_ended.load(Relaxed) {
        vma.mm.has_ended.store(vma.mm.users() == 0, Relaxed);
        vma.mm.file.note_change(&[vma.mm.key()]);
    }
    // This reference is dropped after the guard of its lock.
    let mm = vma.mm.core.clone();
    let mut mmap = mm.mmap_write();
    // What it has gained from others ends with it. Of an address space that ends, or a fork that has
    // failed, nothing stays, and the tree may still have VMAs that are freed.
    if here.is_current() && vma.mm.users() > 0 {
        if settle_before_close(&vma, here, &mut mmap).is_err() {
            untrack(&vma, &mmap);
        }
    }
    close(&vma, &mut mmap);
}

/// Removes what is left of a file that no VMA maps any more: for mergeable VMAs no `close` is
/// called. Sleeps; allocates nothing.
pub(crate) fn released(file: &OpenFile) {
    while let Some(mm) = file.any_mm() {
        let core = mm.core.clone();
        let mut mmap = core.mmap_write();
        while let Some(vma) = mm.any_vma() {
            // It is gone, even if the host has not called `close`.
            vma.host.clear();
            close(&vma, &mut mmap);
        }
        file.remove_mm(&mm);
    }
}

/// `mremap`: the host has moved pages to `vma`. Sleeps.
pub(crate) fn moved_to(vma: &LiveVma, here: LockedMm<'_>) {
    if links::moved_to(vma, here).is_err() {
        untrack(vma, &vma.mm.core.mmap_read());
    }
}

/// `fault`: the host is about to map a page, an anonymous one if `write`. Sleeps.
///
/// `neighbours` returns the VMAs of this driver directly after and directly before `host`.
pub(crate) fn fault<'a>(
    vma: &LiveVma,
    host: HostVma<'_>,
    neighbours: impl FnOnce() -> [Option<(HostVma<'a>, Arc<LiveVma>)>; 2],
    write: bool,
) {
    stats::EVENT_FAULT.inc();
    // No fork of this address space runs now.
    vma.mm.changed_around.store(false, Relaxed);
    vma.mm.note_threads();
    if !write {
        vma.may_have_zero_pages.store(true, Relaxed);
    } else if links::fault(vma, host, neighbours).is_err() {
        untrack(vma, &vma.mm.core.mmap_read());
    }
}

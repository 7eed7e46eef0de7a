// SPDX-License-Identifier: GPL-2.0

//! Updates the shadow after changes for which the host calls no driver.
//!
//! There are three kinds. A VMA grows, or a boundary between two VMAs moves. A write to a page that
//! was read before makes an anonymous page, and an anon_vma. Pages are dropped (`MADV_DONTNEED`),
//! copied (copy-on-write), or written to by their last user, and then marked as exclusive.
//!
//! The shadow reads such a change from the host's structures, as a callback that comes late. It
//! decides by its own rules what follows, and the comparison shows whether the host has decided in
//! the same way. Some facts can only be read from the host; for these the shadow checks that the
//! rules permit them.

use super::{
    inherit::{
        inherit,
        Heirs, //
    },
    layout,
    links::{
        prepare_all_as_seen,
        prepare_as_seen,
        unlink_lost,
        unlink_lost_alone, //
    },
    live::{
        mapping,
        ByPlace,
        LiveMm,
        LivePage,
        LiveVma,
        PageRoom,
        MIGRATES, //
    },
    mergeable,
    seen::{
        growth_fits,
        Seen, //
    }, //
};
use crate::{
    host::{
        mm::{
            is_being_killed,
            LockedMm, //
        },
        page_table::HostPage,
    },
    kernel_ext::{
        gfp::GFP_BOUNDED,
        sched::resched_each,
        sort::sort_by_key, //
    },
    rmap::mm::MmapWrite,
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// What an update is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// A call of the driver, which no signal may stop: the shadow would lose track.
    Event,
    /// A check, which holds the locks of many processes.
    Check,
}

impl Cause {
    /// Returns whether to go on.
    ///
    /// # Errors
    ///
    /// `EINTR` if this thread makes a check, and is being killed.
    pub(crate) fn go_on(self) -> Result {
        if self == Self::Check && is_being_killed() {
            return Err(EINTR);
        }
        Ok(())
    }
}

/// VMAs of an address space during an update, between [`begin`] and [`finish`].
pub(crate) struct Pass {
    /// In order of address.
    pub(crate) vmas: KVVec<Seen>,
    cause: Cause,
}

/// Updates an address space, which is `here` in the host: ranges and links of its VMAs, and its
/// pages. Sleeps.
///
/// # Errors
///
/// `ENOMEM`; the next update then does the rest.
pub(crate) fn mm(mm: &LiveMm, here: LockedMm<'_>, mmap: &mut MmapWrite<'_>) -> Result {
    let mut pass = begin_mm(mm, here, mmap)?;
    finish(&mut pass, mmap)?;
    mm.note_whole_look();
    Ok(())
}

/// Does the first half of an update of an address space, as [`begin`]. Sleeps.
///
/// # Errors
///
/// `ENOMEM`.
pub(crate) fn begin_mm(mm: &LiveMm, here: LockedMm<'_>, mmap: &mut MmapWrite<'_>) -> Result<Pass> {
    if mm.file.is_mergeable() {
        mm.note_early_closes();
        mergeable::follow(mm, here, mmap, mergeable::Prepare::All, Cause::Event)?;
    }
    begin(mm.vmas()?, here, Cause::Event, mmap)
}

/// Updates one VMA in the same way. Sleeps.
///
/// # Errors
///
/// As [`mm`].
pub(crate) fn vma(vma: Arc<LiveVma>, here: LockedMm<'_>, mmap: &mut MmapWrite<'_>) -> Result {
    let mut one = KVVec::new();
    one.push(vma, GFP_BOUNDED)?;
    // A look at all VMAs came before: one that has grown since did not fit.
    finish(&mut begin_some(one, false, here, Cause::Event, mmap)?, mmap)
}

/// Does the first half of an update: ranges, links, and pages that are no longer mapped. Sleeps.
///
/// # Errors
///
/// `ENOMEM`; those of [`Cause::go_on`].
pub(crate) fn begin(
    all: KVVec<Arc<LiveVma>>,
    here: LockedMm<'_>,
    cause: Cause,
    mmap: &mut MmapWrite<'_>,
) -> Result<Pass> {
    let fits = growth_fits(&all, here);
    begin_some(all, fits, here, cause, mmap)
}

/// As [`begin`]; `fits`: whether VMAs that have grown are within the limits.
fn begin_some(
    all: KVVec<Arc<LiveVma>>,
    fits: bool,
    here: LockedMm<'_>,
    cause: Cause,
    mmap: &mut MmapWrite<'_>,
) -> Result<Pass> {
    let mut vmas = KVVec::with_capacity(all.len(), GFP_BOUNDED)?;
    for vma in resched_each(&all) {
        cause.go_on()?;
        vmas.push(Seen::new(vma.clone(), fits, here, mmap)?, GFP_BOUNDED)?;
    }
    // These are all VMAs of the address space, or one.
    let by_place = match vmas.as_slice() {
        [] | [_] => None,
        all => Some(ByPlace::new(all.iter().map(|seen| &seen.vma))?),
    };
    let settle = |vmas: &[Seen], mmap: &MmapWrite<'_>| {
        layout::until_settled(|| {
            let mut is_changed = false;
            for seen in resched_each(vmas).filter(|seen| seen.moved || seen.lost) {
                cause.go_on()?;
                let had = |addresses| match &by_place {
                    Some(by_place) => by_place.at(addresses),
                    None => seen.vma.mm.vmas_at(addresses),
                };
                is_changed |= layout::settle(&seen.vma, here, had, mmap)?;
            }
            Ok(is_changed)
        })
    };
    settle(&vmas, mmap)?;
    // Of mergeable mappings this is done before.
    if by_place.is_some() && all.first().is_some_and(|vma| !vma.mm.file.is_mergeable()) {
        inherit(&all, Heirs::Unfaulted, here, mmap)?;
        let lost = inherit(&all, Heirs::Lost, here, mmap)?;
        for (i, seen) in resched_each(vmas.iter_mut()).enumerate() {
            seen.lost |= lost.binary_search(&i).is_ok();
        }
    }
    // Which VMA shares an anon_vma is clear only when all have lost the links that they lose.
    for seen in resched_each(vmas.iter_mut()).filter(|seen| seen.lost) {
        match &by_place {
            Some(_) => unlink_lost_alone(&seen.vma, here, mmap),
            None => unlink_lost(&seen.vma, here, mmap),
        }
        // These pages are unmapped. The host may have others in the same memory and at the same places
        // by now, if it has prepared the VMA again.
        seen.pages.clear();
    }
    if vmas.iter().any(|seen| seen.lost) {
        // What has happened to VMAs without links.
        settle(&vmas, mmap)?;
    }
    for seen in resched_each(&vmas) {
        layout::take_range(&seen.vma, seen.addresses, seen.range, mmap);
    }
    match vmas.as_slice() {
        [one] => prepare_as_seen(&one.vma, here, mmap)?,
        all => {
            let keys = all.iter().map(|seen| (&seen.vma, seen.key));
            prepare_all_as_seen(keys, here, mmap)?;
        }
    }
    for seen in resched_each(vmas.iter_mut()) {
        if seen.vma.core.is_unfaulted() {
            // It may have been unlinked just now, and its pages unmapped.
            seen.pages.clear();
        }
        seen.keep_pages(LivePage::follow);
    }
    Ok(Pass { vmas, cause })
}

/// Does the second half of an update: pages that are newly mapped, or have moved to another
/// anon_vma. Sleeps.
///
/// A newly mapped page may be one that was unmapped elsewhere in the same address space. Any other
/// was made by a fault in this VMA, because pages are shared only by fork, split and move, for
/// which there are callbacks.
///
/// # Errors
///
/// `ENOMEM`; those of [`Cause::go_on`].
pub(crate) fn finish(pass: &mut Pass, mmap: &MmapWrite<'_>) -> Result {
    for seen in resched_each(pass.vmas.iter_mut()) {
        pass.cause.go_on()?;
        if seen.vma.core.is_unfaulted() {
            continue;
        }
        let Some(own) = seen.vma.own_key(mmap) else {
            continue;
        };
        // A page that the last user has written to goes to the user's own anon_vma (R19).
        let moves = |page: &LivePage, there: &HostPage| {
            there.exclusive && page.rmap.anon_vma_key() != Some(own)
        };
        // If the shadow has other VMAs that map it, their PTEs are gone in the host, and an update
        // has yet to see that. They keep the page of the shadow until then, and this VMA gets a new
        // one. If the page has migrated, this may be a copy in its old memory: also a new one.
        seen.keep_pages(|page, there| {
            let alone = moves(page, there) || (MIGRATES && there.exclusive);
            !alone || page.rmap.mapcount() == 1
        });
        let mut new = KVVec::new();
        for there in resched_each(&seen.host_pages) {
            if let Some(page) = seen.page(there.at) {
                if moves(page, there) {
                    mapping::move_to_own(&seen.vma, there.at, page, mmap);
                }
                continue;
            }
            let room = PageRoom::new(GFP_BOUNDED)?;
            new.reserve(1, GFP_BOUNDED)?;
            let page = match moved(there, &seen.vma, mmap) {
                Some(page) => {
                    mapping::map_again(&seen.vma, room, there.at, page.clone(), mmap);
                    if moves(&page, there) {
                        mapping::move_to_own(&seen.vma, there.at, &page, mmap);
                    }
                    page
                }
                None => match mapping::map_new(&seen.vma, room, there, mmap)? {
                    Some(page) => page,
                    None => continue,
                },
            };
            // The memory was reserved above.
            new.push((there.at, page), GFP_BOUNDED)?;
        }
        if !new.is_empty() {
            seen.pages.reserve(new.len(), GFP_BOUNDED)?;
            for page in new {
                seen.pages.push(page, GFP_BOUNDED)?;
            }
            sort_by_key(&mut seen.pages, |page| page.0);
        }
    }
    Ok(())
}

/// Returns the unmapped page that is now mapped in `vma`, if `vma` is linked to its anon_vma.
///
/// The host may have used the memory for a new page. That page is exclusive, and goes to the VMA's
/// own anon_vma whichever it is, so that only its mapcount could tell the two apart.
fn moved(seen: &HostPage, vma: &LiveVma, mmap: &MmapWrite<'_>) -> Option<Arc<LivePage>> {
    vma.mm.unmapped.find(seen, |page| {
        let anon_vma = page.rmap.anon_vma_key();
        let is_new = seen.exclusive && page.rmap.mapped();
        !is_new && anon_vma.is_some_and(|key| vma.core.is_linked_to(key, mmap))
    })
}

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
    events,
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
        Place,
        MIGRATES, //
    },
    mergeable, //
};
use crate::{
    host::{
        mm::{
            is_being_killed,
            LockedMm, //
        },
        page_table::HostPage,
        vma::HostVma, //
    },
    kernel_ext::{
        gfp::GFP_BOUNDED,
        interval_tree::Range,
        sched::{
            cond_resched,
            resched_each, //
        },
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

/// A VMA with its present place in the host, and the anonymous pages that it maps on both sides.
pub(crate) struct Seen {
    /// The VMA.
    pub(crate) vma: Arc<LiveVma>,
    /// First address, and first address after it.
    addresses: (usize, usize),
    /// Its page offsets in the host.
    range: Range,
    /// The key of its anon_vma in the host; 0 for none.
    key: usize,
    /// Whether the host has taken its links away.
    lost: bool,
    /// Whether the host has it at another place than the shadow.
    moved: bool,
    /// The pages that the host maps, in order of offset.
    pub(crate) host_pages: KVVec<HostPage>,
    /// The pages that the shadow maps, in order of offset.
    pub(crate) pages: KVVec<(usize, Arc<LivePage>)>,
}

impl Seen {
    /// Reads one VMA.
    fn new(vma: Arc<LiveVma>, here: LockedMm<'_>, mmap: &MmapWrite<'_>) -> Result<Self> {
        let limit = vma.mm.file.max_pages();
        let look = |host: HostVma<'_>| -> Result<_> {
            let pages = pages_within(host, limit)?;
            let links = (host.anon_vma_key(), vma.has_lost_links(host));
            Ok((Place::of(host), host.range(), links, pages))
        };
        let (place, range, (key, lost), host_pages) = match vma.host.read(here, look) {
            Some(seen) => seen?,
            // The host does not have it any more, and did not say so.
            None => (
                vma.place.get(),
                vma.core.range(mmap).ok_or(EINVAL)?,
                (0, false),
                Some(KVVec::new()),
            ),
        };
        if host_pages.is_none() && !vma.core.is_untracked() {
            events::untrack(&vma, mmap);
        }
        Ok(Self {
            pages: vma.pages_in(0, usize::MAX)?,
            moved: vma.place.get() != place,
            vma,
            addresses: place.addresses,
            range,
            key,
            lost,
            host_pages: host_pages.unwrap_or_default(),
        })
    }

    /// Reads the host's pages again, and unmaps those that are gone. Returns whether the host's are
    /// the same as before, and none migrates.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn look_again(&mut self, here: LockedMm<'_>) -> Result<bool> {
        let limit = self.vma.mm.file.max_pages();
        let look = self.vma.host.read(here, |host| pages_within(host, limit));
        let Some(now) = look.transpose()?.flatten() else {
            return Ok(true);
        };
        let same = now.len() == self.host_pages.len()
            && resched_each(now.iter().zip(&self.host_pages))
                .all(|(now, was)| now == was && !now.migrates);
        if !same {
            self.host_pages = now;
            self.keep_pages(LivePage::follow);
        }
        Ok(same)
    }

    /// Returns the page that the host maps at page offset `at`.
    pub(crate) fn host_page(&self, at: usize) -> Option<&HostPage> {
        let i = self
            .host_pages
            .binary_search_by_key(&at, |page| page.at)
            .ok()?;
        self.host_pages.get(i)
    }

    /// Returns the page that the shadow maps at page offset `at`.
    pub(crate) fn page(&self, at: usize) -> Option<&Arc<LivePage>> {
        let i = self.pages.binary_search_by_key(&at, |page| page.0).ok()?;
        self.pages.get(i).map(|page| &page.1)
    }

    /// Unmaps each page at whose place the host has none, or one for which `stays` does not hold.
    fn keep_pages(&mut self, stays: impl Fn(&LivePage, &HostPage) -> bool) {
        let mut pages = core::mem::take(&mut self.pages);
        pages.retain(|(at, page)| {
            cond_resched();
            let stays = self.host_page(*at).is_some_and(|there| stays(page, there));
            if !stays {
                self.vma.unmap_page(*at, page);
            }
            stays
        });
        self.pages = pages;
    }
}

/// Returns the anonymous pages of `host`; `None` beyond the limit, where it would take too long.
fn pages_within(host: HostVma<'_>, limit: usize) -> Result<Option<KVVec<HostPage>>> {
    if host.pages() > limit {
        return Ok(None);
    }
    let pages = host.anonymous_pages()?;
    #[cfg(shadow_rmap_busted)]
    let pages = misplaced(pages);
    Ok(Some(pages))
}

/// Gives each page the index of the next place if that bug of the host is chosen.
#[cfg(shadow_rmap_busted)]
fn misplaced(mut pages: KVVec<HostPage>) -> KVVec<HostPage> {
    if crate::host_misplaces_pages() {
        pages.iter_mut().for_each(|page| page.index += 1);
    }
    pages
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
    finish(&mut begin(one, here, Cause::Event, mmap)?, mmap)
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
    let mut vmas = KVVec::with_capacity(all.len(), GFP_BOUNDED)?;
    for vma in resched_each(&all) {
        cause.go_on()?;
        vmas.push(Seen::new(vma.clone(), here, mmap)?, GFP_BOUNDED)?;
    }
    // These are all VMAs of the address space, or one.
    let by_place = match vmas.as_slice() {
        [] | [_] => None,
        all => Some(ByPlace::new(all.iter().map(|seen| &seen.vma))?),
    };
    for seen in resched_each(&vmas).filter(|seen| seen.moved || seen.lost) {
        cause.go_on()?;
        let had = |addresses| match &by_place {
            Some(by_place) => by_place.at(addresses),
            None => seen.vma.mm.vmas_at(addresses),
        };
        layout::settle(&seen.vma, here, had, mmap)?;
    }
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
    vma.mm.recently_unmapped(seen, |page| {
        let anon_vma = page.rmap.anon_vma_key();
        let is_new = seen.exclusive && page.rmap.mapped();
        !is_new && anon_vma.is_some_and(|key| vma.core.is_linked_to(key, mmap))
    })
}

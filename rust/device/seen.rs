// SPDX-License-Identifier: GPL-2.0

//! A VMA during an update: its place in the host, and its pages on both sides.

use super::{
    events,
    live::{
        LivePage,
        LiveVma,
        Place, //
    }, //
};
use crate::{
    host::{
        mm::LockedMm,
        page_table::HostPage,
        vma::HostVma, //
    },
    kernel_ext::{
        interval_tree::Range,
        sched::{
            cond_resched,
            resched_each, //
        }, //
    },
    rmap::mm::MmapWrite, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::Relaxed,
        Arc, //
    }, //
};

/// A VMA with its present place in the host, and the anonymous pages that it maps on both sides.
pub(crate) struct Seen {
    /// The VMA.
    pub(crate) vma: Arc<LiveVma>,
    /// First address, and first address after it.
    pub(super) addresses: (usize, usize),
    /// Its page offsets in the host.
    pub(super) range: Range,
    /// The key of its anon_vma in the host; 0 for none.
    pub(super) key: usize,
    /// Whether the host has taken its links away.
    pub(super) lost: bool,
    /// Whether the host has it at another place than the shadow.
    pub(super) moved: bool,
    /// Whether it has grown beyond the limits: its pages are not read.
    pub(super) beyond: bool,
    /// The pages that the host maps, in order of offset.
    pub(crate) host_pages: KVVec<HostPage>,
    /// The pages that the shadow maps, in order of offset.
    pub(crate) pages: KVVec<(usize, Arc<LivePage>)>,
}

impl Seen {
    /// Reads one VMA, which becomes untracked if it has grown and that does not fit the limits. Sleeps.
    pub(super) fn new(
        vma: Arc<LiveVma>,
        fits: bool,
        here: LockedMm<'_>,
        mmap: &MmapWrite<'_>,
    ) -> Result<Self> {
        let charged = vma.charged.load(Relaxed);
        let look = |host: HostVma<'_>| -> Result<_> {
            let is_read = fits || host.pages() <= charged;
            let pages = is_read.then(|| pages_of(host)).transpose()?;
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
            beyond: host_pages.is_none(),
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
        if self.beyond {
            return Ok(true);
        }
        let Some(now) = self.vma.host.read(here, pages_of).transpose()? else {
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

    /// Unmaps each page, unless the host has one at its place for which `stays` holds.
    pub(super) fn keep_pages(&mut self, stays: impl Fn(&LivePage, &HostPage) -> bool) {
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

/// Returns whether what the VMAs of an address space have gained, less what they have lost, is within the
/// limit of pages of the open file. Sleeps.
pub(super) fn growth_fits(all: &[Arc<LiveVma>], here: LockedMm<'_>) -> bool {
    let (mut more, mut less) = (0, 0);
    for vma in resched_each(all) {
        let was = vma.charged.load(Relaxed);
        let is = vma.host.read(here, |host| host.pages()).unwrap_or(was);
        more += is.saturating_sub(was);
        less += was.saturating_sub(is);
    }
    let file = all.first().map(|vma| &vma.mm.file);
    more <= less || file.is_none_or(|file| file.has_room_to_grow(more - less))
}

/// Returns the anonymous pages of `host`.
fn pages_of(host: HostVma<'_>) -> Result<KVVec<HostPage>> {
    let pages = host.anonymous_pages()?;
    #[cfg(shadow_rmap_busted)]
    let pages = falsified(pages);
    Ok(pages)
}

/// Changes what the host says of each page as the chosen bug of the host would.
#[cfg(shadow_rmap_busted)]
fn falsified(mut pages: KVVec<HostPage>) -> KVVec<HostPage> {
    if crate::is_chosen("HostMisplacesPages") {
        pages.iter_mut().for_each(|page| page.index += 1);
    }
    if crate::is_chosen("HostHidesMarks") {
        pages.iter_mut().for_each(|page| page.exclusive = false);
    }
    pages
}

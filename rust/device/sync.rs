// SPDX-License-Identifier: GPL-2.0

//! What the host does without telling: found out, and followed by the shadow's rules.
//!
//! Three things happen to a live mapping behind the driver's back: a VMA grows, or a boundary
//! shifts; a write to a page that was first read makes an anonymous page, and an anon_vma; pages
//! are dropped (`MADV_DONTNEED`), copied (copy-on-write) or moved to another anon_vma (the last
//! user writes). Each is an input to the shadow like a callback that came late. Where the input
//! leaves no choice the shadow checks that the rules allow it; where the rules decide, they do, and
//! the comparison tells whether the host decided likewise.

use super::live::{
    LiveMm,
    LivePage,
    LiveVma,
    PageRoom, //
};
use crate::{
    host::vma::{
        HostPage,
        HostVma, //
    },
    kernel_ext::{
        interval_tree::Range,
        sort::sort_by_key, //
    },
    rmap::{
        link::{
            anon_vma_prepare,
            unlink_anon_vmas,
            Sharing, //
        },
        mm::{
            MmapLocked,
            MmapWrite, //
        },
    },
};
use kernel::{
    prelude::*,
    sync::{
        atomic::Relaxed,
        Arc,
        ArcBorrow, //
    },
};

/// Brings the links of `vma` in line with a write fault, for which the host has prepared the VMA if
/// it had to: by the neighbours that it has. Sleeps.
///
/// # Errors
///
/// `ENOMEM`.
pub(crate) fn fault(
    vma: &LiveVma,
    host: HostVma<'_>,
    neighbours: [Option<(HostVma<'_>, ArcBorrow<'_, LiveVma>)>; 2],
) -> Result {
    if !vma.core.is_unfaulted() {
        if vma.host_key.load(Relaxed) != host.anon_vma_key() {
            links(vma, &mut vma.mm.core.mmap_write())?;
        }
        return Ok(());
    }
    if host.mm_users() > 1 {
        // Several VMAs may have to be looked at together.
        prepare_as_faulted(vma, host, neighbours, &vma.mm.core.mmap_write())
    } else {
        prepare_as_faulted(vma, host, neighbours, &vma.mm.core.mmap_read())
    }
}

fn prepare_as_faulted(
    vma: &LiveVma,
    host: HostVma<'_>,
    neighbours: [Option<(HostVma<'_>, ArcBorrow<'_, LiveVma>)>; 2],
    mmap: &impl MmapLocked,
) -> Result {
    // The next one is asked first, as in `find_mergeable_anon_vma()`.
    let [next, prev] = neighbours;
    for (_, neighbour) in [next, prev].into_iter().flatten() {
        prepare_as_seen(&neighbour, mmap)?;
    }
    // Threads that fault in neighbours at once each find the other unfaulted, in an order that is
    // not told: then what the host has done decides.
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
    vma.in_line_with(host);
    Ok(())
}

/// Prepares `vma` if the host has done so without telling: with the VMA whose anon_vma the host has
/// chosen, provided that the rules allow sharing it (R27), or else with a new one.
fn prepare_as_seen(vma: &LiveVma, mmap: &impl MmapLocked) -> Result {
    let seen = vma.host.read(|host| host.anon_vma_key()).unwrap_or(0);
    if seen == 0 || !vma.core.is_unfaulted() {
        return Ok(());
    }
    let all = vma.mm.vmas()?;
    let shares = all
        .iter()
        .find(|other| !other.core.is_unfaulted() && other.host_key.load(Relaxed) == seen);
    anon_vma_prepare(
        &vma.core,
        mmap,
        [shares.map(|other| &other.core), None],
        Sharing::Singleton,
    )?;
    vma.host_key.store(seen, Relaxed);
    Ok(())
}

/// Brings the links of one VMA up to date. Sleeps.
///
/// # Errors
///
/// `ENOMEM`.
pub(crate) fn links(vma: &LiveVma, mmap: &mut MmapWrite<'_>) -> Result {
    let seen = vma.host.read(|host| host.anon_vma_key());
    if !vma.core.is_unfaulted() && seen != Some(vma.host_key.load(Relaxed)) {
        // `mremap(MREMAP_DONTUNMAP)` has moved all pages away, and unlinked the VMA (R33).
        vma.clear_pages();
        unlink_anon_vmas(&vma.core, mmap);
        vma.host_key.store(0, Relaxed);
    }
    prepare_as_seen(vma, mmap)
}

/// `vma` is about to be closed: VMAs that the host has let take over its links, when it merged the
/// move of `vma` into one that was unfaulted, do so now. Sleeps.
///
/// # Errors
///
/// `ENOMEM`.
pub(crate) fn bequeath(vma: &LiveVma, mmap: &MmapWrite<'_>) -> Result {
    let key = vma.host_key.load(Relaxed);
    // When the whole address space goes nobody takes over anything.
    if key == 0 || vma.host.read(|host| host.mm_users()).unwrap_or(0) == 0 {
        return Ok(());
    }
    for heir in vma.mm.unfaulted()? {
        if heir.host.read(|host| host.anon_vma_key()) == Some(key) {
            anon_vma_prepare(
                &heir.core,
                mmap,
                [Some(&vma.core), None],
                Sharing::Singleton,
            )?;
            heir.host_key.store(key, Relaxed);
        }
    }
    Ok(())
}

/// A VMA, where it is, and the anonymous pages that it maps.
pub(crate) struct Seen {
    /// The VMA.
    pub(crate) vma: Arc<LiveVma>,
    /// Its first address, and the first behind it.
    pub(crate) addresses: (usize, usize),
    /// The page offsets that the host knows it by.
    pub(crate) range: Range,
    /// The pages that the host maps, in order of offset.
    pub(crate) host_pages: KVVec<HostPage>,
    /// The pages that the shadow maps, in order of offset.
    pub(crate) pages: KVVec<(usize, Arc<LivePage>)>,
}

impl Seen {
    /// Looks at one VMA.
    fn new(vma: Arc<LiveVma>) -> Result<Self> {
        let limit = vma.mm.file.max_pages();
        let look = |host: HostVma<'_>| -> Result<_> {
            // One that has grown beyond all limits is not looked through for hours.
            let pages = if host.pages() > limit {
                None
            } else {
                Some(host.anonymous_pages()?)
            };
            Ok(((host.start(), host.end()), host.range(), pages))
        };
        let (addresses, range, host_pages) = vma.host.read(look).ok_or(EAGAIN)??;
        if host_pages.is_none() && !vma.core.is_marked() {
            vma.core.mark();
            vma.mm.file.lose_track();
        }
        Ok(Self {
            pages: vma.pages_in(0, usize::MAX)?,
            vma,
            addresses,
            range,
            host_pages: host_pages.unwrap_or_default(),
        })
    }

    /// The page that the host maps at offset `at`.
    pub(crate) fn host_page(&self, at: usize) -> Option<&HostPage> {
        let i = self
            .host_pages
            .binary_search_by_key(&at, |page| page.at)
            .ok()?;
        self.host_pages.get(i)
    }

    /// The page that the shadow maps at offset `at`.
    pub(crate) fn page(&self, at: usize) -> Option<&Arc<LivePage>> {
        let i = self.pages.binary_search_by_key(&at, |page| page.0).ok()?;
        self.pages.get(i).map(|page| &page.1)
    }

    /// Puts the shadow's VMA where the host has it.
    fn place(&self, mmap: &mut MmapWrite<'_>) {
        let (vma, range) = (&self.vma, self.range);
        let here = vma.core.range(mmap);
        if here.is_some_and(|here| (here.start, here.last) != (range.start, range.last)) {
            vma.core.set_range(range, mmap);
        }
        if vma.start.load(Relaxed) != self.addresses.0 {
            vma.mm.moved(vma, self.addresses.0);
        }
        let (charged, pages) = (vma.charged.load(Relaxed), range.last - range.start + 1);
        if charged != pages {
            vma.charged.store(pages, Relaxed);
            vma.mm.file.recharge(charged, pages);
        }
    }
}

/// VMAs of an address space that are being brought up to date, between [`begin`] and [`finish`].
pub(crate) struct Pass {
    /// In order of address.
    pub(crate) vmas: KVVec<Seen>,
}

/// Brings an address space up to date: its VMAs' ranges and links, and its pages. Sleeps.
///
/// The host's `mmap_lock` is held.
///
/// # Errors
///
/// `ENOMEM`, `EINTR`; what has not been done yet is done the next time.
pub(crate) fn mm(mm: &LiveMm, mmap: &mut MmapWrite<'_>) -> Result {
    let mut pass = begin(mm.vmas()?, mmap)?;
    finish(&mut pass, mmap)?;
    mm.clear_limbo();
    Ok(())
}

/// Brings one VMA up to date, likewise. Sleeps.
///
/// # Errors
///
/// As [`mm`].
pub(crate) fn vma(vma: Arc<LiveVma>, mmap: &mut MmapWrite<'_>) -> Result {
    let mut one = KVVec::new();
    one.push(vma, GFP_KERNEL)?;
    finish(&mut begin(one, mmap)?, mmap)
}

/// The first half: ranges, links, and all pages that are gone. Sleeps.
///
/// # Errors
///
/// `ENOMEM`, `EINTR`.
pub(crate) fn begin(all: KVVec<Arc<LiveVma>>, mmap: &mut MmapWrite<'_>) -> Result<Pass> {
    let mut vmas = KVVec::with_capacity(all.len(), GFP_KERNEL)?;
    for vma in all {
        let seen = Seen::new(vma)?;
        seen.place(mmap);
        vmas.push(seen, GFP_KERNEL)?;
    }
    for seen in vmas.iter_mut() {
        links(&seen.vma, mmap)?;
        if seen.vma.core.is_unfaulted() {
            // Unlinked just now, perhaps, and its pages with it.
            seen.pages.clear();
        }
        let mut pages = core::mem::take(&mut seen.pages);
        pages.retain(|(at, page)| {
            let stays = seen
                .host_page(*at)
                .is_some_and(|there| there.key == page.key);
            if !stays {
                seen.vma.unmap_page(*at, page);
            }
            stays
        });
        seen.pages = pages;
    }
    Ok(Pass { vmas })
}

/// The second half: all pages that are new at their place, or have moved to another anon_vma.
/// Sleeps.
///
/// A page that was unmapped in the same address space may be the same page. Any other is new, and
/// was made by a fault in this VMA: shared pages come by fork, split and move alone, which are told.
///
/// # Errors
///
/// `ENOMEM`.
pub(crate) fn finish(pass: &mut Pass, mmap: &MmapWrite<'_>) -> Result {
    for seen in pass.vmas.iter_mut() {
        if seen.vma.core.is_unfaulted() {
            continue;
        }
        let mut new = KVVec::new();
        for there in &seen.host_pages {
            if let Some(page) = seen.page(there.at) {
                if page.host_mapping.load(Relaxed) != there.mapping {
                    page.host_mapping.store(there.mapping, Relaxed);
                    seen.vma.core.move_anon_rmap(&page.rmap, mmap);
                }
                continue;
            }
            let room = PageRoom::new(GFP_KERNEL)?;
            new.reserve(1, GFP_KERNEL)?;
            let page = match moved(there, &seen.vma, mmap) {
                Some(page) => {
                    page.rmap.add_anon_rmap();
                    page
                }
                None => LivePage::new(there, &seen.vma, mmap)?,
            };
            seen.vma.map_page(room, there.at, page.clone());
            // Room was made above.
            new.push((there.at, page), GFP_KERNEL)?;
        }
        if !new.is_empty() {
            seen.pages.reserve(new.len(), GFP_KERNEL)?;
            for page in new {
                seen.pages.push(page, GFP_KERNEL)?;
            }
            sort_by_key(&mut seen.pages, |page| page.0);
        }
    }
    Ok(())
}

/// The unmapped page that is now seen in `vma`: it leads where it led, and the VMA is linked to
/// that.
///
/// Otherwise the host's memory has been used for a new page, or the page has gone to the VMA's own
/// anon_vma besides, which is where a new one goes.
fn moved(seen: &HostPage, vma: &LiveVma, mmap: &MmapWrite<'_>) -> Option<Arc<LivePage>> {
    let page = vma.mm.in_limbo(seen.at, seen.key)?;
    let led_to = page.rmap.anon_vma_key()?;
    (page.host_mapping.load(Relaxed) == seen.mapping && vma.core.is_linked_to(led_to, mmap))
        .then_some(page)
}

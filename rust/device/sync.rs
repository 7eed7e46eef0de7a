// SPDX-License-Identifier: GPL-2.0

//! What the host does without telling: found out, and followed by the shadow's rules.
//!
//! Three things happen to a live mapping behind the driver's back: a VMA grows, or a boundary
//! shifts; a write to a page that was first read makes an anonymous page, and an anon_vma; pages
//! are dropped (`MADV_DONTNEED`), copied (copy-on-write) or moved to another anon_vma (the last
//! user writes).  Each is an input to the shadow like a callback that came late.  Where the input
//! leaves no choice the shadow checks that the rules allow it; where the rules decide, they do, and
//! the comparison tells whether the host decided likewise.

use super::live::{
    LiveMm,
    LivePage,
    LiveVma, //
};
use crate::{
    host::vma::{
        HostPage,
        HostVma, //
    },
    prim::{
        interval_tree::Range,
        sort::sort_by_key, //
    },
    rmap::{
        link::{
            anon_vma_prepare,
            unlink_anon_vmas, //
        },
        mm::{
            MmapLocked,
            MmapRead,
            MmapWrite, //
        },
    },
};
use kernel::{
    prelude::*,
    rbtree::RBTreeNodeReservation,
    sync::{
        atomic::Relaxed,
        Arc, //
    },
};

/// Prepares `vma` as the host has just done for a write fault: by the neighbours that it has.
///
/// # Errors
///
/// `ENOMEM`.
pub(crate) fn prepare_as_faulted(vma: &LiveVma, host: HostVma<'_>, mmap: &MmapRead<'_>) -> Result {
    let [next, prev] = vma.mm.neighbours(vma);
    for neighbour in [&next, &prev].into_iter().flatten() {
        prepare_as_seen(neighbour, mmap)?;
    }
    // The next one is asked first, as in `find_mergeable_anon_vma()`.
    let next = next.filter(|next| {
        next.host
            .read(|next| host.is_compatible_with(next))
            .unwrap_or(false)
    });
    let prev = prev.filter(|prev| {
        prev.host
            .read(|prev| prev.is_compatible_with(host))
            .unwrap_or(false)
    });
    anon_vma_prepare(
        &vma.core,
        mmap,
        [
            next.as_deref().map(|next| &next.core),
            prev.as_deref().map(|prev| &prev.core),
        ],
    )
}

/// Prepares `vma` if the host has done so without telling: with the VMA whose anon_vma the host has
/// chosen, provided that the rules allow sharing it (R27), or else with a new one.
fn prepare_as_seen(vma: &LiveVma, mmap: &impl MmapLocked) -> Result {
    let seen = vma.host.read(|host| host.anon_vma_key()).unwrap_or(0);
    if seen == 0 || !vma.core.is_unfaulted() {
        return Ok(());
    }
    let all = vma.mm.vmas()?;
    let shares = all.iter().find(|other| {
        !other.core.is_unfaulted()
            && other.host.read(|host| host.anon_vma_key()).unwrap_or(0) == seen
    });
    anon_vma_prepare(&vma.core, mmap, [shares.map(|other| &other.core), None])
}

/// Brings the links of one VMA up to date.  Sleeps.
///
/// # Errors
///
/// `ENOMEM`.
pub(crate) fn links(vma: &LiveVma, mmap: &mut MmapWrite<'_>) -> Result {
    let seen = vma.host.read(|host| host.anon_vma_key());
    if seen == Some(0) && !vma.core.is_unfaulted() {
        // `mremap(MREMAP_DONTUNMAP)` has moved all pages away, and unlinked the VMA (R33).
        unlink_anon_vmas(&vma.core, mmap);
        vma.clear_pages();
    }
    prepare_as_seen(vma, mmap)
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
    pub(crate) host_pages: KVec<HostPage>,
    /// The pages that the shadow maps, in order of offset.
    pub(crate) pages: KVec<(usize, Arc<LivePage>)>,
}

impl Seen {
    /// Looks at one VMA.
    fn new(vma: Arc<LiveVma>) -> Result<Self> {
        let look = |host: HostVma<'_>| -> Result<_> {
            Ok((
                (host.start(), host.end()),
                host.range(),
                host.anonymous_pages()?,
            ))
        };
        let (addresses, range, host_pages) = vma.host.read(look).ok_or(EAGAIN)??;
        Ok(Self {
            pages: vma.pages_in(0, usize::MAX)?,
            vma,
            addresses,
            range,
            host_pages,
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

/// An address space that is being brought up to date, between [`begin`] and [`finish`].
pub(crate) struct Pass {
    /// Its VMAs, in order of address.
    pub(crate) vmas: KVec<Seen>,
    /// Pages that were found at their place no more, by key and offset: moved with a boundary or a
    /// VMA, or gone.
    loose: KVec<(usize, usize, Arc<LivePage>)>,
}

/// Brings an address space up to date: its VMAs' ranges and links, and its pages.  Sleeps.
///
/// The host's `mmap_lock` is held.
///
/// # Errors
///
/// `ENOMEM`; what has not been done yet is done the next time.
pub(crate) fn mm(mm: &LiveMm, mmap: &mut MmapWrite<'_>) -> Result {
    let mut pass = begin(mm, mmap)?;
    finish(&mut pass, mmap)
}

/// The first half: ranges, links, and all pages that are gone.  Sleeps.
///
/// # Errors
///
/// `ENOMEM`.
pub(crate) fn begin(mm: &LiveMm, mmap: &mut MmapWrite<'_>) -> Result<Pass> {
    let all = mm.vmas()?;
    let mut vmas = KVec::with_capacity(all.len(), GFP_KERNEL)?;
    for vma in all {
        let seen = Seen::new(vma)?;
        seen.place(mmap);
        vmas.push(seen, GFP_KERNEL)?;
    }
    for seen in &vmas {
        links(&seen.vma, mmap)?;
    }
    let mut loose = KVec::new();
    mm.take_limbo(|at, page| Ok(loose.push((page.key, at, page.clone()), GFP_KERNEL)?))?;
    for seen in vmas.iter_mut() {
        let mut pages = core::mem::take(&mut seen.pages);
        loose.reserve(pages.len(), GFP_KERNEL)?;
        pages.retain(|(at, page)| {
            let stays = seen
                .host_page(*at)
                .is_some_and(|there| there.key == page.key);
            // Room was made above.
            if !stays
                && loose
                    .push((page.key, *at, page.clone()), GFP_KERNEL)
                    .is_ok()
            {
                seen.vma.unmap_page(*at);
            }
            stays
        });
        seen.pages = pages;
    }
    sort_by_key(&mut loose, |&(key, at, _)| (key, at));
    Ok(Pass { vmas, loose })
}

/// The second half: all pages that are new at their place, or have moved to another anon_vma.
/// Sleeps.
///
/// A page that was loose in the same address space may be the same page.  Any other is new, and was
/// made by a fault in this VMA: shared pages come by fork, split and move alone, which are told.
///
/// # Errors
///
/// `ENOMEM`.
pub(crate) fn finish(pass: &mut Pass, mmap: &MmapWrite<'_>) -> Result {
    for seen in pass.vmas.iter_mut() {
        if seen.vma.core.is_unfaulted() {
            continue;
        }
        let mut new = KVec::new();
        for there in &seen.host_pages {
            if let Some(page) = seen.page(there.at) {
                if page.host_mapping.load(Relaxed) != there.mapping {
                    page.host_mapping.store(there.mapping, Relaxed);
                    seen.vma.core.move_anon_rmap(&page.rmap, mmap);
                }
                continue;
            }
            let node = RBTreeNodeReservation::new(GFP_KERNEL)?;
            new.reserve(1, GFP_KERNEL)?;
            let page = match moved(&pass.loose, there, &seen.vma, mmap) {
                Some(page) => {
                    page.rmap.add_anon_rmap();
                    page.clone()
                }
                None => LivePage::new(there, &seen.vma, mmap)?,
            };
            seen.vma.map_page(node, there.at, page.clone());
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

/// The loose page that is now seen in `vma`: it leads where it led, and the VMA is linked to that.
///
/// Otherwise the host's memory has been used for a new page, or the page has gone to the VMA's own
/// anon_vma besides, which is where a new one goes.
fn moved<'a>(
    loose: &'a [(usize, usize, Arc<LivePage>)],
    seen: &HostPage,
    vma: &LiveVma,
    mmap: &MmapWrite<'_>,
) -> Option<&'a Arc<LivePage>> {
    let i = loose
        .binary_search_by_key(&(seen.key, seen.at), |&(key, at, _)| (key, at))
        .ok()?;
    let (_, _, page) = loose.get(i)?;
    let led_to = page.rmap.anon_vma_key()?;
    (page.host_mapping.load(Relaxed) == seen.mapping && vma.core.is_linked_to(led_to, mmap))
        .then_some(page)
}

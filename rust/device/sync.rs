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
pub(crate) fn prepare_as_faulted(
    vma: &LiveVma,
    host: HostVma<'_>,
    mmap: &MmapRead<'_>,
) -> Result {
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

/// A VMA and the anonymous pages that the host maps in it.
pub(crate) struct Seen {
    /// The VMA.
    pub(crate) vma: Arc<LiveVma>,
    /// Its pages, in order of offset.
    pub(crate) pages: KVec<HostPage>,
}

/// An address space that is being brought up to date, between [`begin`] and [`finish`].
pub(crate) struct Pass {
    /// Its VMAs, in order of address.
    pub(crate) vmas: KVec<Seen>,
    /// Pages that were found at their place no more: moved with a boundary, or gone.
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
    for vma in &all {
        place(vma, mmap);
    }
    for vma in &all {
        links(vma, mmap)?;
    }
    let mut pass = Pass {
        vmas: KVec::with_capacity(all.len(), GFP_KERNEL)?,
        loose: KVec::new(),
    };
    for vma in all {
        let pages = vma
            .host
            .read(|host| host.anonymous_pages())
            .ok_or(EAGAIN)??;
        for (at, page) in vma.pages_in(0, usize::MAX)? {
            if !find(&pages, at).is_some_and(|seen| seen.key == page.key) {
                pass.loose.push((page.key, at, page), GFP_KERNEL)?;
                vma.unmap_page(at);
            }
        }
        pass.vmas.push(Seen { vma, pages }, GFP_KERNEL)?;
    }
    pass.loose.sort_unstable_by_key(|&(key, at, _)| (key, at));
    Ok(pass)
}

/// Where the host has the VMA now.
fn place(vma: &Arc<LiveVma>, mmap: &mut MmapWrite<'_>) {
    let Some((start, range, pages)) = vma
        .host
        .read(|host| (host.start(), host.range(), host.pages()))
    else {
        return;
    };
    let here = vma.core.range(mmap);
    if here.is_some_and(|here| (here.start, here.last) != (range.start, range.last)) {
        vma.core.set_range(range, mmap);
    }
    if vma.start.load(Relaxed) != start {
        vma.mm.moved(vma, start);
    }
    let charged = vma.charged.load(Relaxed);
    if charged != pages {
        vma.charged.store(pages, Relaxed);
        vma.mm.file.recharge(charged, pages);
    }
}

/// The page at offset `at`.
pub(crate) fn find(pages: &[HostPage], at: usize) -> Option<&HostPage> {
    let i = pages.binary_search_by_key(&at, |page| page.at).ok()?;
    pages.get(i)
}

/// The second half: all pages that are new at their place, or have moved to another anon_vma.
/// Sleeps.
///
/// A page that was loose in the same address space is the same page.  Any other is new, and was
/// made by a fault in this VMA: shared pages come by fork, split and move alone, which are told.
///
/// # Errors
///
/// `ENOMEM`.
pub(crate) fn finish(pass: &mut Pass, mmap: &MmapWrite<'_>) -> Result {
    for Seen { vma, pages } in &pass.vmas {
        let Some(anon_vma) = vma.core.anon_vma(mmap) else {
            continue;
        };
        for seen in pages {
            let Some(page) = vma.page_at(seen.at) else {
                let node = RBTreeNodeReservation::new(GFP_KERNEL)?;
                let loose = pass
                    .loose
                    .binary_search_by_key(&(seen.key, seen.at), |&(key, at, _)| (key, at))
                    .ok()
                    .and_then(|i| pass.loose.get(i));
                let page = match loose {
                    Some((_, _, page)) => {
                        page.rmap.add_anon_rmap();
                        page.clone()
                    }
                    None => LivePage::new(seen, anon_vma)?,
                };
                vma.map_page(node, seen.at, page);
                continue;
            };
            if page.host_mapping.load(Relaxed) != seen.mapping {
                page.host_mapping.store(seen.mapping, Relaxed);
                page.rmap.move_anon_rmap(&anon_vma.lock_read());
            }
        }
    }
    Ok(())
}

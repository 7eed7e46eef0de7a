// SPDX-License-Identifier: GPL-2.0

//! Pages that the host may have swapped out and read in again since the last look.
//!
//! A page that is read in may be new memory, for one place or for several; or it comes from the swap
//! cache, and still leads to the anon_vma from before (R39). No callback tells which. So on a host with
//! swap space a check takes from the host which places map one page, and which anon_vma it leads to;
//! every VMA that maps the page must be linked to that (R21). Without swap space nothing is done here.

use super::{
    live::{
        mapping,
        LivePage,
        PageRoom, //
    },
    seen::Seen,
    sync::Cause,
    taken::Taken, //
};
use crate::{
    host::{
        self,
        graph::InChain,
        mm::AllMmaps,
        page_table::HostPage,
        swap, //
    },
    kernel_ext::{
        gfp::GFP_BOUNDED,
        sched::resched_each,
        sort::sort_by_key, //
    },
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// A place where the host maps a page: the page's key, the address space, the VMA and the page of the
/// VMA, each as an index.
type At = (usize, usize, usize, usize);

/// Replaces what the shadow has for a page of the host, if that is not one page at all places which map
/// the page, or leads to another anon_vma. Sleeps.
///
/// # Errors
///
/// `ENOMEM`; `EINTR` if the caller is being killed. The next check then does the rest.
pub(super) fn settle(all: &mut [Taken<'_>], mmaps: &AllMmaps<'_>) -> Result {
    if !swap::is_in_use() {
        return Ok(());
    }
    let pages = |taken: &Taken<'_>| {
        let vmas = resched_each(&taken.pass.vmas);
        vmas.map(|seen| seen.host_pages.len()).sum::<usize>()
    };
    let mut places = KVVec::with_capacity(all.iter().map(pages).sum(), GFP_BOUNDED)?;
    for (mm, taken) in all.iter().enumerate() {
        for (vma, seen) in resched_each(&taken.pass.vmas).enumerate() {
            for (page, there) in seen.host_pages.iter().enumerate() {
                places.push((there.key, mm, vma, page), GFP_BOUNDED)?;
            }
        }
    }
    sort_by_key(&mut places, |&place| place);
    for group in resched_each(places.chunk_by(|one, other| one.0 == other.0)) {
        Cause::Check.go_on()?;
        settle_page(all, mmaps, group)?;
    }
    Ok(())
}

/// Settles the page that the host maps at the places of `group`.
fn settle_page(all: &mut [Taken<'_>], mmaps: &AllMmaps<'_>, group: &[At]) -> Result {
    let Some(anon_vma) = partner(all, mmaps, group)? else {
        return Ok(());
    };
    if is_settled(all, group, anon_vma) {
        return Ok(());
    }
    let linked = |&place: &At| {
        at(all, place).is_some_and(|(taken, seen, there)| {
            let mmap = taken.mm.core.mmap_read();
            seen.page(there.at).is_some() && seen.vma.core.is_linked_to(anon_vma, &mmap)
        })
    };
    if !group.iter().all(linked) {
        // The comparison reports it.
        return Ok(());
    }
    let Some(page) = group.first().and_then(|&place| at(all, place)) else {
        return Ok(());
    };
    let page = LivePage::new(page.2)?;
    // What is there stays until there is memory for all that replaces it.
    let mut rooms = KVVec::with_capacity(group.len(), GFP_BOUNDED)?;
    for _ in group {
        rooms.push(PageRoom::new(GFP_BOUNDED)?, GFP_BOUNDED)?;
    }
    for (&place, room) in group.iter().zip(rooms) {
        replace(all, place, room, &page, anon_vma);
    }
    Ok(())
}

/// Returns what the host has at a place.
fn at<'a, 't>(
    all: &'a [Taken<'t>],
    (_, mm, vma, page): At,
) -> Option<(&'a Taken<'t>, &'a Seen, &'a HostPage)> {
    let taken = all.get(mm)?;
    let seen = taken.pass.vmas.get(vma)?;
    Some((taken, seen, seen.host_pages.get(page)?))
}

/// Returns the key of the anon_vma of the shadow that is what the host's page of `group` leads to, or
/// `None` if that is not clear: the one at the same place of the same chain, from the front or, as a host
/// may keep the order at a clone, from the end.
fn partner(all: &[Taken<'_>], mmaps: &AllMmaps<'_>, group: &[At]) -> Result<Option<usize>> {
    let Some(&place) = group.first() else {
        return Ok(None);
    };
    let Some((taken, seen, there)) = at(all, place) else {
        return Ok(None);
    };
    let Some(&Some(host)) = taken.hosts.get(place.2) else {
        return Ok(None);
    };
    if host.anon_vma_key() == there.mapping {
        return Ok(seen.vma.own_key(&taken.mm.core.mmap_read()));
    }
    let Some(in_host) = host::graph::place_in_chain(mmaps, host, there.mapping)? else {
        return Ok(None);
    };
    let (mmap, vma) = (taken.mm.core.mmap_read(), &seen.vma.core);
    let own = seen.vma.own_key(&mmap);
    let mut places = [in_host.before, in_host.links - 1 - in_host.before].into_iter();
    Ok(places.find_map(|before| {
        let anon_vma = vma.links(&mmap).nth(before)?;
        let here = InChain {
            before: in_host.before,
            links: vma.nr_links(),
            is_own: own == Some(anon_vma.key()),
            is_root: anon_vma.is_root(),
        };
        (here == in_host).then_some(anon_vma.key())
    }))
}

/// Returns whether the shadow has one page at the places of `group`, and at no others, which leads to
/// `anon_vma`.
fn is_settled(all: &[Taken<'_>], group: &[At], anon_vma: usize) -> bool {
    let mut pages = group.iter().map(|&place| {
        let (_, seen, there) = at(all, place)?;
        seen.page(there.at)
    });
    let Some(Some(page)) = pages.next() else {
        return false;
    };
    let key = group.first().map(|place| place.0);
    Some(page.key()) == key
        && page.rmap.anon_vma_key() == Some(anon_vma)
        && usize::try_from(page.rmap.mapcount()) == Ok(group.len())
        && pages.all(|other| other.is_some_and(|other| Arc::ptr_eq(other, page)))
}

/// Maps `page` at one place instead of what the shadow has there, using the memory `room`.
fn replace(
    all: &mut [Taken<'_>],
    (_, mm, vma, page_of_vma): At,
    room: PageRoom,
    page: &Arc<LivePage>,
    anon_vma: usize,
) {
    let Some(taken) = all.get_mut(mm) else {
        return;
    };
    let mmap = taken.mm.core.mmap_write();
    let Some(seen) = taken.pass.vmas.get_mut(vma) else {
        return;
    };
    let Some(at) = seen.host_pages.get(page_of_vma).map(|there| there.at) else {
        return;
    };
    let i = seen.pages.binary_search_by_key(&at, |page| page.0);
    let Some(old) = i.ok().and_then(|i| seen.pages.get_mut(i)) else {
        return;
    };
    seen.vma.unmap_page(at, &old.1);
    // Every VMA of the group is linked to the anon_vma.
    let mapped = match page.rmap.is_anon() {
        false => mapping::map_swapped(&seen.vma, room, at, page, anon_vma, &mmap),
        true => mapping::map_again(&seen.vma, room, at, page.clone(), &mmap),
    };
    if mapped {
        old.1 = page.clone();
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Mapped pages of live mappings, each counted in one place.
//!
//! The pages of a [`LiveVma`] are the shadow of its PTEs. The reverse map relies on invariant (8)
//! of `rmap/page.rs`: a VMA that maps a page is linked to the page's anon_vma until it maps the
//! page no more. Here
//!
//! 1. a page joins the pages of a VMA only if the VMA is linked to the page's anon_vma, under
//!    `mmap_lock`, and is counted with it;
//! 2. a VMA is unlinked only once its pages are gone: [`emptied`] takes them away first, and so
//!    does the drop of a VMA;
//! 3. the pages of a VMA are shared with another one only under the `mmap_lock` of the first, or by a check
//!    that holds those of all VMAs in the host ([`crate::device::graphs::take`]).

#![allow(
    unsafe_code,
    reason = "keeps the reverse map's promise about mapped pages"
)]

use super::{
    page::{
        LivePage,
        PageRoom, //
    },
    LiveVma, //
};
use crate::{
    host::{
        page_table::HostPage,
        swap, //
    },
    kernel_ext::sched::resched_each,
    rmap::{
        mm::{
            MmapLocked,
            MmapWrite, //
        },
        rules::Rule,
        unlink::Emptied, //
    }, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// Creates the shadow of a page that a fault in `vma` has made, and maps it, using the memory
/// `room`. It is exclusive (R20), whatever the host's mark says: KSM takes that away from a page that it
/// does not merge in the end. But a page may have been read in from swap for several VMAs, or have
/// moved here and migrated; then the mark decides. Sleeps.
///
/// Returns `None`, and maps nothing, if the VMA has no anon_vma.
///
/// # Errors
///
/// `ENOMEM`.
pub(crate) fn map_new(
    vma: &LiveVma,
    room: PageRoom,
    seen: &HostPage,
    mmap: &impl MmapLocked,
) -> Result<Option<Arc<LivePage>>> {
    let page = LivePage::new(seen)?;
    let may_be_old = swap::is_in_use() || vma.mm.unmapped.has_several_at(seen.at);
    let exclusive = !may_be_old || seen.exclusive;
    // SAFETY: The page is made one of this VMA's below, under `mmap_lock`: (1), (2).
    if !unsafe { vma.core.add_new_anon_rmap(&page.rmap, exclusive, mmap) } {
        return Ok(None);
    }
    vma.map_page(room, seen.at, page.clone());
    Ok(Some(page))
}

/// Maps `page`, a new one that stands for a page that the host has read in from swap or found in the
/// swap cache, using the memory `room`. It leads to the anon_vma with the key `anon_vma`. Sleeps;
/// allocates nothing.
///
/// Returns whether the VMA is linked to that (R21); otherwise nothing is mapped.
pub(crate) fn map_swapped(
    vma: &LiveVma,
    room: PageRoom,
    at: usize,
    page: &Arc<LivePage>,
    anon_vma: usize,
    mmap: &impl MmapLocked,
) -> bool {
    // SAFETY: As in `map_new()`.
    let linked = unsafe { vma.core.add_swapped_anon_rmap(&page.rmap, anon_vma, mmap) };
    if linked {
        vma.map_page(room, at, page.clone());
    }
    linked
}

/// Maps `page` at page offset `at` of `vma` as well, using the memory `room`: after a fork, a move,
/// or when a page turns up at another place. Sleeps; allocates nothing.
///
/// Returns whether the VMA is linked to the page's anon_vma (R21); otherwise nothing is mapped.
pub(crate) fn map_again(
    vma: &LiveVma,
    room: PageRoom,
    at: usize,
    page: Arc<LivePage>,
    mmap: &impl MmapLocked,
) -> bool {
    let linked = count_again(vma, &page, mmap);
    if linked {
        vma.map_page(room, at, page);
    }
    linked
}

/// As [`map_again`], for all `pages`, each with its page offset. Sleeps; allocates nothing.
pub(crate) fn map_all_again(
    vma: &LiveVma,
    rooms: KVVec<PageRoom>,
    pages: KVVec<(usize, Arc<LivePage>)>,
    mmap: &impl MmapLocked,
) {
    let all = resched_each(rooms.into_iter().zip(pages));
    vma.map_pages(all.filter(|(_, (_, page))| count_again(vma, page, mmap)));
}

/// Counts one more mapping of `page`, which the caller makes one of the pages of `vma`. Returns
/// whether that is allowed (R21).
fn count_again(vma: &LiveVma, page: &LivePage, mmap: &impl MmapLocked) -> bool {
    let anon_vma = page.rmap.anon_vma_key();
    let linked = Rule::R21.check(anon_vma.is_some_and(|key| vma.core.is_linked_to(key, mmap)));
    if linked {
        // SAFETY: (1), (2).
        unsafe { page.rmap.add_anon_rmap() };
    }
    linked
}

/// Gives a page that `vma` alone maps, at page offset `at`, to the VMA's own anon_vma (R19), because
/// `vma` was written to. Returns whether that is allowed.
pub(crate) fn move_to_own(
    vma: &LiveVma,
    at: usize,
    page: &Arc<LivePage>,
    mmap: &MmapWrite<'_>,
) -> bool {
    if !vma.maps(at, page) || page.rmap.mapcount() != 1 {
        return Rule::R19.check(false);
    }
    // SAFETY: One VMA maps the page, and it is this one. `mmap_lock` for writing keeps other changes
    // of the page away (3).
    unsafe { vma.core.move_anon_rmap(&page.rmap, mmap) }
}

/// Moves the pages of `vma` at the page offsets `first..=last` to `part`, which has none, after a
/// split: no PTE changes. `all` is the number of pages of the whole VMA. Sleeps; allocates nothing.
///
/// They stay where they are if `part` is not linked to all anon_vmas of the VMA (R21).
pub(crate) fn split(
    vma: &LiveVma,
    part: &LiveVma,
    (first, last): (usize, usize),
    all: usize,
    mmap: &MmapWrite<'_>,
) {
    // A page leaves one VMA and joins the other: its mapcount stays (1).
    if Rule::R21.check(part.core.is_linked_to_all_of(&vma.core, mmap)) {
        vma.split_pages(part, first, last, all);
    }
}

/// Unmaps all pages of `vma`, which may be unlinked then.
pub(crate) fn emptied<'a, 'm>(vma: &'a LiveVma, mmap: &'a mut MmapWrite<'m>) -> Emptied<'a, 'm> {
    vma.clear_pages();
    // SAFETY: (2): no page is left, and none joins while `mmap_lock` is held for writing.
    unsafe { Emptied::new(&vma.core, mmap) }
}

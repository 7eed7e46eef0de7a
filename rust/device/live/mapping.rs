// SPDX-License-Identifier: GPL-2.0

//! Mapped pages of live mappings, each counted in one place.
//!
//! The pages of a [`LiveVma`] are the shadow of its PTEs. The reverse map relies on invariant (8)
//! of `rmap/page.rs`: a VMA that maps a page is linked to the page's anon_vma until it maps the
//! page no more. Here
//!
//! 1. a page joins the pages of a VMA only if the VMA is linked to the page's anon_vma, under
//!    `mmap_lock`;
//! 2. a VMA is unlinked only once its pages are gone: [`emptied`] takes them away first.

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

/// Counts the first mapping of a page that a fault has made. Returns whether it was done.
pub(super) fn map_new(
    page: &LivePage,
    vma: &LiveVma,
    exclusive: bool,
    mmap: &impl MmapLocked,
) -> bool {
    // SAFETY: The caller makes the page one of this VMA's, under `mmap_lock`: (1), (2).
    unsafe { vma.core.add_new_anon_rmap(&page.rmap, exclusive, mmap) }
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

/// Gives a page whose last user `vma` is to the VMA's own anon_vma (R19), because `vma` was written
/// to. Returns whether that is allowed.
pub(crate) fn move_to_own(page: &LivePage, vma: &LiveVma, mmap: &MmapWrite<'_>) -> bool {
    if page.rmap.mapcount() != 1 {
        return Rule::R19.check(false);
    }
    // SAFETY: One VMA maps the page, and the page is one of this VMA's (1). `mmap_lock` for writing
    // keeps other changes of the page away.
    unsafe { vma.core.move_anon_rmap(&page.rmap, mmap) }
}

/// Unmaps all pages of `vma`, which may be unlinked then.
pub(crate) fn emptied<'a, 'm>(vma: &'a LiveVma, mmap: &'a mut MmapWrite<'m>) -> Emptied<'a, 'm> {
    vma.clear_pages();
    // SAFETY: (2): no page is left, and none joins while `mmap_lock` is held for writing.
    unsafe { Emptied::new(&vma.core, mmap) }
}

// SPDX-License-Identifier: GPL-2.0

//! An anonymous page of a live mapping, and trees of pages.

use crate::{
    host::page_table::HostPage,
    kernel_ext::{
        gfp::GFP_BOUNDED,
        sched::cond_resched, //
    },
    rmap::page::PageRmap,
    stats, //
};
use core::ops::{
    Deref,
    DerefMut, //
};
use kernel::{
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNodeReservation, //
    },
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
};

/// Whether the host may move a page to other memory.
pub(crate) const MIGRATES: bool = cfg!(CONFIG_MIGRATION);

/// Pages, by page offset and the key that the host's page had when the page joined the tree.
pub(super) type PageTree = RBTree<(usize, usize), Arc<LivePage>>;

/// Memory for a node of a [`PageTree`].
pub(crate) type PageRoom = RBTreeNodeReservation<(usize, usize), Arc<LivePage>>;

/// An anonymous page of a live mapping.
pub(crate) struct LivePage {
    /// The fields of the page that the reverse map uses.
    pub(crate) rmap: PageRmap,
    /// The key of the host's page, which is only compared; see [`follow`](Self::follow).
    key: Atomic<usize>,
}

impl LivePage {
    /// Creates the shadow of a page, which is not mapped yet: see `mapping::map_new()`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(seen: &HostPage) -> Result<Arc<Self>> {
        // If the allocation fails, the page is dropped, which counts as a free.
        stats::PAGES_ALLOCATED.inc();
        let page = Self {
            rmap: PageRmap::new(seen.at),
            key: Atomic::new(seen.key),
        };
        Ok(Arc::new(page, GFP_BOUNDED)?)
    }

    /// Returns the key of the host's page at the last look.
    pub(crate) fn key(&self) -> usize {
        self.key.load(Relaxed)
    }

    /// Returns whether `there`, which the host has at a place where the shadow maps this page, is
    /// this page. If its memory is new, takes the key of that.
    ///
    /// What a fault or a copy has put there instead is exclusive until a fork shares it, and the
    /// shadow looks at a VMA before a fork shares its pages. So a page that is not exclusive has
    /// migrated, for all that map it.
    pub(crate) fn follow(&self, there: &HostPage) -> bool {
        if self.key() == there.key {
            return true;
        }
        if !MIGRATES || there.exclusive {
            return false;
        }
        self.key.store(there.key, Relaxed);
        true
    }
}

impl Drop for LivePage {
    fn drop(&mut self) {
        stats::PAGES_FREED.inc();
    }
}

/// The pages that a VMA maps. Dropping it unmaps them.
pub(super) struct MappedPages(PageTree);

impl MappedPages {
    /// Creates an empty tree.
    pub(super) fn new() -> Self {
        Self(RBTree::new())
    }
}

impl Deref for MappedPages {
    type Target = PageTree;

    fn deref(&self) -> &PageTree {
        &self.0
    }
}

impl DerefMut for MappedPages {
    fn deref_mut(&mut self) -> &mut PageTree {
        &mut self.0
    }
}

impl Drop for MappedPages {
    fn drop(&mut self) {
        self.values().for_each(|page| page.rmap.remove_rmap());
    }
}

/// Empties a tree. A drop of the whole would not let other threads run.
pub(super) fn clear(pages: &mut PageTree) {
    let mut cursor = pages.cursor_front_mut();
    while let Some(here) = cursor {
        cond_resched();
        let (rest, node) = here.remove_current();
        drop(node);
        cursor = rest;
    }
}

/// Moves the pages at the page offsets `first..=last` from one tree to another.
pub(super) fn take_range(from: &mut PageTree, to: &mut PageTree, first: usize, last: usize) {
    let mut cursor = from.cursor_lower_bound_mut(&(first, 0));
    while let Some(here) = cursor {
        cond_resched();
        if here.current().0 .0 > last {
            break;
        }
        let (&(at, _), page) = here.current();
        let page = page.clone();
        let (rest, node) = here.remove_current();
        let room = node.into_reservation();
        to.insert(room.into_node((at, page.key()), page));
        // After the last node has been removed, the cursor is at the node before it.
        cursor = rest.filter(|rest| rest.current().0 .0 >= first);
    }
}

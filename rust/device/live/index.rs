// SPDX-License-Identifier: GPL-2.0

//! The VMAs of an address space in the order of a key that each has, and that may change.

use super::LiveVma;
use crate::kernel_ext::{
    gather::gather,
    gfp::GFP_BOUNDED,
    sched::cond_resched, //
};
use kernel::{
    alloc::AllocError,
    new_mutex,
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNode,
        RBTreeNodeReservation, //
    },
    sync::{
        Arc,
        Mutex, //
    },
};

/// A key, and the number of the VMA.
type Key = (usize, u64);

type Tree = RBTree<Key, Arc<LiveVma>>;

/// Memory for one VMA in an [`Index`].
pub(super) struct Room(RBTreeNodeReservation<Key, Arc<LiveVma>>);

impl Room {
    /// Allocates it. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn new() -> Result<Self> {
        Ok(Self(RBTreeNodeReservation::new(GFP_BOUNDED)?))
    }
}

/// VMAs in the order of their keys. Several may have the same.
#[pin_data]
pub(super) struct Index {
    #[pin]
    vmas: Mutex<Tree>,
}

impl Index {
    /// Creates an empty index.
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            vmas <- new_mutex!(RBTree::new(), "shadow_rmap::index"),
        })
    }

    /// Adds a VMA; `key` returns its key. Sleeps; allocates nothing.
    pub(super) fn insert(&self, room: Room, vma: &Arc<LiveVma>, key: impl FnOnce() -> usize) {
        let mut vmas = self.vmas.lock();
        vmas.insert(room.0.into_node((key(), vma.id()), vma.clone()));
    }

    /// Removes a VMA, and returns it; `key` returns its key. Sleeps.
    pub(super) fn remove(
        &self,
        vma: &LiveVma,
        key: impl FnOnce() -> usize,
    ) -> Option<RBTreeNode<Key, Arc<LiveVma>>> {
        let mut vmas = self.vmas.lock();
        vmas.remove_node(&(key(), vma.id()))
    }

    /// Changes the key of a VMA: `change` does so, and returns the key before and after. Sleeps; allocates
    /// nothing.
    pub(super) fn change(&self, vma: &LiveVma, change: impl FnOnce() -> (usize, usize)) {
        let mut vmas = self.vmas.lock();
        let (was, now) = change();
        if was != now {
            rekey(&mut vmas, vma, was, now);
        }
    }

    /// Returns the last VMA with a key less than `key`. Sleeps.
    pub(super) fn before(&self, key: usize) -> Option<Arc<LiveVma>> {
        let vmas = self.vmas.lock();
        match vmas.cursor_lower_bound(&(key, 0)) {
            Some(behind) => behind.peek_prev().map(|(_, vma)| vma.clone()),
            None => vmas.cursor_back().map(|last| last.current().1.clone()),
        }
    }

    /// Returns the VMAs with the keys `first..end`, in order. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn between(&self, first: usize, end: usize) -> Result<KVVec<Arc<LiveVma>>> {
        gather(
            || self.vmas.lock(),
            |vmas| {
                let mut n = 0;
                // The visitor only counts, and does not fail.
                let _ = each(vmas, first, end, |_| {
                    n += 1;
                    Ok(())
                });
                n
            },
            |vmas, all| each(vmas, first, end, |vma| all.push(vma.clone(), GFP_BOUNDED)),
        )
    }
}

/// Gives a VMA of a tree another key, if the tree has it with the key `was`. Sleeps; allocates nothing.
pub(super) fn rekey<K: Ord>(
    vmas: &mut RBTree<(K, u64), Arc<LiveVma>>,
    vma: &LiveVma,
    was: K,
    now: K,
) {
    let was = (was, vma.id());
    let Some(this) = vmas.get(&was).cloned() else {
        return;
    };
    if let Some(node) = vmas.remove_node(&was) {
        vmas.insert(node.into_reservation().into_node((now, vma.id()), this));
    }
}

/// Calls `f` with each VMA of a tree with one of the keys `first..end`, in order. Sleeps.
fn each(
    vmas: &mut Tree,
    first: usize,
    end: usize,
    mut f: impl FnMut(&Arc<LiveVma>) -> Result<(), AllocError>,
) -> Result<(), AllocError> {
    let mut next = vmas.cursor_lower_bound_mut(&(first, 0));
    while let Some(here) = next {
        cond_resched();
        let (&(key, _), vma) = here.current();
        if key >= end {
            break;
        }
        f(vma)?;
        next = here.move_next();
    }
    Ok(())
}

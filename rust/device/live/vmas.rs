// SPDX-License-Identifier: GPL-2.0

//! The VMAs of an address space, in the orders in which they are looked for.

use super::{
    index::{
        rekey,
        Index,
        Room, //
    },
    Addresses,
    LiveMm,
    LiveVma,
    Place, //
};
use crate::kernel_ext::{
    gather::gather,
    gfp::GFP_BOUNDED,
    sched::{
        cond_resched,
        resched_each, //
    },
    sort::sort_by_key, //
};
use kernel::{
    new_mutex,
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNode, //
    },
    sync::{
        atomic::Relaxed,
        Arc,
        Mutex, //
    },
};

/// The most VMAs of which [`LiveMm::doubtful`] tells.
pub(crate) const MOST_DOUBTFUL: usize = 256;

/// The VMAs of an address space: those that have no anon_vma in the shadow, or have lost their links,
/// or had at the last look at them, before the others; by number.
type VmaTree = RBTree<(bool, u64), Arc<LiveVma>>;

/// The VMAs of an address space.
#[pin_data]
pub(super) struct Vmas {
    #[pin]
    by_doubt: Mutex<VmaTree>,
    /// By the first address of their places.
    #[pin]
    by_start: Index,
    /// By the noted keys of the host's anon_vmas.
    #[pin]
    by_host_key: Index,
}

impl Vmas {
    /// Creates empty lists.
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            by_doubt <- new_mutex!(RBTree::new(), "shadow_rmap::vmas"),
            by_start <- Index::new(),
            by_host_key <- Index::new(),
        })
    }
}

/// Returns the key of a VMA in [`Vmas::by_start`]. One that has no addresses is behind all others: in front of
/// another one it would hide that.
fn start(place: Place) -> usize {
    let (start, end) = place.addresses;
    if start < end {
        start
    } else {
        usize::MAX
    }
}

impl LiveMm {
    /// Adds a VMA. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; then nothing has changed.
    pub(crate) fn insert(&self, vma: &Arc<LiveVma>) -> Result {
        let node = RBTreeNode::new((false, vma.id()), vma.clone(), GFP_BOUNDED)?;
        let (by_start, by_host_key) = (Room::new()?, Room::new()?);
        self.vmas.by_doubt.lock().insert(node);
        let start = || start(vma.place.get());
        self.vmas.by_start.insert(by_start, vma, start);
        self.vmas
            .by_host_key
            .insert(by_host_key, vma, || vma.noted().0);
        self.nr_vmas.fetch_add(1, Relaxed);
        Ok(())
    }

    /// Removes a VMA, and returns whether it was the last one. Sleeps.
    pub(crate) fn remove(&self, vma: &LiveVma) -> bool {
        let mut vmas = self.vmas.by_doubt.lock();
        let removed = [false, true].map(|faulted| vmas.remove(&(faulted, vma.id())));
        let last = vmas.is_empty();
        drop(vmas);
        self.vmas.by_start.remove(vma, || start(vma.place.get()));
        self.vmas.by_host_key.remove(vma, || vma.noted().0);
        if removed.iter().any(Option::is_some) {
            self.nr_vmas.fetch_sub(1, Relaxed);
        }
        // This may free its memory, which is better done without the lock.
        drop(removed);
        last
    }

    /// Returns any VMA. Sleeps.
    pub(crate) fn any_vma(&self) -> Option<Arc<LiveVma>> {
        self.vmas.by_doubt.lock().values().next().cloned()
    }

    /// Returns all VMAs in order of address. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn vmas(&self) -> Result<KVVec<Arc<LiveVma>>> {
        let mut all = gather(
            || self.vmas.by_doubt.lock(),
            |vmas| vmas.values().count(),
            |vmas, all| {
                resched_each(vmas.values()).try_for_each(|vma| all.push(vma.clone(), GFP_BOUNDED))
            },
        )?;
        // Two VMAs may seem to start at the same address, because the host has moved one of them
        // and the driver was not called.
        sort_by_key(&mut all, |vma| (vma.start.load(Relaxed), vma.id()));
        Ok(all)
    }

    /// Sets where a VMA is. Sleeps; allocates nothing.
    pub(super) fn set_place(&self, vma: &LiveVma, place: Place) {
        self.vmas.by_start.change(vma, || {
            let was = vma.place.get();
            vma.place.set(place);
            (start(was), start(place))
        });
    }

    /// Notes, by `note`, the key of the host's anon_vma of a VMA. Sleeps; allocates nothing.
    pub(super) fn note_host_key(&self, vma: &LiveVma, note: impl FnOnce() -> usize) {
        self.vmas.by_host_key.change(vma, || {
            let was = vma.noted().0;
            (was, note())
        });
    }

    /// Returns the VMAs of which `key`, not 0, was noted to be the key of the host's anon_vma. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn vmas_with(&self, key: usize) -> Result<KVVec<Arc<LiveVma>>> {
        self.vmas.by_host_key.between(key, key + 1)
    }

    /// Returns the VMAs with a place that has some of `addresses`, in order of place. Places overlap only
    /// where the shadow had no memory for a step; then one that begins before another may be left out. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn vmas_at(&self, addresses: Addresses) -> Result<KVVec<Arc<LiveVma>>> {
        let mut all = KVVec::new();
        if let Some(before) = self.vmas.by_start.before(addresses.0) {
            all.push(before, GFP_BOUNDED)?;
        }
        for vma in resched_each(self.vmas.by_start.between(addresses.0, addresses.1)?) {
            all.push(vma, GFP_BOUNDED)?;
        }
        all.retain(|vma| vma.place.get().has_some_of(addresses));
        Ok(all)
    }

    /// Returns the first ones of the VMAs that have no anon_vma in the shadow, or have lost their links or
    /// may do so, as far as that is known. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn doubtful(&self) -> Result<KVVec<Arc<LiveVma>>> {
        let mut vmas = self.vmas.by_doubt.lock();
        let (mut faulted, mut kept) = (RBTree::new(), 0);
        let mut cursor = vmas.cursor_front_mut();
        while let Some(here) = cursor {
            cond_resched();
            let (&(known, id), vma) = here.current();
            if known || kept == MOST_DOUBTFUL {
                break;
            }
            let may_lose = self.has_moved.load(Relaxed) && vma.may_lose.load(Relaxed);
            if vma.core.is_unfaulted() || vma.is_lost.load(Relaxed) || may_lose {
                kept += 1;
                cursor = here.move_next();
                continue;
            }
            let vma = vma.clone();
            let (rest, node) = here.remove_current();
            faulted.insert(node.into_reservation().into_node((true, id), vma));
            // After the last node has been removed, the cursor is at the node before it.
            cursor = rest.filter(|rest| *rest.current().0 > (false, id));
        }
        while let Some(first) = faulted.cursor_front_mut() {
            vmas.insert(first.remove_current().1);
        }
        drop(vmas);
        gather(
            || self.vmas.by_doubt.lock(),
            |vmas| doubtful_of(vmas).count(),
            |vmas, all| doubtful_of(vmas).try_for_each(|vma| all.push(vma.clone(), GFP_BOUNDED)),
        )
    }

    /// Notes that a VMA has no anon_vma in the shadow any more, or has lost its links or may do so. Sleeps;
    /// allocates nothing.
    pub(crate) fn note_doubtful(&self, vma: &LiveVma) {
        rekey(&mut self.vmas.by_doubt.lock(), vma, true, false);
    }
}

/// Returns the first VMAs of a tree, those that are not known to have their links.
fn doubtful_of(vmas: &VmaTree) -> impl Iterator<Item = &Arc<LiveVma>> {
    let doubtful = vmas.iter().take_while(|(&(faulted, _), _)| !faulted);
    resched_each(doubtful.take(MOST_DOUBTFUL)).map(|(_, vma)| vma)
}

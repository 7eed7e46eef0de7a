// SPDX-License-Identifier: GPL-2.0

//! Where pages go that are taken out of all page tables.
//!
//! C: [`mm/swapfile.c`](srctree/mm/swapfile.c), [`mm/swap_state.c`](srctree/mm/swap_state.c)
//!
//! There is no disk: a [`Slot`] is a page of memory that nobody maps.  Its users are the PTEs that
//! hold an [`Entry`] of it.  While the swap cache has the page, slot and page know each other:
//!
//! ```text
//!   PTE --Entry--> Slot --cache--> Page        until the slot has no user,
//!                   |   <--lock---  |          or the page is reclaimed
//!                  pin              rmap.mapping
//!                   |               |
//!                   +--> anon_vma <-+          the same, or another that all users are linked to
//! ```
//!
//! Both ways are set and cleared together, with the page locked.  The slot's own lock is held for
//! no longer than it takes to read or change its one word, or to fill a page that nobody else has
//! seen: nothing is locked under it.
//!
//! *Why the pin finds all users (R39).*  The page was in the anon_vma when its PTEs were replaced, so
//! each VMA that got an entry is linked to it (R21).  From there entries get to other VMAs only by
//! fork, split and move, each of which links the new VMA to all that the old one is linked to; and a
//! VMA gives up its links after its PTEs.  So while there is a user its VMA is linked, and where
//! there is none, there is nothing to be found: the pin itself keeps no more than the memory (R18).

use super::{
    may_allocate,
    page::{
        Page,
        PageGuard, //
    },
    Modelled, //
};
use crate::{
    kernel_ext::{
        frame::Frame,
        typesafe::Pinned, //
    },
    rmap::anon_vma::AnonVma,
    stats, //
};
use core::{
    mem::MaybeUninit,
    ops::Deref, //
};
use kernel::{
    new_spinlock,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        Arc,
        SpinLock,
        UniqueArc, //
    },
};

/// A page's place in swap.
#[pin_data]
pub(crate) struct Slot<R: Modelled> {
    /// What the page held when the swap cache let go of it; read only while the cache is empty.
    frame: Frame,
    /// The page's offset (in pages).
    index: usize,
    /// Entries.  From 0 it grows only while the page is locked.
    users: Atomic<usize>,
    /// Those of them that are in a PTE.
    pub(super) ptes: Atomic<usize>,
    /// 1 while somebody tries to do without the slot.
    leaving: Atomic<i32>,
    /// Where the page was: all users are linked to it.
    pin: Pinned<AnonVma<R>>,
    /// The swap cache: the page, while it is in memory.
    #[pin]
    cache: SpinLock<Option<Arc<Page<R>>>>,
    _counted: Counted,
}

/// Memory for a slot, allocated before the first lock is taken.
pub(super) struct Room<R: Modelled> {
    slot: UniqueArc<MaybeUninit<Slot<R>>>,
    frame: Frame,
}

impl<R: Modelled> Room<R> {
    /// Allocates it.  Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn new() -> Result<Self> {
        let frame = Frame::new()?;
        may_allocate::<R>()?;
        Ok(Self {
            slot: UniqueArc::new_uninit(GFP_KERNEL)?,
            frame,
        })
    }

    /// `folio_alloc_swap()`: a slot for `page`, which is locked and in no other, and in the anon_vma
    /// `pin`.  The page is in the swap cache then.
    pub(super) fn add(
        self,
        page: &Arc<Page<R>>,
        locked: &mut PageGuard<'_, R>,
        pin: Pinned<AnonVma<R>>,
    ) -> Arc<Slot<R>> {
        let Self { slot, frame } = self;
        let Ok(slot) = slot.pin_init_with(pin_init!(Slot {
            frame,
            index: page.rmap.index(),
            users: Atomic::new(0),
            ptes: Atomic::new(0),
            leaving: Atomic::new(0),
            pin,
            cache <- new_spinlock!(Some(page.clone()), "shadow_rmap::swap_cache"),
            _counted: Counted::new(),
        }));
        let slot = Arc::from(slot);
        **locked = Some(slot.clone());
        slot
    }
}

impl<R: Modelled> Slot<R> {
    /// How many entries there are: PTEs, but for what somebody has taken out of a PTE just now.
    /// Any context.
    pub(crate) fn users(&self) -> usize {
        self.users.load(Relaxed)
    }

    /// How many PTEs hold an entry.  Any context.
    pub(super) fn ptes(&self) -> usize {
        self.ptes.load(Relaxed)
    }

    /// The offset of its page (in pages).
    pub(super) fn index(&self) -> usize {
        self.index
    }

    /// The anon_vma that its page was in.
    pub(super) fn anon_vma(&self) -> &AnonVma<R> {
        &self.pin
    }

    /// Whether a locked page is in the swap cache for this slot.
    ///
    /// Whoever has got the page from [`page`](Self::page) asks this once it is locked: it may have
    /// been reclaimed meanwhile, and the slot have another page.
    pub(crate) fn has(&self, locked: &PageGuard<'_, R>) -> bool {
        locked
            .as_ref()
            .is_some_and(|slot| core::ptr::eq(&raw const **slot, self))
    }

    /// The page, if it is in memory.  Any context.
    fn cached(&self) -> Option<Arc<Page<R>>> {
        let cache = self.cache.lock();
        (*cache).clone()
    }

    /// `swapin_readahead()`: the page, from the swap cache; or a new one, which was never anonymous,
    /// with what was written there, and which is in the swap cache from now on.  Sleeps.
    ///
    /// All who ask get the same page, until it is reclaimed again.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EAGAIN` where the slot has no user any more, so that what led here has changed.
    pub(crate) fn page(self: &Arc<Self>) -> Result<Arc<Page<R>>> {
        if let Some(page) = self.cached() {
            return Ok(page);
        }
        let page = Page::new(self.index)?;
        // Nobody else knows it.
        let mut locked = page.lock();
        let mut cache = self.cache.lock();
        let read = match &*cache {
            // Another thread was faster; ours is freed without the lock.
            Some(theirs) => Ok(theirs.clone()),
            // Who drops the last entry looks for a page afterwards: either we see the count at 0, or
            // that one sees our page.
            None if self.users() == 0 => Err(EAGAIN),
            None => {
                page.frame.copy_from(&self.frame);
                *cache = Some(page.clone());
                *locked = Some(self.clone());
                stats::SWAP_INS.inc();
                Ok(page.clone())
            }
        };
        drop(cache);
        drop(locked);
        read
    }

    /// Calls `f` with the page, locked and in the swap cache for this slot.  Sleeps.
    ///
    /// # Errors
    ///
    /// As [`page`](Self::page).
    pub(crate) fn with_page<T>(
        self: &Arc<Self>,
        f: impl FnOnce(&Arc<Page<R>>, &mut PageGuard<'_, R>) -> T,
    ) -> Result<T> {
        loop {
            let page = self.page()?;
            let mut locked = page.lock();
            if self.has(&locked) {
                return Ok(f(&page, &mut locked));
            }
            // It was reclaimed while we waited for its lock.
        }
    }

    /// One more user, of a slot that has some.  Any context.
    fn try_user(self: &Arc<Self>) -> Option<Entry<R>> {
        let mut users = self.users();
        while users > 0 {
            match self.users.cmpxchg(users, users + 1, Full) {
                Ok(_) => return Some(Entry(self.clone())),
                Err(now) => users = now,
            }
        }
        None
    }
}

/// A user of a slot: what a PTE holds instead of the page.
///
/// A clone is one more user, a dropped entry one less.  The last one takes the page out of the swap
/// cache, for which it takes the page lock: it is not dropped under a spinlock, nor while the page is
/// locked.  Who has a clone to look at is counted as a user; [`slot`](Self::slot) is for those who
/// do not want that.
pub(crate) struct Entry<R: Modelled>(Arc<Slot<R>>);

impl<R: Modelled> Entry<R> {
    /// A user of the slot that a locked page is in.  Any context.
    pub(super) fn new(slot: &Arc<Slot<R>>, _locked: &PageGuard<'_, R>) -> Self {
        slot.users.fetch_add(1, Relaxed);
        Self(slot.clone())
    }

    /// The slot.
    pub(crate) fn slot(&self) -> &Arc<Slot<R>> {
        &self.0
    }

    /// Whether both are of one slot.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.is_of(&other.0)
    }

    /// Whether it is one of `slot`.
    pub(crate) fn is_of(&self, slot: &Arc<Slot<R>>) -> bool {
        Arc::ptr_eq(&self.0, slot)
    }
}

impl<R: Modelled> Deref for Entry<R> {
    type Target = Slot<R>;

    fn deref(&self) -> &Slot<R> {
        &self.0
    }
}

/// `swap_dup_entries()`.
impl<R: Modelled> Clone for Entry<R> {
    fn clone(&self) -> Self {
        // There is at least one.
        self.0.users.fetch_add(1, Relaxed);
        Self(self.0.clone())
    }
}

/// `swap_put_entries()`.
impl<R: Modelled> Drop for Entry<R> {
    fn drop(&mut self) {
        if self.0.users.fetch_sub(1, Full) > 1 {
            return;
        }
        if let Some(page) = self.0.cached() {
            // It may have found users again before it is locked.
            free_swap(&mut page.lock());
        }
    }
}

/// `folio_free_swap()`: takes a locked page out of the swap cache if nobody uses its slot.  Returns
/// whether it is in no swap cache, so that who maps it is all there is.  Sleeps.
///
/// The caller has a reference on the page.
pub(crate) fn free_swap<R: Modelled>(locked: &mut PageGuard<'_, R>) -> bool {
    // From here on there is no user: a first one needs the page lock.
    let Some(slot) = locked.take_if(|slot| slot.users() == 0) else {
        return locked.is_none();
    };
    forget_page(&slot);
    true
}

/// `remove_mapping()`: the memory of a locked page that nobody maps is wanted for something else, so
/// the slot is filled, and the swap cache let go of the page.  Returns whether it is in no swap
/// cache.  Sleeps.
///
/// The caller has a reference on the page.
pub(crate) fn remove_mapping<R: Modelled>(page: &Page<R>, locked: &mut PageGuard<'_, R>) -> bool {
    // Nobody maps it before it is unlocked, so nobody writes to it.
    if free_swap(locked) || page.rmap.mapped() {
        return locked.is_none();
    }
    if let Some(slot) = locked.take() {
        slot.frame.copy_from(&page.frame);
        forget_page(&slot);
        stats::SWAP_OUTS.inc();
    }
    true
}

/// Empties the swap cache of `slot`.  The caller has a reference on what was there.
fn forget_page<R: Modelled>(slot: &Slot<R>) {
    let page = slot.cache.lock().take();
    drop(page);
}

/// Somebody tries to do without a slot: `swapoff()`.  Dropped, another may.
///
/// It is a user itself, so that no other is the last.
pub(super) struct Leaving<R: Modelled>(Entry<R>);

impl<R: Modelled> Leaving<R> {
    /// `None` where the slot has no user.
    ///
    /// # Errors
    ///
    /// `EBUSY` where another does already.
    pub(super) fn new(slot: &Arc<Slot<R>>) -> Result<Option<Self>> {
        let Some(user) = slot.try_user() else {
            return Ok(None);
        };
        match slot.leaving.cmpxchg(0, 1, Full) {
            Ok(_) => Ok(Some(Self(user))),
            Err(_) => Err(EBUSY),
        }
    }

    /// How many users there are besides.
    pub(super) fn others(&self) -> usize {
        self.0.users().saturating_sub(1)
    }
}

impl<R: Modelled> Drop for Leaving<R> {
    fn drop(&mut self) {
        self.0.leaving.store(0, Relaxed);
    }
}

/// Counts the slots that there are.
struct Counted;

impl Counted {
    fn new() -> Self {
        stats::SLOTS_ALLOCATED.inc();
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        stats::SLOTS_FREED.inc();
    }
}

#[cfg(shadow_rmap_kunit)]
#[path = "tests/swap.rs"]
mod tests;

// SPDX-License-Identifier: GPL-2.0

//! Swap: pages that are taken out of all page tables.
//!
//! C: [`mm/swapfile.c`](srctree/mm/swapfile.c), [`mm/swap_state.c`](srctree/mm/swap_state.c)
//!
//! There is no disk: a [`Slot`] is a page of memory that is never mapped. Its users are the PTEs
//! that hold an [`Entry`] of it. While the swap cache has the page, slot and page refer to each
//! other:
//!
//! ```text
//!   PTE --Entry--> Slot --cache--> Page        until the slot has no user,
//!                   |   <--lock---  |          or the page is reclaimed
//!                  pin              rmap.mapping
//!                   |               |
//!                   +--> anon_vma <-+          the same, or another that all users are linked to
//! ```
//!
//! Both references are set and cleared together, with the page locked. The slot's own lock is held
//! only to read or change one word, or to fill a page that no other thread knows: no lock is taken
//! under it.
//!
//! *Why a walk from the pinned anon_vma finds all users (R39).* The page led to the anon_vma when
//! its PTEs were replaced, so each VMA that got an entry is linked to it (R21). Other VMAs get
//! entries only by fork, split and move, each of which links the new VMA to all anon_vmas of the
//! old one. A VMA is unlinked after its PTEs are cleared. So the VMA of each user is linked.
//! Without users the pin keeps only the memory of the anon_vma (R18), and a walk finds nothing.

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

/// A place in swap for a page.
#[pin_data]
pub(crate) struct Slot<R: Modelled> {
    /// The content of the page when it left the swap cache; read only while `cache` is empty.
    frame: Frame,
    /// The page's offset (in pages).
    index: usize,
    /// The number of entries. It grows from 0 only while the page is locked.
    users: Atomic<usize>,
    /// The number of entries in PTEs.
    pub(super) ptes: Atomic<usize>,
    /// 1 while a thread does `swapoff()` of the slot.
    leaving: Atomic<i32>,
    /// The anon_vma to which the page led: the VMAs of all users are linked to it.
    pin: Pinned<AnonVma<R>>,
    /// The page, while the swap cache has it.
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
    /// Allocates the memory. Sleeps.
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

    /// `folio_alloc_swap()`: makes a slot for `page`, which is locked, has no slot, and leads to
    /// the anon_vma `pin`. The page is in the swap cache then.
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
    /// Returns the number of entries: those in PTEs, and those that a thread has taken out of a PTE
    /// and not dropped yet. Any context.
    pub(crate) fn users(&self) -> usize {
        self.users.load(Relaxed)
    }

    /// Returns the number of PTEs that hold an entry. Any context.
    pub(super) fn ptes(&self) -> usize {
        self.ptes.load(Relaxed)
    }

    /// Returns the offset of its page (in pages).
    pub(super) fn index(&self) -> usize {
        self.index
    }

    /// Returns the anon_vma to which its page led.
    pub(crate) fn anon_vma(&self) -> &AnonVma<R> {
        &self.pin
    }

    /// Returns whether a locked page is in the swap cache for this slot.
    ///
    /// A page that [`page`](Self::page) returned may have been reclaimed before it was locked, and
    /// the slot may have another page.
    pub(crate) fn has(&self, locked: &PageGuard<'_, R>) -> bool {
        locked
            .as_ref()
            .is_some_and(|slot| core::ptr::eq(&raw const **slot, self))
    }

    /// Returns the page, if the swap cache has it. Any context.
    fn cached(&self) -> Option<Arc<Page<R>>> {
        let cache = self.cache.lock();
        (*cache).clone()
    }

    /// `swapin_readahead()`: returns the page from the swap cache. If it is not there, makes a page
    /// with the content of the slot, which was never anonymous, and puts it there. Sleeps.
    ///
    /// All callers get the same page, until it is reclaimed again.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EAGAIN` if the slot has no users any more: then the PTE has changed that led
    /// here.
    pub(crate) fn page(self: &Arc<Self>) -> Result<Arc<Page<R>>> {
        if let Some(page) = self.cached() {
            return Ok(page);
        }
        let page = Page::new(self.index)?;
        // No other thread knows it.
        let mut locked = page.lock();
        let mut cache = self.cache.lock();
        let read = match &*cache {
            // Another thread was faster. This page is freed without the lock.
            Some(theirs) => Ok(theirs.clone()),
            // A thread that drops the last entry looks for a page afterwards: either this thread
            // sees the count at 0, or that thread sees this page.
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

    /// Calls `f` with the page, locked and in the swap cache for this slot. Sleeps.
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
            // It was reclaimed while this thread waited for its lock.
        }
    }

    /// Adds a user, if the slot has any. Any context.
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

/// A user of a slot: a PTE holds it instead of the page.
///
/// A clone is one more user. Dropping the last entry takes the page out of the swap cache, under
/// the page lock: so it is dropped neither under a spinlock nor while the page is locked. A clone
/// that is only looked at is a user as well; use [`slot`](Self::slot) instead.
pub(crate) struct Entry<R: Modelled>(Arc<Slot<R>>);

impl<R: Modelled> Entry<R> {
    /// Makes a user of the slot of a locked page. Any context.
    pub(super) fn new(slot: &Arc<Slot<R>>, _locked: &PageGuard<'_, R>) -> Self {
        slot.users.fetch_add(1, Relaxed);
        Self(slot.clone())
    }

    /// Returns the slot.
    pub(crate) fn slot(&self) -> &Arc<Slot<R>> {
        &self.0
    }

    /// Returns whether both are of the same slot.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.is_of(&other.0)
    }

    /// Returns whether it is of `slot`.
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
        // The count is at least 1.
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
            // The slot may have users again before the page is locked.
            free_swap(&mut page.lock());
        }
    }
}

/// `folio_free_swap()`: takes a locked page out of the swap cache if its slot has no users. Returns
/// whether the page is in no swap cache, so that its mapcount counts all users. Sleeps.
///
/// The caller has a reference on the page.
pub(crate) fn free_swap<R: Modelled>(locked: &mut PageGuard<'_, R>) -> bool {
    // No user comes back: making a first entry needs the page lock.
    let Some(slot) = locked.take_if(|slot| slot.users() == 0) else {
        return locked.is_none();
    };
    forget_page(&slot);
    true
}

/// `remove_mapping()`: copies a locked page that no PTE maps to its slot, and takes it out of the
/// swap cache, so that its memory can be freed. Returns whether it is in no swap cache. Sleeps.
///
/// The caller has a reference on the page.
pub(crate) fn remove_mapping<R: Modelled>(page: &Page<R>, locked: &mut PageGuard<'_, R>) -> bool {
    // No thread maps it, or writes to it, before it is unlocked.
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

/// Takes the page of `slot` out of the swap cache. The caller has a reference on it.
fn forget_page<R: Modelled>(slot: &Slot<R>) {
    let page = slot.cache.lock().take();
    drop(page);
}

/// The right of one thread to do `swapoff()` of a slot.
///
/// It is a user itself, so no other user is the last.
pub(super) struct Leaving<R: Modelled>(Entry<R>);

impl<R: Modelled> Leaving<R> {
    /// Takes the right; `None` if the slot has no users.
    ///
    /// # Errors
    ///
    /// `EBUSY` if another thread has it.
    pub(super) fn new(slot: &Arc<Slot<R>>) -> Result<Option<Self>> {
        let Some(user) = slot.try_user() else {
            return Ok(None);
        };
        match slot.leaving.cmpxchg(0, 1, Full) {
            Ok(_) => Ok(Some(Self(user))),
            Err(_) => Err(EBUSY),
        }
    }

    /// Returns the number of other users.
    pub(super) fn others(&self) -> usize {
        self.0.users().saturating_sub(1)
    }
}

impl<R: Modelled> Drop for Leaving<R> {
    fn drop(&mut self) {
        self.0.leaving.store(0, Relaxed);
    }
}

/// Counts the slots that are allocated.
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

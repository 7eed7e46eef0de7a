// SPDX-License-Identifier: GPL-2.0

//! A page: what the reverse map keeps in it, its lock, and its memory.
//!
//! C: `struct folio` of [`include/linux/mm_types.h`](srctree/include/linux/mm_types.h)
//!
//! Its reference count is that of its [`Arc`]: each PTE that maps it has a reference, and so have
//! the swap cache and each thread that uses it (R4).

use super::{
    may_allocate,
    swap::Slot,
    table::Ptes,
    Modelled, //
};
use crate::{
    kernel_ext::frame::Frame,
    rmap::{
        page::PageRmap,
        rules::Rule, //
    },
    stats, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        lock::{
            mutex::MutexBackend,
            Guard, //
        },
        Arc,
        Mutex, //
    },
};

/// The next number of a page; none is used twice.
static NEXT_ID: Atomic<u64> = Atomic::new(1);

/// A page.
#[pin_data]
pub(crate) struct Page<R: Modelled> {
    /// Its number, in messages.
    pub(crate) id: u64,
    /// What the reverse map keeps in it.
    pub(crate) rmap: PageRmap<R>,
    /// 1 if one PTE alone maps it, and the page is of the VMA's own anon_vma: `PageAnonExclusive`.
    /// Changes under the lock of that PTE's page table.
    exclusive: Atomic<i32>,
    /// Its memory.
    pub(crate) frame: Frame,
    /// The page lock, and what it protects: the slot of swap, as long as the swap cache has the
    /// page.
    #[pin]
    lock: Mutex<Option<Arc<Slot<R>>>>,
    _counted: Counted,
}

/// A page is locked.
pub(crate) type PageGuard<'a, R> = Guard<'a, Option<Arc<Slot<R>>>, MutexBackend>;

impl<R: Modelled> Page<R> {
    /// Makes a page of zeros that is not mapped, for offset `index` (in pages). Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(index: usize) -> Result<Arc<Self>> {
        let frame = Frame::new()?;
        may_allocate::<R>()?;
        Arc::pin_init(
            pin_init!(Self {
                id: NEXT_ID.fetch_add(1, Relaxed),
                rmap: PageRmap::new(index),
                exclusive: Atomic::new(0),
                frame,
                lock <- new_mutex!(None, "shadow_rmap::page_lock"),
                _counted: Counted::new(),
            }),
            GFP_KERNEL,
        )
    }

    /// Returns whether `locked` is this page's lock: that of another one protects nothing here.
    pub(super) fn covered_by(&self, locked: &PageGuard<'_, R>) -> bool {
        Rule::R34.guard(core::ptr::eq(locked.lock_ref(), &raw const self.lock))
    }

    /// Returns whether it is one process's alone (R20).
    pub(crate) fn is_exclusive(&self) -> bool {
        self.exclusive.load(Relaxed) != 0
    }

    /// `SetPageAnonExclusive()` or `ClearPageAnonExclusive()`, with the PTE's page table locked.
    pub(super) fn set_exclusive(&self, exclusive: bool, _ptes: &mut Ptes<'_, R>) {
        self.exclusive.store(exclusive.into(), Relaxed);
    }

    /// Takes over whether `old` is exclusive, whose place this page takes: migration, with both
    /// locked and neither in a page table.
    pub(super) fn take_exclusive_of(&self, old: &Self) {
        self.exclusive.store(old.exclusive.load(Relaxed), Relaxed);
    }

    /// `folio_lock()`. Sleeps.
    pub(crate) fn lock(&self) -> PageGuard<'_, R> {
        self.lock.lock()
    }

    /// `folio_trylock()`. Any context but interrupts.
    pub(crate) fn try_lock(&self) -> Option<PageGuard<'_, R>> {
        self.lock.try_lock()
    }
}

/// Counts the pages that are allocated.
struct Counted;

impl Counted {
    fn new() -> Self {
        stats::PAGES_ALLOCATED.inc();
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        stats::PAGES_FREED.inc();
    }
}

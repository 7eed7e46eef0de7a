// SPDX-License-Identifier: GPL-2.0

//! A page: what the reverse map keeps in it, its lock, and its memory.
//!
//! C: `struct folio` of [`include/linux/mm_types.h`](srctree/include/linux/mm_types.h)
//!
//! Its reference count is that of the [`Arc`] it lives in: page tables have one each, so does the
//! swap cache, and whoever looks it up (R4).

use super::{
    may_allocate,
    swap::Slot,
    Modelled, //
};
use crate::{
    kernel_ext::frame::Frame,
    rmap::anon_vma::PageRmap,
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

/// The numbers that people know pages by; never used twice.
static NEXT_ID: Atomic<u64> = Atomic::new(1);

/// A page.
#[pin_data]
pub(crate) struct Page<R: Modelled> {
    /// Its number, for people.
    pub(crate) id: u64,
    /// What the reverse map keeps in it.
    pub(crate) rmap: PageRmap<R>,
    /// Its memory.
    pub(crate) frame: Frame,
    /// The page lock, and what it protects: where the page is in swap, as long as the swap cache
    /// has it.
    #[pin]
    lock: Mutex<Option<Arc<Slot<R>>>>,
    _counted: Counted,
}

/// A page is locked.
pub(crate) type PageGuard<'a, R> = Guard<'a, Option<Arc<Slot<R>>>, MutexBackend>;

impl<R: Modelled> Page<R> {
    /// A page of zeros that is not mapped, for offset `index` (in pages).  Sleeps.
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
                frame,
                lock <- new_mutex!(None, "shadow_rmap::page_lock"),
                _counted: Counted::new(),
            }),
            GFP_KERNEL,
        )
    }

    /// `folio_lock()`.  Sleeps.
    pub(crate) fn lock(&self) -> PageGuard<'_, R> {
        self.lock.lock()
    }

    /// `folio_trylock()`.  Any context but interrupts.
    pub(crate) fn try_lock(&self) -> Option<PageGuard<'_, R>> {
        self.lock.try_lock()
    }
}

/// Counts the pages that there are.
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

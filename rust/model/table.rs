// SPDX-License-Identifier: GPL-2.0

//! Page tables.
//!
//! One table holds the PTEs of a whole address space, under one lock: `page_table_lock` of a kernel
//! without split page table locks.  The reverse map's rules do not depend on how many there are.

use super::{
    may_allocate,
    page::Page,
    swap::Entry,
    walk::Migration,
    Modelled, //
};
use crate::kernel_ext::spinlock::{
    new_spinlock,
    SpinLock, //
    SpinLockGuard,
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
};

/// What is at an address.
pub(crate) enum Pte<R: Modelled> {
    /// Nothing: reading it finds zeros.
    None,
    /// A page.
    Present {
        /// Which.
        page: Arc<Page<R>>,
        /// Whether it may be written to; if not, it is copied first, or turns out to be nobody
        /// else's.
        writable: bool,
    },
    /// A page that is in swap: the entry is a user of the slot.
    Swap(Entry<R>),
    /// A page that is being moved to another: whoever wants it waits.
    Migration {
        /// Where it goes.
        to: Arc<Migration<R>>,
        /// As above.
        writable: bool,
    },
}

// By hand, for `R` is not `Clone`.
impl<R: Modelled> Clone for Pte<R> {
    fn clone(&self) -> Self {
        match self {
            Pte::None => Pte::None,
            Pte::Present { page, writable } => Pte::Present {
                page: page.clone(),
                writable: *writable,
            },
            Pte::Swap(entry) => Pte::Swap(entry.clone()),
            Pte::Migration { to, writable } => Pte::Migration {
                to: to.clone(),
                writable: *writable,
            },
        }
    }
}

impl<R: Modelled> Pte<R> {
    /// The page, if there is one.
    pub(crate) fn page(&self) -> Option<&Arc<Page<R>>> {
        match self {
            Pte::Present { page, .. } => Some(page),
            _ => None,
        }
    }

    /// Whether it is `page` that is here (R35).
    pub(crate) fn maps(&self, page: &Page<R>) -> bool {
        self.page()
            .is_some_and(|here| core::ptr::eq(&raw const **here, page))
    }

    /// Whether there is nothing.
    pub(crate) fn is_none(&self) -> bool {
        matches!(self, Pte::None)
    }

    /// Where the PTEs are counted that have what this one has, if anywhere.
    fn counter(&self) -> Option<&Atomic<usize>> {
        match self {
            Pte::Swap(entry) => Some(&entry.slot().ptes),
            Pte::Migration { to, .. } => Some(&to.ptes),
            Pte::None | Pte::Present { .. } => None,
        }
    }
}

/// The PTEs of an address space.
#[pin_data]
pub(crate) struct PageTable<R: Modelled> {
    size: usize,
    #[pin]
    ptes: SpinLock<KVVec<Pte<R>>>,
}

/// The PTEs are locked: `pte_offset_map_lock()`.
pub(crate) struct Ptes<'a, R: Modelled>(SpinLockGuard<'a, KVVec<Pte<R>>>);

impl<R: Modelled> PageTable<R> {
    /// A table for the addresses `0..size` (in pages), with nothing in it.  Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(size: usize) -> Result<impl PinInit<Self>> {
        may_allocate::<R>()?;
        let mut ptes = KVVec::with_capacity(size, GFP_KERNEL)?;
        for _ in 0..size {
            ptes.push(Pte::None, GFP_KERNEL)?;
        }
        Ok(pin_init!(Self {
            size,
            ptes <- new_spinlock!(ptes, c"shadow_rmap::ptl"),
        }))
    }

    /// How many addresses there are.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// `spin_lock(ptl)`.
    pub(crate) fn lock(&self) -> Ptes<'_, R> {
        Ptes(self.ptes.lock())
    }

    /// `spin_lock_nested(ptl, SINGLE_DEPTH_NESTING)`: the child's at fork, while the parent's is
    /// held.
    pub(crate) fn lock_nested(&self) -> Ptes<'_, R> {
        Ptes(self.ptes.lock_nested())
    }
}

impl<R: Modelled> Ptes<'_, R> {
    /// What is at `address`; nothing is outside of the table.
    pub(crate) fn get(&self, address: usize) -> &Pte<R> {
        self.0.get(address).unwrap_or(&Pte::None)
    }

    /// `set_pte_at()`: puts `pte` at `address`; returns what was there, to be dropped when the lock
    /// has been released.
    ///
    /// Hands `pte` back where there is no such address.
    #[must_use = "what was there may be the last reference on something"]
    pub(crate) fn set(&mut self, address: usize, pte: Pte<R>) -> Pte<R> {
        let Some(there) = self.0.get_mut(address) else {
            return pte;
        };
        if let Some(ptes) = pte.counter() {
            ptes.fetch_add(1, Relaxed);
        }
        if let Some(ptes) = there.counter() {
            ptes.fetch_sub(1, Relaxed);
        }
        core::mem::replace(there, pte)
    }

    /// `ptep_get_and_clear()`.
    #[must_use = "what was there may be the last reference on something"]
    pub(crate) fn clear(&mut self, address: usize) -> Pte<R> {
        self.set(address, Pte::None)
    }

    /// `ptep_set_wrprotect()`: what is at `address` is copied before it is written to.
    pub(crate) fn wrprotect(&mut self, address: usize) {
        let there = self.0.get_mut(address);
        if let Some(Pte::Present { writable, .. } | Pte::Migration { writable, .. }) = there {
            *writable = false;
        }
    }
}

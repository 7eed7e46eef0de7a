// SPDX-License-Identifier: GPL-2.0

//! Page tables.
//!
//! One table holds the PTEs of a whole address space, under one lock: `page_table_lock` of a kernel
//! without split page table locks. The rules of the reverse map do not depend on the number of
//! locks.
//!
//! Only `model/mapping.rs` can change a PTE: it counts what a PTE maps.

use crate::{
    kernel_ext::spinlock::{
        new_spinlock,
        SpinLock, //
        SpinLockGuard,
    },
    model::{
        may_allocate,
        page::Page,
        swap::Entry,
        walk::Migration,
        Modelled, //
    },
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

/// A PTE: the content of an address.
pub(crate) enum Pte<R: Modelled> {
    /// Nothing: a read returns zeros.
    None,
    /// A page.
    Present {
        /// The page.
        page: Arc<Page<R>>,
        /// Whether it may be written to. Otherwise a write copies the page first, unless no other
        /// PTE maps it.
        writable: bool,
    },
    /// A page in swap: the entry is a user of the slot.
    Swap(Entry<R>),
    /// A page that is being moved to new memory: a fault waits.
    Migration {
        /// The migration.
        to: Arc<Migration<R>>,
        /// As for a page that is present.
        writable: bool,
    },
}

// Not derived, because `R` is not `Clone`.
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
    /// Returns the page, if one is present.
    pub(crate) fn page(&self) -> Option<&Arc<Page<R>>> {
        match self {
            Pte::Present { page, .. } => Some(page),
            _ => None,
        }
    }

    /// Returns whether it maps `page` (R35).
    pub(crate) fn maps(&self, page: &Page<R>) -> bool {
        self.page()
            .is_some_and(|here| core::ptr::eq(&raw const **here, page))
    }

    /// Returns whether it is empty.
    pub(crate) fn is_none(&self) -> bool {
        matches!(self, Pte::None)
    }

    /// Returns the counter of PTEs with the same entry, if it is an entry.
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

/// The PTEs of an address space, locked: `pte_offset_map_lock()`.
pub(crate) struct Ptes<'a, R: Modelled> {
    table: &'a PageTable<R>,
    ptes: SpinLockGuard<'a, KVVec<Pte<R>>>,
}

impl<R: Modelled> PageTable<R> {
    /// Makes an empty table for the addresses `0..size` (in pages). Sleeps.
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

    /// Returns the number of addresses.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// `spin_lock(ptl)`.
    pub(crate) fn lock(&self) -> Ptes<'_, R> {
        Ptes {
            table: self,
            ptes: self.ptes.lock(),
        }
    }

    /// `spin_lock_nested(ptl, SINGLE_DEPTH_NESTING)`: the child's at fork, while the parent's is
    /// held.
    pub(crate) fn lock_nested(&self) -> Ptes<'_, R> {
        Ptes {
            table: self,
            ptes: self.ptes.lock_nested(),
        }
    }
}

impl<R: Modelled> Ptes<'_, R> {
    /// Returns whether these are the PTEs of `table`.
    pub(in crate::model) fn are_of(&self, table: &PageTable<R>) -> bool {
        core::ptr::eq(self.table, table)
    }

    /// Returns the PTE of `address`; outside of the table an empty one.
    pub(crate) fn get(&self, address: usize) -> &Pte<R> {
        self.ptes.get(address).unwrap_or(&Pte::None)
    }

    /// Returns whether there is such an address.
    pub(super) fn has(&self, address: usize) -> bool {
        address < self.ptes.len()
    }

    /// `set_pte_at()`: puts `pte` at `address`. Returns the old PTE, to be dropped when the lock
    /// has been released.
    ///
    /// Returns `pte` itself if there is no such address.
    #[must_use = "the old PTE may have the last reference on a page or slot"]
    pub(super) fn set(&mut self, address: usize, pte: Pte<R>) -> Pte<R> {
        let Some(there) = self.ptes.get_mut(address) else {
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
    #[must_use = "the old PTE may have the last reference on a page or slot"]
    pub(super) fn clear(&mut self, address: usize) -> Pte<R> {
        self.set(address, Pte::None)
    }

    /// `ptep_set_wrprotect()`: makes the PTE of `address` read-only.
    pub(in crate::model) fn wrprotect(&mut self, address: usize) {
        let there = self.ptes.get_mut(address);
        if let Some(Pte::Present { writable, .. } | Pte::Migration { writable, .. }) = there {
            *writable = false;
        }
    }
}

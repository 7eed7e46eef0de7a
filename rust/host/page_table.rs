// SPDX-License-Identifier: GPL-2.0

//! The anonymous pages that a VMA of the host maps, read from its page table.
//!
//! C header: [`include/linux/pgtable.h`](srctree/include/linux/pgtable.h).
//!
//! `get_user_pages()` would do the same, but takes a reference on each page, which other processes
//! notice when they write to it, and gives up if the caller is being killed.

use super::{
    process::ReadLocked,
    vma::HostVma, //
};
use crate::{
    ffi,
    kernel_ext::{
        gfp::GFP_BOUNDED,
        sched::cond_resched, //
    },
};
use core::marker::PhantomData;
use kernel::{
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*,
    sync::rcu,
    types::NotThreadSafe, //
};

/// Number of PTEs that are read under one hold of the lock.
const BATCH: usize = 64;

/// An anonymous page that the host maps at one place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct HostPage {
    /// Identifies the page while it is mapped.
    pub(crate) key: usize,
    /// The page offset at which the VMA maps it.
    pub(crate) at: usize,
    /// `page->index`.
    pub(crate) index: usize,
    /// The key of its anon_vma.
    pub(crate) mapping: usize,
    /// The number of PTEs that map it.
    pub(crate) mapcount: i64,
    /// `PageAnonExclusive()`: it was written to by its only user since the last fork.
    pub(crate) exclusive: bool,
    /// Whether it is being moved to other memory: the PTE has a migration entry, which `mapcount`
    /// does not count.
    pub(crate) migrates: bool,
}

impl HostPage {
    /// Reads the fields of a page that is mapped at page offset `at`. Returns `None` if the page is
    /// not plain anonymous: the page of the driver, or one of KSM.
    ///
    /// # Safety
    ///
    /// A PTE maps the page, or has a migration entry for it, and its lock is held.
    unsafe fn read(page: *mut ffi::page, at: usize) -> Option<Self> {
        // SAFETY: A mapped page exists. So does one that migrates, until its entries are gone.
        let mapping = unsafe { ffi::shadow_rmap_page_mapping(page) };
        if mapping & ffi::SR_FOLIO_MAPPING_FLAGS != ffi::SR_FOLIO_MAPPING_ANON {
            return None;
        }
        // SAFETY: As above. A page that is anonymous stays so while it is mapped, or migrates.
        let (index, mapcount, exclusive) = unsafe {
            (
                ffi::shadow_rmap_page_index(page),
                ffi::shadow_rmap_page_mapcount(page),
                ffi::shadow_rmap_page_is_exclusive(page),
            )
        };
        Some(Self {
            key: page.addr(),
            at,
            index,
            mapping: mapping & !ffi::SR_FOLIO_MAPPING_FLAGS,
            mapcount: mapcount.into(),
            exclusive,
            migrates: false,
        })
    }
}

/// The PTEs from one address on, in a locked page table.
///
/// # Invariants
///
/// `lock` is that of the table, and is held. `ptes` points into the table, which is not freed.
struct LockedPtes<'a> {
    lock: *mut ffi::spinlock_t,
    ptes: *mut ffi::pte_t,
    _rcu: rcu::Guard,
    _vma: PhantomData<&'a ()>,
    _not_send: NotThreadSafe,
}

impl<'a> LockedPtes<'a> {
    /// Locks the page table for `address` in the address space of `vma`.
    ///
    /// # Errors
    ///
    /// If there is none, the size of the aligned range around `address` that has none.
    ///
    /// # Safety
    ///
    /// `address` lies in `vma`.
    unsafe fn new(vma: HostVma<'a>, address: usize) -> Result<Self, usize> {
        // Page tables are freed under `mmap_lock` for writing, except those of a range that
        // `madvise()` has emptied, under the lock of their VMA: these after a grace period.
        let rcu = rcu::read_lock();
        let mut absent = 0;
        // SAFETY: By the invariant of `HostVma` `mmap_lock` is held, and the upper levels exist.
        let pmd = unsafe { ffi::shadow_rmap_pmd(vma.mm_ptr(), address, &raw mut absent) };
        if pmd.is_null() {
            return Err(absent);
        }
        // SAFETY: The entry exists, as above; the table that it leads to exists under RCU.
        unsafe {
            let entry = ffi::shadow_rmap_pmd_read(pmd);
            if !ffi::shadow_rmap_pmd_is_table(entry) {
                return Err(ffi::SR_PMD_SIZE);
            }
            let lock = ffi::shadow_rmap_pte_lockptr(vma.mm_ptr(), entry);
            ffi::spin_lock(lock);
            // INVARIANT: The lock was taken. Nothing frees the table while it is in its place and
            // locked.
            let locked = Self {
                lock,
                ptes: ffi::shadow_rmap_pte_offset(entry, address),
                _rcu: rcu,
                _vma: PhantomData,
                _not_send: NotThreadSafe,
            };
            // Dropping `locked` releases the lock of a table that was taken away meanwhile.
            let is_there = ffi::shadow_rmap_pmd_same(entry, ffi::shadow_rmap_pmd_read(pmd));
            is_there.then_some(locked).ok_or(ffi::SR_PMD_SIZE)
        }
    }

    /// Returns the page that the `i`th PTE maps at page offset `at`, or mapped until its migration
    /// began.
    ///
    /// # Safety
    ///
    /// The table has that PTE.
    unsafe fn page(&self, i: usize, at: usize) -> Option<HostPage> {
        // SAFETY: By the type invariant, and the caller's promise.
        unsafe {
            let pte = self.ptes.add(i);
            let page = ffi::shadow_rmap_pte_page(pte);
            if !page.is_null() {
                return HostPage::read(page, at);
            }
            let mut exclusive = false;
            let page = ffi::shadow_rmap_pte_migrating(pte, &raw mut exclusive);
            if page.is_null() {
                return None;
            }
            Some(HostPage {
                exclusive,
                migrates: true,
                ..HostPage::read(page, at)?
            })
        }
    }
}

impl Drop for LockedPtes<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { ffi::spin_unlock(self.lock) };
    }
}

impl HostVma<'_> {
    /// Calls `f` with the address of each anonymous page that it maps, from `address` on, and the
    /// page. Returns the address up to which that is done: a large VMA takes several calls.
    ///
    /// `f` runs under the lock of a page table, and must not sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the VMA is not in the locked address space, or `address` not in the VMA.
    pub(super) fn pages_from(
        self,
        mmap: &ReadLocked<'_>,
        address: usize,
        mut f: impl FnMut(usize, HostPage),
    ) -> Result<usize> {
        let inside = self.start() <= address && address < self.end();
        if !mmap.has(self) || !inside {
            return Err(EINVAL);
        }
        let n = self.batch(address);
        // SAFETY: The address lies in the VMA.
        let ptes = match unsafe { LockedPtes::new(self, address) } {
            Ok(ptes) => ptes,
            Err(absent) => return Ok(self.behind(address, absent)),
        };
        let first = self.range().start + ((address - self.start()) >> PAGE_SHIFT);
        for i in 0..n {
            // SAFETY: `batch()` has counted those of the table.
            if let Some(page) = unsafe { ptes.page(i, first + i) } {
                f(address + i * PAGE_SIZE, page);
            }
        }
        Ok(address + n * PAGE_SIZE)
    }

    /// Returns how many PTEs from `address` on to read under one hold of the lock.
    fn batch(self, address: usize) -> usize {
        BATCH.min((self.behind(address, ffi::SR_PMD_SIZE) - address) >> PAGE_SHIFT)
    }

    /// Returns the end of the aligned range of `size` bytes around `address`, or of the VMA.
    fn behind(self, address: usize, size: usize) -> usize {
        (address | (size - 1)).saturating_add(1).min(self.end())
    }

    /// Returns the anonymous pages that it maps, in order of address, also if it has no anon_vma, and
    /// should map none. Sleeps.
    ///
    /// If `mmap_lock` is held for writing, no page appears or disappears meanwhile if the caller has
    /// excluded faults under the VMA's own lock as well.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn anonymous_pages(self) -> Result<KVVec<HostPage>> {
        self.mapped_pages_in((self.start(), self.end()))
    }

    /// As [`anonymous_pages`](Self::anonymous_pages), at these addresses of the VMA.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn mapped_pages_in(self, addresses: (usize, usize)) -> Result<KVVec<HostPage>> {
        let mut pages = KVVec::new();
        let (first, start) = (self.range().start, self.start());
        let (mut address, end) = (addresses.0.max(start), addresses.1.min(self.end()));
        while address < end {
            cond_resched();
            let n = self.batch(address).min((end - address) >> PAGE_SHIFT);
            // Nothing is allocated under the lock, and nothing where there is no table.
            if pages.capacity() - pages.len() < n {
                // SAFETY: As below.
                if let Some(absent) = unsafe { LockedPtes::new(self, address) }.err() {
                    address = self.behind(address, absent);
                    continue;
                }
                pages.reserve(n, GFP_BOUNDED)?;
            }
            // SAFETY: The address lies in the VMA.
            let ptes = match unsafe { LockedPtes::new(self, address) } {
                Ok(ptes) => ptes,
                Err(absent) => {
                    address = self.behind(address, absent);
                    continue;
                }
            };
            for i in 0..n {
                let at = first + ((address - start) >> PAGE_SHIFT) + i;
                // SAFETY: `batch()` has counted those of the table.
                if let Some(page) = unsafe { ptes.page(i, at) } {
                    pages.push(page, GFP_BOUNDED)?;
                }
            }
            address += n * PAGE_SIZE;
        }
        Ok(pages)
    }
}

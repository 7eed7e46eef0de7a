// SPDX-License-Identifier: GPL-2.0

//! Pages of zeros, which are mapped where nothing was written.
//!
//! All mappings use them, because the host copies a page of a private mapping before it is written
//! to. There is one for each CPU: the host locks the page at each fault. Each PTE counts in
//! `_refcount` and `_mapcount`, which are an `int`: beyond a limit there are no more references.

#![allow(unsafe_code, reason = "counts references of a page")]

use crate::ffi;
use core::{
    ffi::c_int,
    mem::ManuallyDrop,
    ptr::NonNull, //
};
use kernel::{
    cpu::{
        nr_cpu_ids,
        CpuId, //
    },
    page::Page,
    prelude::*,
};

/// References that a page may have. As many threads as there can be may take one more each at the
/// same time, and the counts are still far from their end.
const LIMIT: c_int = 1 << 30;

/// The pages of zeros.
pub(crate) struct ZeroPages(KVVec<Page>);

/// A reference on a page of zeros.
///
/// # Invariants
///
/// It owns one reference on the page.
pub(crate) struct ZeroPage(NonNull<ffi::page>);

impl ZeroPages {
    /// Allocates a page for each CPU. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> Result<Self> {
        let mut pages = KVVec::new();
        for _ in 0..nr_cpu_ids() {
            pages.push(Page::alloc_page(GFP_KERNEL | __GFP_ZERO)?, GFP_KERNEL)?;
        }
        Ok(Self(pages))
    }

    /// Returns a reference on the page of this CPU, or on another one if that has reached its
    /// limit; `None` if all have.
    fn get(&self) -> Option<ZeroPage> {
        self.get_below(LIMIT)
    }

    /// Answers a fault with a page of zeros; `VM_FAULT_SIGBUS` if all have reached their limit.
    ///
    /// # Safety
    ///
    /// `vmf` describes a fault in a private mapping.
    pub(super) unsafe fn give(&self, vmf: *mut ffi::vm_fault) -> ffi::vm_fault_t {
        let Some(page) = self.get() else {
            return ffi::vm_fault_reason_VM_FAULT_SIGBUS;
        };
        // SAFETY: The host takes the reference over. It copies the page of a private mapping before
        // it is written to.
        unsafe { (*vmf).page = page.into_raw() };
        0
    }

    /// As [`get`](Self::get), with another limit.
    fn get_below(&self, limit: c_int) -> Option<ZeroPage> {
        let here = CpuId::current().as_u32() as usize;
        let mut pages = self.0.iter().cycle().skip(here).take(self.0.len());
        pages.find_map(|page| {
            let page = NonNull::new(page.as_ptr())?;
            // SAFETY: `self` holds the page.
            let counted = unsafe { ffi::shadow_rmap_get_page_below(page.as_ptr(), limit) };
            // INVARIANT: The reference was taken just now.
            counted.then(|| ZeroPage(page))
        })
    }
}

impl ZeroPage {
    /// Returns the page; the caller owns the reference.
    fn into_raw(self) -> *mut ffi::page {
        ManuallyDrop::new(self).0.as_ptr()
    }
}

impl Drop for ZeroPage {
    fn drop(&mut self) {
        // SAFETY: By the type invariant. The page is freed if this is the last reference.
        unsafe { ffi::__free_pages(self.0.as_ptr(), 0) };
    }
}

#[cfg(shadow_rmap_kunit)]
#[kunit_tests(shadow_rmap_zero_pages)]
mod tests {
    use super::*;

    /// Each page gives references up to the limit, and gives them again when they are dropped.
    #[test]
    fn no_page_passes_its_limit() -> Result {
        let zero = ZeroPages::new()?;
        // The owner's reference counts.
        let room = 2 * zero.0.len();
        let mut held = KVec::new();
        for _ in 0..room {
            held.push(zero.get_below(3).ok_or(EINVAL)?, GFP_KERNEL)?;
        }
        let full = zero.get_below(3).is_none();
        drop(held.pop());
        let again = zero.get_below(3).is_some();

        assert!(full && again && zero.get().is_some());
        Ok(())
    }

    /// A page that has reached its limit is one of many.
    #[test]
    fn there_is_a_page_for_each_cpu() -> Result {
        let zero = ZeroPages::new()?;
        let mut pages = KVec::new();
        let mut held = KVec::new();
        while let Some(page) = zero.get_below(2) {
            pages.push(page.0.addr().get(), GFP_KERNEL)?;
            held.push(page, GFP_KERNEL)?;
        }
        crate::kernel_ext::sort::sort_by_key(&mut pages, |&page| page);
        let different = pages.windows(2).all(|pair| pair.first() < pair.last());

        assert!(pages.len() == nr_cpu_ids() as usize && different);
        Ok(())
    }
}

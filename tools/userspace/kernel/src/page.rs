// SPDX-License-Identifier: GPL-2.0

//! Mirrors `kernel::page`.

use crate::{
    alloc::{AllocError, Flags},
    bindings,
    mock::alloc::allocation,
};
use std::alloc::{Layout, alloc_zeroed, dealloc};

/// Mirrors `kernel::page::PAGE_SHIFT`.
pub const PAGE_SHIFT: usize = 12;

/// Mirrors `kernel::page::PAGE_SIZE`.
pub const PAGE_SIZE: usize = 1 << PAGE_SHIFT;

/// Mirrors `kernel::page::Page`: a page of memory. The `struct page` is the memory itself.
pub struct Page(*mut bindings::page);

impl Page {
    const LAYOUT: Layout = match Layout::from_size_align(PAGE_SIZE, PAGE_SIZE) {
        Ok(layout) => layout,
        Err(_) => panic!("no layout"),
    };

    /// Mirrors `Page::alloc_page`. Zeroed, with any flags.
    ///
    /// # Errors
    ///
    /// `AllocError` if a test wants that.
    pub fn alloc_page(flags: Flags) -> Result<Self, AllocError> {
        allocation(flags)?;
        // SAFETY: The size is not zero.
        let memory = unsafe { alloc_zeroed(Self::LAYOUT) };
        if memory.is_null() {
            return Err(AllocError);
        }
        Ok(Self(memory.cast()))
    }

    /// Mirrors `Page::as_ptr`.
    pub fn as_ptr(&self) -> *mut bindings::page {
        self.0
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: Allocated by `alloc_page`, with the same layout.
        unsafe { dealloc(self.0.cast(), Self::LAYOUT) };
    }
}

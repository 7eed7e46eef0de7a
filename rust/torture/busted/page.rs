// SPDX-License-Identifier: GPL-2.0

//! Deliberate bugs in the words that the reverse map keeps in a page.

#![allow(unsafe_code, reason = "deliberate bugs")]

use super::no_model_step;
use crate::rmap::{
    anon_vma::AnonVma,
    kind::Rmap,
    page::PageRmap,
    steps::Steps,
    window::Window, //
};

/// Deliberate bug: stores a page's pointer first, and its tag after that (R1, museum 27).
pub(crate) struct StoresTwice;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Rmap> Steps<R> for StoresTwice {
    /// # Safety
    ///
    /// As the trait says.
    unsafe fn store_mapping(&self, page: &PageRmap<R>, anon_vma: &AnonVma<R>) {
        let tagged = PageRmap::tagged(anon_vma);
        // SAFETY: Incorrect, on purpose: a reader between the two stores takes the page for another
        // kind.
        unsafe { page.set_mapping(tagged & !1) };
        R::window(Window::MappingStored);
        // SAFETY: The right word.
        unsafe { page.set_mapping(tagged) };
    }
}

/// Deliberate bug: the last unmap clears `mapping` (R2, museum 2).
pub(crate) struct ClearsMapping;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Rmap> Steps<R> for ClearsMapping {
    fn remove_rmap(&self, page: &PageRmap<R>) -> i32 {
        let before = page.dec_mapcount();
        if before == 0 {
            // SAFETY: Incorrect, on purpose: the page may have been mapped again meanwhile.
            unsafe { page.set_mapping(0) };
        }
        before
    }
}

/// Deliberate bug: a page that others may map goes to the VMA's own anon_vma (R20, museum 8).
pub(crate) struct KeepsSharedPages;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Rmap> Steps<R> for KeepsSharedPages {
    fn anon_vma_for_page<'a>(&self, anon_vma: &'a AnonVma<R>, _exclusive: bool) -> &'a AnonVma<R> {
        anon_vma
    }
}

no_model_step!(StoresTwice ClearsMapping KeepsSharedPages);

// SPDX-License-Identifier: GPL-2.0

//! What the reverse map keeps in a page.
//!
//! C: `__folio_set_anon()`, `folio_add_new_anon_rmap()`, `folio_add_anon_rmap_pte()`,
//! `folio_remove_rmap_pte()` of [`mm/rmap.c`](srctree/mm/rmap.c).
//!
//! # Invariants
//!
//! 8. *Mapping.* `mapping` is 0, or an anon_vma's address with bit 0 set (R1). While `mapcount` is
//!    0 or more, each VMA with a PTE that maps the page is linked to that anon_vma, and stays
//!    linked until the PTE is gone and counted (R21, R33).
//! 9. *Moves.* `mapping` changes only while the page is not mapped, from 0; or while one VMA alone
//!    maps it, to an anon_vma that this VMA is linked to (R19, R20). So where `mapcount` is seen to
//!    be 0 or more, the anon_vma that was read before is allocated at that instant, or was at an
//!    instant since.

#![allow(unsafe_code, reason = "a word that leads to type-safe memory")]

use super::{
    anon_vma::AnonVma,
    family::LockedAnonVma,
    kind::{
        Live,
        Rmap, //
    },
    oracle::Oracle,
    path,
    rules::Rule,
    steps::Steps, //
};
use crate::kernel_ext::{
    rwonce::ReadWriteOnce,
    typesafe::Anchor, //
};
use core::{
    marker::PhantomData,
    ptr::{
        self,
        NonNull, //
    },
};
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Full,
        Relaxed, //
    },
};

/// Bit 0 of `mapping`: the page is anonymous (R1).
pub(super) const MAPPING_ANON: usize = 1;

/// The bits of `mapping` that an anon_vma's address leaves free.
const TAG_BITS: usize = 7;

/// Where a mapcount stops that has too many subtractions, as in `refcount_t`: halfway to the value
/// at which it would wrap around, so that no number of threads gets there before one of them has
/// stored this.
const SATURATED: i32 = i32::MIN / 2;

/// How often a `mapping` was stored, by any thread.
#[cfg(shadow_rmap_kunit)]
static MAPPING_STORES: Atomic<usize> = Atomic::new(0);

/// What the reverse map keeps in a page: the tagged `mapping`, the `_mapcount`, the `index`.
#[pin_data]
pub(crate) struct PageRmap<R: Rmap = Live> {
    /// An anon_vma's address with bit 0 set; 0 until the page is first mapped. One word (R1).
    pub(super) mapping: Atomic<usize>,
    /// The number of PTEs that map the page, minus one (R3).
    pub(super) mapcount: Atomic<i32>,
    /// The offset in the mapped file, in pages.
    index: usize,
    _kind: PhantomData<fn() -> R>,
}

// SAFETY: By invariants (8) and (9), for a caller with a reference on the page (R4):
// `tools/litmus/R4+mapped-under-rcu.litmus`, `tools/litmus/R4+page-reference.litmus`.
unsafe impl<R: Rmap> Anchor for PageRmap<R> {
    type Target = AnonVma<R>;

    #[inline]
    fn load(&self) -> Option<NonNull<AnonVma<R>>> {
        // Read once; the tag is tested and stripped in the copy (R1:
        // `tools/litmus/R1+one-store+one-read.litmus`).
        let mapping = self.mapping.read_once();
        if mapping == 0 {
            self.was_never_mapped();
            return None;
        }
        if !Oracle::Tag.holds(Rule::R1, mapping & TAG_BITS == MAPPING_ANON) {
            return None;
        }
        NonNull::new(ptr::with_exposed_provenance_mut(mapping & !MAPPING_ANON))
    }

    #[inline]
    fn revalidate(&self) -> bool {
        self.mapped()
    }
}

impl<R: Rmap> PageRmap<R> {
    /// A page that is not mapped, at offset `index` (in pages).
    pub(crate) fn new(index: usize) -> Self {
        // INVARIANT: (8) 0, and not mapped.
        Self {
            mapping: Atomic::new(0),
            mapcount: Atomic::new(-1),
            index,
            _kind: PhantomData,
        }
    }

    /// Returns the offset in the mapped file, in pages.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// `page_mapped()`.
    #[inline]
    pub(crate) fn mapped(&self) -> bool {
        self.mapcount.read_once() >= 0
    }

    /// Returns how many PTEs map it.
    pub(crate) fn mapcount(&self) -> i32 {
        self.mapcount.read_once() + 1
    }

    /// `folio_add_new_anon_rmap()`: counts the first PTE of a page that was never mapped before.
    ///
    /// A page that was anonymous before is not given another anon_vma (R20): a late reader that has
    /// read the old `mapping` would take the new mapping's count for its own. Returns whether it
    /// was done.
    ///
    /// # Safety
    ///
    /// The VMA whose PTE it is is linked to `anon_vma`, and the caller keeps (8).
    pub(super) unsafe fn add_new_anon_rmap(&self, anon_vma: &AnonVma<R>) -> bool {
        if !Rule::R20.holds(self.mapping.read_once() == 0) {
            return false;
        }
        Oracle::Mapcount.holds(Rule::R3, self.mapcount.read_once() == -1);
        // INVARIANT: (8) The caller's promise.
        // SAFETY: As above; `mapping` is 0, and the page not mapped (9).
        unsafe { R::steps().store_mapping(self, anon_vma) };
        // As in C, no barrier: a reader reads `mapping` first, and asks for the mapcount after
        // that. What it gets is 0, or this anon_vma, whichever of the two stores it sees first.
        // (Only the look of `was_never_mapped` wants them in order, as x86 makes stores and loads
        // visible.)
        self.mapcount.write_once(0);
        true
    }

    /// `folio_add_anon_rmap_pte()`: counts one more PTE. One atomic addition.
    ///
    /// # Safety
    ///
    /// The VMA whose PTE it is is linked to where the page leads, and the caller keeps (8).
    #[inline]
    pub(crate) unsafe fn add_anon_rmap(&self) {
        // INVARIANT: (8) The caller's promise.
        let before = self.mapcount.fetch_add(1, Relaxed);
        Oracle::Mapcount.holds(Rule::R3, before >= -1);
        path::PAGE_ADD.count();
    }

    /// `folio_remove_rmap_pte()`: counts one PTE less. `mapping` stays as it is (R2). One atomic
    /// subtraction.
    ///
    /// Safe without a PTE as well, see [`dec_mapcount`](Self::dec_mapcount): no token proves that
    /// there is one, because it would be a word in each PTE.
    #[inline]
    pub(crate) fn remove_rmap(&self) {
        let before = R::steps().remove_rmap(self);
        Oracle::Mapcount.holds(Rule::R3, before >= 0);
        Rule::R2.holds(self.mapping.read_once() != 0);
        path::PAGE_REMOVE.count();
    }

    /// Takes over the `mapping` of `old`, whose place this page takes: migration.
    ///
    /// # Safety
    ///
    /// The caller keeps the anon_vma by a pin (R18) until a PTE of a VMA that is linked to it maps
    /// this page (8).
    pub(crate) unsafe fn take_mapping_of(&self, old: &Self) {
        if Rule::R20.check(self.mapping.read_once() == 0) {
            // INVARIANT: (9) It was 0, and is not mapped.
            // SAFETY: The caller's promise.
            unsafe { self.set_mapping(old.mapping.read_once()) };
        }
    }

    /// Leads to `anon_vma` before the page is mapped: for a page that is read in again on behalf of
    /// all VMAs that mapped it before (R39).
    ///
    /// # Safety
    ///
    /// The page will be mapped only by VMAs that are linked to `anon_vma` (8).
    pub(crate) unsafe fn lead_to(&self, anon_vma: &LockedAnonVma<'_, R>) {
        if Rule::R20.check(self.mapping.read_once() == 0) {
            // INVARIANT: (9) It was 0, and is not mapped.
            // SAFETY: The caller's promise.
            unsafe { R::steps().store_mapping(self, anon_vma) };
        }
    }

    /// `folio_test_anon()`: whether it has ever been mapped.
    pub(crate) fn is_anon(&self) -> bool {
        self.mapping.read_once() != 0
    }

    /// Returns the address of the anon_vma that `mapping` leads to, for comparing only.
    pub(crate) fn anon_vma_key(&self) -> Option<usize> {
        let mapping = self.mapping.read_once();
        if mapping == 0 {
            self.was_never_mapped();
            return None;
        }
        // No path counts this look (R1).
        Oracle::Tag
            .check(Rule::R1, mapping & TAG_BITS == MAPPING_ANON)
            .then_some(mapping & !MAPPING_ANON)
    }

    /// Says that `mapping` was 0: it is set when the page is first mapped, and stays (R2).
    #[cold]
    fn was_never_mapped(&self) {
        Oracle::WalkCompleteness.guard(Rule::R2, !self.mapped() || self.mapping.read_once() != 0);
    }

    /// Returns the word that leads to `anon_vma` (R1).
    pub(crate) fn tagged(anon_vma: &AnonVma<R>) -> usize {
        ptr::from_ref(anon_vma).expose_provenance() | MAPPING_ANON
    }

    /// Stores `mapping`, as all that changes it does.
    ///
    /// # Safety
    ///
    /// The caller keeps (8) and (9).
    #[inline]
    pub(crate) unsafe fn set_mapping(&self, mapping: usize) {
        #[cfg(shadow_rmap_kunit)]
        MAPPING_STORES.fetch_add(1, Relaxed);
        // As in C, no barrier: a lock was released after the anon_vma had been written and linked,
        // and the caller has taken the lock of the PTE since. A reader depends on the address:
        // `tools/litmus/R14+root-lock-mapping.litmus`. If another thread has prepared the VMA, it
        // takes a lock under which the page is found: `tools/litmus/R14+found-through-pte.litmus`.
        self.mapping.write_once(mapping);
    }

    /// Subtracts one from the mapcount, and returns what it was.
    ///
    /// Calls without a PTE are violations of R3, and do no harm to memory, however many there are:
    /// the page looks unmapped, and the mapcount stops at [`SATURATED`] instead of wrapping around
    /// to a count of PTEs.
    #[inline]
    pub(crate) fn dec_mapcount(&self) -> i32 {
        let before = self.mapcount.fetch_sub(1, Full);
        if before <= SATURATED {
            self.saturate();
        }
        before
    }

    /// Takes back how far the mapcount is below [`SATURATED`].
    #[cold]
    fn saturate(&self) {
        self.mapcount.write_once(SATURATED);
    }
}

#[cfg(shadow_rmap_kunit)]
#[path = "tests/page.rs"]
mod tests;

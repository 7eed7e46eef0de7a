// SPDX-License-Identifier: GPL-2.0

//! A VMA, as far as the reverse map knows it.
//!
//! C: `struct vm_area_struct` of [`include/linux/mm_types.h`](srctree/include/linux/mm_types.h).
//!
//! The invariants are those of [`anon_vma`](super::anon_vma) and [`chain`](super::chain).

#![allow(unsafe_code, reason = "ranges and chains behind locks")]

use super::{
    anon_vma::AnonVma,
    chain::AnonVmaChain,
    family::FamilyWrite,
    kind::{
        Live,
        Rmap, //
    },
    mm::{
        Locked,
        Mm,
        MmapLocked,
        MmapWrite, //
    },
    oracle::Oracle,
    rules::Rule,
    steps::Steps,
    window::Window, //
};
use crate::kernel_ext::{
    interval_tree::Range,
    rwonce::ReadWriteOnce, //
};
use core::{
    cell::UnsafeCell,
    marker::PhantomPinned,
    ptr, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::Atomic,
        Arc, //
    },
};

/// Whether the kernel is built to check VMAs: then each change of a range is checked by a search.
const VMAS_ARE_CHECKED: bool = cfg!(CONFIG_DEBUG_VM = "y");

/// A VMA, to be embedded in a larger object.
///
/// A VMA that is dropped with links unlinks itself, and counts that as a violation of R33.
#[repr(C)]
#[pin_data(PinnedDrop)]
pub(crate) struct Vma<R: Rmap = Live> {
    /// First, so that a link's node leads from the range to the VMA.
    pub(super) range: UnsafeCell<Range>,
    pub(super) anon_vma: Atomic<*mut AnonVma<R>>,
    pub(super) chain: Atomic<*mut AnonVmaChain<R>>,
    mm: Arc<Mm<R>>,
    /// The address of page offset 0 (in pages), wrapping around.
    shift: Atomic<usize>,
    id: u64,
    /// How many links the chain has.
    pub(super) nr_links: Atomic<u32>,
    untracked: Atomic<bool>,
    #[pin]
    _pin: PhantomPinned,
}

// SAFETY: All fields are protected by locks, as the invariants say.
unsafe impl<R: Rmap> Send for Vma<R> {}
// SAFETY: As above.
unsafe impl<R: Rmap> Sync for Vma<R> {}

impl<R: Rmap> Vma<R> {
    /// A VMA of `mm` that covers the page offsets `range`, without links. `shift` is its first address
    /// (in pages) less its first page offset, wrapping around.
    pub(crate) fn new(mm: Arc<Mm<R>>, range: Range, shift: usize, id: u64) -> impl PinInit<Self> {
        pin_init!(Self {
            range: UnsafeCell::new(range),
            // INVARIANT: (7) Neither.
            anon_vma: Atomic::new(ptr::null_mut()),
            chain: Atomic::new(ptr::null_mut()),
            mm,
            shift: Atomic::new(shift),
            id,
            nr_links: Atomic::new(0),
            untracked: Atomic::new(false),
            _pin: PhantomPinned,
        })
    }

    /// Returns the number that output shows.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Returns its address space.
    pub(crate) fn mm(&self) -> &Mm<R> {
        &self.mm
    }

    /// `vma_address()`: the address (in pages) at which it maps the page offset `index`, if it
    /// covers that.
    #[inline]
    pub(crate) fn address(&self, index: usize) -> usize {
        index.wrapping_add(self.shift.read_once())
    }

    /// Sets where the VMA is, see [`new`](Self::new).
    ///
    /// While the VMA is linked, walkers rely on that. Returns whether it was set.
    pub(crate) fn set_shift(
        &self,
        shift: usize,
        mmap: &mut MmapWrite<'_, R>,
        _layout: R::Layout,
    ) -> bool {
        if !self.covered_by(mmap.mm()) {
            return false;
        }
        let hidden = Rule::R32.check(self.chain.read_once().is_null());
        if hidden {
            self.shift.write_once(shift);
        }
        hidden
    }

    /// Moves the VMA, as [`set_shift`](Self::set_shift), and its PTEs by `move_ptes`. For walkers
    /// both are one step (R36). Sleeps or spins.
    pub(crate) fn relocate(
        &self,
        shift: usize,
        mmap: &mut MmapWrite<'_, R>,
        _layout: R::Layout,
        move_ptes: impl FnOnce(&MmapWrite<'_, R>),
    ) {
        if !self.covered_by(mmap.mm()) {
            return;
        }
        let family = self
            .anon_vma(mmap)
            .and_then(|anon_vma| R::steps().lock_to_relocate(anon_vma));
        Rule::R36.step();
        self.shift.write_once(shift);
        R::window(Window::RangeMoved);
        move_ptes(mmap);
        drop(family);
    }

    /// Returns its address, for comparing only.
    pub(crate) fn key(&self) -> usize {
        ptr::from_ref(self).addr()
    }

    /// Says that the shadow of this VMA is not complete.
    pub(crate) fn set_untracked(&self) {
        self.untracked.write_once(true);
    }

    /// Says that the shadow of this VMA is complete again.
    pub(crate) fn set_tracked(&self) {
        self.untracked.write_once(false);
    }

    /// Returns whether [`set_untracked`](Self::set_untracked) was called last.
    pub(crate) fn is_untracked(&self) -> bool {
        self.untracked.read_once()
    }

    /// Returns whether `mm` is this VMA's address space: a lock of another one protects nothing
    /// here.
    pub(super) fn covered_by(&self, mm: &Mm<R>) -> bool {
        Rule::R34.guard(ptr::eq(mm, &*self.mm))
    }

    /// `vma->anon_vma`: where its new pages go.
    ///
    /// Read once: what is behind the pointer depends on it, and pairs with the release in
    /// [`FamilyWrite::publish`] (R30: `tools/litmus/R30+release.litmus`). `None` also if `locked`
    /// is another address space's lock.
    ///
    /// The result is borrowed from the VMA as well: a VMA that is dropped unlinks itself.
    #[inline]
    pub(crate) fn anon_vma<'a>(
        &'a self,
        locked: &'a (impl MmapLocked<R> + ?Sized),
    ) -> Option<&'a AnonVma<R>> {
        if !self.covered_by(locked.mm()) {
            return None;
        }
        // SAFETY: `mmap_lock` is held, and the VMA borrowed, for as long as the result lives.
        unsafe { R::steps().read_anon_vma(self) }
    }

    /// Reads `->anon_vma`.
    ///
    /// # Safety
    ///
    /// The chain is the caller's, for as long as the result lives: `mmap_lock` is held, or the VMA is
    /// being dropped.
    #[inline]
    pub(super) unsafe fn read_anon_vma<'a>(&self) -> Option<&'a AnonVma<R>> {
        let anon_vma = self.anon_vma.read_once();
        if anon_vma.is_null() {
            return None;
        }
        // Without a link nothing keeps it (R33).
        if !Oracle::TypeStability.guard(Rule::R33, !self.chain.read_once().is_null()) {
            return None;
        }
        // SAFETY: By invariants (7) and (5) the anon_vma is linked, and its link stays while
        // `mmap_lock` is held (`tools/litmus/R31+reset-write-locked.litmus`); by (2) it is
        // allocated. Its fields are visible by `tools/litmus/R30+release.litmus`.
        unsafe { anon_vma.as_ref() }
    }

    /// Returns `->anon_vma` as a pointer.
    pub(crate) fn anon_vma_ptr(&self) -> *mut AnonVma<R> {
        self.anon_vma.read_once()
    }

    /// Returns whether it has no `->anon_vma` at this moment.
    pub(crate) fn is_unfaulted(&self) -> bool {
        self.anon_vma.read_once().is_null()
    }

    /// Returns the page offsets that it covers.
    pub(crate) fn range(&self, locked: &(impl MmapLocked<R> + ?Sized)) -> Option<Range> {
        // SAFETY: By invariant (6) the range does not change while `mmap_lock` is held.
        self.covered_by(locked.mm())
            .then(|| unsafe { *self.range.get() })
    }

    /// Returns whether it is linked to the anon_vma with this [`key`](AnonVma::key).
    ///
    /// All links of a VMA are of one family, so the two have one root.
    pub(crate) fn is_linked_to(&self, key: usize, locked: &impl MmapLocked<R>) -> bool {
        self.links(locked).any(|anon_vma| anon_vma.key() == key)
    }

    /// Changes the range: out of all trees, and in again, under the root's lock (R32). Sleeps.
    pub(crate) fn set_range(&self, range: Range, mmap: &mut MmapWrite<'_, R>, _layout: R::Layout) {
        self.set_range_alone(range, mmap);
    }

    /// As [`set_range`](Self::set_range).
    fn set_range_alone(&self, range: Range, mmap: &mut MmapWrite<'_, R>) {
        if !self.covered_by(mmap.mm()) {
            return;
        }
        // Not `->anon_vma`: what counts is whether the VMA is in a tree.
        let Some(anon_vma) = self.links(mmap).next() else {
            // SAFETY: By invariant (5) in no tree; `mmap_lock` is ours.
            unsafe { *self.range.get() = range };
            return;
        };
        let family = anon_vma.lock_write();
        // SAFETY: The family's lock is held (3); all links are of one family (1), (5).
        unsafe { self.set_range_locked(range, &family) };
    }

    /// Changes the ranges of two VMAs at once: no walker finds the boundary between them at no
    /// place, or at two (R32). `other` is of the same address space. Sleeps.
    pub(crate) fn set_ranges(
        &self,
        range: Range,
        other: &Self,
        other_range: Range,
        mmap: &mut MmapWrite<'_, R>,
        _layout: R::Layout,
    ) {
        let mine = self.links(mmap).next().map(AnonVma::root);
        let others = other.links(mmap).next().map(AnonVma::root);
        match (mine, others) {
            (Some(root), Some(others)) if ptr::eq(root, others) => {
                let family = root.lock_write();
                // SAFETY: As in `set_range`; both are of the family that is locked.
                unsafe {
                    self.set_range_locked(range, &family);
                    other.set_range_locked(other_range, &family);
                }
            }
            // VMAs without a common tree are not seen together.
            _ => {
                self.set_range_alone(range, mmap);
                other.set_range_alone(other_range, mmap);
            }
        }
    }

    /// # Safety
    ///
    /// `mmap_lock` is held for writing; `_family` is the lock of the family of this VMA's links.
    unsafe fn set_range_locked(&self, range: Range, _family: &FamilyWrite<'_, R>) {
        Rule::R32.step();
        // SAFETY: The caller's promise.
        unsafe { R::steps().change_range(self, range) };
        if VMAS_ARE_CHECKED {
            // SAFETY: As above.
            let found = unsafe { self.is_found_in_trees() };
            Oracle::WalkCompleteness.check(Rule::R32, found);
        }
    }

    /// Takes the VMA out of all its trees, changes its range, and puts it back (R32).
    ///
    /// # Safety
    ///
    /// `mmap_lock` is held for writing, and the lock of the family of this VMA's links.
    pub(super) unsafe fn change_range(&self, range: Range) {
        // SAFETY: The caller's promise; each link is in the tree of its anon_vma (5).
        unsafe {
            self.each_node(|anon_vma, node| anon_vma.tree().remove(node));
            R::window(Window::OutOfTrees);
            *self.range.get() = range;
            self.each_node(|anon_vma, node| anon_vma.tree().insert(node));
        }
    }

    /// Changes the range without regard to the trees.
    ///
    /// # Safety
    ///
    /// As [`change_range`](Self::change_range); the VMA is in no tree, or the caller handles trees
    /// that are out of order.
    pub(crate) unsafe fn overwrite_range(&self, range: Range) {
        // SAFETY: The caller's promise.
        unsafe { *self.range.get() = range };
    }
}

#[pinned_drop]
impl<R: Rmap> PinnedDrop for Vma<R> {
    fn drop(self: Pin<&mut Self>) {
        if Oracle::Refcount.check(Rule::R33, self.chain.read_once().is_null()) {
            return;
        }
        // SAFETY: Nothing else has a reference to this VMA, so the range is ours.
        let range = unsafe { *self.range.get() };
        R::clear_pages(
            &self.mm,
            self.address(range.start),
            self.address(range.last),
        );
        // SAFETY: Nothing else has a reference to this VMA, so the chain is ours without
        // `mmap_lock`, which the dropping thread may hold. Walkers are kept away by the family's
        // lock.
        unsafe { self.unlink_all() };
    }
}

#[cfg(shadow_rmap_kunit)]
#[path = "tests/vma.rs"]
mod tests;

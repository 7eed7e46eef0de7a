// SPDX-License-Identifier: GPL-2.0

//! The steps of the engine: one method for each place where it does what a rule demands.
//!
//! The provided methods are the rules. A deliberate bug is a type in `torture/busted/` that
//! overrides one of them with the historical mistake; [`Correct`] overrides none. The engine calls
//! a step where the rule applies, and does not know which type it has.
//!
//! `Documentation/torture.rst` shows how to add a bug.

#![allow(unsafe_code, reason = "steps with safety requirements")]

use super::{
    anon_vma::{
        AnonVma,
        FreshAnonVma, //
    },
    chain::{
        AnonVmaChain,
        LinkReserve, //
    },
    clone::Operation,
    family::{
        FamilyRead,
        FamilyWrite,
        LockedAnonVma, //
    },
    fork,
    free,
    kind::Rmap,
    lock::FamilyLock,
    lookup::{
        self,
        ConfirmedLock, //
    },
    merge,
    mm::{
        MmapLocked,
        MmapWrite,
        PageTableGuard, //
    },
    page::PageRmap,
    unlink::{
        unlink_anon_vmas,
        Emptied, //
    },
    vma::Vma, //
};
use crate::kernel_ext::{
    interval_tree::Range,
    typesafe::{
        Candidate,
        LockedCandidate,
        Pinnable,
        Pinned,
        PinnedCandidate,
        TypesafeBox,
        TypesafeCache, //
    },
};
use core::ptr::NonNull;
use kernel::{
    prelude::*,
    sync::atomic::Atomic, //
};

/// Chooses the steps of a kind of reverse map.
pub(crate) trait Flavour: Send + Sync + 'static {
    /// The steps for the kind `R`.
    type Steps<R: Rmap>: Steps<R> + ?Sized;

    /// Returns them.
    fn steps<R: Rmap>() -> &'static Self::Steps<R>;
}

/// The correct engine: all steps as the rules say.
pub(crate) struct Correct;

// SAFETY: The provided methods are what the rules demand.
unsafe impl<R: Rmap> Steps<R> for Correct {}

impl Flavour for Correct {
    type Steps<R: Rmap> = Self;

    #[inline(always)]
    fn steps<R: Rmap>() -> &'static Self {
        &Self
    }
}

/// The reads of a lock of the kind `R`.
pub(crate) type ReadOf<'a, R> = <<R as Rmap>::Lock as FamilyLock>::Read<'a>;

/// The steps. `R` is the kind of reverse map.
///
/// # Safety
///
/// The engine's invariants rest on each step: one that is overridden does what its provided method
/// does, as far as memory and locks are concerned. A deliberate bug does not, on purpose.
pub(crate) unsafe trait Steps<R: Rmap>: Send + Sync + 'static {
    // The page.

    /// Stores pointer and tag in one store (R1).
    ///
    /// # Safety
    ///
    /// As [`PageRmap::set_mapping`].
    #[inline]
    unsafe fn store_mapping(&self, page: &PageRmap<R>, anon_vma: &AnonVma<R>) {
        // SAFETY: The caller's promise.
        unsafe { page.set_mapping(PageRmap::tagged(anon_vma)) };
    }

    /// Counts a PTE less, and leaves `mapping` as it is (R2, R3). Returns the mapcount before.
    #[inline]
    fn remove_rmap(&self, page: &PageRmap<R>) -> i32 {
        page.dec_mapcount()
    }

    /// Chooses the anon_vma of a new page: the root, unless the page is exclusive (R20).
    #[inline]
    fn anon_vma_for_page<'a>(&self, anon_vma: &'a AnonVma<R>, exclusive: bool) -> &'a AnonVma<R> {
        if exclusive {
            anon_vma
        } else {
            anon_vma.root()
        }
    }

    // The lookup.

    /// Looks whether the page is mapped before it follows `mapping` (R4).
    #[inline]
    fn find<'a>(&self, page: &'a PageRmap<R>) -> Option<Candidate<'a, PageRmap<R>>> {
        Candidate::find(page)
    }

    /// Tries to lock a root that may be free or recycled, but is memory of an anon_vma (R5).
    #[inline]
    fn try_lock_root<'a>(&self, root: &'a AnonVma<R>) -> Option<ReadOf<'a, R>> {
        root.lock.try_read()
    }

    /// Asks the page again about a lock (R12), and keeps RCU as the protocol demands (R9).
    #[inline]
    fn confirm_lock(&self, locked: LockedCandidate<'_, PageRmap<R>>) -> Option<ConfirmedLock<R>> {
        lookup::confirm_lock(locked)
    }

    /// Asks the page again about a reference (R12), and leaves RCU before it drops one (R11).
    fn confirm_pin(&self, pinned: PinnedCandidate<'_, PageRmap<R>>) -> Option<Pinned<AnonVma<R>>> {
        pinned.confirm()
    }

    /// Drops the pin of a lookup that waited: the last one unlocks, frees and returns nothing (R10).
    ///
    /// # Safety
    ///
    /// `family` is the lock of the pin's family.
    unsafe fn drop_pin<'a>(
        &self,
        family: FamilyRead<R>,
        pin: Pinned<AnonVma<R>>,
    ) -> Option<LockedAnonVma<'a, R>> {
        // SAFETY: The caller's promise.
        unsafe { lookup::drop_pin(family, pin) }
    }

    // The life of an anon_vma.

    /// Creates a type-safe cache (R5, R6, R7) that belongs to anon_vmas alone (R8). Sleeps.
    fn create_cache(&self, name: &CStr) -> Result<TypesafeCache<AnonVma<R>>> {
        TypesafeCache::new(name)
    }

    /// Allocates an object of the cache. Sleeps.
    #[inline]
    fn alloc_object(&self, cache: &TypesafeCache<AnonVma<R>>) -> Result<TypesafeBox<AnonVma<R>>> {
        cache.alloc()
    }

    /// Lets another type use the cache: none does (R8). Sleeps.
    fn share_cache(&self, _cache: &TypesafeCache<AnonVma<R>>) -> Result {
        Ok(())
    }

    /// Takes a child's reference on its root (R16).
    #[inline]
    fn hold_root(&self, root: &AnonVma<R>) -> bool {
        root.try_get()
    }

    /// Drops a child's reference on its root (R16). May sleep.
    ///
    /// # Safety
    ///
    /// The reference is the caller's.
    unsafe fn put_root(&self, root: NonNull<AnonVma<R>>) {
        // SAFETY: The caller's promise.
        unsafe { AnonVma::put(root) };
    }

    /// Waits for readers that hold the root's lock before an anon_vma is freed (R17). May sleep.
    fn wait_for_readers(&self, root: &AnonVma<R>) {
        free::wait_for_readers(root);
    }

    /// Frees an anon_vma, and lets go of its root afterwards (R16).
    ///
    /// # Safety
    ///
    /// As [`free::free_last`].
    unsafe fn free_last(&self, this: NonNull<AnonVma<R>>) {
        // SAFETY: The caller's promise.
        unsafe { free::free_last(this) };
    }

    /// Gives an object back as it was constructed (R6).
    #[inline]
    fn give_back(&self, object: TypesafeBox<AnonVma<R>>) {
        drop(object);
    }

    // The family.

    /// Takes the root's lock for the whole family (R15). Sleeps or spins.
    #[inline]
    fn lock_write<'a>(&self, anon_vma: &'a AnonVma<R>) -> FamilyWrite<'a, R> {
        let root = anon_vma.lock_owner();
        // SAFETY: The guard is the root's.
        unsafe { FamilyWrite::new(root, root.lock.write()) }
    }

    /// Locks the family of an anon_vma that is new while `link` links it (R29). Sleeps or spins.
    #[inline]
    fn lock_new<'a>(
        &self,
        anon_vma: &'a AnonVma<R>,
        link: &mut dyn FnMut(&mut FamilyWrite<'a, R>),
    ) {
        link(&mut anon_vma.lock_write());
    }

    // The VMA and its chain.

    /// Reads `vma->anon_vma`, which leads to an anon_vma as long as the VMA is linked (R33, R37).
    ///
    /// # Safety
    ///
    /// As [`Vma::read_anon_vma`].
    #[inline]
    unsafe fn read_anon_vma<'a>(&self, vma: &Vma<R>) -> Option<&'a AnonVma<R>> {
        // SAFETY: The caller's promise.
        unsafe { vma.read_anon_vma() }
    }

    /// Changes a range while the VMA is in no tree (R32).
    ///
    /// # Safety
    ///
    /// `mmap_lock` is held for writing, and the lock of the family of the VMA's links.
    unsafe fn change_range(&self, vma: &Vma<R>, range: Range) {
        // SAFETY: The caller's promise.
        unsafe { vma.change_range(range) };
    }

    /// Returns the place of a new link: the front of the chain (R22).
    ///
    /// # Safety
    ///
    /// The chain is locked for writing.
    #[inline]
    unsafe fn place_of_link<'a>(&self, vma: &'a Vma<R>) -> &'a Atomic<*mut AnonVmaChain<R>> {
        // SAFETY: The caller's promise.
        unsafe { vma.front_of_chain() }
    }

    /// Resets `->anon_vma` of a VMA (R33).
    ///
    /// # Safety
    ///
    /// The VMA has no links any more.
    #[inline]
    unsafe fn reset_anon_vma(&self, vma: &Vma<R>) {
        // SAFETY: The caller's promise.
        unsafe { vma.reset_anon_vma() };
    }

    /// Locks the family of a VMA that moves together with its PTEs (R36). Sleeps or spins.
    fn lock_to_relocate<'a>(&self, anon_vma: &'a AnonVma<R>) -> Option<FamilyWrite<'a, R>> {
        Some(anon_vma.lock_write())
    }

    // Prepare.

    /// Does what may be done before the locks of a prepare are taken: nothing. An anon_vma is
    /// published when its link is there (R21).
    #[inline]
    fn before_first_link(&self, _vma: &Vma<R>, _anon_vma: &AnonVma<R>, _mmap: &dyn MmapLocked<R>) {}

    /// Returns whether the anon_vma of `neighbour` may be shared: if it has no other link (R27).
    fn may_share(&self, neighbour: &Vma<R>) -> bool {
        neighbour.nr_links() == 1
    }

    /// Tests again, under the locks, that the VMA has no anon_vma (R28).
    #[inline]
    fn is_first(&self, vma: &Vma<R>, _anon_vma: &AnonVma<R>) -> bool {
        vma.is_unfaulted()
    }

    /// Publishes the first anon_vma of a VMA (R30).
    #[inline]
    fn publish_first(
        &self,
        family: &mut FamilyWrite<'_, R>,
        vma: &Vma<R>,
        anon_vma: &AnonVma<R>,
        page_table: &PageTableGuard<'_, R>,
    ) {
        family.publish(vma, anon_vma, page_table);
    }

    // Clone and fork.

    /// Links `dst` to one anon_vma of the VMA that is cloned: to each of them (R21, R23).
    #[inline]
    fn clone_link(
        &self,
        family: &mut FamilyWrite<'_, R>,
        links: &mut LinkReserve<R>,
        dst: &Vma<R>,
        anon_vma: &AnonVma<R>,
        dst_mmap: &MmapWrite<'_, R>,
        _operation: Operation,
    ) -> bool {
        family.link(links, dst, anon_vma, dst_mmap)
    }

    /// Returns whether a fork of a VMA whose `->anon_vma` is `active` may reuse `anon_vma` (R24).
    #[inline]
    fn may_reuse(&self, anon_vma: &AnonVma<R>, _active: &AnonVma<R>) -> bool {
        anon_vma.is_reusable()
    }

    /// Gives a copy the anon_vma of the VMA that it is a copy of (R24: a copy reuses nothing).
    #[inline]
    fn share_anon_vma(
        &self,
        family: &mut FamilyWrite<'_, R>,
        dst: &Vma<R>,
        active: &AnonVma<R>,
        dst_mmap: &MmapWrite<'_, R>,
    ) {
        family.publish(dst, active, dst_mmap);
    }

    /// Undoes a clone that failed: all allocations come first, so there is nothing to undo (R37).
    fn clone_failed(&self, _dst: &Vma<R>, _active: &AnonVma<R>, _dst_mmap: &MmapWrite<'_, R>) {}

    /// Gives the child an anon_vma of its own (R23). Sleeps or spins.
    fn give_own(
        &self,
        vma: &Vma<R>,
        mmap: &MmapWrite<'_, R>,
        parent: &AnonVma<R>,
        anon_vma: FreshAnonVma<R>,
        links: LinkReserve<R>,
    ) {
        fork::give_own(vma, mmap, parent, anon_vma, links);
    }

    // Merge.

    /// Returns whether VMAs with these anon_vmas may become one: if both are the same (R26).
    fn may_merge(&self, ours: &AnonVma<R>, theirs: &AnonVma<R>) -> bool {
        core::ptr::eq(ours, theirs)
    }

    /// Returns whether an unfaulted VMA may inherit the links of `vma`: if that is no fork child (R26).
    fn may_inherit_from(&self, vma: &Vma<R>) -> bool {
        !merge::is_fork_child(vma)
    }

    /// Moves the links over that only the VMA that goes has (R25). Sleeps.
    ///
    /// # Safety
    ///
    /// `goes` is unlinked before `mmap` is released.
    unsafe fn move_links(&self, survivor: &Vma<R>, goes: &Vma<R>, mmap: &MmapWrite<'_, R>) {
        // SAFETY: The caller's promise.
        unsafe { survivor.take_links_of(goes, mmap, |has| has == 0) };
    }

    /// Takes the links away that a VMA has inherited for a merge that failed (R37). Sleeps.
    fn undo_dup(&self, heir: Emptied<'_, '_, R>) {
        unlink_anon_vmas(heir);
    }
}

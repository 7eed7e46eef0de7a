// SPDX-License-Identifier: GPL-2.0

//! The links between VMAs and anon_vmas.
//!
//! C: `struct anon_vma_chain` of [`include/linux/rmap.h`](srctree/include/linux/rmap.h).
//!
//! A link is on two lists at once: the chain of its VMA (`same_vma`), which `mmap_lock` and
//! `page_table_lock` protect, and the interval tree of its anon_vma, which the root's lock
//! protects.  It is made before, and freed after, either is taken.
//!
//! # Invariants of this module
//!
//! They go on from those of [`anon_vma`](super::anon_vma).
//!
//! 5. *Chains.*  A link on a VMA's chain is in the tree of its anon_vma, and the other way round; it
//!    is owned by the chain.  Links are added under [`ChainsLocked`], and taken away under
//!    [`MmapWrite`] only: under [`MmapLocked`] the chain only grows, and its links stay.
//! 6. *VMAs.*  A VMA with links stays where it is, and outlives them.  Its range changes only while
//!    it is in no tree, or is taken out of all of them under the root's lock (R32).
//! 7. *First anon_vma.*  A VMA has a `->anon_vma` if and only if it has links, and is linked to it.

#![allow(unsafe_code, reason = "a room of the design: intrusive objects")]

use super::{
    anon_vma::{
        AnonVma,
        FamilyWrite,
        LockedAnonVma,
        PageRmap, //
    },
    kind::{
        Live,
        Rmap, //
    },
    mm::{
        ChainsLocked,
        Locked,
        Mm,
        MmapLocked,
        MmapWrite, //
    },
    oracle::Oracle,
    rules::{
        Rule,
        Rules,
        Window, //
    },
};
use crate::{
    kernel_ext::{
        interval_tree::{
            Node,
            Range, //
        },
        rwonce::ReadWriteOnce,
        slab::{
            CacheOwner,
            SlabBox,
            StaticCache, //
        },
        typesafe::Pinned,
    },
    stats,
};
use core::{
    cell::UnsafeCell,
    marker::PhantomPinned,
    mem,
    ops::ControlFlow,
    ptr::{
        self,
        NonNull, //
    },
};
use kernel::{
    container_of,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed,
            Release, //
        },
        Arc, //
    },
};

/// One VMA may map pages of one anon_vma.
///
/// Its `node` names the VMA, by way of the VMA's range.  No larger than the host's: see `stats`.
#[repr(C)]
pub(crate) struct AnonVmaChain<R: Rmap = Live> {
    node: Node,
    anon_vma: *const AnonVma<R>,
    next: Atomic<*mut AnonVmaChain<R>>,
}

/// Bytes of a link, of whatever kind: all have one layout.
pub(crate) const LINK_SIZE: usize = mem::size_of::<AnonVmaChain>();

/// Where links come from.
static LINKS: StaticCache<LINK_SIZE> = StaticCache::new();

/// Creates the cache of links.  Sleeps.  To be kept for as long as the module is loaded.
///
/// # Errors
///
/// `ENOMEM`.
pub(crate) fn create_cache() -> Result<CacheOwner<LINK_SIZE>> {
    LINKS.create(c"shadow_rmap_anon_vma_chain")
}

/// Links that were allocated before any lock was taken, one after the other by their `next`.
///
/// # Invariants
///
/// Each is owned by the one before, the first by this value.
pub(crate) struct Links<R: Rmap = Live>(*mut AnonVmaChain<R>);

impl<R: Rmap> Links<R> {
    /// Allocates `n` links.  Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; then nothing is allocated.
    pub(crate) fn reserve(n: usize) -> Result<Self> {
        let mut links = Self(ptr::null_mut());
        for i in 0..n {
            let link = AnonVmaChain {
                node: Node::new(ptr::null()),
                anon_vma: ptr::null(),
                next: Atomic::new(links.0),
            };
            let link = R::Rules::allocation()
                .and_then(|()| LINKS.alloc(link))
                .inspect_err(|_| stats::CHAIN_ALLOCS.add(i))?;
            // INVARIANT: It owns those that there were, and this value owns it.
            links.0 = link.into_raw();
        }
        stats::CHAIN_ALLOCS.add(n);
        Ok(links)
    }

    /// Takes one.
    fn pop(&mut self) -> Option<NonNull<AnonVmaChain<R>>> {
        let link = NonNull::new(self.0)?;
        // SAFETY: By the type invariant it is ours.
        // INVARIANT: What it owned is ours, and it is the caller's.
        self.0 = unsafe { link.as_ref() }.next.read_once();
        Some(link)
    }
}

impl<R: Rmap> Drop for Links<R> {
    fn drop(&mut self) {
        while let Some(link) = self.pop() {
            // SAFETY: By the type invariant, from `SlabBox::into_raw()`.
            drop(unsafe { SlabBox::from_raw(link) });
            stats::CHAIN_FREES.inc();
        }
    }
}

/// A VMA, as far as the reverse map knows it; to be a part of something larger.
///
/// Dropped with links left it unlinks itself, and counts that as a violation of R33.
#[repr(C)]
#[pin_data(PinnedDrop)]
pub(crate) struct Vma<R: Rmap = Live> {
    /// First, so that a link's node leads from the range to the VMA.
    range: UnsafeCell<Range>,
    anon_vma: Atomic<*mut AnonVma<R>>,
    chain: Atomic<*mut AnonVmaChain<R>>,
    mm: Arc<Mm<R>>,
    /// What must be added to a page offset to have the address (in pages), wrapping around.
    shift: Atomic<usize>,
    id: u64,
    marked: Atomic<bool>,
    #[pin]
    _pin: PhantomPinned,
}

// SAFETY: All is behind locks, as the invariants say.
unsafe impl<R: Rmap> Send for Vma<R> {}
// SAFETY: As above.
unsafe impl<R: Rmap> Sync for Vma<R> {}

impl<R: Rmap> Vma<R> {
    /// A VMA of `mm` that covers the page offsets `range`, without links.
    pub(crate) fn new(mm: Arc<Mm<R>>, range: Range, id: u64) -> impl PinInit<Self> {
        pin_init!(Self {
            range: UnsafeCell::new(range),
            // INVARIANT: (7) Neither.
            anon_vma: Atomic::new(ptr::null_mut()),
            chain: Atomic::new(ptr::null_mut()),
            mm,
            shift: Atomic::new(0),
            id,
            marked: Atomic::new(false),
            _pin: PhantomPinned,
        })
    }

    /// Its number, for people.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Its address space.
    pub(crate) fn mm(&self) -> &Mm<R> {
        &self.mm
    }

    /// `vma_address()`: where it maps the page offset `index` (in pages), if it covers that.
    #[inline]
    pub(crate) fn address(&self, index: usize) -> usize {
        index.wrapping_add(self.shift.read_once())
    }

    /// Says where the VMA is: `shift` is its first address (in pages) less its first page offset,
    /// wrapping around.
    ///
    /// While it is linked that does not change: walkers rely on it.  Returns whether it was set.
    pub(crate) fn set_shift(&self, shift: usize) -> bool {
        let hidden = Rule::R32.check(self.chain.read_once().is_null());
        if hidden {
            self.shift.write_once(shift);
        }
        hidden
    }

    /// Says that the VMA is elsewhere, as [`set_shift`](Self::set_shift), and has `move_ptes` see to
    /// it that its PTEs are, too: for whoever walks that is one step (R36).  Sleeps, or spins.
    pub(crate) fn relocate(
        &self,
        shift: usize,
        mmap: &mut MmapWrite<'_, R>,
        move_ptes: impl FnOnce(),
    ) {
        if !self.covered_by(mmap.mm()) {
            return;
        }
        let family = self
            .anon_vma(mmap)
            .filter(|_| R::Rules::range_moves_with_ptes())
            .map(AnonVma::lock_write);
        self.shift.write_once(shift);
        if !R::Rules::range_moves_with_ptes() {
            R::Rules::window(Window::RangeMoved);
        }
        Rule::R36.check(family.is_some() || self.is_unfaulted());
        move_ptes();
        drop(family);
    }

    /// What makes this VMA this one and no other, for comparing only.
    pub(crate) fn key(&self) -> usize {
        ptr::from_ref(self).addr()
    }

    /// A mark that its owner may leave, and that walkers may leave for the owner.
    pub(crate) fn mark(&self) {
        self.marked.write_once(true);
    }

    /// Whether it has been marked.
    pub(crate) fn is_marked(&self) -> bool {
        self.marked.read_once()
    }

    /// Whether the lock that was taken is that of this VMA's address space (R34).
    fn covered_by(&self, mm: &Mm<R>) -> bool {
        Rule::R34.holds(ptr::eq(mm, &*self.mm))
    }

    /// `vma->anon_vma`: where its new pages go.
    ///
    /// Read once: what is behind the pointer depends on it, and pairs with the release in
    /// [`FamilyWrite::publish`] (R30).  `None` also where `locked` is another address space's lock.
    pub(crate) fn anon_vma<'a>(&self, locked: &'a impl MmapLocked<R>) -> Option<&'a AnonVma<R>> {
        if !self.covered_by(locked.mm()) {
            return None;
        }
        let anon_vma = self.anon_vma.read_once();
        if !self.still_has(anon_vma) {
            return None;
        }
        // SAFETY: By invariants (7) and (5) the anon_vma is linked, and its link stays while
        // `mmap_lock` is held; by (2) it is allocated.
        unsafe { anon_vma.as_ref() }
    }

    /// Whether there is an anon_vma behind a pointer that, by a deliberate bug, a VMA may have
    /// without a link, so that nothing keeps what it leads to.  Where there is none the VMA forgets
    /// it, and gets another with its next fault.
    #[inline(always)]
    fn still_has(&self, anon_vma: *mut AnonVma<R>) -> bool {
        if R::Rules::unlink_resets() && R::Rules::clone_undoes() {
            return true;
        }
        if anon_vma.is_null() || !self.chain.read_once().is_null() {
            return true;
        }
        let rule = if R::Rules::unlink_resets() {
            Rule::R37
        } else {
            Rule::R33
        };
        // SAFETY: Incorrect, on purpose: memory that may be anybody's is read.
        let there = unsafe { (*anon_vma).is_allocated() };
        if !Oracle::TypeStability.holds(rule, there) {
            // Whoever fails has nothing to forget any more.
            let _ = self.anon_vma.cmpxchg(anon_vma, ptr::null_mut(), Relaxed);
        }
        there
    }

    /// Whether it has no `->anon_vma`, as this very moment goes.
    pub(crate) fn is_unfaulted(&self) -> bool {
        self.anon_vma.read_once().is_null()
    }

    /// The page offsets that it covers.
    pub(crate) fn range(&self, locked: &impl MmapLocked<R>) -> Option<Range> {
        // SAFETY: By invariant (6) the range does not change while `mmap_lock` is held.
        self.covered_by(locked.mm())
            .then(|| unsafe { *self.range.get() })
    }

    /// Calls `f` with each anon_vma on the chain (`same_vma`), in order.
    pub(crate) fn for_each_link<'a>(
        &self,
        locked: &'a impl MmapLocked<R>,
        mut f: impl FnMut(&'a AnonVma<R>) -> Result,
    ) -> Result {
        if !self.covered_by(locked.mm()) {
            return Err(EINVAL);
        }
        let mut link = self.chain.read_once();
        // SAFETY: By invariant (5) the links stay while `mmap_lock` is held.
        while let Some(this) = unsafe { link.as_ref() } {
            // SAFETY: By invariants (5) and (2).
            f(unsafe { &*this.anon_vma })?;
            link = this.next.read_once();
        }
        Ok(())
    }

    /// Whether it is linked to the anon_vma with this [`key`](AnonVma::key), and both are of one
    /// family.
    pub(crate) fn is_linked_to(&self, key: usize, locked: &impl MmapLocked<R>) -> bool {
        let root = self.anon_vma(locked).map(AnonVma::root);
        let mut linked = false;
        // An error only ends the loop.
        let _ = self.for_each_link(locked, |anon_vma| {
            linked = anon_vma.key() == key && root.is_some_and(|r| ptr::eq(anon_vma.root(), r));
            if linked {
                Err(EAGAIN)
            } else {
                Ok(())
            }
        });
        linked
    }

    /// How many anon_vmas it is linked to.
    pub(crate) fn links(&self, locked: &impl MmapLocked<R>) -> usize {
        let mut n = 0;
        // What cannot be counted has no links that this caller may look at.
        let _ = self.for_each_link(locked, |_| {
            n += 1;
            Ok(())
        });
        n
    }

    /// `folio_add_new_anon_rmap()`: a fault has made a page, and maps it here (R20).
    ///
    /// An `exclusive` page is this VMA's alone, and goes to its `->anon_vma`; one that other VMAs of
    /// the family may come to map as well goes to the root, which all of them are linked to.
    ///
    /// Returns whether it did: not where the VMA has no `->anon_vma`, or the page was anonymous
    /// before.  Until the page is unmapped the VMA must not be unlinked (R21, R33): that order is
    /// the caller's, as it is in C.
    pub(crate) fn add_new_anon_rmap(
        &self,
        page: &PageRmap<R>,
        exclusive: bool,
        mmap: &impl MmapLocked<R>,
    ) -> bool {
        let Some(anon_vma) = self.anon_vma(mmap) else {
            return Rule::R20.check(false);
        };
        let anon_vma = if exclusive || !R::Rules::shared_to_root() {
            anon_vma
        } else {
            anon_vma.root()
        };
        Rule::R20.check(exclusive || anon_vma.is_root());
        page.add_new_anon_rmap(anon_vma)
    }

    /// `folio_move_anon_rmap()`: this VMA is the only one left that maps `page`, so the page goes to
    /// its `->anon_vma`.  Takes no lock: the caller has the page's, or else sees to it that nobody
    /// maps or moves the page meanwhile.
    ///
    /// Returns whether that is allowed (R19); it is not done otherwise.  Whoever looked the page up
    /// before may go on walking where it was: so the root must be the same, and this VMA be linked
    /// to where the page was.  In the mails that makes the destination a descendant.  Since forks
    /// reuse idle ancestors (R24) it may be an ancestor as well: counted in `stats`.
    pub(crate) fn move_anon_rmap(&self, page: &PageRmap<R>, mmap: &impl MmapLocked<R>) -> bool {
        let (Some(from), Some(to)) = (page.anon_vma_key(), self.anon_vma(mmap)) else {
            return Rule::R19.check(false);
        };
        let linked = self.is_linked_to(from, mmap);
        if Rule::R19.check(linked) {
            if !self.is_ancestor(from, to, mmap) {
                stats::MOVES_TO_ANCESTOR.inc();
            }
            page.set_anon(to);
        }
        linked
    }

    /// Whether the anon_vma with this [`key`](AnonVma::key) is `anon_vma` or an ancestor of it, as
    /// far as this VMA is linked to the line that leads there.
    fn is_ancestor(&self, key: usize, anon_vma: &AnonVma<R>, mmap: &impl MmapLocked<R>) -> bool {
        let mut at = anon_vma;
        while at.key() != key {
            let parent = at.parent_ptr();
            if at.is_root() || !self.is_linked_to(parent.addr(), mmap) {
                return false;
            }
            // SAFETY: This VMA is linked to it, and stays so while `mmap_lock` is held: by (5) and
            // (2) it is allocated.
            at = unsafe { &*parent };
        }
        true
    }

    /// Changes the range: out of all trees, and in again, under the root's lock (R32).  Sleeps.
    pub(crate) fn set_range(&self, range: Range, mmap: &mut MmapWrite<'_, R>) {
        if !self.covered_by(mmap.mm()) {
            return;
        }
        let Some(anon_vma) = self.anon_vma(mmap) else {
            // SAFETY: By invariant (7) in no tree; `mmap_lock` is ours.
            unsafe { *self.range.get() = range };
            return;
        };
        let family = anon_vma.lock_write();
        // SAFETY: The family's lock is held: invariant (3); all links are of one family: (1), (5).
        unsafe { self.set_range_locked(range, &family) };
    }

    /// Changes the ranges of two VMAs at once, so that no walker sees the boundary between them
    /// nowhere or twice (R32); `other` is of the same address space.  Sleeps.
    pub(crate) fn set_ranges(
        &self,
        range: Range,
        other: &Self,
        other_range: Range,
        mmap: &mut MmapWrite<'_, R>,
    ) {
        let mine = self.anon_vma(mmap).map(AnonVma::root);
        let others = other.anon_vma(mmap).map(AnonVma::root);
        match (mine, others) {
            (Some(root), Some(others)) if ptr::eq(root, others) => {
                let family = root.lock_write();
                // SAFETY: As in `set_range`; both are of the family that is locked.
                unsafe {
                    self.set_range_locked(range, &family);
                    other.set_range_locked(other_range, &family);
                }
            }
            // What is in no common tree is not seen together.
            _ => {
                self.set_range(range, mmap);
                other.set_range(other_range, mmap);
            }
        }
    }

    /// The part of it under the lock.
    ///
    /// # Safety
    ///
    /// `mmap_lock` is held for writing; `_family` is the lock of the family of this VMA's links.
    unsafe fn set_range_locked(&self, range: Range, _family: &FamilyWrite<'_, R>) {
        // SAFETY: The caller's promise.
        unsafe {
            if R::Rules::range_out_of_trees() {
                self.each_node(|anon_vma, node| anon_vma.tree().remove(node));
            }
            R::Rules::window(Window::OutOfTrees);
            *self.range.get() = range;
            if R::Rules::range_out_of_trees() {
                self.each_node(|anon_vma, node| anon_vma.tree().insert(node));
            }
            // What was in a tree while its range changed is not found where it is now.
            if cfg!(CONFIG_DEBUG_VM = "y") {
                let mut found = true;
                self.each_node(|anon_vma, node| found &= anon_vma.tree().contains(node));
                Oracle::WalkCompleteness.check(Rule::R32, found);
            }
        }
    }

    /// Where the last link says that there is no next.
    ///
    /// # Safety
    ///
    /// The chain does not change meanwhile.
    unsafe fn end_of_chain(&self) -> &Atomic<*mut AnonVmaChain<R>> {
        let mut place = &self.chain;
        // SAFETY: By invariant (5), and the caller's promise.
        while let Some(link) = unsafe { place.read_once().as_ref() } {
            place = &link.next;
        }
        place
    }

    /// Whether one of the links is to `anon_vma`: most often the first.
    ///
    /// # Safety
    ///
    /// The chain does not change meanwhile.
    unsafe fn has_link_to(&self, anon_vma: &AnonVma<R>) -> bool {
        // SAFETY: The caller's promise.
        unsafe { self.has_links_to(anon_vma, 1) }
    }

    /// Whether at least `n` of the links are to `anon_vma`.
    ///
    /// # Safety
    ///
    /// The chain does not change meanwhile.
    unsafe fn has_links_to(&self, anon_vma: &AnonVma<R>, mut n: usize) -> bool {
        let mut link = self.chain.read_once();
        // SAFETY: By invariant (5), and the caller's promise.
        while let Some(this) = unsafe { link.as_ref() } {
            if ptr::eq(this.anon_vma, anon_vma) {
                n -= 1;
                if n == 0 {
                    return true;
                }
            }
            link = this.next.read_once();
        }
        false
    }

    /// Calls `f` with each link's anon_vma and node.
    ///
    /// # Safety
    ///
    /// `mmap_lock` is held for writing.
    unsafe fn each_node(&self, mut f: impl FnMut(&AnonVma<R>, *mut Node)) {
        let mut link = self.chain.read_once();
        while !link.is_null() {
            // SAFETY: By invariant (5); nobody else changes the chain.
            unsafe {
                f(&*(*link).anon_vma, &raw mut (*link).node);
                link = (*link).next.read_once();
            }
        }
    }
}

#[pinned_drop]
impl<R: Rmap> PinnedDrop for Vma<R> {
    fn drop(self: Pin<&mut Self>) {
        if Oracle::Refcount.check(Rule::R33, self.chain.read_once().is_null()) {
            return;
        }
        let mm = self.mm.clone();
        super::link::unlink_anon_vmas(&self, &mut mm.mmap_write());
    }
}

impl<R: Rmap> FamilyWrite<'_, R> {
    /// `vma->anon_vma = anon_vma`, for all to see (R30): it is linked already, or about to be.
    ///
    /// The VMA had none (R31).
    pub(super) fn publish(
        &mut self,
        vma: &Vma<R>,
        anon_vma: &AnonVma<R>,
        chains: &impl ChainsLocked<R>,
    ) {
        if !vma.covered_by(chains.mm()) || !self.protects(anon_vma) {
            return;
        }
        if !Oracle::Topology.holds(Rule::R31, vma.anon_vma.read_once().is_null()) {
            return;
        }
        self.activate(anon_vma);
        // SAFETY: The chain is ours by `chains`.
        Rule::R30.holds(unsafe { vma.has_link_to(anon_vma) });
        vma.anon_vma
            .store(ptr::from_ref(anon_vma).cast_mut(), Release);
    }

    /// Links `vma` to `anon_vma`, first on its chain: `anon_vma_chain_assign()` and
    /// `anon_rmap_tree_insert()`.  Returns `false`, and links nothing, where this is not the
    /// anon_vma's lock, or `chains` not the VMA's.
    pub(super) fn link(
        &mut self,
        links: &mut Links<R>,
        vma: &Vma<R>,
        anon_vma: &AnonVma<R>,
        chains: &impl ChainsLocked<R>,
    ) -> bool {
        if !vma.covered_by(chains.mm()) || !self.protects(anon_vma) || !self.is_linkable(anon_vma) {
            return false;
        }
        // All links of a VMA are of one family: whoever holds its lock may change all their trees.
        // SAFETY: By invariants (5) and (2): the chain is ours by `chains`.
        let first = unsafe { vma.chain.read_once().as_ref().map(|link| &*link.anon_vma) };
        if !first.is_none_or(|first| self.protects(first)) {
            return false;
        }
        let Some(link) = links.pop() else {
            return false;
        };
        let link = link.as_ptr();
        // SAFETY: The link is ours.  The VMA has its place and outlives it (6), the anon_vma's tree
        // is locked by us (3), the chain by `chains` (5).
        unsafe {
            (*link).node = Node::new(vma.range.get());
            (*link).anon_vma = anon_vma;
            anon_vma.tree().insert(&raw mut (*link).node);
            let place = if R::Rules::newest_first() {
                &vma.chain
            } else {
                vma.end_of_chain()
            };
            (*link).next.write_once(place.read_once());
            if chains.has_readers() {
                place.store(link, Release);
            } else {
                place.write_once(link);
            }
        }
        true
    }
}

impl<R: Rmap> Vma<R> {
    /// Whether the first link is that to `->anon_vma`.
    pub(super) fn first_link_is_active(&self, locked: &impl MmapLocked<R>) -> bool {
        let mut first = None;
        // An error only ends the loop.
        let _ = self.for_each_link(locked, |anon_vma| {
            first = Some(anon_vma.key());
            Err(EAGAIN)
        });
        first.is_some() && first == self.anon_vma(locked).map(AnonVma::key)
    }

    /// Whether this VMA is linked to all that `other`, of the same address space, is linked to.
    pub(crate) fn is_linked_to_all_of(&self, other: &Self, mmap: &impl MmapLocked<R>) -> bool {
        let mut all = self.covered_by(mmap.mm());
        // An error only ends the loop.
        let _ = other.for_each_link(mmap, |anon_vma| {
            // SAFETY: `mmap_lock` is held, for writing or for reading; links may be added to the
            // front of the chain meanwhile, which is not looked at again.
            all = all && unsafe { self.has_link_to(anon_vma) };
            if all {
                Ok(())
            } else {
                Err(ENOENT)
            }
        });
        all
    }

    /// Moves the links over that only `goes`, of the same address space and family, has (R25).
    /// Sleeps, allocates nothing.
    pub(super) fn take_links_of(&self, goes: &Self, mmap: &mut MmapWrite<'_, R>) {
        if !self.covered_by(mmap.mm()) || !goes.covered_by(mmap.mm()) {
            return;
        }
        let (Some(ours), Some(theirs)) = (self.anon_vma(mmap), goes.anon_vma(mmap)) else {
            return;
        };
        let family = ours.lock_write();
        if !family.protects(theirs) {
            return;
        }
        // A deliberate bug; twice does the harm, and more would double with each merge.
        let enough = if R::Rules::merge_links_once() { 1 } else { 2 };
        let mut place = &goes.chain;
        // SAFETY: Both chains are ours by `mmap`, and all their links are of the family that is
        // locked: (3), (5).  A link leaves one chain, and the tree by the range of the VMA that it
        // was of, and joins the other and the tree again.
        unsafe {
            while let Some(link) = place.read_once().as_mut() {
                let anon_vma = &*link.anon_vma;
                if self.has_links_to(anon_vma, enough) {
                    place = &link.next;
                    continue;
                }
                place.write_once(link.next.read_once());
                anon_vma.tree().remove(&raw mut link.node);
                link.node = Node::new(self.range.get());
                anon_vma.tree().insert(&raw mut link.node);
                let end = self.end_of_chain();
                link.next.write_once(ptr::null_mut());
                end.store(link, Release);
            }
        }
    }

    /// Takes all links away, and `->anon_vma`; what was linked to nothing else is freed, as are the
    /// links, once the family's lock has been released.  Sleeps.
    pub(super) fn unlink_all(&self, mmap: &mut MmapWrite<'_, R>) {
        let Some(active) = self.anon_vma(mmap) else {
            return;
        };
        let mut family = active.lock_write();
        if !family.protects(active) {
            return;
        }
        // INVARIANT: (5), (7) All links go at once, and `->anon_vma` with them.
        let first = self.chain.read_once();
        self.chain.write_once(ptr::null_mut());
        let mut link = first;
        while !link.is_null() {
            // SAFETY: The link was on the chain, whose lock we hold for writing (5); the family's
            // is ours (3), so parents are still there: they are freed below, at the earliest.
            unsafe {
                let anon_vma = &*(*link).anon_vma;
                anon_vma.tree().remove(&raw mut (*link).node);
                if anon_vma.tree().is_empty() {
                    family.child_gone(&*anon_vma.parent_ptr());
                } else {
                    // Others are linked to it, and keep its reference (2).
                    (*link).anon_vma = ptr::null();
                }
                link = (*link).next.read_once();
            }
        }
        if R::Rules::unlink_resets() {
            family.deactivate(active);
            self.anon_vma.write_once(ptr::null_mut());
        } else if !first.is_null() {
            // A deliberate bug, but it is counted once.
            family.deactivate(active);
        }
        // Freeing waits for this very lock (R17), so it is released first.
        drop(family);

        let mut n = 0;
        let mut link = first;
        while let Some(raw) = NonNull::new(link) {
            // SAFETY: From `SlabBox::into_raw()` in `reserve`, and on no list any more.
            let this = unsafe { SlabBox::from_raw(raw) };
            link = this.next.read_once();
            if let Some(anon_vma) = NonNull::new(this.anon_vma.cast_mut()) {
                // SAFETY: The tree is empty: its reference (2) is ours to drop.
                drop(unsafe { Pinned::<AnonVma<R>>::from_raw(anon_vma) });
            }
            n += 1;
        }
        stats::CHAIN_FREES.add(n);
    }
}

impl<R: Rmap> LockedAnonVma<'_, R> {
    /// `anon_rmap_tree_foreach()`: calls `f` with each VMA that covers any of the page offsets
    /// `first..=last`, in order of where they start.  `O(log n + k)`.
    pub(crate) fn for_each_vma<B>(
        &self,
        first: usize,
        last: usize,
        mut f: impl FnMut(&Vma<R>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        // SAFETY: The family is locked (3).
        let mut node = unsafe { self.tree().first(first, last) };
        while !node.is_null() {
            // SAFETY: A node in a tree is that of a link, whose range is that of a VMA, which
            // outlives it (6).
            let vma = unsafe {
                let range = Node::range_of(node).cast_mut().cast::<UnsafeCell<Range>>();
                &*container_of!(range, Vma<R>, range)
            };
            f(vma)?;
            // SAFETY: As above; the lock was not released.
            node = unsafe { self.tree().next(node, first, last) };
        }
        ControlFlow::Continue(())
    }
}

/// The sizes of an anon_vma and of a link, ours and the host's, in bytes.
pub(crate) const SIZES: [(&str, usize, usize); 2] = [
    (
        "anon_vma",
        mem::size_of::<AnonVma>(),
        mem::size_of::<crate::ffi::anon_vma>(),
    ),
    (
        "anon_vma_chain",
        mem::size_of::<AnonVmaChain>(),
        mem::size_of::<crate::ffi::anon_vma_chain>(),
    ),
];

#[cfg(shadow_rmap_kunit)]
#[path = "tests/chain.rs"]
mod tests;

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
    mm::{
        ChainsLocked,
        Locked,
        Mm,
        MmapLocked,
        MmapWrite, //
    },
    rules::Rule,
};
use crate::{
    prim::{
        interval_tree::{
            Node,
            Range, //
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
            Acquire,
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
pub(crate) struct AnonVmaChain {
    node: Node,
    anon_vma: *const AnonVma,
    next: Atomic<*mut AnonVmaChain>,
}

/// Links that were allocated before any lock was taken.
pub(crate) struct Links {
    links: KVec<KBox<AnonVmaChain>>,
}

impl Links {
    /// Allocates `n` links.  Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; then nothing is allocated.
    pub(crate) fn reserve(n: usize) -> Result<Self> {
        let mut links = KVec::with_capacity(n, GFP_KERNEL)?;
        for _ in 0..n {
            let link = AnonVmaChain {
                node: Node::new(ptr::null()),
                anon_vma: ptr::null(),
                next: Atomic::new(ptr::null_mut()),
            };
            links.push(
                KBox::new(link, kernel::alloc::flags::GFP_KERNEL_ACCOUNT)?,
                GFP_KERNEL,
            )?;
        }
        Ok(Self { links })
    }
}

/// A VMA, as far as the reverse map knows it; to be a part of something larger.
///
/// Dropped with links left it unlinks itself, and counts that as a violation of R33.
#[repr(C)]
#[pin_data(PinnedDrop)]
pub(crate) struct Vma {
    /// First, so that a link's node leads from the range to the VMA.
    range: UnsafeCell<Range>,
    anon_vma: Atomic<*mut AnonVma>,
    chain: Atomic<*mut AnonVmaChain>,
    mm: Arc<Mm>,
    id: u64,
    marked: Atomic<bool>,
    #[pin]
    _pin: PhantomPinned,
}

// SAFETY: All is behind locks, as the invariants say.
unsafe impl Send for Vma {}
// SAFETY: As above.
unsafe impl Sync for Vma {}

impl Vma {
    /// A VMA of `mm` that covers the page offsets `range`, without links.
    pub(crate) fn new(mm: Arc<Mm>, range: Range, id: u64) -> impl PinInit<Self> {
        pin_init!(Self {
            range: UnsafeCell::new(range),
            // INVARIANT: (7) Neither.
            anon_vma: Atomic::new(ptr::null_mut()),
            chain: Atomic::new(ptr::null_mut()),
            mm,
            id,
            marked: Atomic::new(false),
            _pin: PhantomPinned,
        })
    }

    /// Its number, for people.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// What makes this VMA this one and no other, for comparing only.
    pub(crate) fn key(&self) -> usize {
        ptr::from_ref(self).addr()
    }

    /// A mark that its owner may leave, and that walkers may leave for the owner.
    pub(crate) fn mark(&self) {
        self.marked.store(true, Relaxed);
    }

    /// Whether it has been marked.
    pub(crate) fn is_marked(&self) -> bool {
        self.marked.load(Relaxed)
    }

    /// Whether the lock that was taken is that of this VMA's address space (R34).
    fn covered_by(&self, mm: &Mm) -> bool {
        Rule::R34.check(ptr::eq(mm, &*self.mm))
    }

    /// `vma->anon_vma`: where its new pages go.
    ///
    /// The acquire pairs with the release in [`FamilyWrite::publish`] (R30).  `None` also where
    /// `locked` is another address space's lock.
    pub(crate) fn anon_vma<'a>(&self, locked: &'a impl MmapLocked) -> Option<&'a AnonVma> {
        if !self.covered_by(locked.mm()) {
            return None;
        }
        // SAFETY: By invariants (7) and (5) the anon_vma is linked, and its link stays while
        // `mmap_lock` is held; by (2) it is allocated.
        unsafe { self.anon_vma.load(Acquire).as_ref() }
    }

    /// Whether it has no `->anon_vma`, as this very moment goes.
    pub(crate) fn is_unfaulted(&self) -> bool {
        self.anon_vma.load(Acquire).is_null()
    }

    /// The page offsets that it covers.
    pub(crate) fn range(&self, locked: &impl MmapLocked) -> Option<Range> {
        // SAFETY: By invariant (6) the range does not change while `mmap_lock` is held.
        self.covered_by(locked.mm())
            .then(|| unsafe { *self.range.get() })
    }

    /// Calls `f` with each anon_vma on the chain (`same_vma`), in order.
    pub(crate) fn for_each_link<'a>(
        &self,
        locked: &'a impl MmapLocked,
        mut f: impl FnMut(&'a AnonVma) -> Result,
    ) -> Result {
        if !self.covered_by(locked.mm()) {
            return Err(EINVAL);
        }
        let mut link = self.chain.load(Acquire);
        // SAFETY: By invariant (5) the links stay while `mmap_lock` is held.
        while let Some(this) = unsafe { link.as_ref() } {
            // SAFETY: By invariants (5) and (2).
            f(unsafe { &*this.anon_vma })?;
            link = this.next.load(Acquire);
        }
        Ok(())
    }

    /// Whether it is linked to the anon_vma with this [`key`](AnonVma::key), and both are of one
    /// family.
    pub(crate) fn is_linked_to(&self, key: usize, locked: &impl MmapLocked) -> bool {
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
    pub(crate) fn links(&self, locked: &impl MmapLocked) -> usize {
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
    /// Returns whether it did: not where the VMA has no `->anon_vma`.  Until the page is unmapped
    /// the VMA must not be unlinked (R21, R33): that order is the caller's, as it is in C.
    pub(crate) fn add_new_anon_rmap(&self, page: &PageRmap, mmap: &impl MmapLocked) -> bool {
        let anon_vma = self.anon_vma(mmap);
        if let Some(anon_vma) = anon_vma {
            page.add_new_anon_rmap(anon_vma);
        }
        Rule::R20.check(anon_vma.is_some())
    }

    /// `folio_move_anon_rmap()`: this VMA is the only one left that maps `page`, so the page goes to
    /// its `->anon_vma`.  Sleeps.
    ///
    /// Returns whether that is allowed (R19); it is not done otherwise.  Whoever looked the page up
    /// before may go on walking where it was: so the root must be the same, and this VMA be linked
    /// to where the page was.  In the mails that makes the destination a descendant.  Since forks
    /// reuse idle ancestors (R24) it may be an ancestor as well: counted in `stats`.
    pub(crate) fn move_anon_rmap(&self, page: &PageRmap, mmap: &impl MmapLocked) -> bool {
        let (Some(from), Some(to)) = (page.anon_vma_key(), self.anon_vma(mmap)) else {
            return Rule::R19.check(false);
        };
        let linked = self.is_linked_to(from, mmap);
        if Rule::R19.check(linked) {
            if !to.lock_read().descends_from(from) {
                stats::MOVES_TO_ANCESTOR.inc();
            }
            page.set_anon(to);
        }
        linked
    }

    /// Changes the range: out of all trees, and in again, under the root's lock (R32).  Sleeps.
    pub(crate) fn set_range(&self, range: Range, mmap: &mut MmapWrite<'_>) {
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
        unsafe {
            self.each_node(|anon_vma, node| anon_vma.tree().remove(node));
            *self.range.get() = range;
            self.each_node(|anon_vma, node| anon_vma.tree().insert(node));
        }
        drop(family);
        Rule::R32.checked(1);
    }

    /// Calls `f` with each link's anon_vma and node.
    ///
    /// # Safety
    ///
    /// `mmap_lock` is held for writing.
    unsafe fn each_node(&self, mut f: impl FnMut(&AnonVma, *mut Node)) {
        let mut link = self.chain.load(Relaxed);
        while !link.is_null() {
            // SAFETY: By invariant (5); nobody else changes the chain.
            unsafe {
                f(&*(*link).anon_vma, &raw mut (*link).node);
                link = (*link).next.load(Relaxed);
            }
        }
    }
}

#[pinned_drop]
impl PinnedDrop for Vma {
    fn drop(self: Pin<&mut Self>) {
        if Rule::R33.check(self.anon_vma.load(Relaxed).is_null()) {
            return;
        }
        let mm = self.mm.clone();
        super::link::unlink_anon_vmas(&self, &mut mm.mmap_write());
    }
}

impl FamilyWrite<'_> {
    /// `vma->anon_vma = anon_vma`, for all to see (R30): it is linked already, or about to be.
    ///
    /// The VMA had none (R31).
    pub(super) fn publish(&mut self, vma: &Vma, anon_vma: &AnonVma, chains: &impl ChainsLocked) {
        if !vma.covered_by(chains.mm()) || !self.protects(anon_vma) {
            return;
        }
        if !Rule::R31.check(vma.anon_vma.load(Relaxed).is_null()) {
            return;
        }
        self.activate(anon_vma);
        Rule::R30.check(anon_vma.refcount() > 0);
        vma.anon_vma
            .store(ptr::from_ref(anon_vma).cast_mut(), Release);
    }

    /// Links `vma` to `anon_vma`, first on its chain: `anon_vma_chain_assign()` and
    /// `anon_rmap_tree_insert()`.  Returns `false`, and links nothing, where this is not the
    /// anon_vma's lock, or `chains` not the VMA's.
    pub(super) fn link(
        &mut self,
        links: &mut Links,
        vma: &Vma,
        anon_vma: &AnonVma,
        chains: &impl ChainsLocked,
    ) -> bool {
        if !vma.covered_by(chains.mm()) || !self.protects(anon_vma) || !self.is_linkable(anon_vma) {
            return false;
        }
        // All links of a VMA are of one family: whoever holds its lock may change all their trees.
        // SAFETY: By invariants (5) and (2): the chain is ours by `chains`.
        let first = unsafe { vma.chain.load(Relaxed).as_ref().map(|link| &*link.anon_vma) };
        if !first.is_none_or(|first| self.protects(first)) {
            return false;
        }
        let Some(link) = links.links.pop() else {
            return false;
        };
        stats::CHAIN_ALLOCS.inc();
        let link = KBox::into_raw(link);
        // SAFETY: The link is ours.  The VMA has its place and outlives it (6), the anon_vma's tree
        // is locked by us (3), the chain by `chains` (5).
        unsafe {
            (*link).node = Node::new(vma.range.get());
            (*link).anon_vma = anon_vma;
            (*link).next = Atomic::new(vma.chain.load(Relaxed));
            anon_vma.tree().insert(&raw mut (*link).node);
        }
        vma.chain.store(link, Release);
        true
    }
}

impl Vma {
    /// Whether the first link is that to `->anon_vma`.
    pub(super) fn first_link_is_active(&self, locked: &impl MmapLocked) -> bool {
        let mut first = None;
        // An error only ends the loop.
        let _ = self.for_each_link(locked, |anon_vma| {
            first = Some(anon_vma.key());
            Err(EAGAIN)
        });
        first.is_some() && first == self.anon_vma(locked).map(AnonVma::key)
    }

    /// Takes all links away, and `->anon_vma`; what was linked to nothing else is freed, as are the
    /// links, once the family's lock has been released.  Sleeps.
    pub(super) fn unlink_all(&self, mmap: &mut MmapWrite<'_>) {
        let Some(active) = self.anon_vma(mmap) else {
            return;
        };
        let mut family = active.lock_write();
        if !family.protects(active) {
            return;
        }
        // INVARIANT: (5), (7) All links go at once, and `->anon_vma` with them.
        let first = self.chain.xchg(ptr::null_mut(), Relaxed);
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
                link = (*link).next.load(Relaxed);
            }
        }
        family.deactivate(active);
        self.anon_vma.store(ptr::null_mut(), Release);
        // Freeing waits for this very lock (R17), so it is released first.
        drop(family);

        let mut link = first;
        while !link.is_null() {
            // SAFETY: From `KBox::into_raw()` in `link`, and on no list any more.
            let this = unsafe { KBox::from_raw(link) };
            link = this.next.load(Relaxed);
            if let Some(anon_vma) = NonNull::new(this.anon_vma.cast_mut()) {
                // SAFETY: The tree is empty: its reference (2) is ours to drop.
                drop(unsafe { Pinned::<AnonVma>::from_raw(anon_vma) });
            }
            stats::CHAIN_FREES.inc();
        }
    }
}

impl LockedAnonVma<'_> {
    /// `anon_rmap_tree_foreach()`: calls `f` with each VMA that covers any of the page offsets
    /// `first..=last`, in order of where they start.  `O(log n + k)`.
    pub(crate) fn for_each_vma<B>(
        &self,
        first: usize,
        last: usize,
        mut f: impl FnMut(&Vma) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        // SAFETY: The family is locked (3).
        let mut node = unsafe { self.tree().first(first, last) };
        while !node.is_null() {
            // SAFETY: A node in a tree is that of a link, whose range is that of a VMA, which
            // outlives it (6).
            let vma = unsafe {
                let range = (*node).range.cast_mut().cast::<UnsafeCell<Range>>();
                &*container_of!(range, Vma, range)
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

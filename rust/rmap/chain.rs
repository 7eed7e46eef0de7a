// SPDX-License-Identifier: GPL-2.0

//! The links between VMAs and anon_vmas.
//!
//! C: `struct anon_vma_chain` of [`include/linux/rmap.h`](srctree/include/linux/rmap.h).
//!
//! A link is in two structures at once: the chain of its VMA (`same_vma`), which `mmap_lock` and
//! `page_table_lock` protect, and the interval tree of its anon_vma, which the root's lock
//! protects. It is allocated before, and freed after, either lock is held.
//!
//! # Invariants
//!
//! They continue those of [`anon_vma`](super::anon_vma).
//!
//! 5. *Chains.* A link on a VMA's chain is in the tree of its anon_vma, and the other way round.
//!    The chain owns it. Links are added under [`ChainsLocked`], and taken away under
//!    [`MmapWrite`](super::mm::MmapWrite), or when the VMA is dropped: under [`MmapLocked`] the chain only
//!    grows. For both the family's lock is held for writing.
//! 6. *VMAs.* A VMA with links stays at its place in memory and outlives them. Its range changes
//!    only while it is in no tree, or is taken out of all of them under the root's lock (R32).
//! 7. *First anon_vma.* A VMA with `->anon_vma` has links, and is linked to it; all its links are
//!    of one family. A VMA with links gets `->anon_vma` before the locks under which it was linked
//!    are released.

#![allow(unsafe_code, reason = "intrusive objects")]

use super::{
    anon_vma::AnonVma,
    family::FamilyWrite,
    kind::{
        Live,
        Rmap, //
    },
    mm::{
        ChainsLocked,
        MmapLocked, //
    },
    oracle::Oracle,
    rules::Rule,
    steps::Steps,
    vma::Vma, //
};
use crate::kernel_ext::{
    interval_tree::{
        Node,
        Range, //
    },
    rwonce::ReadWriteOnce,
    slab::{
        SlabBox,
        StaticCache, //
    },
    versions::smp_wmb, //
};
use core::{
    marker::PhantomData,
    mem::{
        self,
        MaybeUninit, //
    },
    ptr::{
        self,
        NonNull, //
    },
};
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Release, //
    }, //
};

/// A link: the VMA may map pages of the anon_vma.
///
/// Its `node` names the VMA through the VMA's range. While the link is in a tree, C changes the
/// node under the tree's lock: it is opaque, and is used through raw pointers only. The link is no
/// larger than the host's, see `stats`.
#[repr(C)]
pub(crate) struct AnonVmaChain<R: Rmap = Live> {
    pub(super) node: Node,
    pub(super) anon_vma: *const AnonVma<R>,
    pub(super) next: Atomic<*mut AnonVmaChain<R>>,
}

/// Bytes of a link, of any kind: all have one layout.
pub(crate) const LINK_SIZE: usize = mem::size_of::<AnonVmaChain>();

/// The cache of all links.
pub(super) static LINKS: StaticCache<LINK_SIZE> = StaticCache::new();

/// Links that were allocated before a lock was taken, connected by their `next`.
///
/// # Invariants
///
/// Each is owned by the one before, the first one by this value. Only their `next` is initialised.
pub(crate) struct LinkReserve<R: Rmap = Live>(*mut AnonVmaChain<R>);

impl<R: Rmap> LinkReserve<R> {
    /// Allocates `n` links. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; then nothing is allocated.
    pub(super) fn new(n: usize) -> Result<Self> {
        let mut links = Self(ptr::null_mut());
        for _ in 0..n {
            R::allocation()?;
            let link = LINKS
                .alloc(MaybeUninit::<AnonVmaChain<R>>::uninit())?
                .into_raw()
                .cast::<AnonVmaChain<R>>();
            // SAFETY: The memory is ours, and large enough for a link.
            unsafe { (&raw mut (*link).next).write(Atomic::new(links.0)) };
            // INVARIANT: It owns those that there were, and this value owns it.
            links.0 = link;
        }
        Ok(links)
    }

    /// Takes one.
    fn pop(&mut self) -> Option<NonNull<AnonVmaChain<R>>> {
        let link = NonNull::new(self.0)?;
        // SAFETY: By the type invariant it is ours.
        // INVARIANT: What it owned is ours, and it is the caller's.
        self.0 = unsafe { (*link.as_ptr()).next.read_once() };
        Some(link)
    }
}

impl<R: Rmap> Drop for LinkReserve<R> {
    fn drop(&mut self) {
        while let Some(link) = self.pop() {
            // SAFETY: By the type invariant, from `SlabBox::into_raw()`, and of this cache.
            unsafe {
                LINKS.free(SlabBox::from_raw(
                    link.cast::<MaybeUninit<AnonVmaChain<R>>>(),
                ))
            };
        }
    }
}

/// The anon_vmas on a VMA's chain (`same_vma`), in order.
pub(crate) struct Links<'a, R: Rmap> {
    next: *mut AnonVmaChain<R>,
    _locked: PhantomData<&'a AnonVma<R>>,
}

impl<'a, R: Rmap> Iterator for Links<'a, R> {
    type Item = &'a AnonVma<R>;

    #[inline]
    fn next(&mut self) -> Option<&'a AnonVma<R>> {
        let link = NonNull::new(self.next)?.as_ptr();
        // SAFETY: By invariant (5) the links stay while `mmap_lock` is held and the VMA is not
        // dropped, that is for `'a`, or by the promise of the caller of `links_here`; by (2) a
        // linked anon_vma is allocated.
        unsafe {
            self.next = (*link).next.read_once();
            Some(&*(*link).anon_vma)
        }
    }
}

impl<R: Rmap> Vma<R> {
    /// Returns the anon_vmas on the chain (`same_vma`), in order; none if `locked` is another
    /// address space's lock.
    ///
    /// They are borrowed from the VMA as well: a VMA that is dropped unlinks itself.
    #[inline]
    pub(crate) fn links<'a>(&'a self, locked: &'a (impl MmapLocked<R> + ?Sized)) -> Links<'a, R> {
        let next = if self.covered_by(locked.mm()) {
            self.chain.read_once()
        } else {
            ptr::null_mut()
        };
        Links {
            next,
            _locked: PhantomData,
        }
    }

    /// Returns how many anon_vmas it is linked to. Exact under `mmap_lock`.
    #[inline]
    pub(crate) fn nr_links(&self) -> usize {
        self.nr_links.read_once() as usize
    }

    /// Returns whether one of the links is to `anon_vma`; most often the first is.
    ///
    /// # Safety
    ///
    /// The chain does not change meanwhile.
    unsafe fn is_linked_here(&self, anon_vma: &AnonVma<R>) -> bool {
        // SAFETY: The caller's promise.
        unsafe { self.links_here() }.any(|linked| ptr::eq(linked, anon_vma))
    }

    /// Returns the anon_vmas on the chain, in order.
    ///
    /// # Safety
    ///
    /// The chain does not change for as long as the result lives.
    pub(super) unsafe fn links_here(&self) -> Links<'_, R> {
        Links {
            next: self.chain.read_once(),
            _locked: PhantomData,
        }
    }

    /// Returns the anon_vma of the first link.
    ///
    /// # Safety
    ///
    /// The chain does not change for as long as the result lives.
    pub(super) unsafe fn first_link<'a>(&self) -> Option<&'a AnonVma<R>> {
        let link = NonNull::new(self.chain.read_once())?.as_ptr();
        // SAFETY: By invariants (5) and (2), and the caller's promise.
        Some(unsafe { &*(*link).anon_vma })
    }

    /// Returns the place of a new link: the front of the chain (R22).
    ///
    /// # Safety
    ///
    /// The chain is locked for writing, and the caller keeps (5).
    pub(super) unsafe fn front_of_chain(&self) -> &Atomic<*mut AnonVmaChain<R>> {
        &self.chain
    }

    /// Returns the place behind the last link.
    ///
    /// # Safety
    ///
    /// The chain does not change meanwhile.
    pub(crate) unsafe fn end_of_chain(&self) -> &Atomic<*mut AnonVmaChain<R>> {
        let mut place = &self.chain;
        while let Some(link) = NonNull::new(place.read_once()) {
            // SAFETY: By invariant (5), and the caller's promise.
            place = unsafe { &(*link.as_ptr()).next };
        }
        place
    }

    /// Calls `f` with each link's anon_vma and node.
    ///
    /// # Safety
    ///
    /// `mmap_lock` is held for writing.
    pub(super) unsafe fn each_node(&self, mut f: impl FnMut(&AnonVma<R>, *mut Node)) {
        let mut link = self.chain.read_once();
        while !link.is_null() {
            // SAFETY: By invariant (5); the caller's lock keeps the chain.
            unsafe {
                f(&*(*link).anon_vma, &raw mut (*link).node);
                link = (*link).next.read_once();
            }
        }
    }

    /// Returns whether a search in each tree finds this VMA's node (R32).
    ///
    /// # Safety
    ///
    /// `mmap_lock` is held for writing, and the lock of the family of this VMA's links.
    pub(super) unsafe fn is_found_in_trees(&self) -> bool {
        let mut found = true;
        // SAFETY: The caller's promise.
        unsafe { self.each_node(|anon_vma, node| found &= anon_vma.tree().contains(node)) };
        found
    }

    /// Returns the range, as a pointer that leads to the whole VMA.
    pub(super) fn range_ptr(&self) -> *const Range {
        // `range` is the first field.
        ptr::from_ref(self).cast()
    }

    /// Adds to the number of links, wrapping around. The chain is locked.
    pub(super) fn add_to_nr_links(&self, n: u32) {
        self.nr_links
            .write_once(self.nr_links.read_once().wrapping_add(n));
    }
}

impl<R: Rmap> FamilyWrite<'_, R> {
    /// Publishes `vma->anon_vma = anon_vma` (R30), which the VMA is linked to. The VMA had none
    /// (R31).
    #[inline]
    pub(crate) fn publish(
        &mut self,
        vma: &Vma<R>,
        anon_vma: &AnonVma<R>,
        chains: &impl ChainsLocked<R>,
    ) {
        // SAFETY: The chain is ours by `chains`.
        let linked = vma.covered_by(chains.mm()) && unsafe { vma.is_linked_here(anon_vma) };
        if Oracle::Topology.guard(Rule::R21, linked) {
            // SAFETY: (7) The VMA is linked to it.
            unsafe { self.publish_unlinked(vma, anon_vma, chains) };
        }
    }

    /// As [`publish`](Self::publish), without a look at the chain.
    ///
    /// # Safety
    ///
    /// The VMA is linked to `anon_vma`, or the caller keeps the anon_vma in another way until it
    /// is.
    #[inline]
    pub(crate) unsafe fn publish_unlinked(
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
        let anon_vma = ptr::from_ref(anon_vma).cast_mut();
        if chains.has_readers() {
            // A relaxed store does not do: `tools/litmus/R30+relaxed.litmus`.
            vma.anon_vma.store(anon_vma, Release);
        } else {
            vma.anon_vma.write_once(anon_vma);
        }
    }

    /// Links `vma` to `anon_vma`, first on its chain: `anon_vma_chain_assign()` and
    /// `anon_rmap_tree_insert()`.
    ///
    /// Returns `false`, and links nothing, if this is not the anon_vma's lock, or `chains` not the
    /// VMA's.
    ///
    /// For the engine alone: a VMA that is linked to a child is linked to its parent, too, which is
    /// all that keeps a parent that is not the root until the child is unlinked.
    #[inline(always)]
    pub(super) fn link(
        &mut self,
        links: &mut LinkReserve<R>,
        vma: &Vma<R>,
        anon_vma: &AnonVma<R>,
        chains: &impl ChainsLocked<R>,
    ) -> bool {
        if !vma.covered_by(chains.mm()) || !self.protects(anon_vma) || !self.is_linkable(anon_vma) {
            return false;
        }
        // All links of a VMA are of one family: the holder of its lock may change all their trees.
        // SAFETY: The chain is ours by `chains`.
        let first = unsafe { vma.first_link() };
        let one_family = first.is_none_or(|first| ptr::eq(first.root(), anon_vma.root()));
        if !Oracle::LockDiscipline.guard(Rule::R15, one_family) {
            return false;
        }
        let Some(link) = links.pop() else {
            return false;
        };
        let link = link.as_ptr();
        // SAFETY: The link is ours. The VMA has its place and outlives it (6), the anon_vma's tree
        // is locked by us (3), the chain by `chains` (5).
        unsafe {
            (&raw mut (*link).node).write(Node::new(vma.range_ptr()));
            (&raw mut (*link).anon_vma).write(anon_vma);
            anon_vma.tree().insert(&raw mut (*link).node);
            let place = R::steps().place_of_link(vma);
            (*link).next.write_once(place.read_once());
            if chains.has_readers() {
                // The link is complete before it can be found: `tools/litmus/R30+link-barrier.litmus`.
                smp_wmb();
            }
            place.write_once(link);
        }
        vma.add_to_nr_links(1);
        true
    }
}

#[cfg(shadow_rmap_kunit)]
#[path = "tests/chain.rs"]
mod tests;

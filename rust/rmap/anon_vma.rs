// SPDX-License-Identifier: GPL-2.0

//! The anon_vma: allocation, references, family.
//!
//! C: `struct anon_vma` of [`include/linux/rmap.h`](srctree/include/linux/rmap.h),
//! `anon_vma_alloc()` of [`mm/rmap.c`](srctree/mm/rmap.c).
//!
//! # Invariants
//!
//! The `SAFETY` comments of this folder cite these by number. [`chain`](super::chain) goes on with
//! (5) to (7), [`page`](super::page) with (8) and (9).
//!
//! 1. *Family.* `root` of an allocated anon_vma points to an allocated anon_vma that is its own
//!    root, and does not change (R14); a non-root owns one reference on it (R16). `parent` points
//!    into the same family, and is allocated while the anon_vma is linked: a VMA that is linked to an
//!    anon_vma is linked to its parent, too, unless that is the root (R23).
//! 2. *Links.* While its tree is not empty, one reference on an anon_vma belongs to the tree: a
//!    linked anon_vma is allocated.
//! 3. *Lock.* A tree changes only while the root's lock is held for writing, and is read only while
//!    it is held (R15).
//! 4. *Late readers.* A `&AnonVma` in safe code is to an allocated one, or comes from a
//!    [`Candidate`](crate::kernel_ext::typesafe::Candidate) and lives no longer than its RCU read
//!    section. In the latter case the object was allocated after the section began, and so was its
//!    root: both stay memory of an `AnonVma` until the section ends.

#![allow(unsafe_code, reason = "reference counts and type-safe memory")]

pub(crate) use super::cache::Cache;

use super::{
    free,
    kind::{
        Live,
        Rmap, //
    },
    lock::FamilyLock,
    oracle::Oracle,
    path,
    rules::Rule,
    steps::Steps, //
};
use crate::{
    kernel_ext::{
        interval_tree::IntervalTree,
        rwonce::{
            ReadWriteOnce,
            ReferenceCount, //
        },
        typesafe::{
            Pinnable,
            Pinned,
            TypesafeByRcu, //
        },
    },
    stats,
};
use core::{
    mem::ManuallyDrop,
    ptr::{
        self,
        NonNull, //
    }, //
};
use kernel::{
    prelude::*,
    sync::atomic::Atomic, //
};

/// Heads the VMAs that may map a set of anonymous pages: VMAs that are related by fork or split.
///
/// It is no larger than the host's, see `stats`.
#[repr(C)]
#[pin_data]
pub(crate) struct AnonVma<R: Rmap = Live> {
    pub(super) root: Atomic<*mut AnonVma<R>>,
    /// Only the root's is used (R15).
    #[pin]
    pub(super) lock: R::Lock,
    pub(super) refcount: Atomic<i32>,
    /// [`MAGIC`], and how often this memory was allocated and freed: odd while it is allocated.
    /// Fills what would be padding.
    pub(super) life: Atomic<u32>,
    pub(super) num_children: Atomic<usize>,
    pub(super) num_active_vmas: Atomic<usize>,
    pub(super) parent: Atomic<*mut AnonVma<R>>,
    pub(super) tree: IntervalTree,
}

/// The upper half of [`AnonVma::life`] from the constructor on: memory with anything else there is
/// no anon_vma (R5).
pub(super) const MAGIC: u32 = 0x5a4d_0000;

/// The lower half.
const LIVES: u32 = 0xffff;

// SAFETY: The pointers are dereferenced by the invariants above, from any thread.
unsafe impl<R: Rmap> Send for AnonVma<R> {}
// SAFETY: As above.
unsafe impl<R: Rmap> Sync for AnonVma<R> {}

// SAFETY: (1) All fields are atomics, a lock that the constructor made, or a tree that is read only
// under its lock. (2) `is_free` is what the constructor leaves behind, and what a free checks: no
// reference can be taken, and no VMA is linked. The lock is not held for writing: that borrows an
// allocated anon_vma.
unsafe impl<R: Rmap> TypesafeByRcu for AnonVma<R> {
    fn constructor() -> impl PinInit<Self> {
        pin_init!(Self {
            root: Atomic::new(ptr::null_mut()),
            lock <- R::Lock::new(),
            refcount: Atomic::new(0),
            life: Atomic::new(MAGIC),
            num_children: Atomic::new(0),
            num_active_vmas: Atomic::new(0),
            parent: Atomic::new(ptr::null_mut()),
            tree: IntervalTree::new(),
        })
    }
}

// SAFETY: `put` frees only when the count reaches zero.
unsafe impl<R: Rmap> Pinnable for AnonVma<R> {
    fn try_get(&self) -> bool {
        if !Oracle::TypeStability.holds(Rule::R5, self.is_typed()) {
            return false;
        }
        self.refcount.inc_not_zero()
    }

    /// # Safety
    ///
    /// As the trait says.
    unsafe fn put(this: NonNull<Self>) {
        // SAFETY: The caller's promise.
        unsafe { free::put(this, || ()) }.count();
    }
}

impl<R: Rmap> AnonVma<R> {
    /// `anon_vma_alloc()`: a new anon_vma, its own root and parent, with one reference. Sleeps.
    ///
    /// For the engine alone, which links a child to VMAs that are linked to its parent, see
    /// [`FamilyWrite::link`](super::family::FamilyWrite::link).
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    #[inline]
    pub(super) fn alloc(cache: &Cache<R>) -> Result<FreshAnonVma<R>> {
        R::allocation()?;
        // If nothing in it can be relied on, it is not given back either.
        let raw = R::steps().alloc_object(cache.objects())?.into_raw();
        // SAFETY: Just allocated. `root` is not followed before it is set.
        let this = unsafe { raw.as_ref() };
        if !Oracle::TypeStability.holds(Rule::R6, this.is_free()) {
            return Err(ENOMEM);
        }
        if this.life.read_once() & LIVES == 0 {
            stats::ANON_VMA_FIRSTS.inc();
        }
        this.next_life();
        this.num_children.write_once(0);
        this.num_active_vmas.write_once(0);
        this.parent.write_once(raw.as_ptr());
        // INVARIANT: (1) A root.
        this.root.write_once(raw.as_ptr());
        this.refcount.write_once(1);
        // SAFETY: The one reference is ours.
        Ok(FreshAnonVma(unsafe { Pinned::from_raw(raw) }))
    }

    /// Drops a reference without freeing. Returns whether it was the last one.
    ///
    /// # Safety
    ///
    /// The reference is the caller's, and so is the free if it was the last.
    pub(crate) unsafe fn dec_refcount(&self) -> bool {
        // A full barrier: what this thread did is visible before the count is, and the root's lock
        // is looked at afterwards, see `free` and `tools/litmus/R17+relaxed-put-after-lock.litmus`.
        self.refcount.dec_and_test()
    }

    /// Returns its own lock, which is the family's only if it is the root (R15).
    pub(crate) fn lock(&self) -> &R::Lock {
        &self.lock
    }

    /// Returns whether the constructor ran on this memory, and nothing has overwritten it since
    /// (R5).
    #[inline]
    pub(crate) fn is_typed(&self) -> bool {
        self.life.read_once() & !LIVES == MAGIC
    }

    /// Returns whether it looks allocated.
    pub(crate) fn is_allocated(&self) -> bool {
        self.is_typed() && self.refcount() > 0
    }

    /// Returns whether it is in the state that the constructor left it in, as far as late readers
    /// rely on it (R6).
    pub(super) fn is_free(&self) -> bool {
        let life = self.life.read_once();
        self.refcount.read_once() == 0
            && self.tree.is_empty()
            && life & !LIVES == MAGIC
            && life % 2 == 0
    }

    /// Counts an allocation or a free in [`life`](Self::life).
    pub(super) fn next_life(&self) {
        let life = self.life.read_once();
        // Odd and even alternate when it wraps around, too. 0 means that it was never allocated, and does not come again.
        let lives = if life & LIVES == LIVES {
            2
        } else {
            (life & LIVES) + 1
        };
        self.life.write_once(MAGIC | lives);
    }

    /// Returns a number that differs from one use of this memory as an anon_vma to the next.
    #[inline]
    pub(crate) fn life(&self) -> u32 {
        self.life.read_once()
    }

    /// Returns whether it is its family's root.
    pub(crate) fn is_root(&self) -> bool {
        ptr::eq(self.root.read_once(), self)
    }

    /// Returns its address, for comparing only.
    pub(crate) fn key(&self) -> usize {
        ptr::from_ref(self).addr()
    }

    /// Returns the family's root.
    pub(crate) fn root(&self) -> &AnonVma<R> {
        // SAFETY: By invariants (1) and (4).
        unsafe { &*self.root.read_once() }
    }

    /// Returns the anon_vma whose lock is taken for the family: the root (R15).
    ///
    /// If the root is gone, which R16 forbids, that is reported, and the anon_vma's own lock is
    /// taken: memory that is no lock any more could be waited for without end.
    #[inline]
    pub(super) fn lock_owner(&self) -> &AnonVma<R> {
        let root = self.root();
        if ptr::eq(root, self) || Oracle::TypeStability.guard(Rule::R16, root.is_allocated()) {
            root
        } else {
            self
        }
    }

    /// Returns the [`key`](Self::key) of the anon_vma that this one was forked from; a root is its
    /// own parent.
    pub(crate) fn parent_key(&self) -> usize {
        self.parent.read_once().addr()
    }

    pub(super) fn parent_ptr(&self) -> *const AnonVma<R> {
        self.parent.read_once()
    }

    /// Returns the number of references.
    pub(crate) fn refcount(&self) -> i32 {
        self.refcount.read_once()
    }

    /// Returns how many anon_vmas have this one as their parent; a root counts itself. Exact under
    /// the root's lock.
    pub(crate) fn num_children(&self) -> usize {
        self.num_children.read_once()
    }

    /// Returns how many VMAs have this one as their `->anon_vma`. Exact under the root's lock.
    pub(crate) fn num_active_vmas(&self) -> usize {
        self.num_active_vmas.read_once()
    }

    /// Returns whether a fork may reuse it (R24): it has no active VMA and at most one child.
    pub(crate) fn is_reusable(&self) -> bool {
        self.num_active_vmas() == 0 && self.num_children() <= 1
    }

    /// Returns the tree of the VMAs that are linked to it.
    pub(super) fn tree(&self) -> &IntervalTree {
        &self.tree
    }

    /// Becomes a child of `parent` before anything can find it (R14), and takes a reference on the
    /// root (R16).
    fn adopt(&self, parent: &AnonVma<R>) {
        if !Rule::R14.holds(self.tree.is_empty()) {
            return;
        }
        let root = parent.root();
        // A root whose last reference is gone has no linked child, so no fork comes here.
        if !Rule::R16.guard(R::steps().hold_root(root)) {
            return;
        }
        // INVARIANT: (1) The reference just taken is the child's. No barrier: locks are released
        // and taken before the anon_vma can be found (`tools/litmus/R23+root-link-child.litmus`).
        self.root.write_once(ptr::from_ref(root).cast_mut());
        self.parent.write_once(ptr::from_ref(parent).cast_mut());
    }
}

/// An anon_vma that nothing else knows yet: the only time at which it can get a family (R14).
///
/// Dropped, it is freed, and counted as unused.
pub(crate) struct FreshAnonVma<R: Rmap = Live>(Pinned<AnonVma<R>>);

impl<R: Rmap> Drop for FreshAnonVma<R> {
    fn drop(&mut self) {
        path::ALLOC_UNUSED.count();
    }
}

impl<R: Rmap> FreshAnonVma<R> {
    /// Takes the reference out.
    fn into_pin(self) -> Pinned<AnonVma<R>> {
        let this = ManuallyDrop::new(self);
        // SAFETY: `this` is not dropped, and not used any more.
        unsafe { ptr::read(&raw const this.0) }
    }

    /// Makes it a root, which counts itself as its child.
    pub(crate) fn into_root(self) -> NewAnonVma<R> {
        let pin = self.into_pin();
        pin.num_children.write_once(1);
        NewAnonVma(pin)
    }

    /// Makes it a child of `parent`, and of its family; it takes a reference on the root (R16).
    ///
    /// The family is locked, or `parent` linked to a VMA whose `mmap_lock` is held for writing.
    pub(crate) fn into_child_of(self, parent: &AnonVma<R>) -> NewAnonVma<R> {
        let pin = self.into_pin();
        pin.adopt(parent);
        NewAnonVma(pin)
    }
}

/// An anon_vma that has its family, and is linked to no VMA yet.
pub(crate) struct NewAnonVma<R: Rmap = Live>(pub(super) Pinned<AnonVma<R>>);

#[cfg(shadow_rmap_kunit)]
#[path = "tests/anon_vma.rs"]
mod tests;

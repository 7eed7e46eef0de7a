// SPDX-License-Identifier: GPL-2.0

//! The anon_vma, its family's lock, and the word in a page that leads to it.
//!
//! C: `struct anon_vma` of [`include/linux/rmap.h`](srctree/include/linux/rmap.h), the first half
//! of [`mm/rmap.c`](srctree/mm/rmap.c).
//!
//! # Invariants of this module
//!
//! The `SAFETY` comments here and in [`chain`](super::chain) cite these by number.
//!
//! 1. *Family.*  `root` of an allocated anon_vma points to an allocated anon_vma that is its own
//!    root, and does not change (R14); a non-root owns one reference on it (R16).  `parent` points
//!    into the same family.
//! 2. *Links.*  While its tree is not empty, one reference on an anon_vma belongs to the tree; a
//!    linked anon_vma is allocated.
//! 3. *Lock.*  A tree changes only while the root's lock is held for writing, and is read only
//!    while it is held (R15).
//! 4. *Late readers.*  A `&AnonVma` that safe code can have is to an allocated one, or is that of a
//!    [`Candidate`](crate::prim::typesafe::Candidate) and lives as long as its RCU read section.
//!    In the latter case the object was allocated after the section began, and so was its root:
//!    both stay memory of an `AnonVma` until the section ends.

#![allow(unsafe_code, reason = "a room of the design: intrusive objects")]

use crate::{
    prim::{
        interval_tree::IntervalTree,
        rwsem::{
            new_rwsem,
            ReadGuard,
            RwSem,
            WriteGuard, //
        },
        typesafe::{
            Anchor,
            CacheSlot,
            Event,
            Lockable,
            LockedCandidate,
            Pinnable,
            Pinned,
            TypesafeBox,
            TypesafeByRcu,
            TypesafeCache, //
        },
    },
    rmap::rules::Rule,
    stats,
};
use core::{
    ops::Deref,
    ptr::{
        self,
        NonNull, //
    },
};
use kernel::{
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Full,
        Relaxed, //
    },
    task::might_sleep,
};

/// Heads the VMAs that may map a set of anonymous pages: related by fork, or by split.
///
/// No larger than the host's: see `stats`.
#[repr(C)]
#[pin_data]
pub(crate) struct AnonVma {
    root: Atomic<*mut AnonVma>,
    /// Used of the root alone (R15).
    #[pin]
    rwsem: RwSem,
    refcount: Atomic<i32>,
    /// Fills what would be padding: how often this memory was an anon_vma.
    generation: Atomic<u32>,
    num_children: Atomic<usize>,
    num_active_vmas: Atomic<usize>,
    parent: Atomic<*mut AnonVma>,
    tree: IntervalTree,
}

// SAFETY: The pointers are dereferenced under the rules above, from any thread.
unsafe impl Send for AnonVma {}
// SAFETY: As above.
unsafe impl Sync for AnonVma {}

static SLOT: CacheSlot<AnonVma> = CacheSlot::new();

// SAFETY: (1) Everything is an atomic, a lock that the constructor made, or a tree that is looked
// into under its lock only.  (2) `is_free` is what the constructor leaves behind, and is checked at
// each free.  (3) `SLOT` is private to this module.
unsafe impl TypesafeByRcu for AnonVma {
    const NAME: &'static CStr = c"shadow_rmap_anon_vma";

    fn slot() -> &'static CacheSlot<Self> {
        &SLOT
    }

    fn constructor() -> impl PinInit<Self> {
        pin_init!(Self {
            root: Atomic::new(ptr::null_mut()),
            rwsem <- new_rwsem!(c"shadow_rmap::anon_vma::rwsem"),
            refcount: Atomic::new(0),
            generation: Atomic::new(0),
            num_children: Atomic::new(0),
            num_active_vmas: Atomic::new(0),
            parent: Atomic::new(ptr::null_mut()),
            tree: IntervalTree::new(),
        })
    }

    fn is_free(&self) -> bool {
        self.refcount.load(Relaxed) == 0 && self.tree.is_empty()
    }

    fn note(event: Event) {
        match event {
            Event::Passed { clean } => {
                Rule::R6.check(clean);
            }
            Event::Drained => Rule::R7.checked(1),
        }
    }
}

// SAFETY: `put` frees only when the count reaches zero.
unsafe impl Pinnable for AnonVma {
    fn try_get(&self) -> bool {
        let mut count = self.refcount.load(Relaxed);
        while count > 0 {
            match self.refcount.cmpxchg(count, count + 1, Full) {
                Ok(_) => return true,
                Err(now) => count = now,
            }
        }
        false
    }

    /// # Safety
    ///
    /// As the trait says.
    unsafe fn put(this: NonNull<Self>) {
        // SAFETY: The caller owns a reference: the object is allocated.
        let anon_vma = unsafe { this.as_ref() };
        // A full barrier: what this thread did is visible before the count is, and the root's lock
        // is looked at after, see `free`.
        if anon_vma.refcount.fetch_sub(1, Full) == 1 {
            // SAFETY: That was the last reference.
            unsafe { free(this) };
        }
    }
}

// SAFETY: The root's lock, by a pointer that is read once (R13).
unsafe impl Lockable for AnonVma {
    type Lock = FamilyRead;

    /// # Safety
    ///
    /// As the trait says.
    #[inline]
    unsafe fn try_lock(&self) -> Option<FamilyRead> {
        let root = self.root.load(Relaxed);
        if !Rule::R5.check(!root.is_null()) {
            return None;
        }
        // SAFETY: By invariant (4).
        let root = unsafe { &*root };
        Some(FamilyRead::new(root, root.rwsem.try_read()?))
    }
}

/// `__put_anon_vma()`: frees an anon_vma, and then drops its hold on the root (R16).  May sleep.
///
/// # Safety
///
/// The reference count has reached zero, and this is the caller who saw it.
unsafe fn free(this: NonNull<AnonVma>) {
    Rule::R11.checked(1);
    might_sleep();
    // SAFETY: Nobody else frees it.
    let anon_vma = unsafe { this.as_ref() };
    let root = anon_vma.root.load(Relaxed);
    // SAFETY: By invariant (1): if it is another one, our reference keeps it.
    let root_ref = unsafe { &*root };
    // A reader that found us through a page may hold the lock, and believes that this keeps us
    // from being freed (R17):
    //
    //     reader                        here
    //     down_read_trylock()           refcount -> 0
    //     (acquire)                     (full barrier)
    //     is the page mapped?           is the lock held?
    //
    // Either it sees the page unmapped, or we see its lock and wait for it.
    if root_ref.rwsem.is_locked() {
        stats::LOCKED_FREES.inc();
        drop(root_ref.rwsem.write());
    }
    Rule::R17.checked(1);
    stats::ANON_VMA_FREES.inc();
    // SAFETY: The count says that it is ours to free.
    drop(unsafe { TypesafeBox::from_raw(this) });
    if root != this.as_ptr() {
        Rule::R16.check(root_ref.refcount.load(Relaxed) > 0);
        // SAFETY: By invariant (1) the reference was the child's, which is no more.
        unsafe { AnonVma::put(NonNull::from(root_ref)) };
    }
}

impl AnonVma {
    /// `anon_vma_alloc()`: a new anon_vma, its own root and parent, with one reference.  Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn alloc() -> Result<FreshAnonVma> {
        let anon_vma = TypesafeCache::<AnonVma>::alloc()?;
        stats::ANON_VMA_ALLOCS.inc();
        let generation = anon_vma.generation.load(Relaxed);
        if generation > 0 {
            stats::ANON_VMA_RECYCLES.inc();
        }
        anon_vma
            .generation
            .store(generation.wrapping_add(1), Relaxed);
        anon_vma.num_children.store(0, Relaxed);
        anon_vma.num_active_vmas.store(0, Relaxed);
        let raw = anon_vma.into_raw();
        // SAFETY: Just allocated.
        let this = unsafe { raw.as_ref() };
        this.parent.store(raw.as_ptr(), Relaxed);
        // INVARIANT: (1) A root.
        this.root.store(raw.as_ptr(), Relaxed);
        this.refcount.store(1, Relaxed);
        // SAFETY: The one reference is ours.
        Ok(FreshAnonVma(unsafe { Pinned::from_raw(raw) }))
    }

    /// Whether it is its family's root.
    pub(crate) fn is_root(&self) -> bool {
        ptr::eq(self.root.load(Relaxed), self)
    }

    /// What makes this anon_vma this one and no other, for comparing only.
    pub(crate) fn key(&self) -> usize {
        ptr::from_ref(self).addr()
    }

    /// The family's root.
    pub(crate) fn root(&self) -> &AnonVma {
        // SAFETY: By invariants (1) and (4).
        unsafe { &*self.root.load(Relaxed) }
    }

    /// The [`key`](Self::key) of the anon_vma that this one was forked from; a root is its own.
    pub(crate) fn parent_key(&self) -> usize {
        self.parent.load(Relaxed).addr()
    }

    pub(super) fn parent_ptr(&self) -> *const AnonVma {
        self.parent.load(Relaxed)
    }

    /// References.
    pub(crate) fn refcount(&self) -> i32 {
        self.refcount.load(Relaxed)
    }

    /// anon_vmas whose parent this is, a root counting itself.  Exact under the root's lock.
    pub(crate) fn num_children(&self) -> usize {
        self.num_children.load(Relaxed)
    }

    /// VMAs whose `->anon_vma` this is.  Exact under the root's lock.
    pub(crate) fn num_active_vmas(&self) -> usize {
        self.num_active_vmas.load(Relaxed)
    }

    /// Whether a fork may hand it out again (R24): no VMA puts new pages there, and at most one
    /// child does.
    pub(crate) fn is_reusable(&self) -> bool {
        self.num_active_vmas() == 0 && self.num_children() <= 1
    }

    /// `anon_vma_lock_write()`.  Sleeps.
    pub(crate) fn lock_write(&self) -> FamilyWrite<'_> {
        let root = self.root();
        FamilyWrite {
            root,
            newcomer: ptr::null(),
            _guard: root.rwsem.write(),
        }
    }

    /// `anon_vma_lock_read()`.  Sleeps.
    pub(crate) fn lock_read(&self) -> LockedAnonVma<'_> {
        let family = FamilyRead::new(self.root(), self.root().rwsem.read());
        LockedAnonVma {
            _family: family,
            anon_vma: self,
        }
    }

    /// Confirms a lock that was taken through a page (R12).
    pub(super) fn confirm(locked: LockedCandidate<'_, PageRmap>) -> Option<LockedAnonVma<'_>> {
        let (family, anon_vma) = locked.confirm()?;
        // SAFETY: The page was seen mapped while `family` was held: a VMA that maps it is linked
        // to `anon_vma` (R21), and is not unlinked before the lock is released (invariant (3)).
        // The lock is released when the result is dropped, within the life of the page.
        Some(unsafe { LockedAnonVma::confirmed(family, anon_vma) })
    }

    pub(super) fn tree(&self) -> &IntervalTree {
        &self.tree
    }
}

/// An anon_vma that nobody else knows yet: the only time at which it can be given a family (R14).
pub(crate) struct FreshAnonVma(Pinned<AnonVma>);

impl FreshAnonVma {
    /// Makes it a root: it counts itself as its child.
    pub(crate) fn into_root(self) -> NewAnonVma {
        self.0.num_children.store(1, Relaxed);
        NewAnonVma(self.0)
    }

    /// Makes it a child of `parent`, and of its family; it takes a reference on the root (R16).
    ///
    /// The family is locked, or `parent` linked to a VMA whose `mmap_lock` is held for writing.
    pub(crate) fn into_child_of(self, parent: &AnonVma) -> NewAnonVma {
        let root = parent.root();
        if Rule::R16.check(root.try_get()) {
            // INVARIANT: (1) The reference just taken is the child's.
            self.0.root.store(ptr::from_ref(root).cast_mut(), Relaxed);
            self.0
                .parent
                .store(ptr::from_ref(parent).cast_mut(), Relaxed);
        }
        NewAnonVma(self.0)
    }
}

/// An anon_vma that has its family, and is linked to no VMA yet.
pub(crate) struct NewAnonVma(Pinned<AnonVma>);

impl NewAnonVma {
    /// Locks it (R29: nobody knows it, but somebody may have known its memory) and lets `f` link
    /// it.  Sleeps.
    ///
    /// Where `f` did, the anon_vma lives on; otherwise it is freed, with the lock released.
    pub(crate) fn lock_and_link<T>(self, f: impl FnOnce(&mut FamilyWrite<'_>, &AnonVma) -> T) -> T {
        let anon_vma = self.0;
        let mut family = anon_vma.lock_write();
        family.newcomer = &*anon_vma;
        Rule::R29.check(family.root.rwsem.is_locked());
        let result = f(&mut family, &anon_vma);
        let linked = !anon_vma.tree.is_empty();
        drop(family);
        if linked {
            // INVARIANT: (2) The reference is the tree's.
            let _ = anon_vma.into_raw();
        }
        result
    }
}

/// The family's lock, for writing.
pub(crate) struct FamilyWrite<'a> {
    root: &'a AnonVma,
    /// The one anon_vma of the family that may be linked though its tree is empty.
    newcomer: *const AnonVma,
    _guard: WriteGuard<'a>,
}

impl FamilyWrite<'_> {
    /// Whether this lock is that of `anon_vma`'s family (R15).
    pub(crate) fn protects(&self, anon_vma: &AnonVma) -> bool {
        Rule::R15.check(ptr::eq(self.root, anon_vma.root.load(Relaxed)))
    }

    /// Whether `anon_vma` may be linked: its tree owns a reference (invariant (2)), or is about to.
    ///
    /// One that is only pinned may not: it is no longer meaningful (R18).
    pub(super) fn is_linkable(&self, anon_vma: &AnonVma) -> bool {
        Rule::R18.check(!anon_vma.tree.is_empty() || ptr::eq(self.newcomer, anon_vma))
    }

    /// Counts a VMA whose `->anon_vma` becomes this one.
    pub(super) fn activate(&mut self, anon_vma: &AnonVma) {
        let n = anon_vma.num_active_vmas.load(Relaxed);
        anon_vma.num_active_vmas.store(n + 1, Relaxed);
    }

    /// Counts a VMA whose `->anon_vma` is no longer this one.
    pub(super) fn deactivate(&mut self, anon_vma: &AnonVma) {
        let n = anon_vma.num_active_vmas.load(Relaxed);
        if Rule::R24.check(n > 0) {
            anon_vma.num_active_vmas.store(n - 1, Relaxed);
        }
    }

    /// Counts a child of `parent`.
    pub(super) fn child_born(&mut self, parent: &AnonVma) {
        let n = parent.num_children.load(Relaxed);
        parent.num_children.store(n + 1, Relaxed);
    }

    /// Counts a child of `parent` no more: its last VMA is gone.
    pub(super) fn child_gone(&mut self, parent: &AnonVma) {
        let n = parent.num_children.load(Relaxed);
        if Rule::R24.check(n > 0) {
            parent.num_children.store(n - 1, Relaxed);
        }
    }
}

/// The family's lock, for reading.
///
/// # Invariants
///
/// One read hold of `root`'s semaphore is ours; `root` stays an `AnonVma` at least until it is
/// released: either because RCU is held (invariant (4)), or because something linked into the
/// family cannot be unlinked, and so its root not be freed, without this lock (invariants (1)-(3)).
pub(crate) struct FamilyRead {
    root: NonNull<AnonVma>,
    hold: NonNull<RwSem>,
}

impl FamilyRead {
    fn new(root: &AnonVma, guard: ReadGuard<'_>) -> Self {
        // INVARIANT: Who calls this has the root by an allocated anon_vma, or by a late reader's.
        Self {
            root: NonNull::from(root),
            hold: guard.into_raw(),
        }
    }
}

impl Drop for FamilyRead {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        drop(unsafe { ReadGuard::from_raw(self.hold) });
    }
}

/// An anon_vma whose family is locked for reading: its VMAs can be walked.
///
/// What a lookup returns lives as long as the page it was found through; what
/// [`lock_read`](AnonVma::lock_read) returns, as long as its anon_vma.
pub(crate) struct LockedAnonVma<'a> {
    _family: FamilyRead,
    anon_vma: &'a AnonVma,
}

impl<'a> LockedAnonVma<'a> {
    /// Joins a confirmed lock with what it was taken for (R12, R13, R18).
    ///
    /// # Safety
    ///
    /// `anon_vma` was allocated, and had a VMA linked, when `family` was held already and a page
    /// that leads there was seen mapped: it stays so until `family` is released, and `family` is
    /// released within `'a`.
    pub(super) unsafe fn confirmed(family: FamilyRead, anon_vma: NonNull<AnonVma>) -> Self {
        // SAFETY: The caller's promise.
        let anon_vma = unsafe { anon_vma.as_ref() };
        Rule::R13.check(ptr::eq(family.root.as_ptr(), anon_vma.root.load(Relaxed)));
        Rule::R18.check(!anon_vma.tree.is_empty());
        Self {
            _family: family,
            anon_vma,
        }
    }

    /// The slow half of a lookup: sleeps for the lock of a pinned anon_vma, and drops the pin.
    ///
    /// `None` where the pin turned out to be the last reference: the lock is released before the
    /// anon_vma is freed (R10).
    pub(super) fn wait(pin: Pinned<AnonVma>) -> Option<Self> {
        let family = FamilyRead::new(pin.root(), pin.root().rwsem.read());
        let raw = pin.into_raw();
        // SAFETY: The pin is still ours.
        let anon_vma = unsafe { raw.as_ref() };
        if anon_vma.refcount.fetch_sub(1, Full) == 1 {
            stats::LAST_REFERENCES.inc();
            drop(family);
            // SAFETY: That was the last reference, and we saw it.
            unsafe { free(raw) };
            return None;
        }
        // Others hold references: the tree's, whose unlinking needs the lock; or only pins, and
        // then the tree is empty, and `free` waits for the lock (R17).
        Some(Self {
            _family: family,
            anon_vma,
        })
    }

    /// Whether the anon_vma with this [`key`](AnonVma::key) is this one or an ancestor of it.
    pub(crate) fn descends_from(&self, ancestor: usize) -> bool {
        let mut at = self.anon_vma;
        loop {
            if at.key() == ancestor {
                return true;
            }
            let parent = at.parent_ptr();
            if ptr::eq(parent, at) || at.tree.is_empty() {
                return false;
            }
            // SAFETY: A VMA is linked to `at`, so to all its ancestors; they stay linked while the
            // family is locked (invariants (2) and (3)).
            at = unsafe { &*parent };
        }
    }
}

impl Deref for LockedAnonVma<'_> {
    type Target = AnonVma;

    fn deref(&self) -> &AnonVma {
        self.anon_vma
    }
}

/// Bit 0 of `mapping`: the page is anonymous (R1).
const MAPPING_ANON: usize = 1;

/// What the reverse map keeps in a page: the tagged `mapping` and the `_mapcount`.
#[pin_data]
pub(crate) struct PageRmap {
    /// An anon_vma's address with bit 0 set; 0 until the page is first mapped.  One word (R1).
    mapping: Atomic<usize>,
    /// PTEs that map the page, minus one (R3).
    mapcount: Atomic<i32>,
    /// Offset in the mapped file, in pages.
    index: usize,
}

// SAFETY: `mapping` is only ever set to an anon_vma that is linked to the VMA that maps the page,
// and that VMA stays linked while the page stays mapped (R21): where `mapcount` is seen to be 0 or
// more, the anon_vma is allocated at that instant.  It is changed only while the page is mapped, and
// then to one of the same VMA (R19, R20): the one that was read before stays linked as well.
unsafe impl Anchor for PageRmap {
    type Target = AnonVma;

    fn load(&self) -> Option<NonNull<AnonVma>> {
        // Read once; the tag is tested and stripped in the copy (R1).
        let mapping = self.mapping.load(Acquire);
        if mapping & MAPPING_ANON == 0 {
            return None;
        }
        NonNull::new(ptr::with_exposed_provenance_mut(mapping & !MAPPING_ANON))
    }

    fn vouches(&self) -> bool {
        self.mapped()
    }
}

impl PageRmap {
    /// A page that is not mapped, at offset `index` (in pages).
    pub(crate) fn new(index: usize) -> Self {
        Self {
            mapping: Atomic::new(0),
            mapcount: Atomic::new(-1),
            index,
        }
    }

    /// Offset in the mapped file, in pages.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// `page_mapped()`.
    pub(crate) fn mapped(&self) -> bool {
        self.mapcount.load(Acquire) >= 0
    }

    /// How many PTEs map it.
    pub(crate) fn mapcount(&self) -> i32 {
        self.mapcount.load(Relaxed) + 1
    }

    /// `folio_add_new_anon_rmap()`: the first PTE, to a new page of a VMA whose anon_vma this is.
    ///
    /// A page that was anonymous before is not given another anon_vma (R20): a late reader who has
    /// read the old `mapping` would see it vouched for by the new mapping's count.
    pub(super) fn add_new_anon_rmap(&self, anon_vma: &AnonVma) {
        if !Rule::R20.check(self.mapping.load(Relaxed) == 0) {
            return;
        }
        Rule::R1.check(anon_vma.key() & MAPPING_ANON == 0);
        Rule::R3.check(self.mapcount.load(Relaxed) == -1);
        self.set_anon(anon_vma);
        self.mapcount.store(0, kernel::sync::atomic::Release);
    }

    /// `folio_add_anon_rmap_pte()`: one more PTE maps it.
    pub(crate) fn add_anon_rmap(&self) {
        let before = self.mapcount.fetch_add(1, Relaxed);
        Rule::R3.check(before >= -1);
    }

    /// `folio_remove_rmap_pte()`: one PTE less.  `mapping` stays as it is (R2).
    pub(crate) fn remove_rmap(&self) {
        let before = self.mapcount.fetch_sub(1, Full);
        Rule::R3.check(before >= 0);
        Rule::R2.check(self.mapping.load(Relaxed) != 0);
    }

    /// What `mapping` leads to, for comparing only; `None` where it leads to no anon_vma.
    pub(crate) fn anon_vma_key(&self) -> Option<usize> {
        self.load().map(|anon_vma| anon_vma.addr().get())
    }

    pub(super) fn set_anon(&self, anon_vma: &AnonVma) {
        let address = ptr::from_ref(anon_vma).expose_provenance();
        // Pointer and tag in one store (R1).
        self.mapping
            .store(address | MAPPING_ANON, kernel::sync::atomic::Release);
    }
}

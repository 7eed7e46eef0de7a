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
//!    [`Candidate`](crate::kernel_ext::typesafe::Candidate) and lives as long as its RCU read section.
//!    In the latter case the object was allocated after the section began, and so was its root:
//!    both stay memory of an `AnonVma` until the section ends.

#![allow(unsafe_code, reason = "a room of the design: intrusive objects")]

use super::{
    kind::{
        Live,
        Rmap, //
    },
    mm::MmapWrite,
    oracle::Oracle,
    rules::{
        Rule,
        Rules,
        Window, //
    },
};
use crate::{
    ffi,
    kernel_ext::{
        interval_tree::IntervalTree,
        lock::FamilyLock,
        rwonce::ReadWriteOnce,
        typesafe::{
            Anchor,
            Candidate,
            Event,
            Lockable,
            LockedCandidate,
            Pinnable,
            Pinned,
            PinnedCandidate,
            TypesafeBox,
            TypesafeByRcu,
            TypesafeCache,
            Unasked, //
        },
    },
    stats,
};
use core::{
    marker::PhantomData,
    ops::Deref,
    ptr::{
        self,
        NonNull, //
    },
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed,
            Release, //
        },
        rcu, //
    },
    task::might_sleep,
};

/// The cache of the anon_vmas of one reverse map.
pub(crate) type Cache<R = Live> = TypesafeCache<AnonVma<R>>;

/// Heads the VMAs that may map a set of anonymous pages: related by fork, or by split.
///
/// No larger than the host's: see `stats`.
#[repr(C)]
#[pin_data]
pub(crate) struct AnonVma<R: Rmap = Live> {
    root: Atomic<*mut AnonVma<R>>,
    /// Used of the root alone (R15).
    #[pin]
    lock: R::Lock,
    refcount: Atomic<i32>,
    /// Fills what would be padding: [`MAGIC`], and how often this memory became an anon_vma and
    /// ceased to be one: odd while it is one.
    life: Atomic<u32>,
    num_children: Atomic<usize>,
    num_active_vmas: Atomic<usize>,
    parent: Atomic<*mut AnonVma<R>>,
    tree: IntervalTree,
}

/// The upper half of [`AnonVma::life`], from the constructor on: whoever finds something else
/// there has not found an anon_vma (R5).
const MAGIC: u32 = 0x5a4d_0000;

/// The other half.
const LIVES: u32 = 0xffff;

// SAFETY: The pointers are dereferenced under the rules above, from any thread.
unsafe impl<R: Rmap> Send for AnonVma<R> {}
// SAFETY: As above.
unsafe impl<R: Rmap> Sync for AnonVma<R> {}

// SAFETY: (1) Everything is an atomic, a lock that the constructor made, or a tree that is looked
// into under its lock only.  (2) `is_free` is what the constructor leaves behind, and is checked at
// each free.
unsafe impl<R: Rmap> TypesafeByRcu for AnonVma<R> {
    const NAME: &'static CStr = R::CACHE;

    #[inline(always)]
    fn is_typesafe() -> bool {
        R::Rules::typesafe()
    }

    #[inline(always)]
    fn is_own() -> bool {
        R::Rules::own_cache()
    }

    #[inline(always)]
    fn destroy_waits() -> bool {
        R::Rules::destroy_waits()
    }

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

    fn is_free(&self) -> bool {
        let life = self.life.read_once();
        self.refcount.read_once() == 0
            && self.tree.is_empty()
            && life & !LIVES == MAGIC
            && life % 2 == 0
    }

    #[inline(always)]
    fn mark(&self) -> u32 {
        if R::Rules::second_check() && R::Rules::asks_the_page() {
            0
        } else {
            self.life()
        }
    }

    fn note(event: Event) {
        match event {
            Event::Created { own } => {
                Rule::R8.check(own);
            }
            // Counted by what is allocated and freed.
            Event::Passed { clean } => {
                Oracle::TypeStability.holds(Rule::R6, clean);
            }
            Event::Drained { waited } => {
                Rule::R7.check(waited);
            }
        }
    }
}

// SAFETY: `put` frees only when the count reaches zero.
unsafe impl<R: Rmap> Pinnable for AnonVma<R> {
    fn try_get(&self) -> bool {
        if !Oracle::TypeStability.holds(Rule::R5, self.is_one()) {
            return false;
        }
        let mut count = self.refcount.read_once();
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
unsafe impl<R: Rmap> Lockable for AnonVma<R> {
    type Lock = FamilyRead<R>;

    /// # Safety
    ///
    /// As the trait says.
    #[inline]
    unsafe fn try_lock(&self) -> Option<FamilyRead<R>> {
        // Nothing else is touched of what is no anon_vma (R5).
        if !Oracle::TypeStability.holds(Rule::R5, self.is_one()) {
            return None;
        }
        let root = self.root.read_once();
        R::Rules::window(Window::RootRead);
        // SAFETY: By invariant (4); what is not null was an anon_vma when it was stored.
        let root = unsafe { root.as_ref() }?;
        if !Oracle::TypeStability.holds(Rule::R5, root.is_one()) {
            return None;
        }
        let guard = match Self::may_be_gone() {
            None => root.lock.try_read()?,
            // It may be waited for only as long as it is a lock.
            Some(rule) => loop {
                if !Oracle::TypeStability.holds(rule, root.is_one()) {
                    return None;
                }
                if let Some(guard) = root.lock.try_read_at_once() {
                    break guard;
                }
                if R::Lock::SLEEPS {
                    return None;
                }
                // Who has it may be waiting for our CPU.
                // SAFETY: What an interrupt may do anywhere.
                unsafe { ffi::shadow_rmap_preempt_here() };
            },
        };
        Some(FamilyRead::new(root, guard))
    }
}

/// `__put_anon_vma()`: frees an anon_vma, and then drops its hold on the root (R16).  May sleep.
///
/// # Safety
///
/// The reference count has reached zero, and this is the caller who saw it.
unsafe fn free<R: Rmap>(this: NonNull<AnonVma<R>>) {
    // Freeing may sleep for the root's lock.
    let may_wait = Oracle::LockDiscipline.holds(Rule::R11, !in_rcu_reader());
    if may_wait && R::Lock::SLEEPS {
        might_sleep();
    }
    R::Rules::window(Window::LastPut);
    // SAFETY: Nobody else frees it.
    let anon_vma = unsafe { this.as_ref() };
    // What counted here has been told that it counts no more.
    let counted = anon_vma.num_children() + anon_vma.num_active_vmas();
    Oracle::Refcount.holds(Rule::R24, counted == 0);
    // By invariant (1): if the root is another one, our reference keeps it.
    let root = anon_vma.root();
    let mut root_is_there = anon_vma.has_root();
    let mut holds_root = root_is_there && !anon_vma.is_root() && R::Rules::child_holds_root();
    if holds_root && !R::Rules::child_goes_first() {
        let life = root.life.read_once();
        holds_root = false;
        // SAFETY: A deliberate bug: the reference is ours, but the root is looked at below.
        unsafe { AnonVma::put(NonNull::from(root)) };
        R::Rules::window(Window::LastPut);
        root_is_there = Oracle::TypeStability.holds(Rule::R16, root.life.read_once() == life);
    }
    // A reader that found us through a page may hold the lock, and believes that this keeps us
    // from being freed (R17):
    //
    //     reader                        here
    //     down_read_trylock()           refcount -> 0
    //     (acquire)                     (full barrier)
    //     is the page mapped?           is the lock held?
    //
    // Either it sees the page unmapped, or we see its lock and wait for it.  Under a spinning lock
    // it is in RCU for as long as it holds the lock (R9), and the memory stays for it.
    if R::Lock::SLEEPS && root_is_there {
        let held = root.lock.is_locked();
        let waits = held && may_wait && R::Rules::free_waits();
        if waits {
            stats::LOCKED_FREES.inc();
            drop(root.lock.write());
        }
        Rule::R17.holds(!held || waits);
    }
    stats::ANON_VMA_FREES.inc();
    if R::Rules::freed_clean() {
        anon_vma.next_life();
    }
    // SAFETY: The count says that it is ours to free.
    drop(unsafe { TypesafeBox::from_raw(this) });
    if holds_root {
        // SAFETY: By invariant (1) the reference was the child's, which is no more.
        unsafe { AnonVma::put(NonNull::from(root)) };
    }
}

/// Whether the kernel knows who is in an RCU read section.
const READERS_ARE_COUNTED: bool = cfg!(CONFIG_PREEMPT_RCU = "y");

/// Whether this thread is in an RCU read section, as far as the kernel keeps count.
fn in_rcu_reader() -> bool {
    // SAFETY: No preconditions.
    unsafe { ffi::shadow_rmap_rcu_depth() > 0 }
}

impl<R: Rmap> AnonVma<R> {
    /// `anon_vma_alloc()`: a new anon_vma, its own root and parent, with one reference.  Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn alloc(cache: &Cache<R>) -> Result<FreshAnonVma<R>> {
        R::Rules::allocation()?;
        let anon_vma = cache.alloc()?;
        stats::ANON_VMA_ALLOCS.inc();
        if anon_vma.life.read_once() & LIVES == 0 {
            stats::ANON_VMA_FIRSTS.inc();
        }
        anon_vma.next_life();
        anon_vma.num_children.write_once(0);
        anon_vma.num_active_vmas.write_once(0);
        let raw = anon_vma.into_raw();
        // SAFETY: Just allocated.
        let this = unsafe { raw.as_ref() };
        this.parent.write_once(raw.as_ptr());
        // INVARIANT: (1) A root.
        this.root.write_once(raw.as_ptr());
        this.refcount.write_once(1);
        // SAFETY: The one reference is ours.
        Ok(FreshAnonVma(unsafe { Pinned::from_raw(raw) }))
    }

    /// Whether this memory has been made an anon_vma by the constructor, and by nobody else
    /// anything else (R5).
    #[inline]
    fn is_one(&self) -> bool {
        self.life.read_once() & !LIVES == MAGIC
    }

    /// Whether it is allocated, as far as it can be told by what is there.
    pub(super) fn is_allocated(&self) -> bool {
        self.is_one() && self.refcount() > 0
    }

    /// It is allocated, or freed.
    fn next_life(&self) {
        let life = self.life.read_once();
        // An odd number stays odd: 0 is for those that have never been allocated.
        let lives = if life & LIVES == LIVES {
            2
        } else {
            (life & LIVES) + 1
        };
        self.life.write_once(MAGIC | lives);
    }

    /// Which of its lives this memory is in, as an anon_vma: for telling one from another.
    pub(crate) fn life(&self) -> u32 {
        self.life.read_once()
    }

    /// Whether it is its family's root.
    pub(crate) fn is_root(&self) -> bool {
        ptr::eq(self.root.read_once(), self)
    }

    /// What makes this anon_vma this one and no other, for comparing only.
    pub(crate) fn key(&self) -> usize {
        ptr::from_ref(self).addr()
    }

    /// The family's root.
    pub(crate) fn root(&self) -> &AnonVma<R> {
        // SAFETY: By invariants (1) and (4).
        unsafe { &*self.root.read_once() }
    }

    /// Whether the root is there, which a child that has not been freed holds (R16).
    fn has_root(&self) -> bool {
        let root = self.root();
        ptr::eq(root, self)
            || Oracle::TypeStability.holds(Rule::R16, root.is_one())
                && Oracle::Refcount.holds(Rule::R16, root.refcount() > 0)
    }

    /// Whose lock is taken for the family: the root's (R15), which by a deliberate bug may be gone.
    #[inline]
    fn lock_owner(&self) -> &AnonVma<R> {
        if R::Rules::child_holds_root() || self.has_root() {
            self.root()
        } else {
            self
        }
    }

    /// The [`key`](Self::key) of the anon_vma that this one was forked from; a root is its own.
    pub(crate) fn parent_key(&self) -> usize {
        self.parent.read_once().addr()
    }

    pub(super) fn parent_ptr(&self) -> *const AnonVma<R> {
        self.parent.read_once()
    }

    /// References.
    pub(crate) fn refcount(&self) -> i32 {
        self.refcount.read_once()
    }

    /// anon_vmas whose parent this is, a root counting itself.  Exact under the root's lock.
    pub(crate) fn num_children(&self) -> usize {
        self.num_children.read_once()
    }

    /// VMAs whose `->anon_vma` this is.  Exact under the root's lock.
    pub(crate) fn num_active_vmas(&self) -> usize {
        self.num_active_vmas.read_once()
    }

    /// Whether a fork may hand it out again (R24): no VMA puts new pages there, and at most one
    /// child does.
    pub(crate) fn is_reusable(&self) -> bool {
        self.num_active_vmas() == 0 && self.num_children() <= 1
    }

    /// Children and active VMAs together, as the counter that there was until 2022.
    pub(super) fn degree(&self) -> usize {
        self.num_active_vmas() + self.num_children()
    }

    /// `anon_vma_lock_write()`.  Sleeps, or spins.
    pub(crate) fn lock_write(&self) -> FamilyWrite<'_, R> {
        let root = if R::Rules::root_lock() {
            self.lock_owner()
        } else {
            self
        };
        FamilyWrite {
            root,
            newcomer: ptr::null(),
            _guard: Some(root.lock.write()),
        }
    }

    /// `vm_lock_anon_vma()`: takes the lock of a root, as one of many under `mmap` (R38).  Sleeps, or
    /// spins.
    pub(crate) fn lock_write_under<'a>(&'a self, mmap: &'a MmapWrite<'_, R>) -> FamilyWrite<'a, R> {
        let root = self.root();
        FamilyWrite {
            root,
            newcomer: ptr::null(),
            _guard: Some(root.lock.write_under(mmap.lock())),
        }
    }

    /// `anon_vma_lock_read()`.  Sleeps, or spins.
    pub(crate) fn lock_read(&self) -> LockedAnonVma<'_, R> {
        let root = self.lock_owner();
        let family = FamilyRead::new(root, root.lock.read());
        // SAFETY: Who has `self` keeps it for as long as the borrow.
        unsafe { LockedAnonVma::confirmed(family, NonNull::from(self), None, false) }
    }

    /// The look at the page before anything is dereferenced (R4, R12).
    #[inline]
    pub(super) fn find(page: &PageRmap<R>) -> Option<Candidate<'_, PageRmap<R>>> {
        let candidate = if R::Rules::first_check() {
            Candidate::find(page)?
        } else {
            // SAFETY: A deliberate bug; what is not an anon_vma is told by its magic (R5).
            let candidate = unsafe { Candidate::find_unvouched(page) }?;
            Rule::R4.holds(candidate.is_vouched_for());
            candidate
        };
        R::Rules::window(Window::Found);
        Some(candidate)
    }

    /// Locks what a page leads to that nobody maps, by a pointer that nothing has kept good: for a
    /// deliberate bug (R18).  `life` is that in which it was last seen; where it is in another it is
    /// gone, or is another one, which is told.  Sleeps, or spins.
    ///
    /// `None` there, and where no VMA is linked to it any more.  The caller holds a reference on the
    /// page (R4).
    pub(crate) fn lock_unpinned(page: &PageRmap<R>, life: u32) -> Option<LockedAnonVma<'_, R>> {
        // SAFETY: A deliberate bug; what is not an anon_vma is told by its magic (R5).
        let candidate = unsafe { Candidate::find_unvouched(page) }?;
        let (family, anon_vma, rcu) = match candidate.try_lock() {
            Ok(locked) => {
                // SAFETY: As above; what is not the page's any more is told below.
                let (family, anon_vma, rcu, _) = unsafe { locked.trust() };
                (family, anon_vma, rcu)
            }
            Err(candidate) => {
                // SAFETY: As above; a reference keeps the memory, whatever it is.
                let pin = candidate
                    .try_pin()
                    .map(|pinned| unsafe { pinned.trust() }.0);
                let same = pin.as_ref().is_some_and(|pin| pin.life() == life);
                Oracle::TypeStability.holds(Rule::R18, same);
                return pin.filter(|_| same).and_then(LockedAnonVma::wait);
            }
        };
        // SAFETY: RCU is held: what has the magic of an `AnonVma` stays one.
        let found = unsafe { anon_vma.as_ref() };
        let same = Oracle::TypeStability.holds(Rule::R18, found.life() == life);
        if !same || found.tree.is_empty() {
            // The lock goes first: without RCU it may be anything (R9).
            drop(family);
            drop(rcu);
            return None;
        }
        let kept = Some(R::Lock::keep(rcu));
        // SAFETY: It is in the life that the page was mapped in, so it is allocated; a VMA is linked
        // to it, and is not unlinked before `family` is released (invariant (3)).
        Some(unsafe { LockedAnonVma::confirmed(family, anon_vma, kept, false) })
    }

    /// Confirms a lock that was taken through a page (R12).
    #[inline]
    pub(super) fn confirm(
        locked: LockedCandidate<'_, PageRmap<R>>,
    ) -> Option<LockedAnonVma<'_, R>> {
        R::Rules::window(Window::Locked);
        let (family, anon_vma, rcu, same) = if !R::Rules::rcu_until_unlock() {
            // SAFETY: A deliberate bug; `FamilyRead` looks what there is before it unlocks.
            match unsafe { locked.confirm_outside_rcu() } {
                Ok((family, anon_vma)) => (family, anon_vma, None, true),
                Err(family) => {
                    R::Rules::window(Window::RcuLeft);
                    drop(family);
                    return None;
                }
            }
        } else {
            if R::Rules::second_check() && R::Rules::asks_the_page() {
                let (family, anon_vma, rcu) = locked.confirm()?;
                (family, anon_vma, Some(rcu), true)
            } else {
                Self::believe(locked)?
            }
        };
        // SAFETY: The page was seen mapped while `family` was held: a VMA that maps it is linked
        // to `anon_vma` (R21), and is not unlinked before the lock is released (invariant (3)).
        let right = family.is_of(unsafe { anon_vma.as_ref() });
        if !(right && same) {
            // The lock is released before RCU is left (R9).
            drop(family);
            return None;
        }
        let kept = rcu.map(R::Lock::keep);
        // SAFETY: As above.  The lock is released when the result is dropped, within the life of the
        // page.
        let locked = unsafe { LockedAnonVma::confirmed(family, anon_vma, kept, true) };
        R::Rules::window(Window::Confirmed);
        Some(locked)
    }

    /// Takes a lock that was taken through a page for what it may be, or asks the wrong one (R12):
    /// deliberate bugs.  Says besides whether it is that of what was found.
    fn believe(locked: LockedCandidate<'_, PageRmap<R>>) -> Option<Believed<R>> {
        // SAFETY: What is not the page's is told, and not used.
        let (family, anon_vma, rcu, Unasked { good, same }) = unsafe { locked.trust() };
        // SAFETY: Until RCU is left it is an `AnonVma` (4).
        let refcount = unsafe { anon_vma.as_ref() }.refcount();
        if !R::Rules::asks_the_page() && refcount == 0 {
            drop(family);
            return None;
        }
        // In another life it has been found by nobody.
        if Oracle::LockIdentity.holds(Rule::R12, same) {
            Rule::R12.holds(good);
        }
        Some((family, anon_vma, Some(rcu), same))
    }

    /// Confirms a reference that was taken through a page (R12), and leaves RCU (R11).
    pub(super) fn confirm_pin(
        pinned: PinnedCandidate<'_, PageRmap<R>>,
    ) -> Option<Pinned<AnonVma<R>>> {
        R::Rules::window(Window::Referenced);
        if !R::Rules::put_outside_rcu() {
            // SAFETY: A deliberate bug; `free` does not sleep where it finds itself in RCU.
            return unsafe { pinned.confirm_under_rcu() };
        }
        if R::Rules::second_check() && R::Rules::asks_the_page() {
            return pinned.confirm();
        }
        // SAFETY: A deliberate bug: the pin keeps the memory, whatever it is.  That there is a
        // reference is what the count would say if it was asked again.
        let (pin, Unasked { good, same }) = unsafe { pinned.trust() };
        if !Oracle::TypeStability.holds(Rule::R12, same) {
            return None;
        }
        Rule::R12.holds(good);
        Some(pin)
    }

    /// Becomes a child of `parent`, before anybody can find it (R14), and takes a reference on the
    /// root (R16).
    fn adopt(&self, parent: &AnonVma<R>) {
        if !Rule::R14.holds(self.tree.is_empty()) {
            return;
        }
        let root = parent.root();
        // A root whose last reference is gone has no linked child, and nobody could fork it.
        if R::Rules::child_holds_root() && !Rule::R16.holds(root.try_get()) {
            return;
        }
        // INVARIANT: (1) The reference just taken is the child's.
        self.root.write_once(ptr::from_ref(root).cast_mut());
        self.parent.write_once(ptr::from_ref(parent).cast_mut());
    }

    pub(super) fn tree(&self) -> &IntervalTree {
        &self.tree
    }

    /// Whether, by a deliberate bug, memory may cease to be an `AnonVma` while somebody holds a lock
    /// that is in it; and then, the rule that is in question.
    #[inline(always)]
    fn may_be_gone() -> Option<Rule> {
        if !R::Rules::rcu_until_unlock() {
            Some(Rule::R9)
        } else if !R::Rules::typesafe() || !R::Rules::own_cache() || !R::Rules::first_check() {
            Some(Rule::R5)
        } else if !R::Rules::child_holds_root() || !R::Rules::child_goes_first() {
            Some(Rule::R16)
        } else if !R::Rules::free_waits() || !R::Rules::put_outside_rcu() {
            Some(Rule::R17)
        } else {
            None
        }
    }
}

/// What [`AnonVma::believe`] has: a lock, what it was taken for, RCU, and whether that is the same
/// as was found.
type Believed<R> = (FamilyRead<R>, NonNull<AnonVma<R>>, Option<rcu::Guard>, bool);

/// An anon_vma that nobody else knows yet: the only time at which it can be given a family (R14).
pub(crate) struct FreshAnonVma<R: Rmap = Live>(Pinned<AnonVma<R>>);

impl<R: Rmap> FreshAnonVma<R> {
    /// Makes it a root: it counts itself as its child.
    pub(crate) fn into_root(self) -> NewAnonVma<R> {
        self.0.num_children.write_once(1);
        NewAnonVma(self.0)
    }

    /// Makes it a child of `parent`, and of its family; it takes a reference on the root (R16).
    ///
    /// The family is locked, or `parent` linked to a VMA whose `mmap_lock` is held for writing.
    pub(crate) fn into_child_of(self, parent: &AnonVma<R>) -> NewAnonVma<R> {
        self.0.adopt(parent);
        NewAnonVma(self.0)
    }
}

/// An anon_vma that has its family, and is linked to no VMA yet.
pub(crate) struct NewAnonVma<R: Rmap = Live>(Pinned<AnonVma<R>>);

impl<R: Rmap> NewAnonVma<R> {
    /// It, unlocked: for a deliberate bug.
    pub(super) fn get(&self) -> &AnonVma<R> {
        &self.0
    }

    /// Locks it (R29: nobody knows it, but somebody may have known its memory) and lets `f` link
    /// it.  Sleeps.
    ///
    /// Where `f` did, the anon_vma lives on; otherwise it is freed, with the lock released.
    pub(crate) fn lock_and_link<T>(
        self,
        f: impl FnOnce(&mut FamilyWrite<'_, R>, &AnonVma<R>) -> T,
    ) -> T {
        let anon_vma = self.0;
        let mut family = if R::Rules::lock_new() {
            anon_vma.lock_write()
        } else {
            FamilyWrite {
                root: anon_vma.root(),
                newcomer: ptr::null(),
                _guard: None,
            }
        };
        family.newcomer = &*anon_vma;
        Oracle::LockDiscipline.holds(Rule::R29, family.root.lock.is_locked());
        let result = f(&mut family, &anon_vma);
        let linked = !anon_vma.tree.is_empty();
        drop(family);
        if linked {
            // INVARIANT: (2) The reference is the tree's.
            let _ = anon_vma.into_raw();
        } else {
            // A root that has counted itself for nothing.
            anon_vma.num_children.write_once(0);
        }
        result
    }
}

/// The family's lock, for writing.
pub(crate) struct FamilyWrite<'a, R: Rmap = Live> {
    root: &'a AnonVma<R>,
    /// The one anon_vma of the family that may be linked though its tree is empty.
    newcomer: *const AnonVma<R>,
    /// `None` by a deliberate bug only (R29).
    _guard: Option<<R::Lock as FamilyLock>::Write<'a>>,
}

impl<R: Rmap> FamilyWrite<'_, R> {
    /// Whether this lock is that of `anon_vma`'s family (R15).
    pub(crate) fn protects(&self, anon_vma: &AnonVma<R>) -> bool {
        let ours =
            Oracle::LockDiscipline.holds(Rule::R15, ptr::eq(self.root, anon_vma.root.read_once()));
        // Who does not lock the root goes on all the same: a deliberate bug.
        ours || !R::Rules::root_lock()
    }

    /// Whether `anon_vma` may be linked: its tree owns a reference (invariant (2)), or is about to.
    ///
    /// One that is only pinned may not: it is no longer meaningful (R18).
    pub(super) fn is_linkable(&self, anon_vma: &AnonVma<R>) -> bool {
        Oracle::Topology.holds(
            Rule::R18,
            !anon_vma.tree.is_empty() || ptr::eq(self.newcomer, anon_vma),
        )
    }

    /// Counts a VMA whose `->anon_vma` becomes this one.
    pub(super) fn activate(&mut self, anon_vma: &AnonVma<R>) {
        let n = anon_vma.num_active_vmas.read_once();
        anon_vma.num_active_vmas.write_once(n + 1);
    }

    /// Counts a VMA whose `->anon_vma` is no longer this one.
    pub(super) fn deactivate(&mut self, anon_vma: &AnonVma<R>) {
        let n = anon_vma.num_active_vmas.read_once();
        if Oracle::Refcount.holds(Rule::R24, n > 0) {
            anon_vma.num_active_vmas.write_once(n - 1);
        }
    }

    /// Counts a child of `parent`.
    pub(super) fn child_born(&mut self, parent: &AnonVma<R>) {
        let n = parent.num_children.read_once();
        parent.num_children.write_once(n + 1);
    }

    /// Counts a child of `parent` no more: its last VMA is gone.
    pub(super) fn child_gone(&mut self, parent: &AnonVma<R>) {
        // A VMA without links may have been forked, by a deliberate bug.
        if !R::Rules::unlink_resets()
            && !Oracle::TypeStability.holds(Rule::R33, parent.is_allocated())
        {
            return;
        }
        let n = parent.num_children.read_once();
        if Oracle::Refcount.holds(Rule::R24, n > 0) {
            parent.num_children.write_once(n - 1);
        }
    }
}

/// The family's lock, for reading.
///
/// # Invariants
///
/// One read hold of `root`'s lock is ours; `root` stays an `AnonVma` at least until it is
/// released: either because RCU is held (invariant (4)), or because something linked into the
/// family cannot be unlinked, and so its root not be freed, without this lock (invariants (1)-(3)).
pub(crate) struct FamilyRead<R: Rmap = Live> {
    root: NonNull<AnonVma<R>>,
    hold: NonNull<R::Lock>,
}

impl<R: Rmap> FamilyRead<R> {
    #[inline]
    fn new<'a>(root: &'a AnonVma<R>, guard: <R::Lock as FamilyLock>::Read<'a>) -> Self {
        // INVARIANT: Who calls this has the root by an allocated anon_vma, or by a late reader's.
        Self {
            root: NonNull::from(root),
            hold: R::Lock::detach(guard),
        }
    }

    /// Whether this is the lock of `anon_vma`'s family (R13), and VMAs are linked there (R18).
    #[inline]
    fn is_of(&self, anon_vma: &AnonVma<R>) -> bool {
        let linked = Oracle::LockIdentity.holds(Rule::R18, !anon_vma.tree.is_empty());
        self.is_root_of(anon_vma) && linked
    }

    /// Whether this is the lock of `anon_vma`'s family (R13).
    #[inline]
    fn is_root_of(&self, anon_vma: &AnonVma<R>) -> bool {
        let ours = ptr::eq(self.root.as_ptr(), anon_vma.root.read_once());
        Oracle::LockIdentity.holds(Rule::R13, ours)
    }

    /// Whether there still is a lock that is held, where a deliberate bug may have freed it; told
    /// where there is none.
    #[inline]
    fn is_there(&self) -> bool {
        let Some(rule) = AnonVma::<R>::may_be_gone() else {
            return true;
        };
        // SAFETY: Incorrect, on purpose: memory that may be anybody's is read.
        let (root, lock) = unsafe { (self.root.as_ref(), self.hold.as_ref()) };
        Oracle::TypeStability.holds(rule, root.is_one() && lock.is_locked())
    }
}

impl<R: Rmap> Drop for FamilyRead<R> {
    #[inline]
    fn drop(&mut self) {
        if self.is_there() {
            // SAFETY: By the type invariant.
            unsafe { R::Lock::release(self.hold) };
        } else {
            // SAFETY: From `detach`, once.
            unsafe { R::Lock::abandon(self.hold) };
        }
    }
}

/// An anon_vma whose family is locked for reading: its VMAs can be walked.
///
/// What a lookup returns lives as long as the page it was found through; what
/// [`lock_read`](AnonVma::lock_read) returns, as long as its anon_vma.
///
/// The fields' order is R9: the lock is released before RCU is left.
pub(crate) struct LockedAnonVma<'a, R: Rmap = Live> {
    family: FamilyRead<R>,
    _kept: Option<<R::Lock as FamilyLock>::Kept>,
    anon_vma: &'a AnonVma<R>,
    /// [`AnonVma::life`] when it was locked.
    life: u32,
    /// Whether it was found through a page.
    found: bool,
}

impl<'a, R: Rmap> LockedAnonVma<'a, R> {
    /// Joins a confirmed lock with what it was taken for (R12, R13, R18).
    ///
    /// # Safety
    ///
    /// `anon_vma` is allocated, and stays so until `family` is released, within `'a`: because
    /// somebody holds a reference; or because it had a VMA linked when `family` was held already
    /// and a page that leads there was seen mapped.
    #[inline]
    pub(super) unsafe fn confirmed(
        family: FamilyRead<R>,
        anon_vma: NonNull<AnonVma<R>>,
        kept: Option<<R::Lock as FamilyLock>::Kept>,
        found: bool,
    ) -> Self {
        // SAFETY: The caller's promise.
        let anon_vma = unsafe { anon_vma.as_ref() };
        if !found {
            family.is_root_of(anon_vma);
        }
        Self {
            family,
            _kept: kept,
            anon_vma,
            life: anon_vma.life.read_once(),
            found,
        }
    }

    /// The slow half of a lookup: sleeps for the lock of a pinned anon_vma, and drops the pin.
    ///
    /// `None` where the pin turned out to be the last reference: the lock is released before the
    /// anon_vma is freed (R10).
    pub(super) fn wait(pin: Pinned<AnonVma<R>>) -> Option<Self> {
        R::Rules::window(Window::Pinned);
        let root = pin.lock_owner();
        let family = FamilyRead::new(root, root.lock.read());
        let raw = pin.into_raw();
        // SAFETY: The pin is still ours.
        let anon_vma = unsafe { raw.as_ref() };
        let last = anon_vma.refcount.fetch_sub(1, Full) == 1;
        let frees = last && R::Rules::last_reference();
        Rule::R10.holds(frees == last);
        if frees {
            stats::LAST_REFERENCES.inc();
            drop(family);
            // SAFETY: That was the last reference, and we saw it.
            unsafe { free(raw) };
            return None;
        }
        // Others hold references: the tree's, whose unlinking needs the lock; or only pins, and
        // then the tree is empty, and `free` waits for the lock (R17).
        // SAFETY: As just said.
        let locked = unsafe { Self::confirmed(family, raw, None, false) };
        R::Rules::window(if locked.tree.is_empty() {
            Window::Outlived
        } else {
            Window::Confirmed
        });
        Some(locked)
    }
}

impl<R: Rmap> Deref for LockedAnonVma<'_, R> {
    type Target = AnonVma<R>;

    #[inline]
    fn deref(&self) -> &AnonVma<R> {
        self.anon_vma
    }
}

impl<R: Rmap> Drop for LockedAnonVma<'_, R> {
    #[inline]
    fn drop(&mut self) {
        if let Some(rule) = AnonVma::<R>::may_be_gone() {
            if !Oracle::TypeStability.holds(rule, self.anon_vma.is_one()) {
                return;
            }
        }
        // What is unlocked is what was locked (R13), and it has not been freed meanwhile (R17).
        self.family.is_root_of(self.anon_vma);
        Oracle::TypeStability.holds(Rule::R17, self.anon_vma.life.read_once() == self.life);
        if READERS_ARE_COUNTED && !R::Lock::SLEEPS && self.found {
            Rule::R9.check(in_rcu_reader());
        }
    }
}

/// Bit 0 of `mapping`: the page is anonymous (R1).
const MAPPING_ANON: usize = 1;

/// What the reverse map keeps in a page: the tagged `mapping`, the `_mapcount`, the `index`.
#[pin_data]
pub(crate) struct PageRmap<R: Rmap = Live> {
    /// An anon_vma's address with bit 0 set; 0 until the page is first mapped.  One word (R1).
    mapping: Atomic<usize>,
    /// PTEs that map the page, minus one (R3).
    mapcount: Atomic<i32>,
    /// Offset in the mapped file, in pages.
    index: usize,
    _kind: PhantomData<fn() -> R>,
}

// SAFETY: `mapping` is only ever set to an anon_vma that is linked to the VMA that maps the page,
// and that VMA stays linked while the page stays mapped (R21): where `mapcount` is seen to be 0 or
// more, the anon_vma is allocated at that instant.  It is changed only while the page is mapped, and
// then to one of the same VMA (R19, R20): the one that was read before stays linked as well.
unsafe impl<R: Rmap> Anchor for PageRmap<R> {
    type Target = AnonVma<R>;

    #[inline]
    fn load(&self) -> Option<NonNull<AnonVma<R>>> {
        // Read once; the tag is tested and stripped in the copy (R1).
        let mapping = self.mapping.read_once();
        if mapping & MAPPING_ANON == 0 {
            Oracle::Tag.holds(Rule::R1, mapping == 0);
            // It is set before the page is mapped, and for good (R2).
            Oracle::WalkCompleteness
                .check(Rule::R2, !self.mapped() || self.mapping.read_once() != 0);
            return None;
        }
        NonNull::new(ptr::with_exposed_provenance_mut(mapping & !MAPPING_ANON))
    }

    #[inline]
    fn vouches(&self) -> bool {
        self.mapped()
    }
}

impl<R: Rmap> PageRmap<R> {
    /// A page that is not mapped, at offset `index` (in pages).
    pub(crate) fn new(index: usize) -> Self {
        Self {
            mapping: Atomic::new(0),
            mapcount: Atomic::new(-1),
            index,
            _kind: PhantomData,
        }
    }

    /// Offset in the mapped file, in pages.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// `page_mapped()`.
    #[inline]
    pub(crate) fn mapped(&self) -> bool {
        self.mapcount.read_once() >= 0
    }

    /// How many PTEs map it.
    pub(crate) fn mapcount(&self) -> i32 {
        self.mapcount.read_once() + 1
    }

    /// `folio_add_new_anon_rmap()`: the first PTE, to a page that was never mapped before.
    ///
    /// A page that was anonymous before is not given another anon_vma (R20): a late reader who has
    /// read the old `mapping` would see it vouched for by the new mapping's count.  Returns whether
    /// it was done.
    pub(super) fn add_new_anon_rmap(&self, anon_vma: &AnonVma<R>) -> bool {
        if !Rule::R20.check(self.mapping.read_once() == 0) {
            return false;
        }
        Rule::R1.check(anon_vma.key() & MAPPING_ANON == 0);
        Oracle::Mapcount.check(Rule::R3, self.mapcount.read_once() == -1);
        self.set_anon(anon_vma);
        self.mapcount.store(0, Release);
        true
    }

    /// `folio_add_anon_rmap_pte()`: one more PTE maps it.  One atomic addition.
    #[inline]
    pub(crate) fn add_anon_rmap(&self) {
        let before = self.mapcount.fetch_add(1, Relaxed);
        Oracle::Mapcount.holds(Rule::R3, before >= -1);
    }

    /// `folio_remove_rmap_pte()`: one PTE less.  `mapping` stays as it is (R2).  One atomic
    /// subtraction.
    #[inline]
    pub(crate) fn remove_rmap(&self) {
        let before = self.mapcount.fetch_sub(1, Full);
        Oracle::Mapcount.holds(Rule::R3, before >= 0);
        if !R::Rules::mapping_stays() && before == 0 {
            self.mapping.write_once(0);
        }
        Rule::R2.holds(self.mapping.read_once() != 0);
    }

    /// Takes over where `old` leads to, for a page that takes its place: migration.
    ///
    /// The caller keeps the anon_vma by a pin (R18), and puts this page into page tables of VMAs
    /// that are linked to it (R21).
    pub(crate) fn take_mapping_of(&self, old: &Self) {
        if Rule::R20.check(self.mapping.read_once() == 0) {
            self.mapping.store(old.mapping.read_once(), Release);
        }
    }

    /// Leads to `anon_vma` before anybody maps it: for a page that is read in again, for all at once
    /// who mapped it when it was there (R39).
    ///
    /// The caller puts it into page tables of VMAs that are linked to `anon_vma` (R21).
    pub(crate) fn lead_to(&self, anon_vma: &LockedAnonVma<'_, R>) {
        if Rule::R20.check(self.mapping.read_once() == 0) {
            self.set_anon(anon_vma);
        }
    }

    /// `folio_test_anon()`: whether it has ever been mapped.
    pub(crate) fn was_anon(&self) -> bool {
        self.mapping.read_once() != 0
    }

    /// What `mapping` leads to, for comparing only; `None` where it leads to no anon_vma.
    pub(crate) fn anon_vma_key(&self) -> Option<usize> {
        self.load().map(|anon_vma| anon_vma.addr().get())
    }

    pub(super) fn set_anon(&self, anon_vma: &AnonVma<R>) {
        let address = ptr::from_ref(anon_vma).expose_provenance();
        if !R::Rules::one_store() {
            self.mapping.store(address, Release);
            R::Rules::window(Window::MappingStored);
        }
        // Pointer and tag in one store (R1).
        self.mapping.store(address | MAPPING_ANON, Release);
    }
}

#[cfg(shadow_rmap_kunit)]
#[path = "tests/anon_vma.rs"]
mod tests;

// SPDX-License-Identifier: GPL-2.0

//! The lock of a family: guards for writing and for reading.
//!
//! C: `anon_vma_lock_write()`, `anon_vma_lock_read()` of
//! [`include/linux/rmap.h`](srctree/include/linux/rmap.h).
//!
//! The invariants are those of [`anon_vma`](super::anon_vma).

#![allow(unsafe_code, reason = "holds of locks in type-safe memory")]

use super::{
    anon_vma::{
        AnonVma,
        NewAnonVma, //
    },
    kind::{
        Live,
        Rmap, //
    },
    lock::FamilyLock,
    mm::MmapWrite,
    oracle::Oracle,
    path,
    rules::Rule,
    steps::Steps, //
};
use crate::kernel_ext::{
    rwonce::ReadWriteOnce,
    sched::in_rcu_reader, //
};
use core::{
    mem::ManuallyDrop,
    ops::Deref,
    ptr::{
        self,
        NonNull, //
    },
};

/// Whether lockdep knows which locks a thread holds: then each change of a family checks that it
/// holds the root's.
const LOCKDEP: bool = cfg!(CONFIG_PROVE_LOCKING = "y");

/// Whether the kernel counts the RCU read sections of a thread.
pub(super) const READERS_ARE_COUNTED: bool = cfg!(CONFIG_PREEMPT_RCU = "y");

impl<R: Rmap> AnonVma<R> {
    /// `anon_vma_lock_write()`. Sleeps or spins.
    pub(crate) fn lock_write(&self) -> FamilyWrite<'_, R> {
        R::steps().lock_write(self)
    }

    /// `vm_lock_anon_vma()`: takes the lock of a root, as one of many under `mmap` (R38). Sleeps or
    /// spins.
    pub(crate) fn lock_write_under<'a>(&'a self, mmap: &'a MmapWrite<'_, R>) -> FamilyWrite<'a, R> {
        let root = self.lock_owner();
        // SAFETY: The guard is the root's.
        unsafe { FamilyWrite::new(root, root.lock.write_under(mmap.lock())) }
    }

    /// `anon_vma_lock_read()`. Sleeps or spins.
    pub(crate) fn lock_read(&self) -> LockedAnonVma<'_, R> {
        path::LOCK_READ.count();
        // A reference or a link keeps it (R18).
        Oracle::TypeStability.holds(Rule::R18, self.is_allocated());
        let root = self.lock_owner();
        // SAFETY: The borrow of `self` keeps it allocated, and so its root.
        unsafe {
            let family = FamilyRead::new(root, root.lock.read());
            LockedAnonVma::confirmed(family, NonNull::from(self), R::Lock::keep(None))
        }
    }
}

/// The family's lock is held for writing.
pub(crate) struct FamilyWrite<'a, R: Rmap = Live> {
    root: &'a AnonVma<R>,
    /// The one anon_vma of the family that may be linked although its tree is empty.
    newcomer: *const AnonVma<R>,
    _guard: <R::Lock as FamilyLock>::Write<'a>,
}

impl<'a, R: Rmap> FamilyWrite<'a, R> {
    /// Joins a root with the guard of its lock.
    ///
    /// # Safety
    ///
    /// `guard` is that of `root`'s lock, and `root` is a root (1).
    pub(crate) unsafe fn new(
        root: &'a AnonVma<R>,
        guard: <R::Lock as FamilyLock>::Write<'a>,
    ) -> Self {
        Self {
            root,
            newcomer: ptr::null(),
            _guard: guard,
        }
    }

    /// Returns whether this lock is that of `anon_vma`'s family (R15).
    pub(crate) fn protects(&self, anon_vma: &AnonVma<R>) -> bool {
        Oracle::LockDiscipline.holds(Rule::R15, ptr::eq(self.root, anon_vma.root.read_once()))
    }

    /// Returns whether `anon_vma` may be linked: its tree owns a reference (2), or is about to.
    ///
    /// An anon_vma that is only pinned may not: it is no longer meaningful (R18).
    pub(super) fn is_linkable(&self, anon_vma: &AnonVma<R>) -> bool {
        if LOCKDEP {
            let rule = if self.newcomer.is_null() {
                Rule::R15
            } else {
                Rule::R29
            };
            Oracle::LockDiscipline.check(rule, self.root.lock.is_held());
        }
        Oracle::Topology.holds(
            Rule::R18,
            !anon_vma.tree().is_empty() || ptr::eq(self.newcomer, anon_vma),
        )
    }

    /// Counts a VMA whose `->anon_vma` becomes this one.
    pub(crate) fn activate(&mut self, anon_vma: &AnonVma<R>) {
        let n = anon_vma.num_active_vmas.read_once();
        anon_vma.num_active_vmas.write_once(n + 1);
    }

    /// Counts a VMA whose `->anon_vma` is no longer this one.
    pub(crate) fn deactivate(&mut self, anon_vma: &AnonVma<R>) {
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
        let n = parent.num_children.read_once();
        if Oracle::Refcount.guard(Rule::R24, n > 0) {
            parent.num_children.write_once(n - 1);
        }
    }
}

impl<R: Rmap> NewAnonVma<R> {
    /// Locks the family and lets `f` link the anon_vma. Sleeps or spins.
    ///
    /// Nothing knows the anon_vma, but late readers may know its memory: so it is locked (R29). If
    /// `f` linked it, it lives on; otherwise it is freed, with the lock released.
    pub(crate) fn lock_and_link<T>(
        self,
        f: impl FnOnce(&mut FamilyWrite<'_, R>, &AnonVma<R>) -> T,
    ) -> Option<T> {
        let anon_vma = self.0;
        let (mut f, mut result) = (Some(f), None);
        R::steps().lock_new(&anon_vma, &mut |family| {
            family.newcomer = &*anon_vma;
            result = f.take().map(|f| f(family, &anon_vma));
        });
        if anon_vma.tree().is_empty() {
            path::ALLOC_UNUSED.count();
            // A root has counted itself for nothing.
            anon_vma.num_children.write_once(0);
        } else {
            // INVARIANT: (2) The reference is the tree's.
            let _ = anon_vma.into_raw();
        }
        result
    }
}

/// The family's lock is held for reading.
///
/// # Invariants
///
/// One read hold of `root`'s lock is ours. `root` stays an `AnonVma` at least until it is released:
/// because RCU is held (4); because something is linked into the family that cannot be unlinked
/// without this lock, so that the root cannot be freed (1)-(3); or because a reference keeps it, the last
/// put of which waits for this lock (R17).
pub(crate) struct FamilyRead<R: Rmap = Live> {
    root: NonNull<AnonVma<R>>,
}

impl<R: Rmap> FamilyRead<R> {
    /// Joins a root with the guard of its lock.
    ///
    /// # Safety
    ///
    /// `guard` is that of `root`'s lock. RCU is held until it is released, or the caller makes sure
    /// in another way that `root` stays an anon_vma.
    #[inline]
    pub(super) unsafe fn new<'a>(
        root: &'a AnonVma<R>,
        guard: <R::Lock as FamilyLock>::Read<'a>,
    ) -> Self {
        // It is found again through `root`.
        let _ = R::Lock::detach(guard);
        // INVARIANT: The caller's promise.
        Self {
            root: NonNull::from(root),
        }
    }

    /// Returns whether this is the lock of `anon_vma`'s family (R13).
    #[inline]
    pub(super) fn is_root_of(&self, anon_vma: &AnonVma<R>) -> bool {
        let same = ptr::eq(self.root.as_ptr(), anon_vma.root.read_once());
        Oracle::LockIdentity.holds(Rule::R13, same)
    }
}

impl<R: Rmap> Drop for FamilyRead<R> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        let root = unsafe { self.root.as_ref() };
        let hold = NonNull::from(&root.lock);
        if Oracle::TypeStability.holds(Rule::R5, root.is_typed()) {
            // SAFETY: By the type invariant, from `detach`.
            unsafe { R::Lock::release(hold) };
        } else {
            // SAFETY: From `detach`, once.
            unsafe { R::Lock::abandon(hold) };
        }
    }
}

/// An anon_vma whose family is locked for reading: its VMAs can be walked.
///
/// If it was found through a page, it lives as long as the page; otherwise as long as its anon_vma.
///
/// The order of the fields is R9: the lock is released before RCU is left
/// (`tools/litmus/R9+rcu-until-unlock.litmus`).
pub(crate) struct LockedAnonVma<'a, R: Rmap = Live> {
    family: FamilyRead<R>,
    kept: <R::Lock as FamilyLock>::Kept,
    anon_vma: &'a AnonVma<R>,
    /// [`AnonVma::life`] when it was locked.
    life: u32,
}

/// The root and the anon_vma of a lock, and what is kept of RCU, see
/// [`LockedAnonVma::into_raw_parts`].
pub(super) type RawParts<R> = (
    NonNull<AnonVma<R>>,
    NonNull<AnonVma<R>>,
    <<R as Rmap>::Lock as FamilyLock>::Kept,
);

impl<R: Rmap> LockedAnonVma<'_, R> {
    /// Joins a confirmed lock with the anon_vma that it was taken for (R12, R13, R18).
    ///
    /// # Safety
    ///
    /// `anon_vma` is allocated, and stays so until `family` is released, within the lifetime:
    /// because of a reference; or because it had a VMA linked when `family` was held already and a
    /// page that leads there was seen mapped.
    #[inline]
    pub(crate) unsafe fn confirmed(
        family: FamilyRead<R>,
        anon_vma: NonNull<AnonVma<R>>,
        kept: <R::Lock as FamilyLock>::Kept,
    ) -> Self {
        // SAFETY: The caller's promise.
        let anon_vma = unsafe { anon_vma.as_ref() };
        Self {
            family,
            kept,
            anon_vma,
            life: anon_vma.life(),
        }
    }
}

impl<R: Rmap> LockedAnonVma<'_, R> {
    /// Gives up the guard, but neither the hold nor what is kept of RCU.
    pub(super) fn into_raw_parts(self) -> RawParts<R> {
        let this = ManuallyDrop::new(self);
        // SAFETY: Valid, and not used again: `this` is not dropped.
        let kept = unsafe { ptr::read(&this.kept) };
        (this.family.root, NonNull::from(this.anon_vma), kept)
    }

    /// Takes back what [`into_raw_parts`](Self::into_raw_parts) gave.
    ///
    /// # Safety
    ///
    /// All come from there, once, on this thread, and the lifetime is no longer than before.
    #[inline]
    pub(super) unsafe fn from_raw_parts(
        root: NonNull<AnonVma<R>>,
        anon_vma: NonNull<AnonVma<R>>,
        kept: <R::Lock as FamilyLock>::Kept,
    ) -> Self {
        // INVARIANT: The hold is handed over.
        let family = FamilyRead { root };
        // SAFETY: The caller's promise.
        unsafe { Self::confirmed(family, anon_vma, kept) }
    }
}

impl<R: Rmap> Deref for LockedAnonVma<'_, R> {
    type Target = AnonVma<R>;

    #[inline]
    fn deref(&self) -> &AnonVma<R> {
        self.anon_vma
    }
}

impl<R: Rmap> LockedAnonVma<'_, R> {
    /// Looks at what is about to be unlocked: RCU has been held (R9), the anon_vma was not freed
    /// meanwhile (R17), and its root is the one that was locked (R13).
    #[inline]
    fn check_unlock(&self) {
        if READERS_ARE_COUNTED && R::Lock::keeps_rcu(&self.kept) {
            Rule::R9.check(in_rcu_reader());
        }
        Oracle::TypeStability.holds(Rule::R17, self.anon_vma.life() == self.life);
        self.family.is_root_of(self.anon_vma);
    }
}

impl<R: Rmap> Drop for LockedAnonVma<'_, R> {
    #[inline]
    fn drop(&mut self) {
        self.check_unlock();
    }
}

#[cfg(shadow_rmap_kunit)]
#[path = "tests/family.rs"]
mod tests;

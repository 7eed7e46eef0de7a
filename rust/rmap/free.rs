// SPDX-License-Identifier: GPL-2.0

//! Freeing an anon_vma: at once, or by a work item.
//!
//! C: `anon_vma_free()` and `__put_anon_vma()` of [`mm/rmap.c`](srctree/mm/rmap.c).
//!
//! The invariants are those of [`anon_vma`](super::anon_vma).

#![allow(unsafe_code, reason = "gives memory back")]

use super::{
    anon_vma::AnonVma,
    deferred,
    kind::Rmap,
    lock::FamilyLock,
    oracle::Oracle,
    path,
    rules::Rule,
    steps::Steps,
    window::Window, //
};
use crate::{
    kernel_ext::{
        sched::{
            in_rcu_reader,
            Context, //
        },
        typesafe::TypesafeBox,
    },
    stats,
};
use core::ptr::NonNull;
use kernel::task::might_sleep;

/// Whether the kernel is built to find sleeps in atomic context: then each free checks R11.
const CONTEXT_IS_CHECKED: bool =
    cfg!(CONFIG_DEBUG_ATOMIC_SLEEP = "y") && cfg!(CONFIG_PREEMPT_RCU = "y");

/// What a reference was that was dropped.
#[derive(Clone, Copy)]
pub(super) enum Put {
    /// There are others.
    Kept,
    /// It was the last one, of a root or of a child.
    Last {
        /// Whether the anon_vma was a root.
        is_root: bool,
        /// Whether it is freed; otherwise the free is put off, and counts itself.
        freed: bool,
    },
}

impl Put {
    /// Counts an anon_vma that is freed.
    #[inline]
    pub(super) fn count(self) {
        if let Self::Last {
            is_root,
            freed: true,
        } = self
        {
            path::freed(is_root).count();
        }
    }
}

/// Drops a reference on an anon_vma. If it was the last one, calls `last`, and frees the anon_vma.
/// May sleep.
///
/// # Safety
///
/// The reference is the caller's.
#[inline]
pub(super) unsafe fn put<R: Rmap>(this: NonNull<AnonVma<R>>, last: impl FnOnce()) -> Put {
    // SAFETY: By the caller's promise it is allocated, and the reference is ours.
    if !unsafe { this.as_ref().dec_refcount() } {
        return Put::Kept;
    }
    // SAFETY: It is allocated until it is freed below.
    let is_root = unsafe { this.as_ref() }.is_root();
    last();
    // SAFETY: That was the last reference, and we saw it.
    let freed = unsafe { free(this) };
    Put::Last { is_root, freed }
}

/// `__put_anon_vma()`: frees an anon_vma whose reference count has reached zero. May sleep.
///
/// Returns whether it is freed, which the caller counts: a free that is put off counts itself.
///
/// A reader outside of RCU that waited for the root's lock with a reference (R10) may hold the lock
/// by now, without a reference: the free waits for it (R17). A thread that must not sleep does not
/// wait; a work item frees the anon_vma then.
///
/// What makes R17 hold is not the order of a trylock and the last put: `down_read_trylock()` only
/// acquires (`tools/litmus/R17+trylock-against-put.litmus`). It is that the last VMA was unlinked,
/// and the root's lock so taken for writing, after the page was unmapped and before the last put
/// (`tools/litmus/R17+unlink-locks.litmus`); and, for a reader that waited, the full barrier of its
/// own put (`tools/litmus/R17+put-after-lock.litmus`).
///
/// # Safety
///
/// The reference count has reached zero, and this is the caller that saw it.
pub(crate) unsafe fn free<R: Rmap>(this: NonNull<AnonVma<R>>) -> bool {
    R::window(Window::LastPut);
    if CONTEXT_IS_CHECKED {
        let outside = Oracle::LockDiscipline.check(Rule::R11, !in_rcu_reader());
        if outside && R::Lock::SLEEPS {
            might_sleep();
        }
    }
    // SAFETY: Nothing else frees it.
    let anon_vma = unsafe { this.as_ref() };
    // Under a spinning lock readers are in RCU as long as they hold it (R9), and the memory stays.
    if R::Lock::SLEEPS && anon_vma.lock_owner().lock.is_locked() {
        if Context::here() != Context::Sleepable {
            // SAFETY: The caller's promise.
            unsafe { free_later(this) };
            return false;
        }
        R::steps().wait_for_readers(anon_vma.lock_owner());
    }
    // If the lock was free because a reader has just released it, the branch above keeps that
    // reader's walk before the stores below: `tools/litmus/R17+free-after-if.litmus`.
    // SAFETY: The caller's promise; readers have been waited for:
    // `tools/litmus/R17+put-after-lock.litmus`.
    unsafe { R::steps().free_last(this) };
    true
}

/// Waits for readers that hold the root's lock, frees, and counts that. Sleeps.
///
/// # Safety
///
/// As [`free`].
unsafe fn free_after_readers<R: Rmap>(this: NonNull<AnonVma<R>>) {
    // SAFETY: Nothing else frees it.
    let anon_vma = unsafe { this.as_ref() };
    let freed = path::freed(anon_vma.is_root());
    R::steps().wait_for_readers(anon_vma.lock_owner());
    // SAFETY: The caller's promise; readers have been waited for.
    unsafe { R::steps().free_last(this) };
    freed.count();
}

/// Waits until the readers that hold the lock of `root` have released it (R17). Sleeps.
pub(super) fn wait_for_readers<R: Rmap>(root: &AnonVma<R>) {
    stats::LOCKED_FREES.inc();
    drop(root.lock.write());
}

/// Gives the memory back, and drops the reference on the root afterwards (R16).
///
/// # Safety
///
/// As [`free`]; no reader holds the root's lock without a reference.
pub(crate) unsafe fn free_last<R: Rmap>(this: NonNull<AnonVma<R>>) {
    // SAFETY: Nothing else frees it.
    let anon_vma = unsafe { this.as_ref() };
    let counted = anon_vma.num_children() + anon_vma.num_active_vmas();
    Oracle::Refcount.holds(Rule::R24, counted == 0);
    let root = (!anon_vma.is_root()).then(|| NonNull::from(anon_vma.root()));
    if root.is_some() {
        Oracle::TypeStability.holds(Rule::R16, anon_vma.root().is_allocated());
    }
    anon_vma.next_life();
    Oracle::TypeStability.holds(Rule::R6, anon_vma.is_free());
    // SAFETY: The count says that it is ours to free.
    R::steps().give_back(unsafe { TypesafeBox::from_raw(this) });
    if let Some(root) = root {
        // SAFETY: By invariant (1) the reference was the child's, which is gone: the root may go
        // now, and not earlier (`tools/litmus/R16+child-then-root.litmus`).
        unsafe { R::steps().put_root(root) };
    }
}

/// An anon_vma without references, on its way to the work item that frees it.
struct Dead<R: Rmap>(NonNull<AnonVma<R>>);

// SAFETY: An anon_vma may be freed by any thread.
unsafe impl<R: Rmap> Send for Dead<R> {}

impl<R: Rmap> Dead<R> {
    fn free(self) {
        // SAFETY: `free_later` was promised that nothing else frees it.
        unsafe { free_after_readers(self.0) };
    }
}

/// Frees `this` later. Any context. Without memory for that, it leaks, and is counted in `stats`:
/// a leak is better than freed memory under a reader.
///
/// # Safety
///
/// The reference count has reached zero, and this is the caller that saw it.
pub(super) unsafe fn free_later<R: Rmap>(this: NonNull<AnonVma<R>>) {
    let dead = Dead(this);
    deferred::put_off(move || dead.free());
}

#[cfg(shadow_rmap_kunit)]
#[path = "tests/free.rs"]
mod tests;

// SPDX-License-Identifier: GPL-2.0

//! A prepared change of a [`VmaTree`].

use super::VmaTree;
use crate::{
    ffi,
    kernel_ext::fail, //
};
use core::{
    mem,
    ptr, //
};
use kernel::{
    error::to_result,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Relaxed,
            Release, //
        },
        Arc, //
    },
};

/// A change of a [`VmaTree`] that can no longer fail.
///
/// Dropping it without a [`commit`](Self::commit) changes nothing.
///
/// # Invariants
///
/// 1. This value has set the tree's `reserved`, which stays set until it is dropped. As long as the
///    tree's `clears` equals `self.clears` and is even, nothing else has changed the tree since.
/// 2. After [`new`](Self::new), `state` owns all the memory that the store needs.
/// 3. After [`new`](Self::new), `covered` holds the entry of each range that lies within
///    `first..=last`, and `cut` the entry of the one range that reaches beyond it on both sides, if
///    there is one.
#[must_use = "without a commit nothing is changed"]
pub(crate) struct Reservation<'a, T> {
    tree: &'a VmaTree<T>,
    clears: u64,
    state: ffi::ma_state,
    first: usize,
    last: usize,
    vma: Option<Arc<T>>,
    covered: KVVec<Arc<T>>,
    cut: Option<Arc<T>>,
}

// SAFETY: `state` owns memory of the maple tree, which is not bound to a thread; the other fields
// are references to the tree and to its entries.
unsafe impl<T: Send + Sync> Send for Reservation<'_, T> {}

impl<'a, T> Reservation<'a, T> {
    /// Prepares to store `vma`, or nothing, in `first..=last`. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EINVAL` if `last` comes before `first`; `EBUSY` while the tree has another
    /// reservation. The tree stays as it is.
    pub(super) fn new(
        tree: &'a VmaTree<T>,
        first: usize,
        last: usize,
        vma: Option<Arc<T>>,
    ) -> Result<Self> {
        if last < first {
            return Err(EINVAL);
        }
        if tree.reserved.cmpxchg(0, 1, Acquire).is_err() {
            return Err(EBUSY);
        }
        // INVARIANT: (1) `reserved` was set just now.
        let mut this = Self {
            tree,
            clears: tree.clears.load(Relaxed),
            state: tree.state(first, last),
            first,
            last,
            vma,
            covered: KVVec::new(),
            cut: None,
        };
        for slot in tree.range(first, last) {
            if first <= slot.first && slot.last <= last {
                fail::allocation()?;
                this.covered.push(slot.vma, GFP_KERNEL)?;
            } else if slot.first < first && last < slot.last {
                this.cut = Some(slot.vma);
            }
        }
        let entry = this.vma.as_ref().map_or(ptr::null(), Arc::as_ptr);
        fail::allocation()?;
        let guard = tree.lock.write();
        // SAFETY: By invariant (1) of the tree, with its lock held. C only tests whether the entry
        // is null.
        let result = unsafe {
            ffi::mas_preallocate(&mut this.state, entry.cast_mut().cast(), ffi::GFP_KERNEL)
        };
        drop(guard);
        to_result(result)?;
        // INVARIANT: (2) and (3) hold for the tree as it is now, and by (1) it stays like that.
        Ok(this)
    }

    /// Returns the entries of the ranges that the store will cover, in order.
    pub(crate) fn covered(&self) -> &[Arc<T>] {
        &self.covered
    }

    /// Changes the tree, unless it was cleared since. Sleeps; allocates nothing.
    ///
    /// Returns the entry of each range that the store has covered, in order; an entry that had
    /// several such ranges comes several times.
    pub(crate) fn commit(mut self) -> KVVec<Arc<T>> {
        // `state` describes a place that was looked up under an earlier hold of the lock, and at a
        // hole it may have been widened. Only the memory that it owns is still of use.
        self.state = ffi::ma_state {
            sheaf: self.state.sheaf,
            alloc: self.state.alloc,
            mas_flags: self.state.mas_flags,
            ..self.tree.state(self.first, self.last)
        };
        let guard = self.tree.lock.write();
        if self.tree.is_clearing() || self.tree.clears.load(Relaxed) != self.clears {
            return KVVec::new();
        }
        let entry = self.vma.take().map_or(ptr::null(), Arc::into_raw);
        // SAFETY: By invariant (1) of the tree, and by (1) and (2) the store allocates nothing and
        // does not fail.
        // INVARIANT: (2) of the tree: the new range owns the reference from `vma`; a range that the
        // store cuts in two gets a second reference, from `cut`; the covered ranges lose theirs
        // below.
        unsafe { ffi::mas_store(&mut self.state, entry.cast_mut().cast()) };
        if let Some(vma) = self.cut.take() {
            let _ = Arc::into_raw(vma);
        }
        let covered = mem::take(&mut self.covered);
        for vma in &covered {
            // SAFETY: By invariant (2) of the tree and by (3) a covered range owned this reference,
            // and the range is gone. `covered` holds another one, so it is not the last.
            drop(unsafe { Arc::from_raw(Arc::as_ptr(vma)) });
        }
        drop(guard);
        covered
    }
}

impl<T> Drop for Reservation<'_, T> {
    fn drop(&mut self) {
        // SAFETY: `state` owns its memory; this does not look at the tree.
        unsafe { ffi::mas_destroy(&mut self.state) };
        // Pairs with the acquire in `new`: the next reservation sees what this one has stored.
        self.tree.reserved.store(0, Release);
    }
}

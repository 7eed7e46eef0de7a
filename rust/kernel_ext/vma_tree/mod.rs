// SPDX-License-Identifier: GPL-2.0

//! The tree of an address space's VMAs: a maple tree that is changed as `mm/vma.c` changes it.
//!
//! C header: [`include/linux/maple_tree.h`](srctree/include/linux/maple_tree.h)
//!
//! [`kernel::maple_tree`] cannot allocate first and store later, and its lock is a spinlock, under
//! which memory cannot be allocated with `GFP_KERNEL`. This type wraps the same C code, and treats
//! each change of an address space as *one store*, as `mm/vma.c` does:
//!
//! | change | store |
//! |---|---|
//! | `mmap()` | the new VMA, over a hole |
//! | `munmap()` | nothing, over the whole range, however many VMAs are in it |
//! | split | the new VMA, over its part of the old one |
//! | shrink | nothing, over the part that is cut off |
//! | grow, merge | the VMA that stays, over its new range |
//! | moved boundary | the VMA that grows, over its new range |
//!
//! [`VmaTree::reserve_store`] and [`VmaTree::reserve_clear`] prepare a store: they allocate, may
//! fail, and leave the tree as it is. [`Reservation::commit`] then cannot fail. The maple tree
//! computes the memory for a store from its present shape. So there is at most one reservation at a
//! time, every change goes through one, and a second one is refused. (Writers hold `mmap_lock`, so
//! they do not meet that refusal.)
//!
//! The tree has a lock of its own all the same, innermost of all and released before each method
//! returns: no method relies on its caller for exclusion.

#![allow(unsafe_code, reason = "wraps a C type")]

mod reservation;

pub(crate) use reservation::Reservation;

use crate::{
    ffi,
    kernel_ext::rwsem::{
        new_rwsem,
        RwSem, //
    },
};
use core::{
    iter,
    marker::PhantomData,
    mem,
    ptr, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        ArcBorrow, //
    },
    types::Opaque,
};

/// A map from addresses to `T`: each address has one `T` or none.
///
/// The unit of an address is the user's choice; ranges include their last address.
///
/// # Invariants
///
/// 1. `tree` is initialised, with `lock` as its lock. It is read with `lock` held. It is changed
///    with `lock` held for writing, by the [`Reservation`] that has set `reserved`, or by
///    `clear()`.
/// 2. Each entry of `tree` comes from `Arc::into_raw`, and each range owns one reference on its
///    entry, also where two ranges have the same entry; unless `clears` is odd.
/// 3. `clears` is odd while one thread is in `clear()`, and even otherwise; it changes with `lock`
///    held for writing.
#[pin_data(PinnedDrop)]
pub(crate) struct VmaTree<T> {
    #[pin]
    lock: RwSem,
    #[pin]
    tree: Opaque<ffi::maple_tree>,
    /// 1 while there is a reservation.
    reserved: Atomic<i32>,
    /// How many times `clear()` was entered, plus how many times it was left.
    clears: Atomic<u64>,
    _owned: PhantomData<Arc<T>>,
}

// SAFETY: The tree is used under its lock; it returns and drops `Arc<T>`s on any thread.
unsafe impl<T: Send + Sync> Send for VmaTree<T> {}
// SAFETY: As above.
unsafe impl<T: Send + Sync> Sync for VmaTree<T> {}

/// A range and its entry.
pub(crate) struct Slot<T> {
    /// First address.
    pub(crate) first: usize,
    /// Last address.
    pub(crate) last: usize,
    /// The entry.
    pub(crate) vma: Arc<T>,
}

impl<T> VmaTree<T> {
    /// Creates an initialiser for an empty tree.
    pub(crate) fn new() -> impl PinInit<Self> {
        const {
            assert!(
                mem::align_of::<T>() >= 4,
                "the tree needs two bits of each pointer"
            )
        };
        // INVARIANT: (1) initialised here; (2) there is no entry.
        pin_init!(&this in Self {
            lock <- new_rwsem!(c"shadow_rmap::vma_tree"),
            tree <- Opaque::ffi_init(|tree| {
                // SAFETY: `tree` is valid for writes; `lock` is initialised, and pinned beside it.
                unsafe {
                    let lock = &raw const (*this.as_ptr()).lock;
                    ffi::shadow_rmap_mt_init(tree, (*lock).as_ptr())
                }
            }),
            reserved: Atomic::new(0),
            clears: Atomic::new(0),
            _owned: PhantomData,
        })
    }

    /// `MA_STATE()`: a cursor for `first..=last`.
    fn state(&self, first: usize, last: usize) -> ffi::ma_state {
        ffi::ma_state {
            tree: self.tree.get(),
            index: first,
            last,
            node: ptr::null_mut(),
            status: ffi::maple_status_ma_start,
            min: 0,
            max: usize::MAX,
            sheaf: ptr::null_mut(),
            alloc: ptr::null_mut(),
            node_request: 0,
            mas_flags: 0,
            store_type: ffi::store_type_wr_invalid,
            ..Default::default()
        }
    }

    /// Returns whether `clear()` is under way, so that entries must not be used. The lock is held.
    fn is_clearing(&self) -> bool {
        self.clears.load(Relaxed) % 2 != 0
    }

    /// Runs `function` on a cursor at `address`, and takes a reference on the entry that it
    /// returns.
    fn look(
        &self,
        address: usize,
        function: impl FnOnce(&mut ffi::ma_state) -> *mut c_void,
    ) -> Option<Slot<T>> {
        let mut state = self.state(address, address);
        let _guard = self.lock.read();
        if self.is_clearing() {
            return None;
        }
        let entry = function(&mut state);
        (!entry.is_null()).then(|| Slot {
            first: state.index,
            last: state.last,
            // SAFETY: By invariants (2) and (3); it stays in the tree while the lock is held.
            vma: unsafe { ArcBorrow::from_raw(entry.cast::<T>()) }.into(),
        })
    }

    /// Returns the first slot that ends at or after `address` and starts at or before `max`.
    fn slot_from(&self, address: usize, max: usize) -> Option<Slot<T>> {
        // SAFETY: By invariant (1); the lock is held.
        self.look(address, |state| unsafe { ffi::mas_find(state, max) })
    }

    /// `vma_lookup()`: returns the entry at `address`. Sleeps.
    pub(crate) fn find(&self, address: usize) -> Option<Arc<T>> {
        // SAFETY: By invariant (1); the lock is held.
        let slot = self.look(address, |state| unsafe { ffi::mas_walk(state) })?;
        Some(slot.vma)
    }

    /// `find_vma()`: returns the entry at `address`, or the next one after it. Sleeps.
    pub(crate) fn find_from(&self, address: usize) -> Option<Arc<T>> {
        Some(self.slot_from(address, usize::MAX)?.vma)
    }

    /// Returns the first entry after `last`. Sleeps.
    pub(crate) fn next(&self, last: usize) -> Option<Arc<T>> {
        self.find_from(last.checked_add(1)?)
    }

    /// Returns the last entry before the range, or the hole, that contains `first`. Sleeps.
    pub(crate) fn prev(&self, first: usize) -> Option<Arc<T>> {
        // SAFETY: By invariant (1); the lock is held.
        let slot = self.look(first, |state| unsafe { ffi::mas_prev(state, 0) })?;
        Some(slot.vma)
    }

    /// `for_each_vma_range()`: iterates over the slots that overlap `first..=last`, in order.
    /// Sleeps.
    ///
    /// The lock is released between two slots: the loop sees changes that it makes behind the slot
    /// that it has reached.
    pub(crate) fn range(&self, first: usize, last: usize) -> impl Iterator<Item = Slot<T>> + '_ {
        let mut from = Some(first);
        iter::from_fn(move || {
            let slot = self.slot_from(from?, last)?;
            from = slot.last.checked_add(1);
            Some(slot)
        })
    }

    /// Prepares to store `vma` in `first..=last`, in place of what is there. Sleeps.
    ///
    /// An entry whose range reaches beyond `first..=last` keeps the rest of it.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EINVAL` if `last` comes before `first`; `EBUSY` while there is another
    /// reservation. The tree stays as it is.
    pub(crate) fn reserve_store(
        &self,
        first: usize,
        last: usize,
        vma: Arc<T>,
    ) -> Result<Reservation<'_, T>> {
        Reservation::new(self, first, last, Some(vma))
    }

    /// Prepares to leave `first..=last` empty, as [`reserve_store`](Self::reserve_store).
    ///
    /// # Errors
    ///
    /// Those of `reserve_store`.
    pub(crate) fn reserve_clear(&self, first: usize, last: usize) -> Result<Reservation<'_, T>> {
        Reservation::new(self, first, last, None)
    }

    /// Removes all entries, at the end of an address space. Sleeps; allocates nothing.
    ///
    /// Lookups find nothing from the start of this call on. A reservation made before it stores
    /// nothing.
    pub(crate) fn clear(&self) {
        let guard = self.lock.write();
        if self.is_clearing() {
            // Another thread clears the tree already.
            return;
        }
        // INVARIANT: (3) entered.
        self.clears.add(1, Relaxed);
        drop(guard);
        let mut from = Some(0);
        while let Some(address) = from {
            let mut state = self.state(address, address);
            let guard = self.lock.read();
            // SAFETY: By invariant (1); the lock is held.
            let entry = unsafe { ffi::mas_find(&mut state, usize::MAX) };
            drop(guard);
            if entry.is_null() {
                break;
            }
            from = state.last.checked_add(1);
            // SAFETY: By invariant (2) this is the range's reference. By (3) no other thread drops
            // it, and this loop does not return to the range.
            drop(unsafe { Arc::from_raw(entry.cast::<T>()) });
        }
        let guard = self.lock.write();
        // SAFETY: By invariant (1); the lock is held.
        unsafe { ffi::__mt_destroy(self.tree.get()) };
        // INVARIANT: (3) left; (2) there is no entry any more.
        self.clears.add(1, Relaxed);
        drop(guard);
    }
}

#[pinned_drop]
impl<T> PinnedDrop for VmaTree<T> {
    fn drop(self: Pin<&mut Self>) {
        let mut state = self.state(0, 0);
        // SAFETY: By invariant (1). This is the last reference to the tree, so no lock is needed;
        // the call says so to lockdep.
        unsafe { ffi::shadow_rmap_mt_on_stack(self.tree.get()) };
        loop {
            // SAFETY: As above.
            let entry = unsafe { ffi::mas_find(&mut state, usize::MAX) };
            if entry.is_null() {
                break;
            }
            // SAFETY: By invariant (2); the loop does not return to the range.
            drop(unsafe { Arc::from_raw(entry.cast::<T>()) });
        }
        // SAFETY: As above.
        unsafe { ffi::__mt_destroy(self.tree.get()) };
    }
}

#[cfg(shadow_rmap_kunit)]
#[path = "../tests/vma_tree.rs"]
mod tests;

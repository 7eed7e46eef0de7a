// SPDX-License-Identifier: GPL-2.0

//! The maple tree of an address space: which VMA is where.
//!
//! C header: [`include/linux/maple_tree.h`](srctree/include/linux/maple_tree.h)
//!
//! [`kernel::maple_tree`] has no way to allocate first and store later, and its lock is one that
//! must not be held while memory is allocated. So this is a tree of its own over the same C code,
//! which does what `mm/vma.c` does with it: *a change of an address space is one store*.
//!
//! | change | store |
//! |---|---|
//! | `mmap()` | the new VMA, over a hole |
//! | `munmap()` | nothing, over everything that goes, however many VMAs that are |
//! | split | the new VMA, over its part of the old one |
//! | shrink | nothing, over what goes |
//! | grow, merge | the VMA that stays, over all that it is to cover |
//! | moved boundary | the VMA that grows, over what it is to cover |
//!
//! A store is prepared by [`VmaTree::reserve_store`] or [`VmaTree::reserve_clear`], which allocate
//! and may fail, and leave the tree as it is; then [`Reservation::commit`] cannot fail. What has
//! been prepared is for the tree as it is: the maple tree can say how much memory a store will take
//! only for the next one. So there is one reservation at a time, and no change without one; a
//! second is refused. Writers exclude each other by `mmap_lock`, and do not get to see that.
//!
//! The tree has a lock of its own all the same, innermost of all and never held when a method
//! returns: nobody has to be believed.

#![allow(unsafe_code, reason = "a room of the design: wraps a C type")]

use crate::{
    ffi,
    kernel_ext::{
        fail,
        rwsem::{
            new_rwsem,
            RwSem, //
        }, //
    },
};
use core::{
    iter,
    marker::PhantomData,
    mem,
    ptr, //
};
use kernel::{
    error::to_result,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Relaxed,
            Release, //
        },
        Arc,
        ArcBorrow, //
    },
    types::Opaque,
};

/// What is where in an address space: each address has one `T` or none.
///
/// Addresses are whatever the user counts in; ranges include their last address.
///
/// # Invariants
///
/// 1. `tree` is initialised, with `lock` as its lock: it is read with `lock` held, and changed with
///    `lock` held for writing, by the [`Reservation`] for which `reserved` is set, or by `clear()`.
/// 2. Each entry of `tree` comes from `Arc::into_raw`, and each range that has it, though it be the
///    same as another's, owns one reference; unless `clears` is odd.
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
    /// How often `clear()` was entered and left.
    clears: Atomic<u64>,
    _owned: PhantomData<Arc<T>>,
}

// SAFETY: The tree is used under its lock; it hands out, and drops, `Arc<T>`s on any thread.
unsafe impl<T: Send + Sync> Send for VmaTree<T> {}
// SAFETY: As above.
unsafe impl<T: Send + Sync> Sync for VmaTree<T> {}

/// A range, and what is there.
pub(crate) struct Slot<T> {
    /// The first address.
    pub(crate) first: usize,
    /// The last address.
    pub(crate) last: usize,
    /// What is there.
    pub(crate) vma: Arc<T>,
}

impl<T> VmaTree<T> {
    /// An empty address space.
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

    /// `MA_STATE()`: what stands for a place in the tree.
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

    /// Whether what is in the tree is not to be looked at; the lock is held.
    fn is_clearing(&self) -> bool {
        self.clears.load(Relaxed) % 2 != 0
    }

    /// Looks at `address` with a function of C, and takes a reference on what that returns.
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
            // SAFETY: By invariants (2) and (3), and it stays in the tree while the lock is held.
            vma: unsafe { ArcBorrow::from_raw(entry.cast::<T>()) }.into(),
        })
    }

    /// The first slot that ends at or after `address` and starts at or before `max`.
    fn slot_from(&self, address: usize, max: usize) -> Option<Slot<T>> {
        // SAFETY: By invariant (1); the lock is held.
        self.look(address, |state| unsafe { ffi::mas_find(state, max) })
    }

    /// `vma_lookup()`: what is at `address`. Sleeps.
    pub(crate) fn find(&self, address: usize) -> Option<Arc<T>> {
        // SAFETY: By invariant (1); the lock is held.
        let slot = self.look(address, |state| unsafe { ffi::mas_walk(state) })?;
        Some(slot.vma)
    }

    /// `find_vma()`: what is at `address`, or else next after it. Sleeps.
    pub(crate) fn find_from(&self, address: usize) -> Option<Arc<T>> {
        Some(self.slot_from(address, usize::MAX)?.vma)
    }

    /// What comes first after `last`. Sleeps.
    pub(crate) fn next(&self, last: usize) -> Option<Arc<T>> {
        self.find_from(last.checked_add(1)?)
    }

    /// What comes last before the range that `first` is in, or before the hole. Sleeps.
    pub(crate) fn prev(&self, first: usize) -> Option<Arc<T>> {
        // SAFETY: By invariant (1); the lock is held.
        let slot = self.look(first, |state| unsafe { ffi::mas_prev(state, 0) })?;
        Some(slot.vma)
    }

    /// `for_each_vma_range()`: all that there is between `first` and `last`, in order, also what
    /// only reaches into that. Sleeps.
    ///
    /// Nothing is locked between two of them: the loop sees the changes that it makes behind the
    /// slot that it has come to.
    pub(crate) fn range(&self, first: usize, last: usize) -> impl Iterator<Item = Slot<T>> + '_ {
        let mut from = Some(first);
        iter::from_fn(move || {
            let slot = self.slot_from(from?, last)?;
            from = slot.last.checked_add(1);
            Some(slot)
        })
    }

    /// Prepares to have `vma` in `first..=last`, instead of what is there. Sleeps.
    ///
    /// What is there now and reaches beyond keeps what lies beyond.
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
        self.reserve(first, last, Some(vma))
    }

    /// Prepares to have nothing in `first..=last`, as [`reserve_store`](Self::reserve_store).
    ///
    /// # Errors
    ///
    /// The same.
    pub(crate) fn reserve_clear(&self, first: usize, last: usize) -> Result<Reservation<'_, T>> {
        self.reserve(first, last, None)
    }

    /// Takes everything out: the end of an address space. Sleeps, allocates nothing.
    ///
    /// Nothing is found any more from the start on. A reservation from before does nothing.
    pub(crate) fn clear(&self) {
        let guard = self.lock.write();
        if self.is_clearing() {
            // Somebody else is at it.
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
            // SAFETY: By invariant (2) the range's reference: no other thread drops it, by (3), and
            // this one does not come to the range again.
            drop(unsafe { Arc::from_raw(entry.cast::<T>()) });
        }
        let guard = self.lock.write();
        // SAFETY: By invariant (1); the lock is held.
        unsafe { ffi::__mt_destroy(self.tree.get()) };
        // INVARIANT: (3) left; (2) there is no entry any more.
        self.clears.add(1, Relaxed);
        drop(guard);
    }

    fn reserve(
        &self,
        first: usize,
        last: usize,
        vma: Option<Arc<T>>,
    ) -> Result<Reservation<'_, T>> {
        if last < first {
            return Err(EINVAL);
        }
        if self.reserved.cmpxchg(0, 1, Acquire).is_err() {
            return Err(EBUSY);
        }
        // INVARIANT: (1) set just now.
        let mut reservation = Reservation {
            tree: self,
            clears: self.clears.load(Relaxed),
            state: self.state(first, last),
            first,
            last,
            vma,
            covered: KVVec::new(),
            cut: None,
        };
        for slot in self.range(first, last) {
            if first <= slot.first && slot.last <= last {
                fail::allocation()?;
                reservation.covered.push(slot.vma, GFP_KERNEL)?;
            } else if slot.first < first && last < slot.last {
                reservation.cut = Some(slot.vma);
            }
        }
        let entry = reservation.vma.as_ref().map_or(ptr::null(), Arc::as_ptr);
        fail::allocation()?;
        let guard = self.lock.write();
        // SAFETY: By invariant (1). The entry is only asked whether it is one.
        let result = unsafe {
            ffi::mas_preallocate(
                &mut reservation.state,
                entry.cast_mut().cast(),
                ffi::GFP_KERNEL,
            )
        };
        drop(guard);
        to_result(result)?;
        // INVARIANT: (2) and (3) of the tree as it is, and by (1) stays.
        Ok(reservation)
    }
}

#[pinned_drop]
impl<T> PinnedDrop for VmaTree<T> {
    fn drop(self: Pin<&mut Self>) {
        let mut state = self.state(0, 0);
        // SAFETY: By invariant (1). Nobody else has the tree any more, so that no lock is needed;
        // it says so to lockdep.
        unsafe { ffi::shadow_rmap_mt_on_stack(self.tree.get()) };
        loop {
            // SAFETY: As above.
            let entry = unsafe { ffi::mas_find(&mut state, usize::MAX) };
            if entry.is_null() {
                break;
            }
            // SAFETY: By invariant (2); the range is not looked at again.
            drop(unsafe { Arc::from_raw(entry.cast::<T>()) });
        }
        // SAFETY: As above.
        unsafe { ffi::__mt_destroy(self.tree.get()) };
    }
}

/// A change of a [`VmaTree`] that cannot fail any more.
///
/// Dropped, it changes nothing.
///
/// # Invariants
///
/// 1. It has set the tree's `reserved`, which stays set for as long as it lives: as long as the
///    tree's `clears` is what it was at that time, and even, nobody else has changed the tree.
/// 2. Once it is handed out, `state` has all the memory that the store takes.
/// 3. Once it is handed out, `covered` has what each range has that lies within `first..=last`, and
///    `cut` what the one range has that reaches beyond it on both sides, if there is one.
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

// SAFETY: The state is memory of the maple tree's, which does not care who uses it; the rest is a
// reference to the tree, and references to what is in it.
unsafe impl<T: Send + Sync> Send for Reservation<'_, T> {}

impl<T> Reservation<'_, T> {
    /// What the store will cover, from first to last.
    pub(crate) fn covered(&self) -> &[Arc<T>] {
        &self.covered
    }

    /// Changes the tree, unless that was cleared meanwhile. Sleeps, allocates nothing.
    ///
    /// Returns what had a range that is now covered, from first to last: once for each such range.
    pub(crate) fn commit(mut self) -> KVVec<Arc<T>> {
        // The state has been at a place that was looked up under an earlier hold of the lock, and
        // may have grown at a hole. Only its memory, and that it has that, are still good.
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
        // SAFETY: By invariant (1) of the tree and by (1) and (2) the store allocates nothing, and
        // does not fail.
        // INVARIANT: (2) of the tree: the new range has the reference from `vma`, what becomes two
        // ranges has that from `cut`, and those that are no more lose theirs below.
        unsafe { ffi::mas_store(&mut self.state, entry.cast_mut().cast()) };
        if let Some(vma) = self.cut.take() {
            let _ = Arc::into_raw(vma);
        }
        let covered = mem::take(&mut self.covered);
        for vma in &covered {
            // SAFETY: By invariant (2) of the tree and by (3) this is a reference that a range had
            // which is gone. It is not the last.
            drop(unsafe { Arc::from_raw(Arc::as_ptr(vma)) });
        }
        drop(guard);
        covered
    }
}

impl<T> Drop for Reservation<'_, T> {
    fn drop(&mut self) {
        // SAFETY: The state's memory is its own; the tree is not looked at.
        unsafe { ffi::mas_destroy(&mut self.state) };
        // Whoever comes next sees all that was done.
        self.tree.reserved.store(0, Release);
    }
}

#[cfg(shadow_rmap_kunit)]
#[kunit_tests(shadow_rmap_vma_tree)]
mod tests {
    use super::*;
    use crate::kernel_ext::random::Random;

    /// A thing that knows how many of its kind there are.
    struct Thing {
        id: usize,
        live: Arc<Atomic<i32>>,
    }

    impl Drop for Thing {
        fn drop(&mut self) {
            self.live.fetch_sub(1, Relaxed);
        }
    }

    /// An address space of few addresses, as simple as can be: what each has, and since when.
    #[derive(Clone, Copy, PartialEq)]
    struct Cell {
        id: usize,
        step: usize,
    }

    const ADDRESSES: usize = 512;

    struct Naive(KVec<Option<Cell>>);

    impl Naive {
        fn new() -> Result<Self> {
            Ok(Self(KVec::from_elem(None, ADDRESSES, GFP_KERNEL)?))
        }

        fn at(&self, address: usize) -> Option<Cell> {
            *self.0.get(address)?
        }

        fn store(&mut self, first: usize, last: usize, cell: Option<Cell>) {
            for place in self.0.iter_mut().take(last + 1).skip(first) {
                *place = cell;
            }
        }

        fn from(&self, address: usize) -> Option<Cell> {
            (address..ADDRESSES).find_map(|address| self.at(address))
        }

        /// Goes to the start of what is there, hole or not, and then back to the next that is none.
        fn before(&self, address: usize) -> Option<Cell> {
            let here = self.at(address);
            let other = (0..address).rev().find(|&a| self.at(a) != here)?;
            (0..=other).rev().find_map(|address| self.at(address))
        }

        /// The ranges that overlap `first..=last`: their ends, and what they have.
        fn range(&self, first: usize, last: usize) -> Result<KVec<(usize, usize, Cell)>> {
            let here = self.at(first);
            let start = (0..first).rev().take_while(|&a| self.at(a) == here).last();
            let mut ranges: KVec<(usize, usize, Cell)> = KVec::new();
            for address in start.unwrap_or(first)..ADDRESSES {
                match (self.at(address), ranges.last_mut()) {
                    (Some(cell), Some(range)) if range.2 == cell && range.1 + 1 == address => {
                        range.1 = address;
                    }
                    _ if address > last => break,
                    (Some(cell), _) => ranges.push((address, address, cell), GFP_KERNEL)?,
                    (None, _) => {}
                }
            }
            Ok(ranges)
        }
    }

    fn tree() -> Result<Pin<KBox<VmaTree<Thing>>>> {
        KBox::pin_init(VmaTree::new(), GFP_KERNEL)
    }

    fn thing(id: usize, live: &Arc<Atomic<i32>>) -> Result<Arc<Thing>> {
        let thing = Arc::new(
            Thing {
                id,
                live: live.clone(),
            },
            GFP_KERNEL,
        )?;
        live.add(1, Relaxed);
        Ok(thing)
    }

    fn id(thing: Option<Arc<Thing>>) -> Option<usize> {
        Some(thing?.id)
    }

    fn found(tree: &VmaTree<Thing>, first: usize, last: usize) -> Result<KVec<[usize; 3]>> {
        let mut found = KVec::new();
        for slot in tree.range(first, last) {
            found.push([slot.first, slot.last, slot.vma.id], GFP_KERNEL)?;
        }
        Ok(found)
    }

    /// Whether the tree says of `first..=last` and its ends what the naive one says.
    fn agree(
        tree: &VmaTree<Thing>,
        naive: &Naive,
        base: usize,
        first: usize,
        last: usize,
    ) -> Result<bool> {
        let ranges = found(tree, base + first, base + last)?;
        let expected = naive.range(first, last)?;
        let mut same = ranges.len() == expected.len();
        for (range, expected) in ranges.iter().zip(&expected) {
            same &= *range == [base + expected.0, base + expected.1, expected.2.id];
        }
        for address in [first, last] {
            let at = base + address;
            let pairs = [
                (tree.find(at), naive.at(address)),
                (tree.find_from(at), naive.from(address)),
                (tree.next(at), naive.from(address + 1)),
                (tree.prev(at), naive.before(address)),
            ];
            for (found, expected) in pairs {
                same &= id(found) == expected.map(|cell| cell.id);
            }
        }
        Ok(same)
    }

    /// How many random things are done to a tree.
    const STEPS: usize = 1500;

    /// Does random things, at `base`; returns how often the trees disagreed.
    fn compare(seed: u64, base: usize, live: &Arc<Atomic<i32>>) -> Result<usize> {
        let mut random = Random::new(seed);
        let tree = tree()?;
        let mut naive = Naive::new()?;
        let mut wrong = 0;
        for step in 0..STEPS {
            let first = random.below(ADDRESSES);
            // Mostly small, now and then nearly everything.
            let length = match random.below(16) {
                0 => random.below(ADDRESSES),
                _ => random.below(12),
            };
            let last = usize::min(first + length, ADDRESSES - 1);
            let ends = (base + first, base + last);
            let (cell, reservation) = if random.chance(2, 3) {
                // One that is there already may be stored again.
                let vma = match tree.find(ends.0) {
                    Some(vma) if random.chance(1, 8) => vma,
                    _ => thing(step, live)?,
                };
                let cell = Cell { id: vma.id, step };
                (Some(cell), tree.reserve_store(ends.0, ends.1, vma)?)
            } else {
                (None, tree.reserve_clear(ends.0, ends.1)?)
            };
            let before = naive.range(first, last)?;
            let within = before.iter().filter(|r| first <= r.0 && r.1 <= last);
            if random.chance(1, 8) {
                drop(reservation);
            } else {
                let covered = reservation.commit();
                let expected = within.map(|range| range.2.id);
                wrong += usize::from(!covered.iter().map(|vma| vma.id).eq(expected));
                naive.store(first, last, cell);
            }
            wrong += usize::from(!agree(&tree, &naive, base, first, last)?);
        }
        wrong += usize::from(!agree(&tree, &naive, base, 0, ADDRESSES - 1)?);
        // What is in no range is gone.
        let mut there = KVec::from_elem(false, STEPS, GFP_KERNEL)?;
        for cell in naive.0.iter().flatten() {
            if let Some(seen) = there.get_mut(cell.id) {
                *seen = true;
            }
        }
        let left = there.iter().filter(|seen| **seen).count();
        wrong += usize::from(usize::try_from(live.load(Relaxed)) != Ok(left));
        Ok(wrong)
    }

    /// Whatever is done, the tree is what a list of addresses would be, and keeps nothing alive
    /// that is not in it.
    #[test]
    fn agrees_with_a_naive_one() -> Result {
        let seed = Random::any_seed();
        pr_info!("vma_tree: seed {seed}\n");
        let live = Arc::new(Atomic::new(0), GFP_KERNEL)?;
        let mut wrong = 0;
        for (i, base) in [0, 0x7000, usize::MAX - (ADDRESSES - 1)]
            .into_iter()
            .enumerate()
        {
            wrong += compare(seed.wrapping_add(i as u64), base, &live)?;
        }

        assert_eq!(wrong, 0);
        assert_eq!(live.load(Relaxed), 0);
        Ok(())
    }

    /// As many VMAs as fill a tree of three levels, then one store over all of them.
    #[test]
    fn many_go_at_once() -> Result {
        let live = Arc::new(Atomic::new(0), GFP_KERNEL)?;
        let tree = tree()?;
        for i in 0..3000 {
            let covered = tree
                .reserve_store(i * 4, i * 4 + 2, thing(i, &live)?)?
                .commit();
            if !covered.is_empty() {
                return Err(EINVAL);
            }
        }
        let there = live.load(Relaxed);
        let reservation = tree.reserve_clear(0, usize::MAX)?;
        let seen = reservation.covered().len();
        let covered = reservation.commit();
        let kept = live.load(Relaxed);
        drop(covered);

        assert!(there == 3000 && seen == 3000 && kept == 3000);
        assert_eq!(live.load(Relaxed), 0);
        assert!(tree.find_from(0).is_none());
        Ok(())
    }

    /// A range that is cut in two has what it had on both sides, and keeps it for both.
    #[test]
    fn a_cut_range_is_two() -> Result {
        let live = Arc::new(Atomic::new(0), GFP_KERNEL)?;
        let tree = tree()?;
        drop(tree.reserve_store(10, 19, thing(1, &live)?)?.commit());
        let covered = tree.reserve_store(14, 15, thing(2, &live)?)?.commit().len();
        let cut = found(&tree, 0, 100)?;
        let one = tree.reserve_clear(10, 13)?.commit().len();
        let still = id(tree.find(19));
        let two = tree.reserve_clear(16, 19)?.commit().len();

        assert_eq!(covered, 0);
        assert!(*cut == [[10, 13, 1], [14, 15, 2], [16, 19, 1]]);
        assert!(one == 1 && still == Some(1) && two == 1);
        assert_eq!(live.load(Relaxed), 1);
        Ok(())
    }

    /// The one that stays is stored over those that go, itself among them, as at a merge.
    #[test]
    fn a_merge_is_one_store() -> Result {
        let live = Arc::new(Atomic::new(0), GFP_KERNEL)?;
        let tree = tree()?;
        let stays = thing(1, &live)?;
        drop(tree.reserve_store(0, 9, stays.clone())?.commit());
        drop(tree.reserve_store(10, 19, thing(2, &live)?)?.commit());
        drop(tree.reserve_store(20, 29, thing(3, &live)?)?.commit());
        let gone = tree.reserve_store(0, 29, stays)?.commit();
        let ids = gone.iter().map(|vma| vma.id).eq([1, 2, 3]);
        let merged = found(&tree, 0, 100)?;
        drop(gone);

        assert!(ids && *merged == [[0, 29, 1]]);
        assert_eq!(live.load(Relaxed), 1);
        Ok(())
    }

    /// At the end all goes at once, under the feet of a reservation too; then there can be more.
    #[test]
    fn all_is_cleared() -> Result {
        let live = Arc::new(Atomic::new(0), GFP_KERNEL)?;
        let tree = tree()?;
        for i in 0..300 {
            drop(
                tree.reserve_store(i * 4, i * 4 + 2, thing(i, &live)?)?
                    .commit(),
            );
        }
        drop(tree.reserve_store(0, 2, thing(300, &live)?)?.commit());
        let late = tree.reserve_store(1, 9, thing(301, &live)?)?;
        tree.clear();
        let empty = tree.find_from(0).is_none();
        let covered = late.commit().len();
        let nothing = tree.find_from(0).is_none();
        let left = live.load(Relaxed);
        drop(tree.reserve_store(5, 6, thing(302, &live)?)?.commit());
        let again = found(&tree, 0, usize::MAX)?;
        tree.clear();
        tree.clear();

        assert!(empty && nothing && covered == 0 && left == 0);
        assert!(*again == [[5, 6, 302]]);
        assert_eq!(live.load(Relaxed), 0);
        Ok(())
    }

    /// What cannot be prepared, and what is not committed, changes nothing.
    #[test]
    fn nothing_changes_before_a_commit() -> Result {
        let live = Arc::new(Atomic::new(0), GFP_KERNEL)?;
        let tree = tree()?;
        drop(tree.reserve_store(10, 19, thing(1, &live)?)?.commit());
        let second = thing(2, &live)?;
        let (failed, hit) = fail::nth(1, || {
            tree.reserve_store(15, 25, second.clone()).err() == Some(ENOMEM)
        });
        let backwards = tree.reserve_clear(5, 4).err() == Some(EINVAL);
        let held = tree.reserve_store(15, 25, second.clone())?;
        let refused = tree.reserve_clear(0, 5).err() == Some(EBUSY);
        let readable = id(tree.find(15));
        drop(held);
        let same = found(&tree, 0, 100)?;
        drop(tree.reserve_store(15, 25, second)?.commit());
        let stored = found(&tree, 0, 100)?;

        assert!(failed && hit && backwards && refused && readable == Some(1));
        assert!(*same == [[10, 19, 1]]);
        assert!(*stored == [[10, 14, 1], [15, 25, 2]]);
        Ok(())
    }
}

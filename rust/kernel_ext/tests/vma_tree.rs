// SPDX-License-Identifier: GPL-2.0

//! KUnit suite of [`vma_tree`](crate::kernel_ext::vma_tree).

use kernel::prelude::*;

#[kunit_tests(shadow_rmap_vma_tree)]
mod suite {
    use super::super::*;
    use crate::kernel_ext::{
        fail,
        random::Random, //
    };

    /// An entry that counts how many entries are alive.
    struct Thing {
        id: usize,
        live: Arc<Atomic<i32>>,
    }

    impl Drop for Thing {
        fn drop(&mut self) {
            self.live.fetch_sub(1, Relaxed);
        }
    }

    /// What an address holds in the naive tree: the entry, and the step that stored it.
    #[derive(Clone, Copy, PartialEq)]
    struct Cell {
        id: usize,
        step: usize,
    }

    const ADDRESSES: usize = 512;

    /// A tree of few addresses that stores an entry for each address.
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

        /// Returns the last entry before the range or hole that contains `address`.
        fn before(&self, address: usize) -> Option<Cell> {
            let here = self.at(address);
            let other = (0..address).rev().find(|&a| self.at(a) != here)?;
            (0..=other).rev().find_map(|address| self.at(address))
        }

        /// Returns the ranges that overlap `first..=last`: first and last address, and the cell.
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

    /// Returns whether both trees agree on `first..=last`, and on lookups at its ends.
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

    /// Random changes of one tree.
    const STEPS: usize = 1500;

    /// Makes random changes at addresses from `base` on; returns how often the trees disagreed.
    fn compare(seed: u64, base: usize, live: &Arc<Atomic<i32>>) -> Result<usize> {
        let mut random = Random::new(seed);
        let tree = tree()?;
        let mut naive = Naive::new()?;
        let mut wrong = 0;
        for step in 0..STEPS {
            let first = random.below(ADDRESSES);
            // Most ranges are short; one in sixteen may be of any length.
            let length = match random.below(16) {
                0 => random.below(ADDRESSES),
                _ => random.below(12),
            };
            let last = usize::min(first + length, ADDRESSES - 1);
            let ends = (base + first, base + last);
            let (cell, reservation) = if random.chance(2, 3) {
                // Sometimes an entry of the tree is stored again.
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
        // An entry without a range must have been dropped.
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

    /// After random changes the tree equals the naive one, and keeps alive only its own entries.
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

    /// One store covers 3000 entries, which make a tree of three levels.
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

    /// A range that is cut in two has the same entry on both sides, with a reference for each.
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

    /// A merge is one store: the entry that stays covers its own old range and those of the others.
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

    /// `clear()` removes all entries and cancels a reservation; the tree can be used afterwards.
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

    /// A reservation that fails, or is dropped, changes nothing.
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

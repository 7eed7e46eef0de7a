// SPDX-License-Identifier: GPL-2.0

//! The places of the elements of a list, by their keys.
//!
//! A graph of 100,000 pages has as many keys. A tree would allocate a node for each.

use crate::kernel_ext::{
    gfp::GFP_BOUNDED,
    sched::resched_each, //
};
use kernel::prelude::*;

/// As the kernel's `GOLDEN_RATIO_64`: 2^64 divided by the square of the golden ratio.
const GOLDEN_RATIO: u64 = 0x61c8_8646_80b5_83eb;

/// Number of slots of the smallest table.
const SMALLEST: usize = 16;

/// A slot without an element.
const EMPTY: (usize, usize) = (0, usize::MAX);

/// The place of each element, by its key: a hash table whose elements lie in the slot of their hash,
/// or in the next free one.
pub(super) struct Places {
    /// Key and place of each element. Their number is a power of two, or zero; at least half of them
    /// are empty.
    slots: KVVec<(usize, usize)>,
    len: usize,
}

impl Places {
    /// Creates an empty table.
    pub(super) const fn new() -> Self {
        let slots = KVVec::new();
        Self { slots, len: 0 }
    }

    /// Returns the place of the element with this key.
    pub(super) fn get(&self, key: usize) -> Option<usize> {
        let &(_, place) = self.slots.get(self.slot(key)?)?;
        (place != EMPTY.1).then_some(place)
    }

    /// Adds an element; one with the same key is replaced. Sleeps.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(super) fn insert(&mut self, key: usize, place: usize) -> Result {
        if 2 * (self.len + 1) > self.slots.len() {
            self.grow()?;
        }
        self.put(key, place);
        Ok(())
    }

    /// Returns the slot of the element with this key, or the empty one where it belongs; `None` if
    /// the table has no slots.
    fn slot(&self, key: usize) -> Option<usize> {
        let last = self.slots.len().checked_sub(1)?;
        // The upper bits of the product depend on all bits of the key.
        let hash = (key as u64).wrapping_mul(GOLDEN_RATIO) >> 32;
        (0..=last)
            .map(|step| (hash as usize).wrapping_add(step) & last)
            .find(|&slot| {
                let there = self.slots.get(slot);
                there.is_some_and(|&(other, place)| other == key || place == EMPTY.1)
            })
    }

    /// Stores an element in a table that has an empty slot.
    fn put(&mut self, key: usize, place: usize) {
        if let Some(there) = self.slot(key).and_then(|slot| self.slots.get_mut(slot)) {
            self.len += usize::from(there.1 == EMPTY.1);
            *there = (key, place);
        }
    }

    /// Doubles the number of slots.
    fn grow(&mut self) -> Result {
        let number = SMALLEST.max(2 * self.slots.len());
        let slots = KVVec::from_elem(EMPTY, number, GFP_BOUNDED)?;
        let old = core::mem::replace(self, Self { slots, len: 0 });
        for (key, place) in resched_each(old.slots) {
            if place != EMPTY.1 {
                self.put(key, place);
            }
        }
        Ok(())
    }
}

#[cfg(shadow_rmap_kunit)]
#[kunit_tests(shadow_rmap_places)]
mod tests {
    use super::*;

    /// Each element is found, whatever bits of its key differ from those of the others; a key that
    /// was not added is not.
    #[test]
    fn finds_each_key_and_no_other() -> Result {
        for step in [1, 8, 64, 4096, 1 << 33, usize::MAX] {
            let mut places = Places::new();
            assert!(places.get(0).is_none());
            for n in 0..1000_usize {
                places.insert(n.wrapping_mul(step), n)?;
            }
            let found = |n: usize| places.get(n.wrapping_mul(step));
            assert!((0..1000).all(|n| found(n) == Some(n)));
            assert!((1000..2000).all(|n| found(n).is_none()));
        }
        Ok(())
    }

    /// Of two elements with one key the later one stays.
    #[test]
    fn replaces_what_has_the_same_key() -> Result {
        let mut places = Places::new();
        for n in 0..100 {
            places.insert(n % 7, n)?;
        }
        assert!(places.len == 7 && (0..7).all(|key| places.get(key) == Some(93 + (key + 5) % 7)));
        Ok(())
    }
}

// SPDX-License-Identifier: GPL-2.0

//! A search for the numbers of a list that are larger than a bound.
//!
//! With the ends of ranges that are sorted by their beginnings, it finds those that overlap an
//! interval: what `subtree_last` is to an interval tree.

use super::{
    gfp::GFP_BOUNDED,
    sched::resched_each, //
};
use kernel::prelude::*;

/// A list of numbers, with the largest of each part of it: entry 1 is that of all, and the two
/// halves of the part of entry `n` have the entries `2n` and `2n + 1`. The list is the second half.
pub(crate) struct Largest(KVVec<usize>);

impl Largest {
    /// Takes the numbers over. Sleeps.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(crate) fn new(numbers: impl ExactSizeIterator<Item = usize>) -> Result<Self> {
        let size = numbers.len().next_power_of_two();
        let mut tree = KVVec::from_elem(0, 2 * size, GFP_BOUNDED)?;
        for (place, number) in resched_each(tree.iter_mut().skip(size).zip(numbers)) {
            *place = number;
        }
        for part in resched_each((1..size).rev()) {
            let halves = [tree.get(2 * part), tree.get(2 * part + 1)];
            let largest = halves.into_iter().flatten().copied().max().unwrap_or(0);
            if let Some(place) = tree.get_mut(part) {
                *place = largest;
            }
        }
        Ok(Self(tree))
    }

    /// Returns the position of the first number larger than `bound`, from position `from` on.
    pub(crate) fn beyond(&self, bound: usize, from: usize) -> Option<usize> {
        let size = self.0.len() / 2;
        let has = |part: usize| self.0.get(part).is_some_and(|&largest| largest > bound);
        let mut part = Some(from).filter(|&from| from < size)? + size;
        while !has(part) {
            // To the part on the right; from the last one of all there is none.
            part >>= part.trailing_ones();
            if part == 0 {
                return None;
            }
            part += 1;
        }
        while part < size {
            part = if has(2 * part) {
                2 * part
            } else {
                2 * part + 1
            };
        }
        Some(part - size)
    }
}

#[cfg(shadow_rmap_kunit)]
#[kunit_tests(shadow_rmap_largest)]
mod tests {
    use super::*;

    /// Each search finds what a look at all numbers finds.
    #[test]
    fn finds_the_first_number_beyond() -> Result {
        for n in [0, 1, 2, 3, 7, 8, 9, 100] {
            let numbers = || (0..n).map(|i| i * 37 % 101);
            let largest = Largest::new(numbers())?;
            for bound in [0, 1, 36, 50, 99, 100, 101] {
                for from in 0..n + 2 {
                    let expected = (from..n).find(|i| i * 37 % 101 > bound);
                    assert_eq!(largest.beyond(bound, from), expected);
                }
            }
        }
        Ok(())
    }
}

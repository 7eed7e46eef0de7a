// SPDX-License-Identifier: GPL-2.0

//! The VMAs of an address space by their places, to find those at some addresses.

use super::{
    Addresses,
    LiveVma, //
};
use crate::kernel_ext::{
    gfp::GFP_BOUNDED,
    sched::resched_each,
    sort::sort_by_key, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// VMAs by the places that they had at one moment. Places may overlap, because a VMA that is gone
/// has a place until the shadow has noticed.
///
/// Until the host changes the layout, an update of the places makes nothing wrong here: a VMA loses
/// addresses, or gains those that it has in the host, where no other VMA can have gained them.
pub(in crate::device) struct ByPlace {
    vmas: KVVec<(Addresses, Arc<LiveVma>)>,
    ends: Ends,
}

impl ByPlace {
    /// Sorts `vmas`. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(in crate::device) fn new<'a>(
        vmas: impl ExactSizeIterator<Item = &'a Arc<LiveVma>>,
    ) -> Result<Self> {
        let mut sorted = KVVec::with_capacity(vmas.len(), GFP_BOUNDED)?;
        for vma in resched_each(vmas) {
            sorted.push((vma.place.get().addresses, vma.clone()), GFP_BOUNDED)?;
        }
        sort_by_key(&mut sorted, |(addresses, vma)| (*addresses, vma.id()));
        let ends = Ends::new(sorted.iter().map(|((_, end), _)| *end))?;
        Ok(Self { vmas: sorted, ends })
    }

    /// Returns the VMAs that had some of `addresses`, in order of address. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(in crate::device) fn at(&self, addresses: Addresses) -> Result<KVVec<Arc<LiveVma>>> {
        let mut found = KVVec::new();
        let mut next = self.ends.beyond(addresses.0, 0);
        while let Some((i, (place, vma))) = next.and_then(|i| Some((i, self.vmas.get(i)?))) {
            if place.0 >= addresses.1 {
                break;
            }
            if place.0 < place.1 {
                found.push(vma.clone(), GFP_BOUNDED)?;
            }
            next = self.ends.beyond(addresses.0, i + 1);
        }
        Ok(found)
    }
}

/// A list of numbers, with the largest of each part of it: entry 1 is that of all, and the two
/// halves of the part of entry `n` have the entries `2n` and `2n + 1`. The list is the second half.
struct Ends(KVVec<usize>);

impl Ends {
    /// Takes the numbers over. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    fn new(numbers: impl ExactSizeIterator<Item = usize>) -> Result<Self> {
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
    fn beyond(&self, bound: usize, from: usize) -> Option<usize> {
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
#[kunit_tests(shadow_rmap_by_place)]
mod tests {
    use super::*;

    /// Each search finds what a look at all numbers finds.
    #[test]
    fn finds_the_first_number_beyond() -> Result {
        for n in [0, 1, 2, 3, 7, 8, 9, 100] {
            let numbers = || (0..n).map(|i| i * 37 % 101);
            let ends = Ends::new(numbers())?;
            for bound in [0, 1, 36, 50, 99, 100, 101] {
                for from in 0..n + 2 {
                    let expected = (from..n).find(|i| i * 37 % 101 > bound);
                    assert_eq!(ends.beyond(bound, from), expected);
                }
            }
        }
        Ok(())
    }
}

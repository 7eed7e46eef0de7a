// SPDX-License-Identifier: GPL-2.0

//! A list of indices.

use core::ops::{
    Deref,
    DerefMut, //
};
use kernel::{
    alloc::{
        AllocError,
        Flags, //
    },
    prelude::*, //
};

/// Number of indices for which a list allocates no memory: most pages are mapped by one VMA or two,
/// and most chains have one link or two.
const FEW: usize = 2;

/// A list of indices, in the order in which they were added.
pub(crate) struct Indices(List);

/// Where the indices are.
enum List {
    /// The first `len` of `items`.
    Few { items: [usize; FEW], len: usize },
    /// In memory of their own.
    Many(KVVec<usize>),
}

impl Indices {
    /// Creates an empty list.
    pub(crate) const fn new() -> Self {
        let items = [0; FEW];
        Self(List::Few { items, len: 0 })
    }

    /// Adds an index at the end.
    ///
    /// # Errors
    ///
    /// [`AllocError`]; the list is as before.
    pub(crate) fn push(&mut self, index: usize, flags: Flags) -> Result<(), AllocError> {
        match &mut self.0 {
            List::Many(all) => all.push(index, flags),
            List::Few { items, len } => {
                if let Some(place) = items.get_mut(*len) {
                    *place = index;
                    *len += 1;
                    return Ok(());
                }
                let mut all = KVVec::with_capacity(2 * FEW, flags)?;
                all.extend_from_slice(items, flags)?;
                all.push(index, flags)?;
                self.0 = List::Many(all);
                Ok(())
            }
        }
    }
}

impl Deref for Indices {
    type Target = [usize];

    fn deref(&self) -> &[usize] {
        match &self.0 {
            List::Few { items, len } => items.get(..*len).unwrap_or(&[]),
            List::Many(all) => all,
        }
    }
}

impl DerefMut for Indices {
    fn deref_mut(&mut self) -> &mut [usize] {
        match &mut self.0 {
            List::Few { items, len } => items.get_mut(..*len).unwrap_or(&mut []),
            List::Many(all) => all,
        }
    }
}

impl PartialEq for Indices {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

/// What only the tests do to a graph.
#[cfg(shadow_rmap_kunit)]
impl Indices {
    /// Returns a list of these indices.
    pub(super) fn of(indices: &[usize]) -> Result<Self> {
        let mut list = Self::new();
        for &index in indices {
            list.push(index, GFP_KERNEL)?;
        }
        Ok(list)
    }

    /// Removes all indices.
    pub(super) fn clear(&mut self) {
        *self = Self::new();
    }

    /// Removes each index for whose place and value `stays` does not hold.
    pub(super) fn keep(&mut self, stays: impl Fn(usize, usize) -> bool) -> Result {
        let mut kept = Self::new();
        for (place, &index) in self.iter().enumerate() {
            if stays(place, index) {
                kept.push(index, GFP_KERNEL)?;
            }
        }
        *self = kept;
        Ok(())
    }

    /// Removes and returns the index at `place`.
    pub(super) fn remove(&mut self, place: usize) -> Result<usize> {
        let removed = *self.get(place).ok_or(EINVAL)?;
        self.keep(|at, _| at != place)?;
        Ok(removed)
    }

    /// Removes and returns the last index.
    pub(super) fn pop(&mut self) -> Option<usize> {
        self.remove(self.len().checked_sub(1)?).ok()
    }
}

#[cfg(shadow_rmap_kunit)]
#[kunit_tests(shadow_rmap_indices)]
mod tests {
    use super::*;

    /// A list keeps the order of its indices, and none is lost where it begins to need memory.
    #[test]
    fn keeps_all_in_order() -> Result {
        let mut list = Indices::new();
        assert!(list.is_empty());
        for n in 0..4 * FEW {
            assert!(list.len() == n && list.iter().enumerate().all(|(at, &index)| index == 7 * at));
            list.push(7 * n, GFP_KERNEL)?;
        }
        list.reverse();
        assert!(list.first() == Some(&(7 * (4 * FEW - 1))) && list.last() == Some(&0));
        Ok(())
    }

    /// Two lists are equal if they have the same indices in the same order.
    #[test]
    fn compares_what_is_in_it() -> Result {
        for n in 0..=2 * FEW {
            let all = [1, 2, 3, 4];
            let items = all.get(..n).ok_or(EINVAL)?;
            let (one, mut other) = (Indices::of(items)?, Indices::of(items)?);
            assert!(one == other);
            other.push(5, GFP_KERNEL)?;
            assert!(one != other);
            other.pop().ok_or(EINVAL)?;
            assert!(one == other);
        }
        Ok(())
    }
}

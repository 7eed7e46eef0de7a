// SPDX-License-Identifier: GPL-2.0

//! Many sorted lists in one allocation, for fast lookups in a graph.

use crate::kernel_ext::{
    sched::resched_each,
    sort::sort_by_key, //
};
use kernel::prelude::*;

/// Many lists of indices, each in ascending order.
pub(super) struct Lists {
    /// The end of each list in `items`; a list begins at the end of the previous one.
    ends: KVVec<usize>,
    items: KVVec<usize>,
}

impl Lists {
    /// Copies and sorts `lists`.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(super) fn sorted<'a>(lists: impl Iterator<Item = &'a [usize]>) -> Result<Self> {
        let mut this = Self {
            ends: KVVec::new(),
            items: KVVec::new(),
        };
        for list in resched_each(lists) {
            let start = this.items.len();
            this.items.extend_from_slice(list, GFP_KERNEL_ACCOUNT)?;
            if let Some(copy) = this.items.get_mut(start..) {
                sort_by_key(copy, |&x| x);
            }
            this.ends.push(this.items.len(), GFP_KERNEL_ACCOUNT)?;
        }
        Ok(this)
    }

    /// Returns list number `index`; an empty one if it does not exist.
    pub(super) fn get(&self, index: usize) -> &[usize] {
        let start = match index.checked_sub(1) {
            Some(before) => self.ends.get(before).copied().unwrap_or(0),
            None => 0,
        };
        let end = self.ends.get(index).copied().unwrap_or(start);
        self.items.get(start..end).unwrap_or(&[])
    }

    /// Returns whether list number `index` contains `item`.
    pub(super) fn has(&self, index: usize, item: usize) -> bool {
        self.get(index).binary_search(&item).is_ok()
    }
}

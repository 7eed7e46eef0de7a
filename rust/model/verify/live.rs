// SPDX-License-Identifier: GPL-2.0

//! The numbers of allocated objects.

use crate::{
    kernel_ext::percpu::Counter,
    rmap::path,
    stats, //
};

/// The numbers of allocated objects, of all reverse maps together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Live {
    /// anon_vmas.
    pub(crate) anon_vmas: usize,
    /// Links.
    pub(crate) links: usize,
    /// Pages.
    pub(crate) pages: usize,
    /// Slots of swap.
    pub(crate) slots: usize,
}

impl Live {
    /// Returns the present numbers.
    pub(crate) fn now() -> Self {
        let live = |made: &Counter, freed: &Counter| made.sum().wrapping_sub(freed.sum());
        Self {
            anon_vmas: path::anon_vma_allocs().saturating_sub(path::anon_vma_frees()),
            links: {
                let (made, removed) = path::links();
                made.saturating_sub(removed)
            },
            pages: live(&stats::PAGES_ALLOCATED, &stats::PAGES_FREED),
            slots: live(&stats::SLOTS_ALLOCATED, &stats::SLOTS_FREED),
        }
    }

    /// Returns the numbers since `before`.
    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            anon_vmas: self.anon_vmas.wrapping_sub(before.anon_vmas),
            links: self.links.wrapping_sub(before.links),
            pages: self.pages.wrapping_sub(before.pages),
            slots: self.slots.wrapping_sub(before.slots),
        }
    }
}

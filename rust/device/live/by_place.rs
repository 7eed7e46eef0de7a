// SPDX-License-Identifier: GPL-2.0

//! The VMAs of an address space by their places, to find those at some addresses.

use super::{
    Addresses,
    LiveVma, //
};
use crate::kernel_ext::{
    gfp::GFP_BOUNDED,
    largest::Largest,
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
    ends: Largest,
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
        let ends = Largest::new(sorted.iter().map(|((_, end), _)| *end))?;
        Ok(Self { vmas: sorted, ends })
    }

    /// Returns the VMAs that began at `address` or behind it, the nearest first.
    pub(in crate::device) fn behind(&self, address: usize) -> impl Iterator<Item = &Arc<LiveVma>> {
        let first = self.vmas.partition_point(|(place, _)| place.0 < address);
        self.vmas.iter().skip(first).map(|(_, vma)| vma)
    }

    /// Returns the VMAs that began before `address`, the nearest first.
    pub(in crate::device) fn before(&self, address: usize) -> impl Iterator<Item = &Arc<LiveVma>> {
        let end = self.vmas.partition_point(|(place, _)| place.0 < address);
        self.vmas.iter().take(end).rev().map(|(_, vma)| vma)
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

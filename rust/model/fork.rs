// SPDX-License-Identifier: GPL-2.0

//! Forking an address space.
//!
//! C: `dup_mmap()` of [`mm/mmap.c`](srctree/mm/mmap.c) and `copy_page_range()` of
//! [`mm/memory.c`](srctree/mm/memory.c).

use super::{
    attributes::VmFlags,
    mapping,
    mm::Mm,
    space::Vma,
    Modelled, //
};
use crate::rmap::{
    clone::Reuse,
    fork::anon_vma_fork,
    mm::MmapWrite, //
};
use kernel::prelude::*;

impl<R: Modelled> Mm<R> {
    /// `fork()`: makes a copy, whose pages are shared until one side writes. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn fork(&self) -> Result<Self> {
        let mmap = self.core().mmap_write();
        let child = Self::new(
            &self.core().shared_cache(),
            self.size(),
            self.space().sharing,
        )?;
        let copied = self.copy_to(&child, &mmap);
        // If it failed the child exits, for which the parent's lock must be released.
        drop(mmap);
        copied.map(|()| child)
    }

    /// `dup_mmap()`.
    fn copy_to(&self, child: &Self, mmap: &MmapWrite<'_, R>) -> Result {
        let child_mmap = child.core().mmap_write_nested();
        for slot in self.space().vmas.range(0, usize::MAX) {
            let flags = slot.vma.flags();
            if flags.has(VmFlags::DONTCOPY) {
                continue;
            }
            // It keeps its page offsets, even where no page of it is copied.
            let pgoff = slot.vma.range(mmap).start;
            let attributes = slot.vma.attributes();
            let attributes = attributes.with_flags(flags.without(VmFlags::LOCKED));
            let vma = Vma::new(child.core(), (slot.first, slot.last), pgoff, attributes)?;
            let store = child.space().reserve_store(slot.first, slot.last, &vma)?;
            if flags.has(VmFlags::WIPEONFORK) {
                store.commit();
                continue;
            }
            anon_vma_fork(&vma.core, &child_mmap, &slot.vma.core, mmap, Reuse::ByRule)?;
            store.commit();
            self.copy_ptes(&vma, (slot.first, slot.last), &child_mmap);
        }
        Ok(())
    }

    /// `copy_page_range()`: under the locks of both page tables, so a walk, which visits the
    /// parent's VMA first, cannot miss a copy (R36).
    fn copy_ptes(
        &self,
        child: &Vma<R>,
        (first, last): (usize, usize),
        child_mmap: &MmapWrite<'_, R>,
    ) {
        let mut from = self.space().table.lock();
        let mut to = child.core.mm().space().table.lock_nested();
        for address in first..=last {
            mapping::copy_pte(&mut from, &mut to, (child, address), child_mmap);
        }
    }
}

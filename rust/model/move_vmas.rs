// SPDX-License-Identifier: GPL-2.0

//! Moving VMAs as `mremap()` does: several in one call, longer or shorter than before.
//!
//! C: `remap_move()`, `mremap_to()`, `check_prep_vma()` of [`mm/mremap.c`](srctree/mm/mremap.c).

use super::{
    attributes::VmFlags,
    mm::Mm,
    remap::Place,
    space::Vma,
    Modelled, //
};
use crate::rmap::mm::MmapWrite;
use kernel::{
    prelude::*,
    sync::Arc, //
};

impl<R: Modelled> Mm<R> {
    /// `mremap(MREMAP_MAYMOVE | MREMAP_FIXED)`: moves the `old` pages at `from` to `to`, where they
    /// are `new` pages, and unmaps what is there. With `keep` (`MREMAP_DONTUNMAP`) VMAs without
    /// pages stay at `from`. If the length stays, each VMA in the range is moved. Sleeps.
    ///
    /// # Errors
    ///
    /// `EINVAL` for no pages, outside of the address space, if both places overlap, and for `keep`
    /// with another length; `EFAULT` if `from` is not mapped, or another length is wanted of more
    /// than one VMA; `EPERM` if a VMA is sealed, `ENOMEM`. VMAs before that one have been moved.
    pub(crate) fn move_to(
        &self,
        from: usize,
        old: usize,
        to: usize,
        new: usize,
        keep: bool,
    ) -> Result {
        let (old_last, new_last) = (self.last_of(from, old)?, self.last_of(to, new)?);
        if (keep && old != new) || (from <= new_last && to <= old_last) {
            return Err(EINVAL);
        }
        let mut mmap = self.core().mmap_write();
        if old == new {
            self.move_each_vma((from, old_last), to, keep, &mut mmap)
        } else {
            self.move_one_vma(Place::new(from, old), Place::new(to, new), keep, &mut mmap)
        }
    }

    /// `remap_move()`: moves each VMA in a range. Between two of them stays what is between them
    /// when the first of them is found.
    fn move_each_vma(
        &self,
        (from, last): (usize, usize),
        to: usize,
        keep: bool,
        mmap: &mut MmapWrite<'_, R>,
    ) -> Result {
        let (mut at, mut target) = (from, to);
        let mut moved = false;
        while at <= last {
            let Some(slot) = self.space().vmas.range(at, last).next() else {
                break;
            };
            if !moved && slot.first > from {
                break;
            }
            let first = slot.first.max(from);
            let pages = slot.last.min(last) - first + 1;
            // `at` is where the VMA before it ended.
            target += first - at;
            self.move_one_vma(
                Place::new(first, pages),
                Place::new(target, pages),
                keep,
                mmap,
            )?;
            target += pages;
            at = slot.last + 1;
            moved = true;
        }
        moved.then_some(()).ok_or(EFAULT)
    }

    /// `mremap_to()`: moves a part of one VMA, after it has unmapped its destination, and what it
    /// is to be shorter by.
    pub(super) fn move_one_vma(
        &self,
        mut old: Place,
        new: Place,
        keep: bool,
        mmap: &mut MmapWrite<'_, R>,
    ) -> Result {
        let vma = self.space().vmas.find(old.first).ok_or(EFAULT)?;
        if vma.flags().has(VmFlags::SEALED) {
            return Err(EPERM);
        }
        let needed = old.pages.min(new.pages);
        if Place::new(old.first, needed).last() > vma.addresses(mmap).1 {
            return Err(EFAULT);
        }
        self.unmap_locked(new.first, new.last(), mmap)?;
        if new.pages < old.pages {
            self.unmap_locked(old.first + new.pages, old.last(), mmap)?;
            old.pages = new.pages;
        }
        // It may be another VMA now: the destination may have been a part of the same VMA.
        let vma = self.space().vmas.find(old.first).ok_or(EFAULT)?;
        self.move_vma(&vma, old, new, keep, mmap)
    }

    /// Takes `VM_ACCOUNT` from the parts of a VMA that was to be unmapped after a move, and is not:
    /// the accounting went with the move.
    pub(super) fn forget_account(&self, of: (usize, usize), mmap: &mut MmapWrite<'_, R>) {
        for slot in self.space().vmas.range(of.0, of.1) {
            let vma: &Arc<Vma<R>> = &slot.vma;
            vma.set_flags(vma.flags().without(VmFlags::ACCOUNT), mmap);
        }
    }
}

#[cfg(shadow_rmap_kunit)]
#[path = "tests/move_vmas.rs"]
mod tests;

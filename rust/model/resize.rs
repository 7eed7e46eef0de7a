// SPDX-License-Identifier: GPL-2.0

//! Making a VMA longer or shorter where it is.
//!
//! C: `mremap_at()` of [`mm/mremap.c`](srctree/mm/mremap.c), `vma_merge_extend()` of
//! [`mm/vma.c`](srctree/mm/vma.c).

use super::{
    attributes::VmFlags,
    merge::{
        self,
        Request, //
    },
    mm::Mm,
    space::Vma,
    Modelled, //
};
use crate::rmap::mm::MmapWrite;
use kernel::{
    prelude::*,
    sync::Arc, //
};

impl<R: Modelled> Mm<R> {
    /// `mremap()`: makes the VMA at `address` longer by `pages` pages, where it is. Sleeps.
    ///
    /// # Errors
    ///
    /// `EFAULT` if there is no VMA, `EINVAL` outside of the address space, `EEXIST` if there is
    /// another VMA behind, `ENOMEM`.
    pub(crate) fn grow(&self, address: usize, pages: usize) -> Result {
        let mut mmap = self.core().mmap_write();
        let vma = self.space().vmas.find(address).ok_or(EFAULT)?;
        let from = vma.addresses(&mmap).1 + 1;
        let to = self.last_of(from, pages)?;
        if self.space().vmas.range(from, to).next().is_some() {
            return Err(EEXIST);
        }
        self.extend(&vma, (from, to), &mut mmap)
    }

    /// `mremap()` without flags: gives the `old` pages from `address` on the length `new`, where
    /// they are. Sleeps.
    ///
    /// # Errors
    ///
    /// `EINVAL` for no pages and outside of the address space, `EFAULT` if there is no VMA or `old`
    /// goes beyond its end, `EPERM` if it is sealed; `ENOMEM` if there is no room behind it, and
    /// without memory: then a VMA may have been split.
    pub(crate) fn resize(&self, address: usize, old: usize, new: usize) -> Result {
        let (old_last, new_last) = (self.last_of(address, old)?, self.last_of(address, new)?);
        let mut mmap = self.core().mmap_write();
        let vma = self.space().vmas.find(address).ok_or(EFAULT)?;
        if vma.flags().has(VmFlags::SEALED) {
            return Err(EPERM);
        }
        if new == old {
            return Ok(());
        }
        if new < old {
            // The range may have holes, and other VMAs.
            return self.unmap_locked(new_last + 1, old_last, &mut mmap);
        }
        let end = vma.addresses(&mmap).1;
        if old_last > end {
            return Err(EFAULT);
        }
        let behind = (old_last + 1, new_last);
        if old_last < end || self.space().vmas.range(behind.0, behind.1).next().is_some() {
            return Err(ENOMEM);
        }
        self.extend(&vma, behind, &mut mmap)
    }

    /// `vma_merge_extend()`: adds addresses to the end of a VMA, and merges it with the next one if
    /// that is possible then.
    fn extend(
        &self,
        vma: &Arc<Vma<R>>,
        (from, to): (usize, usize),
        mmap: &mut MmapWrite<'_, R>,
    ) -> Result {
        let pgoff = vma.range(mmap).last + 1;
        let request = Request::new((from, to), pgoff, vma.attributes()).with_pages_of(vma);
        // A VMA can always be merged with itself.
        merge::try_merge(self.core(), request, mmap)?
            .map(|_| ())
            .ok_or(ENOMEM)
    }
}

#[cfg(shadow_rmap_kunit)]
#[path = "tests/resize.rs"]
mod tests;

// SPDX-License-Identifier: GPL-2.0

//! Changing the flags of a range of addresses, which splits and merges VMAs.
//!
//! C: `mprotect_fixup()` of [`mm/mprotect.c`](srctree/mm/mprotect.c), `vma_modify()` of
//! [`mm/vma.c`](srctree/mm/vma.c). `madvise()`, `mlock()` and `mseal()` do the same.

use super::{
    attributes::{
        Change,
        VmFlags, //
    },
    merge::{
        self,
        Request, //
    },
    mm::Mm,
    space::{
        Prot,
        Vma, //
    },
    Modelled, //
};
use crate::rmap::mm::MmapWrite;
use kernel::{
    prelude::*,
    sync::Arc, //
};

impl<R: Modelled> Mm<R> {
    /// `mprotect()`. Sleeps.
    ///
    /// # Errors
    ///
    /// Those of [`change_flags`](Self::change_flags).
    pub(crate) fn protect(&self, first: usize, pages: usize, prot: Prot) -> Result {
        self.change_flags(first, pages, prot.into())
    }

    /// `mprotect()`, `madvise()`, `mlock()`, `mseal()`: changes flags of each VMA in turn. Sleeps.
    ///
    /// # Errors
    ///
    /// `EINVAL` outside of the address space; `ENOMEM` if not all addresses are mapped, or without
    /// memory; `EPERM` if a VMA is sealed, unless it is to be. Then a part may have been changed.
    pub(crate) fn change_flags(&self, first: usize, pages: usize, change: Change) -> Result {
        let last = self.last_of(first, pages)?;
        let mut mmap = self.core().mmap_write();
        let mut from = first;
        while from <= last {
            let vma = self.space().vmas.find(from).ok_or(ENOMEM)?;
            let (start, end) = vma.addresses(&mmap);
            if vma.flags().has(VmFlags::SEALED) {
                if change.set.has(VmFlags::SEALED) {
                    from = end + 1;
                    continue;
                }
                return Err(EPERM);
            }
            let plain = vma.core.is_unfaulted() && vma.attributes().file.is_none();
            let flags = change.apply(vma.flags(), plain);
            if vma.flags() != flags {
                let part = (from, end.min(last));
                self.change_part(&vma, (start, end), part, flags, &mut mmap)?;
            }
            // The part may be one with the VMA behind it now, which is as it is to be.
            let now = self.space().vmas.find(from).ok_or(ENOMEM)?;
            from = now.addresses(&mmap).1 + 1;
        }
        Ok(())
    }

    /// `mprotect_fixup()`: gives a part of one VMA other flags.
    fn change_part(
        &self,
        vma: &Arc<Vma<R>>,
        (start, end): (usize, usize),
        (from, to): (usize, usize),
        flags: VmFlags,
        mmap: &mut MmapWrite<'_, R>,
    ) -> Result {
        let pgoff = vma.range(mmap).start + (from - start);
        let attributes = vma.attributes().with_flags(flags);
        let request = Request::new((from, to), pgoff, attributes).of_existing(vma);
        if merge::try_merge(self.core(), request, mmap)?.is_none() {
            if start < from {
                self.split_at(from, true, mmap)?;
            }
            if to < end {
                self.split_at(to + 1, false, mmap)?;
            }
            if let Some(part) = self.space().vmas.find(from) {
                part.set_flags(flags, mmap);
            }
        }
        if !flags.has(VmFlags::WRITE) {
            let mut ptes = self.space().table.lock();
            for address in from..=to {
                ptes.wrprotect(address);
            }
        }
        Ok(())
    }
}

#[cfg(shadow_rmap_kunit)]
#[path = "tests/protect.rs"]
mod tests;

// SPDX-License-Identifier: GPL-2.0

//! Moving a part of an address space elsewhere.
//!
//! C: [`mm/mremap.c`](srctree/mm/mremap.c), `copy_vma()` of [`mm/vma.c`](srctree/mm/vma.c).
//!
//! A walker goes through the VMAs of a family in the order of their page offsets.  Where the
//! destination comes after the source it finds each PTE at one of the two places.  Where it comes
//! before, because the move was merged into another VMA, the walker may have passed it before the
//! PTE arrived, and come to the source when it has left: then the move takes the family's lock
//! (R36).

use super::{
    merge::{
        self,
        Request, //
    },
    mm::Mm,
    space::Vma,
    Modelled, //
};
use crate::{
    kernel_ext::interval_tree::Range,
    rmap::{
        link::{
            anon_vma_clone,
            unlink_anon_vmas,
            Operation, //
        },
        mm::MmapWrite,
        rules::{
            Rule,
            Rules,
            Window, //
        },
    },
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// So many pages are moved at once.
const BULK: usize = 4;

impl<R: Modelled> Mm<R> {
    /// `mremap(MREMAP_MAYMOVE | MREMAP_FIXED)`: moves `pages` pages from `old` to `new`, where
    /// whatever was there is unmapped first; with `keep`, `MREMAP_DONTUNMAP`: a VMA without pages
    /// stays behind.  Sleeps.
    ///
    /// # Errors
    ///
    /// `EINVAL` outside of the address space, or where both overlap; `EFAULT` where `old` is not all
    /// of one VMA; `ENOMEM`, then nothing has moved, though what was at `new` may be gone.
    pub(crate) fn remap(&self, old: usize, pages: usize, new: usize, keep: bool) -> Result {
        let (old_last, new_last) = (self.last_of(old, pages)?, self.last_of(new, pages)?);
        if old <= new_last && new <= old_last {
            return Err(EINVAL);
        }
        let mut mmap = self.core().mmap_write();
        let one_vma = |mmap: &MmapWrite<'_, R>| {
            let vma = self.space().vmas.find(old).ok_or(EFAULT)?;
            if vma.addresses(mmap).1 >= old_last {
                Ok(vma)
            } else {
                Err(EFAULT)
            }
        };
        one_vma(&mmap)?;
        self.unmap_locked(new, new_last, &mut mmap)?;
        // It may be another than before: the destination may have been a part of the same VMA.
        let vma = one_vma(&mmap)?;

        let (copy, merged) = self.copy_vma(&vma, old, (new, new_last), keep, &mut mmap)?;
        // Where the copy was merged with what it is a copy of, that VMA may be gone.
        let vma = self.space().vmas.find(old).ok_or(EFAULT)?;
        self.move_ptes(&vma, old, &copy, new, pages, merged, &mmap);
        if !keep {
            // The pages have moved, which is not taken back: what is left of the source is empty.
            let _ = self.unmap_locked(old, old_last, &mut mmap);
            return Ok(());
        }
        if vma.addresses(&mmap) == (old, old_last) {
            // No page of it is left: nothing needs to be found there (R33), and a VMA without pages
            // has the offset of its address.
            unlink_anon_vmas(&vma.core, &mut mmap);
            let range = Range {
                start: old,
                last: old_last,
            };
            vma.core.set_range(range, &mut mmap);
            vma.core.set_shift(0);
        }
        Ok(())
    }

    /// `shift_arg_pages()`: the VMA at `address`, and what it maps, moves down by `pages` pages, over
    /// itself if need be, as exec does with its stack.  Sleeps.
    ///
    /// # Errors
    ///
    /// `EFAULT` where no VMA is, `EINVAL` for no pages and outside of the address space, `EEXIST`
    /// where something is below, `ENOMEM`: then it may have moved, and be as much longer.
    pub(crate) fn shift(&self, address: usize, pages: usize) -> Result {
        let mut mmap = self.core().mmap_write();
        let vma = self.space().vmas.find(address).ok_or(EFAULT)?;
        let (first, last) = vma.addresses(&mmap);
        let to = first.checked_sub(pages).ok_or(EINVAL)?;
        if pages == 0 {
            return Err(EINVAL);
        }
        if self.space().vmas.range(to, first - 1).next().is_some() {
            return Err(EEXIST);
        }
        // First it covers both places, ...
        let range = vma.range(&mmap);
        self.space().reserve_store(to, last, &vma)?.commit();
        let both = Range {
            start: range.start,
            last: range.last + pages,
        };
        vma.core.set_range(both, &mut mmap);
        vma.core
            .relocate(to.wrapping_sub(range.start), &mut mmap, || {
                self.move_each(first, to, last - first + 1);
            });
        // ... and then one.
        self.space().reserve_clear(last - pages + 1, last)?.commit();
        vma.core.set_range(range, &mut mmap);
        Ok(())
    }

    /// `copy_vma()`: the VMA at the destination, and whether that is one that was there before.
    fn copy_vma(
        &self,
        vma: &Arc<Vma<R>>,
        old: usize,
        to: (usize, usize),
        keep: bool,
        mmap: &mut MmapWrite<'_, R>,
    ) -> Result<(Arc<Vma<R>>, bool)> {
        let unfaulted = vma.core.is_unfaulted();
        // What has no pages takes the offset of its new place, which makes a merge more likely.
        let pgoff = if unfaulted {
            to.0
        } else {
            vma.range(mmap).start + (old - vma.addresses(mmap).0)
        };
        let mut request = Request::new(to, pgoff, vma.prot()).of_copy(vma);
        if unfaulted && keep {
            request = request.not_with(vma);
        }
        if let Some(merged) = merge::try_merge(self.core(), request, mmap)? {
            return Ok((merged, true));
        }
        let copy = Vma::new(self.core(), to, pgoff, vma.prot())?;
        let store = self.space().reserve_store(to.0, to.1, &copy)?;
        anon_vma_clone(&copy.core, mmap, &vma.core, mmap, Operation::Copy)?;
        store.commit();
        Ok((copy, false))
    }

    /// `move_ptes()`.
    #[expect(clippy::too_many_arguments, reason = "two places and how they relate")]
    fn move_ptes(
        &self,
        from: &Vma<R>,
        old: usize,
        to: &Vma<R>,
        new: usize,
        pages: usize,
        merged: bool,
        mmap: &MmapWrite<'_, R>,
    ) {
        // A copy of its own is behind the source in every tree that both are in.
        let before = merged && to.range(mmap).start <= from.range(mmap).start;
        // By a page table and not by its PTEs: in 2014 that was the way without the lock.
        let bulk = pages >= BULK || from.addresses(mmap) == (old, old + pages - 1);
        let locks = R::Rules::move_locks() && (!bulk || R::Rules::bulk_move_locks());
        R::Rules::window(Window::DestinationReady);
        let family = if before && locks {
            from.core
                .anon_vma(mmap)
                .map(|anon_vma| anon_vma.lock_write())
        } else {
            None
        };
        Rule::R36.check(!before || family.is_some() || from.core.is_unfaulted());
        self.move_each(old, new, pages);
        drop(family);
    }

    /// Moves PTEs, from the first on.
    fn move_each(&self, old: usize, new: usize, pages: usize) {
        self.space().invalidate(|| {
            let mut ptes = self.space().table.lock();
            for i in 0..pages {
                let pte = ptes.clear(old + i);
                // Nothing is there: it was unmapped, or has moved, and nobody faults while
                // `mmap_lock` is ours.
                let _ = ptes.set(new + i, pte);
            }
        });
    }
}

#[cfg(shadow_rmap_kunit)]
#[path = "tests/remap.rs"]
mod tests;

// SPDX-License-Identifier: GPL-2.0

//! Moving a part of an address space elsewhere.
//!
//! C: [`mm/mremap.c`](srctree/mm/mremap.c), `copy_vma()` of [`mm/vma.c`](srctree/mm/vma.c).
//!
//! A walk visits the VMAs of a family in the order of their page offsets. If the destination comes
//! after the source, the walk finds each PTE at one of the two places. If it comes before, because
//! the move was merged into another VMA, the walk may pass it before the PTE arrives, and visit the
//! source when the PTE has left. So such a move takes the family's lock (R36).

use super::{
    attributes::VmFlags,
    mapping::{
        self,
        Layout, //
    },
    merge::{
        self,
        Request, //
    },
    mm::Mm,
    space::Vma,
    steps::ModelSteps,
    Modelled, //
};
use crate::{
    kernel_ext::interval_tree::Range,
    rmap::{
        clone::{
            anon_vma_clone,
            Operation, //
        },
        mm::MmapWrite,
        rules::Rule,
        unlink::unlink_anon_vmas,
        window::Window, //
    },
    trace,
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// A move of so many pages is one of a whole page table.
const BULK: usize = 4;

/// Addresses that are moved, or where they are moved to.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// The first address.
    pub(super) first: usize,
    /// How many there are: one at least.
    pub(super) pages: usize,
}

impl Place {
    /// The `pages` addresses from `first` on.
    pub(super) fn new(first: usize, pages: usize) -> Self {
        Self { first, pages }
    }

    /// Returns the last address.
    pub(super) fn last(self) -> usize {
        self.first + self.pages - 1
    }
}

impl<R: Modelled> Mm<R> {
    /// `mremap(MREMAP_MAYMOVE | MREMAP_FIXED)`: moves `pages` pages from `old` to `new`, and unmaps
    /// `new` first. With `keep` (`MREMAP_DONTUNMAP`) a VMA without pages stays at `old`. Sleeps.
    ///
    /// # Errors
    ///
    /// `EINVAL` outside of the address space, or if both overlap; `EFAULT` if `old` is not in one
    /// VMA; `EPERM` if that is sealed; `ENOMEM`, and then nothing has moved, but `new` may be unmapped.
    pub(crate) fn remap(&self, old: usize, pages: usize, new: usize, keep: bool) -> Result {
        let (old_last, new_last) = (self.last_of(old, pages)?, self.last_of(new, pages)?);
        if old <= new_last && new <= old_last {
            return Err(EINVAL);
        }
        let (old, new) = (Place::new(old, pages), Place::new(new, pages));
        self.move_one_vma(old, new, keep, &mut self.core().mmap_write())
    }

    /// `move_vma()`: moves `old`, a part of `vma`, to `new`, where nothing is, and which may be
    /// longer.
    pub(super) fn move_vma(
        &self,
        vma: &Arc<Vma<R>>,
        old: Place,
        new: Place,
        keep: bool,
        mmap: &mut MmapWrite<'_, R>,
    ) -> Result {
        let locked = vma.flags().has(VmFlags::LOCKED);
        if keep && locked {
            // What stays is not locked any more.
            self.split_at(old.first, true, mmap)?;
            self.split_at(old.last() + 1, false, mmap)?;
        }
        let (copy, merged) = self.copy_vma(vma, old.first, (new.first, new.last()), keep, mmap)?;
        // If the copy was merged with the source, that VMA may be gone.
        let vma = self.space().vmas.find(old.first).ok_or(EFAULT)?;
        trace::move_vma(|| (vma.core.id(), copy.core.id(), old.pages));
        Self::move_ptes(&vma, old.first, &copy, new.first, old.pages, merged, mmap);
        let whole = vma.addresses(mmap);
        if !keep {
            // The pages have moved, and stay there. Without memory an empty source is left.
            if self.unmap_locked(old.first, old.last(), mmap).is_err() {
                self.forget_account(whole, mmap);
            }
            return Ok(());
        }
        vma.set_flags(vma.flags().without(VmFlags::LOCKED), mmap);
        if whole == (old.first, old.last()) {
            // It has no pages any more, so it is unlinked (R33), and gets the offset of its
            // address.
            unlink_anon_vmas(mapping::emptied(&vma, mmap));
            let range = Range {
                start: old.first,
                last: old.last(),
            };
            vma.core.set_range(range, mmap, Layout::kept());
            vma.core.set_shift(0, mmap, Layout::kept());
        }
        Ok(())
    }

    /// `shift_arg_pages()`: moves the VMA at `address` and its pages down by `pages` pages, as exec
    /// does with its stack. Both places may overlap. Sleeps.
    ///
    /// # Errors
    ///
    /// `EFAULT` if there is no VMA, `EINVAL` for no pages and outside of the address space,
    /// `EEXIST` if there is a VMA below; `ENOMEM`, and then the VMA may have moved, and be longer
    /// by `pages`.
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
        // First the VMA covers both places, ...
        let range = vma.range(&mmap);
        self.space().reserve_store(to, last, &vma)?.commit();
        let both = Range {
            start: range.start,
            last: range.last + pages,
        };
        vma.core.set_range(both, &mut mmap, Layout::kept());
        let (shift, moved) = (to.wrapping_sub(range.start), last - first + 1);
        let move_ptes = |mmap: &MmapWrite<'_, R>| {
            mapping::move_ptes((&vma, first), (&vma, to), moved, mmap);
        };
        vma.core
            .relocate(shift, &mut mmap, Layout::kept(), move_ptes);
        // ... and then the new one.
        self.space().reserve_clear(last - pages + 1, last)?.commit();
        vma.core.set_range(range, &mut mmap, Layout::kept());
        Ok(())
    }

    /// `copy_vma()`: returns the VMA at the destination, and whether it was there before.
    fn copy_vma(
        &self,
        vma: &Arc<Vma<R>>,
        old: usize,
        to: (usize, usize),
        keep: bool,
        mmap: &mut MmapWrite<'_, R>,
    ) -> Result<(Arc<Vma<R>>, bool)> {
        let unfaulted = vma.core.is_unfaulted();
        // A VMA without pages gets the offset of its new address, which makes a merge more likely.
        let pgoff = if unfaulted {
            to.0
        } else {
            vma.range(mmap).start + (old - vma.addresses(mmap).0)
        };
        let attributes = vma.attributes().moved(old, to.0);
        let mut request = Request::new(to, pgoff, attributes).of_copy(vma);
        if unfaulted && keep {
            request = request.not_with(vma);
        }
        if let Some(merged) = merge::merge_or_not(self.core(), request, mmap)? {
            return Ok((merged, true));
        }
        let copy = Vma::new(self.core(), to, pgoff, attributes)?;
        let store = self.space().reserve_store(to.0, to.1, &copy)?;
        anon_vma_clone(&copy.core, mmap, &vma.core, mmap, Operation::Copy)?;
        store.commit();
        Ok((copy, false))
    }

    /// `move_ptes()`: moves PTEs, with the family locked if a walk may pass them (R36).
    fn move_ptes(
        from: &Vma<R>,
        old: usize,
        to: &Vma<R>,
        new: usize,
        pages: usize,
        merged: bool,
        mmap: &MmapWrite<'_, R>,
    ) {
        // A copy that was not merged is behind the source in every tree that both are in.
        let before = merged && to.range(mmap).start <= from.range(mmap).start;
        // The kernel moves a whole page table in one step: that was unlocked in 2014.
        let bulk = pages >= BULK || from.addresses(mmap) == (old, old + pages - 1);
        R::window(Window::DestinationReady);
        let family = R::model_steps().lock_to_move(from, before, bulk, mmap);
        Rule::R36.step();
        mapping::move_ptes((from, old), (to, new), pages, mmap);
        drop(family);
    }
}

#[cfg(shadow_rmap_kunit)]
#[path = "tests/remap.rs"]
mod tests;

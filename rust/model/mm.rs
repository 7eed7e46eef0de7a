// SPDX-License-Identifier: GPL-2.0

//! Mapping, unmapping, splitting, exiting.
//!
//! C: [`mm/vma.c`](srctree/mm/vma.c).
//!
//! All steps that can fail come before those that cannot be undone: the store in the tree of VMAs
//! is reserved first, then links are cloned, then the store is done.

use super::{
    attributes::{
        Attributes,
        VmFlags, //
    },
    mapping::{
        self,
        Layout, //
    },
    may_allocate,
    merge::{
        self,
        Request, //
    },
    page::Page,
    space::{
        Prot,
        Space,
        Vma, //
    },
    steps::ModelSteps,
    swap::Slot,
    table::Pte,
    Modelled, //
};
use crate::{
    kernel_ext::interval_tree::Range,
    rmap::{
        self,
        anon_vma::Cache,
        clone::{
            anon_vma_clone,
            Operation, //
        },
        mm::{
            MmapLocked,
            MmapWrite, //
        },
        prepare::Sharing,
        unlink::unlink_anon_vmas, //
    },
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// An address space in use. Dropping it lets it [exit](Self::exit).
pub(crate) struct Mm<R: Modelled>(Arc<rmap::mm::Mm<R>>);

impl<R: Modelled> Mm<R> {
    /// Makes an empty address space of `size` pages, whose anon_vmas come from `cache`. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(cache: &Arc<Cache<R>>, size: usize, sharing: Sharing) -> Result<Self> {
        let space = Space::new(size, sharing)?;
        may_allocate::<R>()?;
        Ok(Self(Arc::pin_init(
            rmap::mm::Mm::new(cache.clone(), space),
            GFP_KERNEL,
        )?))
    }

    /// Returns the part that the reverse map knows.
    pub(crate) fn core(&self) -> &Arc<rmap::mm::Mm<R>> {
        &self.0
    }

    /// Returns its VMAs and its page table.
    pub(crate) fn space(&self) -> &Space<R> {
        self.0.space()
    }

    /// Returns the number of addresses.
    pub(crate) fn size(&self) -> usize {
        self.space().table.size()
    }

    /// `mmap(MAP_FIXED_NOREPLACE)`: maps `pages` pages from `first` on. Sleeps.
    ///
    /// # Errors
    ///
    /// `EEXIST` if there is a VMA already, `EINVAL` outside of the address space, `ENOMEM`.
    pub(crate) fn map(&self, first: usize, pages: usize, prot: Prot) -> Result {
        let last = self.last_of(first, pages)?;
        let mut mmap = self.0.mmap_write();
        if self.space().vmas.range(first, last).next().is_some() {
            return Err(EEXIST);
        }
        self.map_locked(first, last, prot.into(), &mut mmap)
    }

    /// `mmap(MAP_FIXED)`: maps `pages` pages from `first` on, and unmaps what is there. Sleeps.
    ///
    /// # Errors
    ///
    /// Those of [`unmap`](Self::unmap); without memory for the new VMA the addresses are left
    /// unmapped.
    pub(crate) fn map_over(&self, first: usize, pages: usize, attributes: Attributes) -> Result {
        let last = self.last_of(first, pages)?;
        let mut mmap = self.0.mmap_write();
        self.unmap_locked(first, last, &mut mmap)?;
        self.map_locked(first, last, attributes, &mut mmap)
    }

    /// `mmap_region()`: maps `first..=last`, where nothing is, under the lock.
    fn map_locked(
        &self,
        first: usize,
        last: usize,
        attributes: Attributes,
        mmap: &mut MmapWrite<'_, R>,
    ) -> Result {
        let request = Request::new((first, last), first, attributes);
        if merge::merge_or_not(&self.0, request, mmap)?.is_none() {
            let vma = Vma::new(&self.0, (first, last), first, attributes)?;
            self.space().reserve_store(first, last, &vma)?.commit();
        }
        Ok(())
    }

    /// `munmap()`. Sleeps.
    ///
    /// # Errors
    ///
    /// `EINVAL` outside of the address space; `EPERM` if a VMA is sealed, `ENOMEM`: then nothing is
    /// unmapped, but a VMA may have been split.
    pub(crate) fn unmap(&self, first: usize, pages: usize) -> Result {
        let last = self.last_of(first, pages)?;
        self.unmap_locked(first, last, &mut self.0.mmap_write())
    }

    /// Unmaps `first..=last` under the lock.
    pub(super) fn unmap_locked(
        &self,
        first: usize,
        last: usize,
        mmap: &mut MmapWrite<'_, R>,
    ) -> Result {
        let vmas = &self.space().vmas;
        let sealed = |vma: &Vma<R>| vma.flags().has(VmFlags::SEALED);
        // The first VMA is split before the others are looked at, as in the kernel.
        if vmas.find(first).is_some_and(|vma| sealed(&vma)) {
            return Err(EPERM);
        }
        self.split_at(first, true, mmap)?;
        if vmas.range(first, last).any(|slot| sealed(&slot.vma)) {
            return Err(EPERM);
        }
        if let Some(behind) = last.checked_add(1) {
            self.split_at(behind, false, mmap)?;
        }
        let gone = self.space().reserve_clear(first, last)?.commit();
        for vma in gone {
            Self::release(&vma, mmap);
        }
        Ok(())
    }

    /// Releases a VMA that is not in the tree any more: first its pages, then the links by which
    /// walks find them (R21, R33).
    fn release(vma: &Vma<R>, mmap: &mut MmapWrite<'_, R>) {
        unlink_anon_vmas(mapping::emptied(vma, mmap));
    }

    /// `madvise(MADV_DONTNEED)`: discards pages. Sleeps.
    ///
    /// # Errors
    ///
    /// `EINVAL` outside of the address space.
    pub(crate) fn discard(&self, first: usize, pages: usize) -> Result {
        let last = self.last_of(first, pages)?;
        let _mmap = self.0.mmap_read();
        mapping::zap(&self.0, first, last);
        Ok(())
    }

    /// `split_vma()`: splits a VMA that covers `at` and the address before. The new VMA, whose
    /// chain is in reverse order, is the lower one if `new_below`, otherwise the upper one. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; then nothing has changed. `EFAULT` if the new VMA has not got all links (R21); then its pages
    /// are unmapped, and the old VMA stays.
    pub(super) fn split_at(
        &self,
        at: usize,
        new_below: bool,
        mmap: &mut MmapWrite<'_, R>,
    ) -> Result {
        let Some(vma) = self.space().vmas.find(at) else {
            return Ok(());
        };
        let (first, last) = vma.addresses(mmap);
        if first == at {
            return Ok(());
        }
        let range = vma.range(mmap);
        let middle = range.start + (at - first);
        let lower = Range {
            start: range.start,
            last: middle - 1,
        };
        let upper = Range {
            start: middle,
            last: range.last,
        };
        let (addresses, new, rest) = if new_below {
            ((first, at - 1), lower, upper)
        } else {
            ((at, last), upper, lower)
        };
        let part = Vma::new(&self.0, addresses, new.start, vma.attributes())?;
        let store = self
            .space()
            .reserve_store(addresses.0, addresses.1, &part)?;
        anon_vma_clone(&part.core, mmap, &vma.core, mmap, Operation::Copy)?;
        // Its PTEs change hands.
        if !R::model_steps().may_map(part.core.is_linked_to_all_of(&vma.core, mmap)) {
            return Err(EFAULT);
        }
        store.commit();
        vma.core.set_range(rest, mmap, Layout::kept());
        Ok(())
    }

    /// `exit_mmap()`: unmaps all VMAs. Sleeps; does not fail.
    pub(crate) fn exit(&self) {
        let mut mmap = self.0.mmap_write();
        for slot in self.space().vmas.range(0, usize::MAX) {
            Self::release(&slot.vma, &mut mmap);
        }
        // VMAs hold references on their address space: these go here.
        self.space().vmas.clear();
    }

    /// Returns the page at `address`, with a reference. Sleeps.
    pub(crate) fn page_at(&self, address: usize) -> Option<Arc<Page<R>>> {
        self.space().table.lock().get(address).page().cloned()
    }

    /// Returns the slot of the entry at `address`, if the PTE has one. Sleeps.
    pub(crate) fn slot_at(&self, address: usize) -> Option<Arc<Slot<R>>> {
        match self.space().table.lock().get(address) {
            Pte::Swap(entry) => Some(entry.slot().clone()),
            _ => None,
        }
    }

    /// Returns the last of `pages` pages from `first` on.
    ///
    /// # Errors
    ///
    /// `EINVAL` for no pages, and outside of the address space.
    pub(super) fn last_of(&self, first: usize, pages: usize) -> Result<usize> {
        let last = pages
            .checked_sub(1)
            .and_then(|more| first.checked_add(more))
            .ok_or(EINVAL)?;
        if last < self.size() {
            Ok(last)
        } else {
            Err(EINVAL)
        }
    }

    /// Returns the VMAs right below and right above the addresses `first..=last`.
    pub(super) fn neighbours(
        mm: &rmap::mm::Mm<R>,
        (first, last): (usize, usize),
        mmap: &impl MmapLocked<R>,
    ) -> [Option<Arc<Vma<R>>>; 2] {
        let vmas = &mm.space().vmas;
        let prev = first
            .checked_sub(1)
            .and_then(|before| vmas.find(before))
            .filter(|vma| vma.addresses(mmap).1 + 1 == first);
        let next = last
            .checked_add(1)
            .and_then(|behind| vmas.find(behind))
            .filter(|vma| vma.addresses(mmap).0 == last + 1);
        [prev, next]
    }
}

impl<R: Modelled> Drop for Mm<R> {
    fn drop(&mut self) {
        self.exit();
    }
}

#[cfg(shadow_rmap_kunit)]
#[path = "tests/mm.rs"]
mod tests;

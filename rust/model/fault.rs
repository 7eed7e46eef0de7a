// SPDX-License-Identifier: GPL-2.0

//! Reading and writing memory: faults, copy-on-write, swapping in.
//!
//! C: [`mm/memory.c`](srctree/mm/memory.c)

use super::{
    attributes::VmFlags,
    mapping,
    mm::Mm,
    page::Page,
    space::Vma,
    swap::{
        free_swap,
        Slot, //
    },
    table::Pte,
    Modelled, //
};
use crate::rmap::{
    mm::{
        MmapLocked,
        MmapRead, //
    },
    prepare::{
        anon_vma_prepare,
        Sharing, //
    },
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

impl<R: Modelled> Mm<R> {
    /// Reads word `word` of the page at `address`; zero if it was never written to. Sleeps.
    ///
    /// # Errors
    ///
    /// `EFAULT` if there is no VMA, `EINVAL` for a word beyond the end of the page, `ENOMEM`;
    /// `EAGAIN` if the PTE has an entry of a migration that is over, see [`Migration`].
    ///
    /// [`Migration`]: super::walk::Migration
    pub(crate) fn read(&self, address: usize, word: usize) -> Result<u64> {
        loop {
            let mmap = self.core().mmap_read();
            let vma = self.space().vmas.find(address).ok_or(EFAULT)?;
            let ptes = self.space().table.lock();
            let pte = match ptes.get(address) {
                Pte::None => return Ok(0),
                Pte::Present { page, .. } => return page.frame.read(word).ok_or(EINVAL),
                Pte::Migration { to, .. } if to.is_over() => return Err(EAGAIN),
                other => other.clone(),
            };
            drop(ptes);
            self.wait_or_swap_in(&vma, address, pte, mmap)?;
        }
    }

    /// Writes word `word` of the page at `address`. Sleeps.
    ///
    /// # Errors
    ///
    /// `EFAULT` if there is no VMA, `EACCES` if it is read-only, `EINVAL` for a word beyond the end
    /// of the page, `ENOMEM`; `EAGAIN` as [`read`](Self::read).
    pub(crate) fn write(&self, address: usize, word: usize, value: u64) -> Result {
        loop {
            let mmap = self.core().mmap_read();
            let vma = self.space().vmas.find(address).ok_or(EFAULT)?;
            if !vma.flags().has(VmFlags::WRITE) {
                return Err(EACCES);
            }
            let ptes = self.space().table.lock();
            let pte = match ptes.get(address) {
                Pte::Present {
                    page,
                    writable: true,
                } => return page.frame.write(word, value).ok_or(EINVAL),
                Pte::Migration { to, .. } if to.is_over() => return Err(EAGAIN),
                other => other.clone(),
            };
            drop(ptes);
            match pte {
                Pte::None => self.do_anonymous_page(&vma, address, &mmap)?,
                Pte::Present { page, .. } => self.do_wp_page(&vma, address, &page, &mmap)?,
                other => self.wait_or_swap_in(&vma, address, other, mmap)?,
            }
        }
    }

    /// The first write to a page without `mmap_lock`: `lock_vma_under_rcu()`. Sleeps.
    ///
    /// # Errors
    ///
    /// `EAGAIN` in all other cases, and if another thread is changing VMAs: use `write()` then.
    /// `EINVAL` for a word beyond the end of the page, `ENOMEM`.
    pub(crate) fn write_under_vma_lock(&self, address: usize, word: usize, value: u64) -> Result {
        let vmas = self.core().try_vma_read().ok_or(EAGAIN)?;
        let vma = self.space().vmas.find(address).ok_or(EAGAIN)?;
        // The first anon_vma needs the neighbours, and so `mmap_lock`.
        if vma.core.is_unfaulted() || !vma.flags().has(VmFlags::WRITE) {
            return Err(EAGAIN);
        }
        if self.space().table.lock().get(address).is_none() {
            self.map_new_page(&vma, address, &vmas)?;
        }
        let ptes = self.space().table.lock();
        match ptes.get(address) {
            Pte::Present {
                page,
                writable: true,
            } => page.frame.write(word, value).ok_or(EINVAL),
            _ => Err(EAGAIN),
        }
    }

    /// `vmf_anon_prepare()`.
    fn prepare(&self, vma: &Vma<R>, mmap: &impl MmapLocked<R>) -> Result {
        if !vma.core.is_unfaulted() {
            return Ok(());
        }
        let (range, attributes) = (vma.range(mmap), vma.attributes());
        let [prev, next] = Self::neighbours(self.core(), vma.addresses(mmap), mmap)
            .map(|vma| vma.filter(|vma| attributes.may_share(vma.attributes())));
        let prev = prev.filter(|prev| prev.range(mmap).last.wrapping_add(1) == range.start);
        let next = next.filter(|next| next.range(mmap).start == range.last.wrapping_add(1));
        anon_vma_prepare(
            &vma.core,
            mmap,
            [next, prev]
                .each_ref()
                .map(|vma| vma.as_ref().map(|vma| &vma.core)),
            self.space().sharing,
        )
    }

    /// Returns the offset of the page at `address` of a VMA.
    fn index(vma: &Vma<R>, address: usize, mmap: &impl MmapLocked<R>) -> usize {
        vma.range(mmap).start + (address - vma.addresses(mmap).0)
    }

    /// `do_anonymous_page()`: the first write.
    fn do_anonymous_page(&self, vma: &Vma<R>, address: usize, mmap: &MmapRead<'_, R>) -> Result {
        self.prepare(vma, mmap)?;
        self.map_new_page(vma, address, mmap)
    }

    /// Maps a new page in a VMA that has an anon_vma.
    fn map_new_page(&self, vma: &Vma<R>, address: usize, mmap: &impl MmapLocked<R>) -> Result {
        let page = Page::new(Self::index(vma, address, mmap))?;
        let locked = page.lock();
        let mut ptes = self.space().table.lock();
        // Another thread may have been faster: then the new page is freed without the lock.
        if ptes.get(address).is_none() {
            let new = (&page, &locked);
            let there = mapping::map_new(&mut ptes, (vma, address), new, true, true, mmap);
            drop(ptes);
            drop(there);
        }
        Ok(())
    }

    /// `do_wp_page()`: a write to a page that other PTEs may map.
    fn do_wp_page(
        &self,
        vma: &Vma<R>,
        address: usize,
        page: &Arc<Page<R>>,
        mmap: &MmapRead<'_, R>,
    ) -> Result {
        // While the page is locked, its anon_vma does not change, and the swap cache gives it no
        // new users.
        let mut locked = page.lock();
        if page.rmap.mapcount() == 1 && free_swap(&mut locked) {
            let mut ptes = self.space().table.lock();
            // Tested again under the lock: this is the only PTE that maps it, and stays so, because
            // only a fork of this address space could make another.
            let there = mapping::reuse(&mut ptes, (vma, address), (page, &locked), mmap);
            if there.is_some() {
                drop(ptes);
                drop(there);
                return Ok(());
            }
        }
        drop(locked);
        self.wp_page_copy(vma, address, page, mmap)
    }

    /// `wp_page_copy()`: other PTEs map the page, so it is copied.
    fn wp_page_copy(
        &self,
        vma: &Vma<R>,
        address: usize,
        old: &Arc<Page<R>>,
        mmap: &MmapRead<'_, R>,
    ) -> Result {
        self.prepare(vma, mmap)?;
        let page = Page::new(Self::index(vma, address, mmap))?;
        // While this read-only PTE maps it, no thread writes to it.
        page.frame.copy_from(&old.frame);
        let locked = page.lock();
        let there = self.space().invalidate(|| {
            let mut ptes = self.space().table.lock();
            let still = matches!(
                ptes.get(address),
                Pte::Present { page, writable: false } if Arc::ptr_eq(page, old)
            );
            if !still {
                return None;
            }
            let new = (&page, &locked);
            mapping::map_new(&mut ptes, (vma, address), new, true, true, mmap)
        });
        drop(locked);
        drop(there);
        Ok(())
    }

    /// Waits for a migration, or reads the page from swap.
    fn wait_or_swap_in(
        &self,
        vma: &Vma<R>,
        address: usize,
        pte: Pte<R>,
        mmap: MmapRead<'_, R>,
    ) -> Result {
        match pte {
            Pte::Migration { to, .. } => {
                // A thread that waits for `mmap_lock` for writing must not wait for the migration.
                drop(mmap);
                to.wait();
                Ok(())
            }
            Pte::Swap(entry) => {
                let slot = entry.slot().clone();
                // Not counted as a user below.
                drop(entry);
                self.do_swap_page(vma, address, &slot, &mmap)
            }
            Pte::None | Pte::Present { .. } => Ok(()),
        }
    }

    /// `do_swap_page()`.
    fn do_swap_page(
        &self,
        vma: &Vma<R>,
        address: usize,
        slot: &Arc<Slot<R>>,
        mmap: &MmapRead<'_, R>,
    ) -> Result {
        let page = match slot.page() {
            Ok(page) => page,
            // The slot has no users: the PTE has changed.
            Err(error) if error == EAGAIN => return Ok(()),
            Err(error) => return Err(error),
        };
        let locked = page.lock();
        if !slot.has(&locked) {
            return Ok(());
        }
        // While the page is locked, no other thread maps it, and there are no new users: only a
        // fork of this address space could make one from the entry here.
        let exclusive = slot.users() == 1 && !page.rmap.mapped();
        if self.space().sharing == Sharing::Any && !exclusive && !page.rmap.is_anon() {
            // A VMA that shares its neighbour's anon_vma need not be linked to the root. All users
            // are linked to the anon_vma of the slot, so the page leads there (R39).
            mapping::lead_back((&page, &locked), &slot.anon_vma().lock_read());
        }
        let mut ptes = self.space().table.lock();
        let still =
            matches!(ptes.get(address), Pte::Swap(entry) if Arc::ptr_eq(entry.slot(), slot));
        if !still {
            return Ok(());
        }
        // Read-only, because the swap cache may still have the page: a write tests again.
        let there = if page.rmap.is_anon() {
            mapping::map_again(&mut ptes, (vma, address), (&page, &locked), false, mmap)
        } else {
            let read = (&page, &locked);
            mapping::map_new(&mut ptes, (vma, address), read, exclusive, false, mmap)
        };
        if there.is_some() {
            drop(ptes);
            // Dropping the last user of the slot takes the page lock.
            drop(locked);
            drop(there);
        }
        Ok(())
    }
}

#[cfg(shadow_rmap_kunit)]
#[path = "tests/fault.rs"]
mod tests;

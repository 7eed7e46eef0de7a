// SPDX-License-Identifier: GPL-2.0

//! Reading and writing memory: faults, copy-on-write, swapping in.
//!
//! C: [`mm/memory.c`](srctree/mm/memory.c)

use super::{
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
    link::{
        anon_vma_prepare,
        Sharing, //
    },
    mm::{
        MmapLocked,
        MmapRead, //
    },
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

impl<R: Modelled> Mm<R> {
    /// Reads word `word` of the page at `address`, zero where nothing was ever written.  Sleeps.
    ///
    /// # Errors
    ///
    /// `EFAULT` where no VMA is, `EINVAL` for a word beyond the page's end, `ENOMEM`; `EAGAIN` for
    /// ever where a page is on its way and does not arrive, see [`Migration`].
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

    /// Writes word `word` of the page at `address`.  Sleeps.
    ///
    /// # Errors
    ///
    /// `EFAULT` where no VMA is, `EACCES` where it must not be written to, `EINVAL` for a word beyond
    /// the page's end, `ENOMEM`; `EAGAIN` as [`read`](Self::read).
    pub(crate) fn write(&self, address: usize, word: usize, value: u64) -> Result {
        loop {
            let mmap = self.core().mmap_read();
            let vma = self.space().vmas.find(address).ok_or(EFAULT)?;
            if !vma.prot().write {
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

    /// As [`write`](Self::write), without `mmap_lock`: `lock_vma_under_rcu()`, and the first write to
    /// a page.  Sleeps.
    ///
    /// # Errors
    ///
    /// `EAGAIN` for whatever else it is, and where somebody changes VMAs just now: that is left to
    /// `write()`.  `EINVAL` for a word beyond the page's end, `ENOMEM`.
    pub(crate) fn write_under_vma_lock(&self, address: usize, word: usize, value: u64) -> Result {
        let vmas = self.core().try_vma_read().ok_or(EAGAIN)?;
        let vma = self.space().vmas.find(address).ok_or(EAGAIN)?;
        // Giving it an anon_vma takes looking at its neighbours, and `mmap_lock`.
        if vma.core.is_unfaulted() || !vma.prot().write {
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
        // `anon_vma_compatible()`: what differs only in what may be done there may become equal.
        let range = vma.range(mmap);
        let [prev, next] = Self::neighbours(self.core(), vma.addresses(mmap), mmap);
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

    /// The offset of the page at `address` of a VMA.
    fn index(vma: &Vma<R>, address: usize, mmap: &impl MmapLocked<R>) -> usize {
        vma.range(mmap).start + (address - vma.addresses(mmap).0)
    }

    /// `do_anonymous_page()`: the first write.
    fn do_anonymous_page(&self, vma: &Vma<R>, address: usize, mmap: &MmapRead<'_, R>) -> Result {
        self.prepare(vma, mmap)?;
        self.map_new_page(vma, address, mmap)
    }

    /// The part of it that a VMA with an anon_vma is good for.
    fn map_new_page(&self, vma: &Vma<R>, address: usize, mmap: &impl MmapLocked<R>) -> Result {
        let page = Page::new(Self::index(vma, address, mmap))?;
        let mut ptes = self.space().table.lock();
        // Another thread may have been faster; the loser's page is freed without the lock.
        if ptes.get(address).is_none() && vma.core.add_new_anon_rmap(&page.rmap, true, mmap) {
            let there = ptes.set(
                address,
                Pte::Present {
                    page: page.clone(),
                    writable: true,
                },
            );
            drop(ptes);
            drop(there);
        }
        Ok(())
    }

    /// `do_wp_page()`: a page that others may map as well, or did.
    fn do_wp_page(
        &self,
        vma: &Vma<R>,
        address: usize,
        page: &Arc<Page<R>>,
        mmap: &MmapRead<'_, R>,
    ) -> Result {
        // The page lock keeps the page from moving to another anon_vma, and from getting new users
        // by the swap cache.
        let mut locked = page.lock();
        if page.rmap.mapcount() == 1 && free_swap(&mut locked) {
            let mut ptes = self.space().table.lock();
            // Seen again under the lock: this is the one PTE that maps it, and stays so, since only
            // a fork of this address space could make another.
            if ptes.get(address).maps(page)
                && page.rmap.mapcount() == 1
                && vma.core.move_anon_rmap(&page.rmap, mmap)
            {
                let there = ptes.set(
                    address,
                    Pte::Present {
                        page: page.clone(),
                        writable: true,
                    },
                );
                drop(ptes);
                drop(there);
                return Ok(());
            }
        }
        drop(locked);
        self.wp_page_copy(vma, address, page, mmap)
    }

    /// `wp_page_copy()`: the page is others' as well, so a copy is made.
    fn wp_page_copy(
        &self,
        vma: &Vma<R>,
        address: usize,
        old: &Arc<Page<R>>,
        mmap: &MmapRead<'_, R>,
    ) -> Result {
        self.prepare(vma, mmap)?;
        let page = Page::new(Self::index(vma, address, mmap))?;
        // As long as this PTE maps it nobody writes to it.
        page.frame.copy_from(&old.frame);
        let there = self.space().invalidate(|| {
            let mut ptes = self.space().table.lock();
            let still = matches!(
                ptes.get(address),
                Pte::Present { page, writable: false } if Arc::ptr_eq(page, old)
            );
            if !still || !vma.core.add_new_anon_rmap(&page.rmap, true, mmap) {
                return None;
            }
            let there = ptes.set(
                address,
                Pte::Present {
                    page: page.clone(),
                    writable: true,
                },
            );
            old.rmap.remove_rmap();
            Some(there)
        });
        drop(there);
        Ok(())
    }

    /// The page is not there: it is on its way to another, or in swap.
    fn wait_or_swap_in(
        &self,
        vma: &Vma<R>,
        address: usize,
        pte: Pte<R>,
        mmap: MmapRead<'_, R>,
    ) -> Result {
        match pte {
            Pte::Migration { to, .. } => {
                // Who moves the page needs no `mmap_lock`, but who wants to write it may.
                drop(mmap);
                to.wait();
                Ok(())
            }
            Pte::Swap(entry) => {
                let slot = entry.slot().clone();
                // What is asked below is who else uses the slot.
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
            // The last user has gone: the PTE is another by now.
            Err(error) if error == EAGAIN => return Ok(()),
            Err(error) => return Err(error),
        };
        let locked = page.lock();
        if !slot.has(&locked) {
            return Ok(());
        }
        // While the page is locked nobody else has it mapped in, and no new user comes: only a fork
        // of this address space could make one of the entry here.
        let exclusive = slot.users() == 1 && !page.rmap.mapped();
        if self.space().sharing == Sharing::Any && !exclusive && !page.rmap.was_anon() {
            // Who shared a neighbour's anon_vma need not be linked to the root: so the page goes
            // where it was, which all users are linked to (R39).
            page.rmap.lead_to(&slot.anon_vma().lock_read());
        }
        let mut ptes = self.space().table.lock();
        let still =
            matches!(ptes.get(address), Pte::Swap(entry) if Arc::ptr_eq(entry.slot(), slot));
        if !still {
            return Ok(());
        }
        let mapped = if page.rmap.was_anon() {
            page.rmap.add_anon_rmap();
            true
        } else {
            vma.core.add_new_anon_rmap(&page.rmap, exclusive, mmap)
        };
        if mapped {
            let there = ptes.set(
                address,
                Pte::Present {
                    page: page.clone(),
                    // The swap cache may still have it: a write asks again.
                    writable: false,
                },
            );
            drop(ptes);
            // The slot may have lost its last user, who takes the page lock to tell the page.
            drop(locked);
            drop(there);
        }
        Ok(())
    }
}

#[cfg(shadow_rmap_kunit)]
#[path = "tests/fault.rs"]
mod tests;

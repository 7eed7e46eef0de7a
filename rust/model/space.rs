// SPDX-License-Identifier: GPL-2.0

//! The VMAs and the page table of an address space.
//!
//! C: `struct mm_struct` and `struct vm_area_struct` of
//! [`include/linux/mm_types.h`](srctree/include/linux/mm_types.h)

use super::{
    may_allocate,
    table::PageTable,
    take_all::{
        AllLocks,
        Notifier, //
    },
    Modelled, //
};
use crate::{
    kernel_ext::{
        interval_tree::Range,
        spinlock::{
            new_spinlock,
            SpinLock, //
        },
        vma_tree::{
            Reservation,
            VmaTree, //
        }, //
    },
    rmap::{
        self,
        link::Sharing,
        mm::{
            MmapLocked,
            MmapWrite, //
        },
        rules::Rules, //
    },
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
};

/// The numbers that people know VMAs by; never used twice.
static NEXT_ID: Atomic<u64> = Atomic::new(1);

/// What an address space has besides its locks.
#[pin_data]
pub(crate) struct Space<R: Modelled> {
    /// Its VMAs, by address (in pages).
    #[pin]
    pub(crate) vmas: VmaTree<Vma<R>>,
    /// Its PTEs.
    #[pin]
    pub(crate) table: PageTable<R>,
    /// Which VMAs may share an anon_vma, and with that, how they are merged.
    pub(crate) sharing: Sharing,
    /// Who is told when PTEs change.
    #[pin]
    notifiers: SpinLock<KVec<Arc<Notifier>>>,
    /// How many those are: `mm_has_notifiers()`.
    notified: Atomic<usize>,
}

impl<R: Modelled> Space<R> {
    /// An empty one, of `size` addresses.  Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(size: usize, sharing: Sharing) -> Result<impl PinInit<Self>> {
        let table = PageTable::new(size)?;
        Ok(pin_init!(Self {
            vmas <- VmaTree::new(),
            table <- table,
            sharing,
            notifiers <- new_spinlock!(KVec::new(), c"shadow_rmap::notifiers"),
            notified: Atomic::new(0),
        }))
    }

    /// [`VmaTree::reserve_store`] of its VMAs.  Sleeps.
    ///
    /// # Errors
    ///
    /// The same.
    pub(super) fn reserve_store(
        &self,
        first: usize,
        last: usize,
        vma: &Arc<Vma<R>>,
    ) -> Result<Reservation<'_, Vma<R>>> {
        R::Rules::allocation()?;
        self.vmas.reserve_store(first, last, vma.clone())
    }

    /// [`VmaTree::reserve_clear`] of its VMAs.  Sleeps.
    ///
    /// # Errors
    ///
    /// The same.
    pub(super) fn reserve_clear(
        &self,
        first: usize,
        last: usize,
    ) -> Result<Reservation<'_, Vma<R>>> {
        R::Rules::allocation()?;
        self.vmas.reserve_clear(first, last)
    }

    /// `mmu_notifier_invalidate_range_start()`, what `change` does to PTEs, and `…_end()`.
    ///
    /// Somebody who joins as a notifier does so before or after, not in between: the caller holds
    /// `mmap_lock`, or the lock of the family whose VMA's PTEs it changes (R38).
    pub(crate) fn invalidate<T>(&self, change: impl FnOnce() -> T) -> T {
        self.tell(Notifier::start);
        let result = change();
        self.tell(Notifier::end);
        result
    }

    fn tell(&self, what: impl Fn(&Notifier)) {
        if self.notified.load(Relaxed) > 0 {
            self.notifiers
                .lock()
                .iter()
                .for_each(|notifier| what(notifier));
        }
    }

    /// Lets `notifier` join.  With `_locks` nobody is in the middle of a change.
    pub(super) fn join(
        &self,
        notifier: Arc<Notifier>,
        room: KVec<Arc<Notifier>>,
        _locks: &AllLocks<'_, R>,
    ) -> Result<KVec<Arc<Notifier>>> {
        self.add(notifier, room)
    }

    /// Moves the notifiers to `room`, which is large enough, and adds one; returns the old room.
    pub(super) fn add(
        &self,
        notifier: Arc<Notifier>,
        mut room: KVec<Arc<Notifier>>,
    ) -> Result<KVec<Arc<Notifier>>> {
        let mut notifiers = self.notifiers.lock();
        if room.capacity() <= notifiers.len() {
            return Err(EAGAIN);
        }
        for there in notifiers.iter() {
            room.push_within_capacity(there.clone())
                .map_err(|_| EAGAIN)?;
        }
        room.push_within_capacity(notifier).map_err(|_| EAGAIN)?;
        self.notified.store(room.len(), Relaxed);
        Ok(core::mem::replace(&mut *notifiers, room))
    }

    /// How many notifiers there are.
    pub(super) fn notifiers(&self) -> usize {
        self.notified.load(Relaxed)
    }
}

/// What may be done to the memory of a VMA.  VMAs are merged only if it is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prot {
    /// It may be written to.  It may be read in any case.
    pub(crate) write: bool,
}

impl Prot {
    /// `PROT_READ`.
    pub(crate) const READ: Self = Self { write: false };
    /// `PROT_READ | PROT_WRITE`.
    pub(crate) const WRITE: Self = Self { write: true };
}

/// A VMA.
#[pin_data]
pub(crate) struct Vma<R: Modelled> {
    /// What the reverse map knows of it.
    #[pin]
    pub(crate) core: rmap::chain::Vma<R>,
    /// 1 if it may be written to; changes under `mmap_lock` for writing.
    writable: Atomic<i32>,
}

impl<R: Modelled> Vma<R> {
    /// A VMA of `mm` that is to cover the addresses `first..=last`, whose page at `first` has the
    /// offset `pgoff`.  Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(
        mm: &Arc<rmap::mm::Mm<R>>,
        (first, last): (usize, usize),
        pgoff: usize,
        prot: Prot,
    ) -> Result<Arc<Self>> {
        may_allocate::<R>()?;
        let range = Range {
            start: pgoff,
            last: pgoff + (last - first),
        };
        let core = rmap::chain::Vma::new(mm.clone(), range, NEXT_ID.fetch_add(1, Relaxed));
        let vma = Arc::pin_init(
            pin_init!(Self {
                core <- core,
                writable: Atomic::new(prot.write.into()),
            }),
            GFP_KERNEL,
        )?;
        vma.core.set_shift(first.wrapping_sub(pgoff));
        Ok(vma)
    }

    /// What may be done there.
    pub(crate) fn prot(&self) -> Prot {
        Prot {
            write: self.writable.load(Relaxed) != 0,
        }
    }

    /// `mprotect()`, of the VMA alone.
    pub(crate) fn set_prot(&self, prot: Prot, _mmap: &mut MmapWrite<'_, R>) {
        self.writable.store(prot.write.into(), Relaxed);
    }

    /// The page offsets that it covers.
    pub(crate) fn range(&self, mmap: &impl MmapLocked<R>) -> Range {
        // A lock of another address space covers nothing (R34).
        self.core.range(mmap).unwrap_or(Range { start: 1, last: 0 })
    }

    /// The first and the last address that it covers.
    pub(crate) fn addresses(&self, mmap: &impl MmapLocked<R>) -> (usize, usize) {
        let range = self.range(mmap);
        (
            self.core.address(range.start),
            self.core.address(range.last),
        )
    }
}

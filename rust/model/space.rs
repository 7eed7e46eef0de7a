// SPDX-License-Identifier: GPL-2.0

//! The VMAs and the page table of an address space.
//!
//! C: `struct mm_struct` and `struct vm_area_struct` of
//! [`include/linux/mm_types.h`](srctree/include/linux/mm_types.h)

use super::{
    attributes::{
        Attributes,
        VmFlags, //
    },
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
        mm::{
            MmapLocked,
            MmapWrite, //
        },
        prepare::Sharing,
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

/// The next number of a VMA; none is used twice.
static NEXT_ID: Atomic<u64> = Atomic::new(1);

/// The parts of an address space besides its locks.
#[pin_data]
pub(crate) struct Space<R: Modelled> {
    /// Its VMAs, by address (in pages).
    #[pin]
    pub(super) vmas: VmaTree<Vma<R>>,
    /// Its PTEs.
    #[pin]
    pub(crate) table: PageTable<R>,
    /// Which VMAs may share an anon_vma, and so how VMAs are merged.
    pub(crate) sharing: Sharing,
    /// The notifiers that are called when PTEs change.
    #[pin]
    notifiers: SpinLock<KVec<Arc<Notifier>>>,
    /// Their number: `mm_has_notifiers()`.
    notified: Atomic<usize>,
}

impl<R: Modelled> Space<R> {
    /// Makes an empty address space with `size` addresses. Sleeps.
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

    /// Returns the VMA at `address`. Sleeps.
    pub(crate) fn vma_at(&self, address: usize) -> Option<Arc<Vma<R>>> {
        self.vmas.find(address)
    }

    /// Returns its VMAs, in order of address. Each step sleeps.
    pub(crate) fn vmas(&self) -> impl Iterator<Item = Arc<Vma<R>>> + '_ {
        self.vmas.range(0, usize::MAX).map(|slot| slot.vma)
    }

    /// [`VmaTree::reserve_store`] of its VMAs. Sleeps.
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
        R::allocation()?;
        self.vmas.reserve_store(first, last, vma.clone())
    }

    /// [`VmaTree::reserve_clear`] of its VMAs. Sleeps.
    ///
    /// # Errors
    ///
    /// The same.
    pub(super) fn reserve_clear(
        &self,
        first: usize,
        last: usize,
    ) -> Result<Reservation<'_, Vma<R>>> {
        R::allocation()?;
        self.vmas.reserve_clear(first, last)
    }

    /// Runs `change`, which changes PTEs, between `mmu_notifier_invalidate_range_start()` and
    /// `…_end()`.
    ///
    /// No notifier is registered in between: the caller holds `mmap_lock`, or the lock of the
    /// family of the VMA whose PTEs it changes (R38).
    pub(crate) fn invalidate<T>(&self, change: impl FnOnce() -> T) -> T {
        self.notify(Notifier::start);
        let result = change();
        self.notify(Notifier::end);
        result
    }

    /// Calls all notifiers.
    fn notify(&self, call: impl Fn(&Notifier)) {
        if self.notified.load(Relaxed) > 0 {
            self.notifiers
                .lock()
                .iter()
                .for_each(|notifier| call(notifier));
        }
    }

    /// Registers `notifier`. While the caller has `_locks`, no thread is in the middle of a change.
    pub(super) fn join(
        &self,
        notifier: Arc<Notifier>,
        room: KVec<Arc<Notifier>>,
        _locks: &AllLocks<'_, R>,
    ) -> Result<KVec<Arc<Notifier>>> {
        self.add(notifier, room)
    }

    /// Moves the notifiers to `room`, which is large enough, and adds one. Returns the old room.
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

    /// Returns the number of notifiers.
    pub(super) fn notifiers(&self) -> usize {
        self.notified.load(Relaxed)
    }
}

/// What `mmap()` and `mprotect()` are told of a VMA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prot {
    /// Whether it may be written to. It may always be read.
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
    /// The part that the reverse map knows.
    #[pin]
    pub(crate) core: rmap::vma::Vma<R>,
    /// Its [`VmFlags`]; they change under `mmap_lock` for writing.
    flags: Atomic<u64>,
    /// See [`Attributes::file`].
    file: Option<usize>,
}

impl<R: Modelled> Vma<R> {
    /// Makes a VMA of `mm` for the addresses `first..=last`. The page at `first` has the offset
    /// `pgoff`. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(
        mm: &Arc<rmap::mm::Mm<R>>,
        (first, last): (usize, usize),
        pgoff: usize,
        attributes: impl Into<Attributes>,
    ) -> Result<Arc<Self>> {
        may_allocate::<R>()?;
        let Attributes { flags, file } = attributes.into();
        let range = Range {
            start: pgoff,
            last: pgoff + (last - first),
        };
        let shift = first.wrapping_sub(pgoff);
        let core = rmap::vma::Vma::new(mm.clone(), range, shift, NEXT_ID.fetch_add(1, Relaxed));
        let vma = Arc::pin_init(
            pin_init!(Self {
                core <- core,
                flags: Atomic::new(flags.bits()),
                file,
            }),
            GFP_KERNEL,
        )?;
        Ok(vma)
    }

    /// Returns its flags.
    pub(crate) fn flags(&self) -> VmFlags {
        VmFlags::from_bits(self.flags.load(Relaxed))
    }

    /// Returns what must be the same in a VMA that it is merged with.
    pub(crate) fn attributes(&self) -> Attributes {
        Attributes {
            flags: self.flags(),
            file: self.file,
        }
    }

    /// Sets its flags, without its PTEs.
    pub(super) fn set_flags(&self, flags: VmFlags, _mmap: &mut MmapWrite<'_, R>) {
        self.flags.store(flags.bits(), Relaxed);
    }

    /// Returns the page offsets that it covers.
    pub(crate) fn range(&self, mmap: &(impl MmapLocked<R> + ?Sized)) -> Range {
        // A lock of another address space covers nothing (R34).
        self.core.range(mmap).unwrap_or(Range { start: 1, last: 0 })
    }

    /// Returns the first and the last address that it covers.
    pub(crate) fn addresses(&self, mmap: &(impl MmapLocked<R> + ?Sized)) -> (usize, usize) {
        let range = self.range(mmap);
        (
            self.core.address(range.start),
            self.core.address(range.last),
        )
    }
}

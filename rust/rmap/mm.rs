// SPDX-License-Identifier: GPL-2.0

//! An address space, as far as the reverse map knows it: two locks.
//!
//! C header: [`include/linux/mm_types.h`](srctree/include/linux/mm_types.h)

use crate::prim::rwsem::{
    new_rwsem,
    ReadGuard,
    RwSem,
    WriteGuard, //
};
use kernel::{
    new_spinlock,
    prelude::*,
    sync::{
        lock::{
            spinlock::SpinLockBackend,
            Guard, //
        },
        SpinLock, //
    },
};

/// The locks of an address space.
///
/// `mmap_lock` for writing is needed to take a VMA away, to change its range, and to link it to
/// more than its first anon_vma; `mmap_lock` for reading together with `page_table_lock` is enough
/// to give a VMA its first anon_vma.
#[pin_data]
pub(crate) struct Mm {
    #[pin]
    mmap_lock: RwSem,
    #[pin]
    page_table_lock: SpinLock<()>,
}

impl Mm {
    /// An address space without locks held.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            mmap_lock <- new_rwsem!(c"shadow_rmap::mmap_lock"),
            page_table_lock <- new_spinlock!((), "shadow_rmap::page_table_lock"),
        })
    }

    /// `mmap_read_lock()`.  Sleeps.
    pub(crate) fn mmap_read(&self) -> MmapRead<'_> {
        MmapRead {
            mm: self,
            _guard: self.mmap_lock.read(),
        }
    }

    /// `mmap_write_lock()`.  Sleeps.
    pub(crate) fn mmap_write(&self) -> MmapWrite<'_> {
        MmapWrite {
            mm: self,
            _guard: self.mmap_lock.write(),
        }
    }

    /// `mmap_write_lock_nested()`: for the child, at fork, while the parent's is held.  Sleeps.
    pub(crate) fn mmap_write_nested(&self) -> MmapWrite<'_> {
        MmapWrite {
            mm: self,
            _guard: self.mmap_lock.write_nested(),
        }
    }
}

/// `mmap_lock` is held for reading.
pub(crate) struct MmapRead<'a> {
    mm: &'a Mm,
    _guard: ReadGuard<'a>,
}

/// `mmap_lock` is held for writing.
pub(crate) struct MmapWrite<'a> {
    mm: &'a Mm,
    _guard: WriteGuard<'a>,
}

/// `mmap_lock` is held for reading, and `page_table_lock` is held.
pub(crate) struct PageTableGuard<'a> {
    mm: &'a Mm,
    _guard: Guard<'a, (), SpinLockBackend>,
}

mod sealed {
    pub(crate) trait Sealed {}
    impl Sealed for super::MmapRead<'_> {}
    impl Sealed for super::MmapWrite<'_> {}
    impl Sealed for super::PageTableGuard<'_> {}
}

/// Proof that a lock of an address space is held.
pub(crate) trait Locked: sealed::Sealed {
    /// Whose.
    fn mm(&self) -> &Mm;
}

/// Proof that `mmap_lock` is held, for reading at least: VMAs keep their links.
pub(crate) trait MmapLocked: Locked {
    /// `spin_lock(&mm->page_table_lock)`.
    fn lock_page_table(&self) -> PageTableGuard<'_> {
        PageTableGuard {
            mm: self.mm(),
            _guard: self.mm().page_table_lock.lock(),
        }
    }
}

/// Proof that nobody else changes the chains of this address space's VMAs.
pub(crate) trait ChainsLocked: Locked {}

macro_rules! locked {
    ($guard:ident: $($proves:ident),+) => {
        impl Locked for $guard<'_> {
            fn mm(&self) -> &Mm {
                self.mm
            }
        }
        $(impl $proves for $guard<'_> {})+
    };
}

locked!(MmapRead: MmapLocked);
locked!(MmapWrite: MmapLocked, ChainsLocked);
locked!(PageTableGuard: ChainsLocked);

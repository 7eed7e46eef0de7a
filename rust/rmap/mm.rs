// SPDX-License-Identifier: GPL-2.0

//! An address space, as far as the reverse map knows it: its locks, and what is mapped there.
//!
//! C header: [`include/linux/mm_types.h`](srctree/include/linux/mm_types.h)

use super::{
    anon_vma::Cache,
    kind::{
        Live,
        Rmap, //
    },
};
use crate::kernel_ext::rwsem::{
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
        Arc,
        SpinLock, //
    },
};

/// The locks of an address space.
///
/// `mmap_lock` for writing is needed to take a VMA away, to change its range, and to link it to
/// more than its first anon_vma; `mmap_lock` for reading together with `page_table_lock` is enough
/// to give a VMA its first anon_vma.
///
/// Where a fault may do without `mmap_lock` ([`Rmap::VMA_LOCKS`]) there is `vma_lock` as well: the
/// locks of all VMAs (`vm_lock`) as one. A thread that holds `mmap_lock` for writing holds it for
/// writing, too. So it keeps VMAs and links as they are if it is held for reading.
///
/// It holds the cache of its anon_vmas: that is not destroyed while there is an address space whose
/// VMAs may have some.
#[pin_data]
pub(crate) struct Mm<R: Rmap = Live> {
    #[pin]
    mmap_lock: RwSem,
    #[pin]
    vma_lock: RwSem,
    #[pin]
    page_table_lock: SpinLock<()>,
    cache: Arc<Cache<R>>,
    #[pin]
    space: R::Space,
}

impl<R: Rmap> MmapWrite<'_, R> {
    /// The lock itself, for locks that are taken under it.
    pub(super) fn lock(&self) -> &RwSem {
        &self.mm.mmap_lock
    }

    /// Runs `f` while faults that need no `mmap_lock` are let in. Sleeps.
    ///
    /// A fault may add a link meanwhile, but none is taken away: what `f` gets proves no more.
    pub(crate) fn with_vmas_unlocked<T>(&mut self, f: impl FnOnce(&VmasUnlocked<'_, R>) -> T) -> T {
        self.vmas = None;
        let result = f(&VmasUnlocked { mm: self.mm });
        self.vmas = R::VMA_LOCKS.then(|| self.mm.vma_lock.write());
        result
    }
}

impl<R: Rmap> Mm<R> {
    /// An address space without locks held, whose anon_vmas come from `cache`.
    pub(crate) fn new(cache: Arc<Cache<R>>, space: impl PinInit<R::Space>) -> impl PinInit<Self> {
        pin_init!(Self {
            mmap_lock <- new_rwsem!(c"shadow_rmap::mmap_lock"),
            vma_lock <- new_rwsem!(c"shadow_rmap::vma_lock"),
            page_table_lock <- new_spinlock!((), "shadow_rmap::page_table_lock"),
            cache,
            space <- space,
        })
    }

    /// Where its anon_vmas come from.
    pub(crate) fn cache(&self) -> &Cache<R> {
        &self.cache
    }

    /// As [`cache`](Self::cache), for another address space, which may share pages with this one.
    pub(crate) fn shared_cache(&self) -> Arc<Cache<R>> {
        self.cache.clone()
    }

    /// Returns whether `mmap_lock`, and whether `page_table_lock`, is held by any thread at this
    /// instant.
    #[cfg(shadow_rmap_kunit)]
    pub(crate) fn held(&self) -> [bool; 2] {
        [
            self.mmap_lock.is_locked(),
            self.page_table_lock.try_lock().is_none(),
        ]
    }

    /// What it has besides its locks.
    pub(crate) fn space(&self) -> &R::Space {
        &self.space
    }

    /// `mmap_read_lock()`. Sleeps.
    pub(crate) fn mmap_read(&self) -> MmapRead<'_, R> {
        MmapRead {
            mm: self,
            _guard: self.mmap_lock.read(),
        }
    }

    /// `mmap_write_lock()`, and `vma_start_write()` of all VMAs. Sleeps.
    pub(crate) fn mmap_write(&self) -> MmapWrite<'_, R> {
        let guard = self.mmap_lock.write();
        MmapWrite {
            vmas: R::VMA_LOCKS.then(|| self.vma_lock.write()),
            mm: self,
            _guard: guard,
        }
    }

    /// `mmap_write_lock_nested()`: for the child, at fork, while the parent's is held. Sleeps.
    pub(crate) fn mmap_write_nested(&self) -> MmapWrite<'_, R> {
        let guard = self.mmap_lock.write_nested();
        MmapWrite {
            vmas: R::VMA_LOCKS.then(|| self.vma_lock.write_nested()),
            mm: self,
            _guard: guard,
        }
    }

    /// `spin_lock(&mm->page_table_lock)`: the caller holds `mmap_lock` for reading, or `vma_lock`.
    fn lock_page_table(&self) -> PageTableGuard<'_, R> {
        PageTableGuard {
            mm: self,
            _guard: self.page_table_lock.lock(),
        }
    }

    /// `vma_start_read()`: `None` where there are no such locks, or while VMAs are changed. Any
    /// context but interrupts.
    pub(crate) fn try_vma_read(&self) -> Option<VmaRead<'_, R>> {
        if !R::VMA_LOCKS {
            return None;
        }
        Some(VmaRead {
            mm: self,
            _guard: self.vma_lock.try_read()?,
        })
    }
}

/// `mmap_lock` is held for reading.
pub(crate) struct MmapRead<'a, R: Rmap = Live> {
    mm: &'a Mm<R>,
    _guard: ReadGuard<'a>,
}

/// `mmap_lock` is held for writing.
///
/// The fields' order is that of the locks, the last first.
pub(crate) struct MmapWrite<'a, R: Rmap = Live> {
    /// `vma_lock`, where there is one.
    vmas: Option<WriteGuard<'a>>,
    mm: &'a Mm<R>,
    _guard: WriteGuard<'a>,
}

/// `mmap_lock` is held for writing, but `vma_lock` is not: faults run that need no `mmap_lock`.
pub(crate) struct VmasUnlocked<'a, R: Rmap = Live> {
    mm: &'a Mm<R>,
}

/// `vma_lock` is held for reading, and `mmap_lock` need not be.
pub(crate) struct VmaRead<'a, R: Rmap = Live> {
    mm: &'a Mm<R>,
    _guard: ReadGuard<'a>,
}

/// `mmap_lock` is held for reading, and `page_table_lock` is held.
pub(crate) struct PageTableGuard<'a, R: Rmap = Live> {
    mm: &'a Mm<R>,
    _guard: Guard<'a, (), SpinLockBackend>,
}

mod sealed {
    use super::Rmap;

    pub(crate) trait Sealed {}
    impl<R: Rmap> Sealed for super::MmapRead<'_, R> {}
    impl<R: Rmap> Sealed for super::MmapWrite<'_, R> {}
    impl<R: Rmap> Sealed for super::VmasUnlocked<'_, R> {}
    impl<R: Rmap> Sealed for super::VmaRead<'_, R> {}
    impl<R: Rmap> Sealed for super::PageTableGuard<'_, R> {}
}

/// Proof that a lock of an address space is held.
pub(crate) trait Locked<R: Rmap = Live>: sealed::Sealed {
    /// Whose.
    fn mm(&self) -> &Mm<R>;
}

/// Proof that `mmap_lock` is held, for reading at least, or else `vma_lock`: VMAs keep their links.
pub(crate) trait MmapLocked<R: Rmap = Live>: Locked<R> {
    /// `spin_lock(&mm->page_table_lock)`.
    fn lock_page_table(&self) -> PageTableGuard<'_, R> {
        self.mm().lock_page_table()
    }
}

/// Proof that no other thread changes the chains of this address space's VMAs.
pub(crate) trait ChainsLocked<R: Rmap = Live>: Locked<R> {
    /// Returns whether threads that hold a lock for reading may read the chains meanwhile.
    fn has_readers(&self) -> bool;
}

macro_rules! locked {
    ($guard:ident) => {
        impl<R: Rmap> Locked<R> for $guard<'_, R> {
            fn mm(&self) -> &Mm<R> {
                self.mm
            }
        }
    };
}

locked!(MmapRead);
locked!(MmapWrite);
locked!(VmasUnlocked);
locked!(VmaRead);
locked!(PageTableGuard);

impl<R: Rmap> MmapLocked<R> for MmapRead<'_, R> {}
impl<R: Rmap> MmapLocked<R> for MmapWrite<'_, R> {}
impl<R: Rmap> MmapLocked<R> for VmasUnlocked<'_, R> {}
impl<R: Rmap> MmapLocked<R> for VmaRead<'_, R> {}

impl<R: Rmap> ChainsLocked<R> for MmapWrite<'_, R> {
    #[inline]
    fn has_readers(&self) -> bool {
        false
    }
}

impl<R: Rmap> ChainsLocked<R> for PageTableGuard<'_, R> {
    #[inline]
    fn has_readers(&self) -> bool {
        true
    }
}

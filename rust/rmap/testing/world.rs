// SPDX-License-Identifier: GPL-2.0

//! Address spaces of one VMA each, without page tables.

#![allow(unsafe_code, reason = "maps pages without page tables")]

use crate::{
    kernel_ext::{
        interval_tree::Range,
        random::Random,
        typesafe::{
            Pinnable,
            Pinned, //
        },
    },
    rmap::{
        anon_vma::{
            AnonVma,
            Cache, //
        },
        clone::{
            anon_vma_clone,
            reusable,
            Operation,
            Reuse, //
        },
        family::LockedAnonVma,
        fork::anon_vma_fork,
        kind::Rmap,
        mm::{
            Mm,
            MmapWrite, //
        },
        page::PageRmap,
        path,
        prepare::{
            anon_vma_prepare,
            Sharing, //
        },
        unlink::{
            unlink_anon_vmas,
            Emptied, //
        },
        vma::Vma, //
    },
};
use core::{
    ops::ControlFlow,
    ptr::NonNull, //
};
use kernel::{
    prelude::*,
    str::CString,
    sync::Arc, //
};

/// A cache, for the address spaces of a test; destroyed with the last of them, when what is left in
/// it is a leak that the kernel reports.
pub(crate) struct World<R: Rmap> {
    /// Where the anon_vmas come from.
    pub(crate) cache: Arc<Cache<R>>,
}

impl<R: Rmap<Space = ()>> World<R> {
    /// A world without address spaces.
    ///
    /// A test that fails leaves its cache behind, also when the module is unloaded, and the kernel
    /// complains of two caches with one name: so each has a random number.
    pub(crate) fn new() -> Result<Self> {
        let name = CString::try_from_fmt(fmt!("{}_{:x}", R::CACHE, Random::any_seed()))?;
        Ok(Self {
            cache: Arc::new(Cache::with_name(&name)?, GFP_KERNEL)?,
        })
    }

    /// An address space with one VMA.
    pub(crate) fn process(&self, start: usize, last: usize) -> Result<Process<R>> {
        let mm = Arc::pin_init(Mm::new(self.cache.clone(), ()), GFP_KERNEL)?;
        Process::with(mm, start, last)
    }

    /// An address space with one VMA, of eight pages, that has an anon_vma.
    pub(crate) fn faulted(&self) -> Result<Process<R>> {
        let process = self.process(0, 7)?;
        process.fault()?;
        Ok(process)
    }

    /// An address space with one VMA, of eight pages, that maps a page at offset 3.
    pub(crate) fn process_with_page(&self) -> Result<(Process<R>, Arc<PageRmap<R>>)> {
        let page = Arc::new(PageRmap::new(3), GFP_KERNEL)?;
        let process = self.faulted()?;
        process.map(&page);
        Ok((process, page))
    }
}

#[pin_data]
pub(crate) struct TestVma<R: Rmap> {
    #[pin]
    /// What the reverse map knows of it.
    pub(crate) core: Vma<R>,
}

/// A VMA and its address space.
pub(crate) struct Process<R: Rmap> {
    /// Its locks.
    pub(crate) mm: Arc<Mm<R>>,
    /// Its VMA.
    pub(crate) vma: Arc<TestVma<R>>,
}

impl<R: Rmap> Clone for Process<R> {
    /// The same VMA, for another thread.
    fn clone(&self) -> Self {
        Self {
            mm: self.mm.clone(),
            vma: self.vma.clone(),
        }
    }
}

impl<R: Rmap<Space = ()>> Process<R> {
    pub(crate) fn with(mm: Arc<Mm<R>>, start: usize, last: usize) -> Result<Self> {
        let core = Vma::new(mm.clone(), Range { start, last }, 0, 0);
        let vma = Arc::pin_init(pin_init!(TestVma { core <- core }), GFP_KERNEL)?;
        Ok(Self { mm, vma })
    }

    /// Another VMA of the same address space.
    pub(crate) fn another(&self, start: usize, last: usize) -> Result<Self> {
        Self::with(self.mm.clone(), start, last)
    }

    pub(crate) fn fault(&self) -> Result {
        anon_vma_prepare(
            &self.vma.core,
            &self.mm.mmap_read(),
            [None, None],
            Sharing::Singleton,
        )
    }

    /// The first fault, where `next` is a VMA that this one could be merged with.
    pub(crate) fn fault_beside(&self, next: &Self) -> Result {
        anon_vma_prepare(
            &self.vma.core,
            &self.mm.mmap_read(),
            [Some(&next.vma.core), None],
            Sharing::Singleton,
        )
    }

    pub(crate) fn fork(&self) -> Result<Self> {
        self.fork_as(Reuse::ByRule)
    }

    pub(crate) fn fork_as(&self, reuse: Reuse) -> Result<Self> {
        let child = self.child()?;
        self.fork_into(&child, reuse)?;
        Ok(child)
    }

    /// The position of the anon_vma that a fork reuses by the rule.
    pub(crate) fn reusable(&self) -> Option<usize> {
        reusable(&self.vma.core, &self.mm.mmap_write())
    }

    /// An address space whose VMA has the range of this one, and is not forked from it yet.
    pub(crate) fn child(&self) -> Result<Self> {
        let range = self.vma.core.range(&self.mm.mmap_read()).ok_or(EINVAL)?;
        Self::with(
            Arc::pin_init(Mm::new(self.mm.shared_cache(), ()), GFP_KERNEL)?,
            range.start,
            range.last,
        )
    }

    /// Forks the VMA into that of a [`child`](Self::child).
    pub(crate) fn fork_into(&self, child: &Self, reuse: Reuse) -> Result {
        let mmap = self.mm.mmap_write();
        anon_vma_fork(
            &child.vma.core,
            &child.mm.mmap_write_nested(),
            &self.vma.core,
            &mmap,
            reuse,
        )
    }

    pub(crate) fn copy(&self, start: usize, last: usize) -> Result<Self> {
        let copy = self.another(start, last)?;
        self.copy_into(&copy)?;
        Ok(copy)
    }

    /// Copies the links to another VMA of the same address space, as a split does.
    pub(crate) fn copy_into(&self, copy: &Self) -> Result {
        let mmap = self.mm.mmap_write();
        anon_vma_clone(
            &copy.vma.core,
            &mmap,
            &self.vma.core,
            &mmap,
            Operation::Copy,
        )
    }

    pub(crate) fn unmap(&self) {
        unlink_anon_vmas(self.emptied(&mut self.mm.mmap_write()));
    }

    /// The VMA, without pages.
    pub(crate) fn emptied<'a, 'm>(&'a self, mmap: &'a mut MmapWrite<'m, R>) -> Emptied<'a, 'm, R> {
        // SAFETY: Incorrect, if the test has left a page mapped: the tests of R18, R21 and R33 do,
        // and keep the anon_vma by a pin, or look the page up only within RCU, or not at all.
        unsafe { Emptied::new(&self.vma.core, mmap) }
    }

    /// A reference on its anon_vma.
    pub(crate) fn pin(&self) -> Option<Pinned<AnonVma<R>>> {
        self.with_anon_vma(|anon_vma| {
            // SAFETY: The reference was just taken.
            let pinned = || unsafe { Pinned::from_raw(NonNull::from(anon_vma)) };
            anon_vma.try_get().then(pinned)
        })?
    }

    /// Maps a new page. Returns whether it was done.
    pub(crate) fn map(&self, page: &PageRmap<R>) -> bool {
        self.map_as(page, true)
    }

    /// Maps a new page, which is `exclusive` or not. Returns whether it was done.
    pub(crate) fn map_as(&self, page: &PageRmap<R>, exclusive: bool) -> bool {
        let mmap = self.mm.mmap_read();
        // SAFETY: The tests unmap the page before the VMA is unlinked, or see to it that it is not
        // looked up afterwards.
        unsafe { self.vma.core.add_new_anon_rmap(page, exclusive, &mmap) }
    }

    /// Maps a page that was read in from swap, and leads to the anon_vma of `first`. Returns whether it
    /// was done.
    pub(crate) fn read_in(&self, page: &PageRmap<R>, first: &Self) -> bool {
        let key = first.key().unwrap_or(0);
        let mmap = self.mm.mmap_read();
        // SAFETY: As in `map_as()`.
        unsafe { self.vma.core.add_swapped_anon_rmap(page, key, &mmap) }
    }

    /// Gives a page that this VMA alone maps to its own anon_vma. Returns whether that is allowed.
    pub(crate) fn move_page(&self, page: &PageRmap<R>) -> bool {
        // SAFETY: The tests map each such page once.
        unsafe { self.vma.core.move_anon_rmap(page, &self.mm.mmap_read()) }
    }

    pub(crate) fn with_anon_vma<T>(&self, f: impl FnOnce(&AnonVma<R>) -> T) -> Option<T> {
        self.vma.core.anon_vma(&self.mm.mmap_read()).map(f)
    }

    pub(crate) fn locked<T>(&self, f: impl FnOnce(&LockedAnonVma<'_, R>) -> T) -> Option<T> {
        self.with_anon_vma(|anon_vma| f(&anon_vma.lock_read()))
    }

    pub(crate) fn write_locked<T>(&self, f: impl FnOnce() -> T) -> Option<T> {
        self.with_anon_vma(|anon_vma| {
            let family = anon_vma.lock_write();
            let result = f();
            drop(family);
            result
        })
    }

    pub(crate) fn key(&self) -> Option<usize> {
        self.with_anon_vma(AnonVma::key)
    }

    pub(crate) fn root(&self) -> Option<usize> {
        self.with_anon_vma(|anon_vma| anon_vma.root().key())
    }

    pub(crate) fn parent(&self) -> Option<usize> {
        self.with_anon_vma(AnonVma::parent_key)
    }

    pub(crate) fn links(&self) -> usize {
        self.vma.core.nr_links()
    }

    /// How many VMAs a walk of `first..=last` visits.
    pub(crate) fn visited(&self, first: usize, last: usize) -> usize {
        let mut n = 0;
        self.locked(|anon_vma| {
            anon_vma.for_each_vma(first, last, |_| {
                n += 1;
                ControlFlow::<()>::Continue(())
            })
        });
        n
    }

    /// References, children, active VMAs, and VMAs in the tree of its anon_vma.
    pub(crate) fn facts(&self) -> [usize; 4] {
        let counts = self.locked(|anon_vma| {
            [
                usize::try_from(anon_vma.refcount()).unwrap_or(usize::MAX),
                anon_vma.num_children(),
                anon_vma.num_active_vmas(),
            ]
        });
        let [refs, children, active] = counts.unwrap_or_default();
        [refs, children, active, self.visited(0, usize::MAX)]
    }
}

/// Maps a page once more, as another PTE does.
pub(crate) fn map_again<R: Rmap>(page: &PageRmap<R>) {
    // SAFETY: The tests unmap the page before its VMAs are unlinked, or see to it that it is not
    // looked up afterwards.
    unsafe { page.add_anon_rmap() };
}

/// Returns how many anon_vmas are allocated.
pub(crate) fn live() -> usize {
    path::anon_vma_allocs().wrapping_sub(path::anon_vma_frees())
}

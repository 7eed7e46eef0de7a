// SPDX-License-Identifier: GPL-2.0

//! Calls the host's reverse map on VMAs that belong to no process, to measure it.
//!
//! C: functions of [`mm/rmap.c`](srctree/mm/rmap.c), the tree of
//! [`mm/interval_tree.c`](srctree/mm/interval_tree.c). They are not exported to modules. User space
//! looks their addresses up in `/proc/kallsyms`, and passes them as module parameters.
//!
//! # Invariants of this module
//!
//! 1. The [`Functions`] are the addresses of the host's functions with these names.
//! 2. The thread that created a [`Space`] holds its `mmap_lock` for writing until the drop.
//! 3. A [`Vma`] is pinned. Only its owner and the anon_vmas that it is linked to have its address.
//!    When it is dropped it has no links.
//! 4. A [`Page`] is mapped and locked from its creation to its drop. Its anon_vma is that of a
//!    [`Vma`] that lives longer and cannot be unlinked meanwhile.
//! 5. At most one VMA is ever stored in the maple tree of a [`Space`]. After its drop the entry is
//!    stale, and only the prepare of that VMA follows it.

mod functions;
mod page;

pub(crate) use functions::{
    Addresses,
    Functions, //
};
pub(crate) use page::Page;

use crate::{
    ffi,
    kernel_ext::interval_tree::Range, //
};
use core::{
    cell::Cell,
    mem,
    ptr, //
};
use kernel::{
    error::to_result,
    page::PAGE_SHIFT,
    prelude::*,
    types::{
        NotThreadSafe,
        Opaque, //
    },
};

/// Bytes of the host's `struct anon_vma` and `struct anon_vma_chain`.
pub(crate) const SIZES: [usize; 2] = [
    mem::size_of::<ffi::anon_vma>(),
    mem::size_of::<ffi::anon_vma_chain>(),
];

/// `VMA_OP_SPLIT`, the first of `enum vma_operation` in `mm/internal.h`.
const VMA_OP_SPLIT: c_uint = 0;

/// An address space without a process and without memory, its `mmap_lock` held for writing.
pub(crate) struct Space<'a> {
    host: &'a Functions,
    mm: Pin<KBox<Opaque<ffi::mm_struct>>>,
    /// Whether a VMA has been stored in its maple tree.
    taken: Cell<bool>,
    _not_send: NotThreadSafe,
}

impl<'a> Space<'a> {
    /// Creates an address space. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(host: &'a Functions) -> Result<Self> {
        let mm = KBox::pin_init(
            Opaque::ffi_init(|mm| {
                // SAFETY: `mm` is valid for writes.
                unsafe { ffi::shadow_rmap_bench_mm_init(mm) }
            }),
            GFP_KERNEL,
        )?;
        // INVARIANT: (2) `drop` releases the lock.
        // SAFETY: The lock is initialised.
        unsafe { ffi::down_write(&raw mut (*mm.get()).__bindgen_anon_1.mmap_lock) };
        Ok(Self {
            host,
            mm,
            taken: Cell::new(false),
            _not_send: NotThreadSafe,
        })
    }

    /// Looks up the VMA that covers `range` and its neighbours, as [`Vma::prepare`] does, and
    /// returns how many there are.
    #[inline]
    pub(crate) fn neighbours(&self, range: Range) -> usize {
        let end = (range.last + 1) << PAGE_SHIFT;
        // SAFETY: By invariant (2) no other thread uses the tree; its entries are only counted.
        unsafe { ffi::shadow_rmap_bench_neighbours(self.mm.get(), end) as usize }
    }
}

impl Drop for Space<'_> {
    fn drop(&mut self) {
        // SAFETY: By invariant (2) no other thread uses the tree, and this one holds the lock.
        unsafe {
            let mm = &raw mut (*self.mm.get()).__bindgen_anon_1;
            ffi::__mt_destroy(&raw mut (*mm).mm_mt);
            ffi::up_write(&raw mut (*mm).mmap_lock);
        }
    }
}

/// A VMA of a [`Space`].
pub(crate) struct Vma<'a> {
    space: &'a Space<'a>,
    vma: Pin<KBox<Opaque<ffi::vm_area_struct>>>,
    entered: bool,
}

impl<'a> Vma<'a> {
    /// Creates a VMA that covers `range`, in pages, and has no links. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(space: &'a Space<'a>, range: Range) -> Result<Self> {
        let init = Opaque::ffi_init(|vma| {
            // SAFETY: `vma` is valid for writes; the address space outlives the VMA.
            unsafe {
                ffi::shadow_rmap_bench_vma_init(vma, space.mm.get(), range.start, range.last)
            };
        });
        // INVARIANT: (3) It has no links.
        Ok(Self {
            space,
            vma: KBox::pin_init(init, GFP_KERNEL)?,
            entered: false,
        })
    }

    /// Creates the first VMA of an address space, for which [`prepare`](Self::prepare) can be
    /// called. Sleeps.
    ///
    /// # Errors
    ///
    /// `EBUSY` if the address space has, or had, a first VMA; `ENOMEM`.
    pub(crate) fn first(space: &'a Space<'a>, range: Range) -> Result<Self> {
        let mut vma = Self::new(space, range)?;
        if space.taken.replace(true) {
            return Err(EBUSY);
        }
        // SAFETY: By invariants (2) and (3).
        // INVARIANT: (5) `taken` was not set before.
        to_result(unsafe { ffi::shadow_rmap_bench_vma_store(vma.vma.get()) })?;
        vma.entered = true;
        Ok(vma)
    }

    /// `__anon_vma_prepare()`. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EINVAL` if it is not the [`first`](Self::first) VMA of its address space.
    #[inline]
    pub(crate) fn prepare(&mut self) -> Result {
        if !self.entered {
            return Err(EINVAL);
        }
        // SAFETY: By invariants (1) to (3), and (5) for the maple tree.
        to_result(unsafe { (self.space.host.prepare)(self.vma.get()) })
    }

    /// `anon_vma_fork()`: makes this VMA, which has no links, the child of `parent`. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EBUSY` if it has links.
    #[inline]
    pub(crate) fn fork_from(&mut self, parent: &mut Vma<'a>) -> Result {
        // SAFETY: By invariant (3) no other thread changes it.
        if !unsafe { (*self.vma.get()).anon_vma }.is_null() {
            return Err(EBUSY);
        }
        // SAFETY: By invariants (1) to (3); this VMA has no links.
        to_result(unsafe { (self.space.host.fork)(self.vma.get(), parent.vma.get()) })
    }

    /// `anon_vma_clone()` as at a split: makes this VMA, which has no links, a copy of `source`.
    /// Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EBUSY` if it has links.
    #[inline]
    pub(crate) fn split_from(&mut self, source: &mut Vma<'a>) -> Result {
        let (vma, source) = (self.vma.get(), source.vma.get());
        // SAFETY: By invariants (1) to (3); this VMA has no links. As after `vm_area_dup()` it has
        // the `->anon_vma` of the source.
        unsafe {
            if !(*vma).anon_vma.is_null() {
                return Err(EBUSY);
            }
            (*vma).anon_vma = (*source).anon_vma;
            to_result((self.space.host.clone)(vma, source, VMA_OP_SPLIT))
        }
    }

    /// `unlink_anon_vmas()`. Sleeps.
    #[inline]
    pub(crate) fn unlink(&mut self) {
        // SAFETY: By invariants (1) to (3).
        unsafe { (self.space.host.unlink)(self.vma.get()) };
    }

    /// Returns the number of its links.
    pub(crate) fn links(&self) -> usize {
        // SAFETY: By invariant (3) the chain is a list that no other thread changes.
        unsafe {
            let head = &raw mut (*self.vma.get()).anon_vma_chain;
            let (mut n, mut at) = (0, (*head).next);
            while !ptr::eq(at, head) {
                (n, at) = (n + 1, (*at).next);
            }
            n
        }
    }
}

impl Drop for Vma<'_> {
    fn drop(&mut self) {
        // INVARIANT: (3)
        self.unlink();
    }
}

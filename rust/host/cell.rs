// SPDX-License-Identifier: GPL-2.0

//! A cell for a VMA of the host.
//!
//! The host may remove the VMA without telling the driver: it should call `close`, but a host with
//! a bug may forget that. So the cell does not trust its pointer. It reads the VMA while a callback
//! for this VMA runs; otherwise only if the host's tree of VMAs still has it.

use super::{
    mm::LockedMm,
    vma::HostVma, //
};
use crate::{
    ffi,
    kernel_ext::sched::resched_each, //
};
use core::ptr::NonNull;
use kernel::{
    mm::Mm,
    new_mutex,
    prelude::*,
    sync::{
        aref::ARef,
        Mutex, //
    },
};

/// A cell with a VMA of the host, which the host may close at any time.
#[pin_data]
pub(crate) struct HostVmaCell {
    /// Its address space.
    mm: ARef<Mm>,
    /// Its `vm_private_data`.
    number: usize,
    #[pin]
    vma: Mutex<Option<Known>>,
}

/// What is known of a VMA.
///
/// # Invariants
///
/// If `in_call`, the VMA is not closed.
struct Known {
    vma: NonNull<ffi::vm_area_struct>,
    /// Whether a callback for it runs. The tree may not have it yet, or not any more.
    in_call: bool,
    /// First address, and first address after it, when it was last read.
    near: (usize, usize),
}

// SAFETY: Any thread may read a VMA.
unsafe impl Send for Known {}

impl Known {
    /// Returns what is known of `vma` while a callback for it runs.
    fn in_call(vma: HostVma<'_>) -> Option<Self> {
        // INVARIANT: By that of `HostVma`; the creator of the cell and the caller of `enter` promise
        // that the call ends before the VMA is closed.
        Some(Self {
            vma: NonNull::new(vma.as_ptr())?,
            in_call: true,
            near: (vma.start(), vma.end()),
        })
    }
}

impl HostVmaCell {
    /// Creates an initialiser for a cell with `vma`, for which a callback runs, and which will have
    /// the private number `number`.
    ///
    /// # Safety
    ///
    /// [`leave`](Self::leave) is called before the callback returns, or the cell is cleared or
    /// dropped.
    pub(crate) unsafe fn new(vma: HostVma<'_>, number: usize) -> impl PinInit<Self> {
        let (mm, known) = (vma.mm(), Known::in_call(vma));
        pin_init!(Self {
            mm,
            number,
            vma <- new_mutex!(known, "shadow_rmap::host_vma"),
        })
    }

    /// Returns the key of the VMA, without a look at it; `None` if it has been closed. Sleeps.
    ///
    /// If the host has closed it without a call of `close`, another VMA may have the same key.
    pub(crate) fn key(&self) -> Option<usize> {
        Some(self.vma.lock().as_ref()?.vma.addr().get())
    }

    /// Runs `f` on the VMA, which is not closed meanwhile; `None` if it has been closed, or is
    /// being closed, or if `here` is another address space. Sleeps.
    ///
    /// Usually this takes one look at the host's tree of VMAs; a walk over all of it if the VMA has
    /// left its addresses without a callback, or is being unmapped by another thread.
    pub(crate) fn read<T>(
        &self,
        here: LockedMm<'_>,
        f: impl FnOnce(HostVma<'_>) -> T,
    ) -> Option<T> {
        self.read_found(here, f, |near, find| {
            find(near).or_else(|| find((0, usize::MAX)))
        })
    }

    /// As [`read`](Self::read), but takes a VMA that has left its addresses for one that is gone: this
    /// never walks over the tree.
    pub(crate) fn read_near<T>(
        &self,
        here: LockedMm<'_>,
        f: impl FnOnce(HostVma<'_>) -> T,
    ) -> Option<T> {
        self.read_found(here, f, |near, find| find(near))
    }

    /// Reads the VMA; `search` gets its last addresses, and a function that finds it within addresses.
    fn read_found<'a, T>(
        &self,
        here: LockedMm<'a>,
        f: impl FnOnce(HostVma<'_>) -> T,
        search: impl FnOnce(
            (usize, usize),
            &dyn Fn((usize, usize)) -> Option<HostVma<'a>>,
        ) -> Option<HostVma<'a>>,
    ) -> Option<T> {
        if here.key() != self.mm.as_raw().addr() {
            return None;
        }
        let mut guard = self.vma.lock();
        let known = (*guard).as_mut()?;
        if known.in_call {
            // SAFETY: By the invariant of `Known`, until the lock is released; `here` is the VMA's
            // address space.
            return Some(f(unsafe { HostVma::from_raw(known.vma) }));
        }
        let key = known.vma.addr().get();
        let vma = search(known.near, &|within| here.find(key, self.number, within))?;
        known.near = (vma.start(), vma.end());
        Some(f(vma))
    }

    /// Says that a callback for `vma` runs. Sleeps.
    ///
    /// # Safety
    ///
    /// [`leave`](Self::leave) or [`clear`](Self::clear) is called before the callback returns.
    pub(crate) unsafe fn enter(&self, vma: HostVma<'_>) {
        *self.vma.lock() = Known::in_call(vma);
    }

    /// Says that the callback is over: the tree has the VMA before the `mmap_lock` is released.
    /// Sleeps.
    pub(crate) fn leave(&self) {
        if let Some(known) = &mut *self.vma.lock() {
            known.in_call = false;
        }
    }

    /// Empties the cell. Sleeps.
    pub(crate) fn clear(&self) {
        *self.vma.lock() = None;
    }
}

/// Runs `f` while each of the cells has its VMA. They are empty then. Sleeps.
pub(crate) fn with_vmas<T>(cells: &[(&HostVmaCell, HostVma<'_>)], f: impl FnOnce() -> T) -> T {
    for (cell, vma) in resched_each(cells) {
        // SAFETY: The VMA is not closed before this function returns, and the cell is emptied below.
        unsafe { cell.enter(*vma) };
    }
    let result = f();
    for (cell, _) in resched_each(cells) {
        cell.clear();
    }
    result
}

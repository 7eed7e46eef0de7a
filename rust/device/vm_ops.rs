// SPDX-License-Identifier: GPL-2.0

//! The host's callbacks, as calls of safe functions.
//!
//! C header: [`include/linux/mm.h`](srctree/include/linux/mm.h), `struct vm_operations_struct`.
//!
//! # Invariants of this module
//!
//! 1. `vm_private_data` of a VMA with [`OPERATIONS`] is the number of a [`LiveVma`], or null. It is
//!    never a pointer: a copy of a VMA has the number of its source until `open`, and for ever if
//!    the host does not call `open`. The number belongs to a VMA if the `LiveVma` refers to that
//!    VMA ([`live`]).
//! 2. `vm_file` of such a VMA is an open `/dev/shadow_rmap`, whose private data is an [`OpenFile`].
//! 3. The callbacks are called with the VMA's `mmap_lock` held, and an `open` for a fork with that of
//!    the forking process, too; after `close` the VMA is not used. If the host does not call
//!    `close`, [`HostVmaCell`] does not follow its pointer. (With `map_pages` set, `fault` would be
//!    called under the VMA's own lock alone: it must not be set.)

#![allow(unsafe_code, reason = "the host's callbacks")]

use super::{
    events,
    file::OpenFile,
    live::{
        LiveMm,
        LiveVma, //
    },
    mergeable,
    mode::Mode, //
};
use crate::{
    ffi,
    host::{
        cell::HostVmaCell,
        graph::place_on_chain,
        mm::LockedMm,
        vma::HostVma, //
    }, //
    kernel_ext::gfp::GFP_BOUNDED,
};
use core::ptr::{
    self,
    NonNull, //
};
use kernel::{
    current,
    mm::virt::VmaNew,
    prelude::*,
    sync::{
        Arc,
        ArcBorrow, //
    },
    types::ForeignOwnable,
};

/// A VMA for which a [`LiveVma`] may be created.
pub(crate) struct Opening<'a>(HostVma<'a>);

impl<'a> Opening<'a> {
    /// Says that a [`LiveVma`] may be created.
    ///
    /// # Safety
    ///
    /// A callback for the VMA runs, with its `mmap_lock` held, and calls [`set_number`] before it
    /// returns.
    pub(super) unsafe fn new(vma: HostVma<'a>) -> Self {
        Self(vma)
    }

    /// Returns the host's VMA.
    pub(crate) fn host(&self) -> HostVma<'a> {
        self.0
    }

    /// Returns the place on the chain of `source` of the anon_vma that the host has reused for a
    /// forked VMA (`None`: it has reused none). The chain has `links` links in the shadow, and the
    /// same order.
    ///
    /// Returns no place at all if the VMA has no anon_vma, or the host's chain has another length.
    pub(crate) fn reused(&self, source: &LiveVma, links: usize) -> Option<Option<usize>> {
        let key = self.0.anon_vma_key();
        let (place, n) = source.host.read(self.lock_of(source)?, |source| {
            // SAFETY: A fork holds the `mmap_lock` of the VMA's source for writing (3).
            unsafe { place_on_chain(source, key) }
        })?;
        (key != 0 && n == links).then_some(place)
    }

    /// Returns the address space of `source`, if the VMA may be a copy of it: only then does the
    /// host hold the `mmap_lock` of both. It is a copy of another VMA if the host has copied that
    /// from `source` without calling `open`.
    pub(super) fn lock_of(&self, source: &LiveVma) -> Option<LockedMm<'a>> {
        if source.mm.key() == self.0.mm_key() {
            return Some(self.0.locked());
        }
        let task = current!();
        let mm = NonNull::new(task.mm()?.as_raw())?;
        // SAFETY: The process makes a copy of a VMA in another address space than its own: it
        // forks, and holds the `mmap_lock` of its own for writing (3).
        (mm.addr().get() == source.mm.key()).then(|| unsafe { LockedMm::from_raw(mm) })
    }

    /// Creates an initialiser for the reference that the [`LiveVma`] with this number keeps.
    pub(crate) fn cell(&self, number: usize) -> impl PinInit<HostVmaCell> {
        // SAFETY: The creator of `self` calls `set_number`, or the `LiveVma` is dropped.
        unsafe { HostVmaCell::new(self.0, number) }
    }
}

/// `mmap()`: creates the shadow of the VMA, and sets the operations of the VMA.
///
/// # Errors
///
/// Those of [`events::mapped`]; then the VMA stays as it was.
pub(crate) fn mmap(file: ArcBorrow<'_, OpenFile>, vma: &VmaNew, mode: Mode) -> Result {
    let vma = NonNull::new(vma.as_ptr()).ok_or(EINVAL)?;
    if mode == Mode::Mergeable {
        return mergeable::vm_ops::mmap(file, vma);
    }
    // SAFETY: A VMA that is being mapped is not closed meanwhile (3); `set_number` follows.
    let live = events::mapped(file, &Opening(unsafe { HostVma::from_raw(vma) }))?;
    // SAFETY: The VMA is being set up by this driver.
    unsafe {
        set_number(vma, live);
        (*vma.as_ptr()).vm_ops = &raw const OPERATIONS.0;
    }
    Ok(())
}

/// Stores the number of `live` in the VMA, at the end of a callback.
///
/// # Safety
///
/// The VMA has operations of this driver or is about to get them, and is not closed.
pub(super) unsafe fn set_number(vma: NonNull<ffi::vm_area_struct>, live: Option<Arc<LiveVma>>) {
    let number = live.map_or(0, |live| {
        live.host.leave();
        live.number()
    });
    // INVARIANT: (1).
    // SAFETY: The caller's promise.
    unsafe { (*vma.as_ptr()).vm_private_data = ptr::without_provenance_mut(number) };
}

/// Returns the number that `vm_private_data` of the VMA is; 0 for none.
///
/// # Safety
///
/// `vma` has [`OPERATIONS`], and is not closed.
unsafe fn number(vma: NonNull<ffi::vm_area_struct>) -> usize {
    // SAFETY: The caller's promise.
    unsafe { (&raw const (*vma.as_ptr()).vm_private_data).read_volatile() }.addr()
}

/// Returns the [`LiveVma`] of `vma`. A VMA for which the host has not called `open` has the number
/// of another one, or of one that is gone, and no `LiveVma`.
///
/// # Safety
///
/// `vma` has [`OPERATIONS`], and is not closed.
unsafe fn live(vma: NonNull<ffi::vm_area_struct>) -> Option<Arc<LiveVma>> {
    // SAFETY: The caller's promise; (2).
    let (number, file) = unsafe { (number(vma), open_file(vma)) };
    file.numbers
        .get(number)
        .filter(|live| live.host.key() == Some(vma.addr().get()))
}

/// Counts a call for `vma`, which has a number but no [`LiveVma`].
///
/// # Safety
///
/// `vma` has [`OPERATIONS`], and is not closed.
unsafe fn count_if_unannounced(vma: NonNull<ffi::vm_area_struct>) {
    // SAFETY: The caller's promise; (2).
    let (number, file) = unsafe { (number(vma), open_file(vma)) };
    if number != 0 {
        file.numbers.count_unannounced();
    }
}

/// Returns the VMA at `address` in the address space of `vma`, if it maps the same file and has a
/// [`LiveVma`].
///
/// # Safety
///
/// `mmap_lock` is held for `'a`.
unsafe fn neighbour<'a>(
    vma: NonNull<ffi::vm_area_struct>,
    address: usize,
) -> Option<(HostVma<'a>, Arc<LiveVma>)> {
    // SAFETY: By the caller's promise a VMA that is found is not closed for `'a`; (2).
    unsafe {
        let there = NonNull::new(ffi::shadow_rmap_vma_lookup((*vma.as_ptr()).vm_mm, address))?;
        let host = HostVma::from_raw(there);
        is_of(host, &open_file(vma)).then_some(())?;
        Some((host, live(there)?))
    }
}

/// Returns whether `host` maps `file` by this driver, in the file's mode.
pub(super) fn is_of(host: HostVma<'_>, file: &OpenFile) -> bool {
    let operations = if file.is_mergeable() {
        mergeable::vm_ops::operations()
    } else {
        &raw const OPERATIONS.0
    };
    let Some(raw) = NonNull::new(host.as_ptr()) else {
        return false;
    };
    // SAFETY: By the type invariant it is not closed. Without operations of this driver the VMA is
    // not one of its (2).
    unsafe { ptr::eq((*raw.as_ptr()).vm_ops, operations) && ptr::eq(&*open_file(raw), file) }
}

/// Returns the VMAs of the host that map the file of `mm` in its address space, in order of
/// address, and that are shadowed: `open` was called for them, or should have been. Calls `skipped`
/// for each that is not shadowed.
///
/// # Errors
///
/// `ENOMEM`.
pub(crate) fn shadowed_vmas<'a>(
    locked: LockedMm<'a>,
    mm: &LiveMm,
    mut skipped: impl FnMut(),
) -> Result<KVVec<HostVma<'a>>> {
    let mut vmas = KVVec::new();
    locked.for_each_vma(|vma| {
        match (is_of(vma, &mm.file), vma.private_number()) {
            (false, _) => {}
            (true, 0) => skipped(),
            (true, _) => vmas.push(vma, GFP_BOUNDED)?,
        }
        Ok(())
    })?;
    Ok(vmas)
}

/// Returns the open file that is mapped.
///
/// # Safety
///
/// `vma` has operations of this driver, and is not closed for `'a`.
pub(super) unsafe fn open_file<'a>(vma: NonNull<ffi::vm_area_struct>) -> ArcBorrow<'a, OpenFile> {
    // SAFETY: By invariant (2); the VMA holds the file.
    unsafe {
        let file = (*vma.as_ptr()).vm_file;
        <Arc<OpenFile> as ForeignOwnable>::borrow((*file).private_data)
    }
}

/// `open`: the host has copied a VMA.
///
/// # Safety
///
/// `vma` is a copy of a VMA with [`OPERATIONS`], as in invariants (1) and (3).
unsafe extern "C" fn open(vma: *mut ffi::vm_area_struct) {
    #[cfg(shadow_rmap_busted)]
    if crate::is_chosen("HostForgetsOpen") {
        return;
    }
    let Some(vma) = NonNull::new(vma) else {
        return;
    };
    // SAFETY: (2), (3).
    let (file, number) = unsafe { (open_file(vma), number(vma)) };
    // SAFETY: (3).
    let opening = Opening(unsafe { HostVma::from_raw(vma) });
    // The VMA has the number of its source.
    let source = file
        .numbers
        .get(number)
        .filter(|source| opening.lock_of(source).is_some());
    if source.is_none() {
        // SAFETY: (3).
        unsafe { count_if_unannounced(vma) };
    }
    let live = events::opened(file, &opening, source.as_ref().map(Arc::as_arc_borrow));
    if live.is_none() {
        file.add_missing();
    }
    // SAFETY: (3).
    unsafe { set_number(vma, live) };
}

/// `close`: the host removes the VMA.
///
/// # Safety
///
/// `vma` has [`OPERATIONS`], as in invariants (1) and (3).
unsafe extern "C" fn close(vma: *mut ffi::vm_area_struct) {
    #[cfg(shadow_rmap_busted)]
    if crate::is_chosen("HostForgetsClose") {
        return;
    }
    let Some(vma) = NonNull::new(vma) else {
        return;
    };
    // SAFETY: (3).
    if let Some(live) = unsafe { live(vma) } {
        // SAFETY: (3).
        let host = unsafe { HostVma::from_raw(vma) };
        // SAFETY: `closed` clears the cell.
        unsafe { live.host.enter(host) };
        return events::closed(live, host.locked());
    }
    // SAFETY: (2), (3).
    unsafe {
        count_if_unannounced(vma);
        if number(vma) == 0 {
            open_file(vma).remove_missing();
        }
    }
}

/// `mremap`: the host has moved pages to the VMA.
///
/// # Safety
///
/// As for [`close`].
unsafe extern "C" fn mremap(vma: *mut ffi::vm_area_struct) -> c_int {
    // SAFETY: The caller's promise.
    if let Some((vma, live)) = NonNull::new(vma).and_then(|vma| unsafe { Some((vma, live(vma)?)) })
    {
        // SAFETY: (3).
        events::moved_to(&live, unsafe { HostVma::from_raw(vma) }.locked());
    }
    0
}

/// `fault`: the host is about to map a page.
///
/// # Safety
///
/// `vmf` describes a fault in a VMA with [`OPERATIONS`], as in invariants (1) and (3).
unsafe extern "C" fn fault(vmf: *mut ffi::vm_fault) -> ffi::vm_fault_t {
    // SAFETY: The caller's promise.
    let Some((vma, write)) = (unsafe { faulting(vmf) }) else {
        return ffi::vm_fault_reason_VM_FAULT_SIGBUS;
    };
    // SAFETY: (2), (3).
    let file = unsafe { open_file(vma) };
    // SAFETY: (3).
    unsafe {
        let host = HostVma::from_raw(vma);
        if let Some(live) = live(vma) {
            let addresses = [host.end(), host.start().wrapping_sub(1)];
            let neighbours = || addresses.map(|address| neighbour(vma, address));
            events::fault(&live, host, neighbours, write);
        } else {
            count_if_unannounced(vma);
        }
    }
    // SAFETY: The caller's promise.
    unsafe { file.registry.zero_pages.give(vmf) }
}

/// Returns the VMA of a fault, and whether the host will map an anonymous page.
///
/// # Safety
///
/// `vmf` describes a fault.
pub(super) unsafe fn faulting(
    vmf: *mut ffi::vm_fault,
) -> Option<(NonNull<ffi::vm_area_struct>, bool)> {
    // SAFETY: The caller's promise.
    unsafe {
        let vma = NonNull::new((*vmf).__bindgen_anon_1.vma)?;
        Some((vma, !(*vmf).cow_page.is_null()))
    }
}

/// Operations of VMAs.
pub(super) struct Operations(pub(super) ffi::vm_operations_struct);

// SAFETY: It is never written.
unsafe impl Sync for Operations {}

/// The operations of all pinned VMAs. The host never merges away a VMA with `close`.
static OPERATIONS: Operations = Operations(ffi::vm_operations_struct {
    open: Some(open),
    close: Some(close),
    mremap: Some(mremap),
    fault: Some(fault),
    ..pin_init::zeroed()
});

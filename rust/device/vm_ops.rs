// SPDX-License-Identifier: GPL-2.0

//! The host's callbacks, as calls of safe functions; and the static that holds the registry.
//!
//! C header: [`include/linux/mm.h`](srctree/include/linux/mm.h), `struct vm_operations_struct`.
//!
//! # Invariants of this module
//!
//! 1. `vm_private_data` of a VMA with [`OPERATIONS`] is null, or owns one reference on its
//!    [`LiveVma`]. (After the host has copied a VMA, and until `open`, the copy has the pointer of
//!    its source, and owns nothing.)
//! 2. `vm_file` of such a VMA is an open `/dev/shadow_rmap`, whose private data is an [`OpenFile`].
//! 3. `mmap`, `open`, `close` and `fault` are called with the VMA's `mmap_lock` held; after `close`
//!    the VMA is not used. (With `map_pages` set, `fault` would be called under the VMA's own lock
//!    alone: it must not be set.)

#![allow(unsafe_code, reason = "the host's callbacks")]

use super::{
    events,
    file::{
        OpenFile,
        Registry, //
    },
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
        graph::place_on_chain,
        mm::LockedMm,
        vma::{
            HostVma,
            HostVmaCell, //
        },
    }, //
};
use core::ptr::NonNull;
use kernel::{
    mm::virt::VmaNew,
    page::Page,
    prelude::*,
    sync::{
        global_lock,
        Arc,
        ArcBorrow, //
    },
    types::ForeignOwnable,
};

global_lock! {
    // SAFETY: Initialised in `publish`, before the device and debugfs exist.
    unsafe(uninit) static REGISTRY: Mutex<Option<Arc<Registry>>> = None;
}

/// Keeps the [`Registry`] in the static where the device finds it, until it is dropped.
pub(crate) struct Published(());

/// Stores `registry` where the device finds it.
///
/// Call it once, when the module is initialised.
pub(crate) fn publish(registry: Arc<Registry>) -> Published {
    // SAFETY: Only the initialisation of the module calls this function, once.
    unsafe { REGISTRY.init() };
    *REGISTRY.lock() = Some(registry);
    Published(())
}

impl Drop for Published {
    fn drop(&mut self) {
        let registry = REGISTRY.lock().take();
        drop(registry);
    }
}

/// Returns the registry, while the module is loaded.
pub(crate) fn registry() -> Option<Arc<Registry>> {
    REGISTRY.lock().clone()
}

/// A VMA for which a [`LiveVma`] may be created.
pub(crate) struct Opening<'a>(HostVma<'a>);

impl<'a> Opening<'a> {
    /// Says that a [`LiveVma`] may be created.
    ///
    /// # Safety
    ///
    /// `close` will be called for the VMA; or the caller empties the cell of the [`LiveVma`] before
    /// the `mmap_lock` is released.
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
        let (place, n) = source.host.read(|source| {
            // SAFETY: A fork holds the `mmap_lock` of the VMA's source for writing (3).
            unsafe { place_on_chain(source, key) }
        })?;
        (key != 0 && n == links).then_some(place)
    }

    /// Returns the VMAs of this driver directly after and directly before `source`.
    pub(crate) fn neighbours_of(&self, source: &LiveVma) -> [Option<Arc<LiveVma>>; 2] {
        let addresses = source
            .host
            .read(|source| [source.end(), source.start().wrapping_sub(1)]);
        let Some(addresses) = addresses else {
            return [None, None];
        };
        addresses.map(|address| {
            let vma = NonNull::new(self.0.as_ptr())?;
            // SAFETY: `mmap_lock` is held (3).
            let (_, live) = unsafe { neighbour(vma, address) }?;
            Some(live.into())
        })
    }

    /// Creates an initialiser for the reference that a [`LiveVma`] keeps.
    pub(crate) fn cell(&self) -> impl PinInit<HostVmaCell> {
        // SAFETY: The `LiveVma` is stored in `vm_private_data`, so that `close` clears the cell; or
        // the creator of `self` does; or the `LiveVma` is dropped.
        unsafe { HostVmaCell::new(self.0) }
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
    // SAFETY: A VMA that is being mapped is not closed meanwhile (3).
    let live = events::mapped(file, &Opening(unsafe { HostVma::from_raw(vma) }))?;
    // SAFETY: The VMA is being set up by this driver.
    unsafe { set_private(vma, live) };
    // SAFETY: As above.
    unsafe { (*vma.as_ptr()).vm_ops = &raw const OPERATIONS.0 };
    Ok(())
}

/// Stores `live` in the VMA.
///
/// # Safety
///
/// The VMA is being set up, and its `vm_private_data` owns nothing.
unsafe fn set_private(vma: NonNull<ffi::vm_area_struct>, live: Option<Arc<LiveVma>>) {
    // INVARIANT: (1).
    let private = live.map_or(core::ptr::null_mut(), |live| live.into_foreign());
    // SAFETY: The caller's promise.
    unsafe { (*vma.as_ptr()).vm_private_data = private };
}

/// Returns the [`LiveVma`] that `vm_private_data` points to.
///
/// # Safety
///
/// `vma` has [`OPERATIONS`], and is not closed for `'a`; or it is about to be opened, and its
/// source is not closed for `'a`.
unsafe fn private<'a>(vma: NonNull<ffi::vm_area_struct>) -> Option<ArcBorrow<'a, LiveVma>> {
    // SAFETY: The caller's promise.
    let private = NonNull::new(unsafe { (*vma.as_ptr()).vm_private_data })?;
    // SAFETY: By invariant (1), from `into_foreign()`.
    Some(unsafe { <Arc<LiveVma> as ForeignOwnable>::borrow(private.as_ptr()) })
}

/// Returns the VMA at `address` in the address space of `vma`, if it has [`OPERATIONS`].
///
/// # Safety
///
/// `mmap_lock` is held for `'a`.
unsafe fn neighbour<'a>(
    vma: NonNull<ffi::vm_area_struct>,
    address: usize,
) -> Option<(HostVma<'a>, ArcBorrow<'a, LiveVma>)> {
    // SAFETY: By the caller's promise a VMA that is found is not closed for `'a`.
    unsafe {
        let there = NonNull::new(ffi::shadow_rmap_vma_lookup((*vma.as_ptr()).vm_mm, address))?;
        if !core::ptr::eq((*there.as_ptr()).vm_ops, &raw const OPERATIONS.0) {
            return None;
        }
        Some((HostVma::from_raw(there), private(there)?))
    }
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
    let operations = if mm.file.is_mergeable() {
        mergeable::vm_ops::operations()
    } else {
        &raw const OPERATIONS.0
    };
    let mut vmas = KVVec::new();
    locked.for_each_vma(|vma| {
        let Some(raw) = NonNull::new(vma.as_ptr()) else {
            return Ok(());
        };
        // SAFETY: The address space is locked, and its VMAs are not closed (3). Without operations
        // of this driver the VMA is not one of its (2).
        let is_of_file = unsafe {
            core::ptr::eq((*raw.as_ptr()).vm_ops, operations)
                && core::ptr::eq(&*open_file(raw), &*mm.file)
        };
        match (is_of_file, vma.private_number()) {
            (false, _) => {}
            (true, 0) => skipped(),
            (true, _) => vmas.push(vma, GFP_KERNEL)?,
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
    let Some(vma) = NonNull::new(vma) else {
        return;
    };
    // SAFETY: (2), (3).
    let file = unsafe { open_file(vma) };
    // SAFETY: The VMA is a copy: `vm_private_data` is that of the source, which is not closed
    // because its `mmap_lock` is held (3).
    let source = unsafe { private(vma) };
    // SAFETY: (3).
    let opening = Opening(unsafe { HostVma::from_raw(vma) });
    let live = events::opened(file, &opening, source);
    if live.is_none() {
        file.add_missing();
    }
    // SAFETY: The pointer is that of the source, so the VMA owns nothing.
    unsafe { set_private(vma, live) };
}

/// `close`: the host removes the VMA.
///
/// # Safety
///
/// `vma` has [`OPERATIONS`], as in invariants (1) and (3).
unsafe extern "C" fn close(vma: *mut ffi::vm_area_struct) {
    let Some(vma) = NonNull::new(vma) else {
        return;
    };
    // SAFETY: (3).
    let private = unsafe { (*vma.as_ptr()).vm_private_data };
    if private.is_null() {
        // SAFETY: (2), (3).
        unsafe { open_file(vma) }.remove_missing();
        return;
    }
    // SAFETY: (3).
    unsafe { (*vma.as_ptr()).vm_private_data = core::ptr::null_mut() };
    // SAFETY: By invariant (1) the VMA owned the reference, which is taken over here.
    events::closed(unsafe { <Arc<LiveVma> as ForeignOwnable>::from_foreign(private) });
}

/// `fault`: the host is about to map a page.
///
/// # Safety
///
/// `vmf` describes a fault in a VMA with [`OPERATIONS`], as in invariants (1) and (3).
unsafe extern "C" fn fault(vmf: *mut ffi::vm_fault) -> ffi::vm_fault_t {
    // SAFETY: The caller's promise.
    let (vma, write) = unsafe {
        (
            NonNull::new((*vmf).__bindgen_anon_1.vma),
            !(*vmf).cow_page.is_null(),
        )
    };
    let Some(vma) = vma else {
        return ffi::vm_fault_reason_VM_FAULT_SIGBUS;
    };
    // SAFETY: (2), (3).
    let file = unsafe { open_file(vma) };
    // SAFETY: (3).
    if let Some(live) = unsafe { private(vma) } {
        // SAFETY: (3).
        unsafe {
            let host = HostVma::from_raw(vma);
            let neighbours = [
                neighbour(vma, host.end()),
                neighbour(vma, host.start().wrapping_sub(1)),
            ];
            events::fault(live, host, neighbours, write);
        }
    }
    // SAFETY: The caller's promise.
    unsafe { give_zero_page(vmf, &file) }
}

/// Answers a fault with the page of zeros.
///
/// # Safety
///
/// `vmf` describes a fault in a private mapping of `file`.
pub(super) unsafe fn give_zero_page(vmf: *mut ffi::vm_fault, file: &OpenFile) -> ffi::vm_fault_t {
    let page: &Page = file.registry.zero_page();
    // SAFETY: The registry holds the page, and each mapping of it holds another reference. The host
    // copies the page of a private mapping before it is written to.
    unsafe {
        ffi::shadow_rmap_get_page(page.as_ptr());
        (*vmf).page = page.as_ptr();
    }
    0
}

/// Operations of VMAs.
pub(super) struct Operations(pub(super) ffi::vm_operations_struct);

// SAFETY: It is never written.
unsafe impl Sync for Operations {}

/// The operations of all pinned VMAs. The host never merges away a VMA with `close`.
static OPERATIONS: Operations = Operations(ffi::vm_operations_struct {
    open: Some(open),
    close: Some(close),
    fault: Some(fault),
    ..pin_init::zeroed()
});

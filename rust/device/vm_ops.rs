// SPDX-License-Identifier: GPL-2.0

//! The host's callbacks, as safe calls; and the list of open files that everybody finds.
//!
//! C header: [`include/linux/mm.h`](srctree/include/linux/mm.h), `struct vm_operations_struct`.
//!
//! # Invariants of this module
//!
//! 1. `vm_private_data` of a VMA with our operations is null, or owns one reference on its
//! [`LiveVma`]. (Between the host's copying of a VMA and `open` it is the source's, and owns
//! nothing.)
//! 2. `vm_file` of such a VMA is an open `/dev/shadow_rmap`, whose private data is an [`OpenFile`].
//! 3. `mmap`, `open`, `close` and `fault` are called with the VMA's `mmap_lock` held; after `close`
//! the VMA is not used. (`fault` would be called under the VMA's own lock alone if there were
//! `map_pages` besides: there must not be.)

#![allow(unsafe_code, reason = "the host's callbacks")]

use super::{
    events,
    file::{
        OpenFile,
        Registry, //
    },
    live::LiveVma, //
};
use crate::{
    ffi,
    host::{
        graph::place_on_chain,
        vma::{
            HostVma,
            HostVmaCell, //
        },
    },
    rmap::link::Reuse,
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

/// Where the device finds the [`Registry`]: as long as this lives.
pub(crate) struct Published(());

/// Makes `registry` known to the device.
///
/// To be called once, by the module's initialisation.
pub(crate) fn publish(registry: Arc<Registry>) -> Published {
    // SAFETY: The module is initialised once, and this is called nowhere else.
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

/// The registry, while the module is loaded.
pub(crate) fn registry() -> Option<Arc<Registry>> {
    REGISTRY.lock().clone()
}

/// A VMA for which a [`LiveVma`] may be made: it will be told of the VMA's end.
pub(crate) struct Opening<'a>(HostVma<'a>);

impl<'a> Opening<'a> {
    /// The host's VMA.
    pub(crate) fn host(&self) -> HostVma<'a> {
        self.0
    }

    /// Which anon_vma of its source the host has let a forked VMA reuse, by its place on the chain
    /// of `links` links; the chains run the same way in the shadow.
    pub(crate) fn reused(&self, source: &LiveVma, links: usize) -> Reuse {
        let key = self.0.anon_vma_key();
        let seen = source.host.read(|source| {
            // SAFETY: A fork holds the `mmap_lock` of the VMA's source for writing (3).
            unsafe { place_on_chain(source, key) }
        });
        match seen {
            Some((place, n)) if key != 0 && n == links => Reuse::AsSeen(place),
            _ => Reuse::ByRule,
        }
    }

    /// What the [`LiveVma`] keeps of it.
    pub(crate) fn cell(&self) -> impl PinInit<HostVmaCell> {
        // SAFETY: What is made of this goes to `vm_private_data`, or is dropped; in the first case
        // `close` clears it.
        unsafe { HostVmaCell::new(self.0) }
    }
}

/// Lets `make` shadow a VMA that is being mapped, and takes the VMA over.
///
/// # Errors
///
/// Those of `make`; then the VMA is left as it was.
pub(crate) fn mmap(
    vma: &VmaNew,
    make: impl FnOnce(&Opening<'_>) -> Result<Option<Arc<LiveVma>>>,
) -> Result {
    let vma = NonNull::new(vma.as_ptr()).ok_or(EINVAL)?;
    // SAFETY: A VMA that is being mapped is not closed meanwhile (3).
    let live = make(&Opening(unsafe { HostVma::from_raw(vma) }))?;
    // SAFETY: The VMA is ours to set up.
    unsafe { set_private(vma, live) };
    // SAFETY: As above.
    unsafe { (*vma.as_ptr()).vm_ops = &raw const OPERATIONS.0 };
    Ok(())
}

/// # Safety
///
/// The VMA is being set up, and its `vm_private_data` owns nothing.
unsafe fn set_private(vma: NonNull<ffi::vm_area_struct>, live: Option<Arc<LiveVma>>) {
    // INVARIANT: (1).
    let private = live.map_or(core::ptr::null_mut(), |live| live.into_foreign());
    // SAFETY: The caller's promise.
    unsafe { (*vma.as_ptr()).vm_private_data = private };
}

/// # Safety
///
/// `vma` has our operations, and is not closed for `'a`; or it is about to be opened, and its
/// source is not closed for `'a`.
unsafe fn private<'a>(vma: NonNull<ffi::vm_area_struct>) -> Option<ArcBorrow<'a, LiveVma>> {
    // SAFETY: The caller's promise.
    let private = NonNull::new(unsafe { (*vma.as_ptr()).vm_private_data })?;
    // SAFETY: By invariant (1), from `into_foreign()`.
    Some(unsafe { <Arc<LiveVma> as ForeignOwnable>::borrow(private.as_ptr()) })
}

/// The VMA of ours at `address` in the address space of `vma`.
///
/// # Safety
///
/// `mmap_lock` is held for `'a`.
unsafe fn neighbour<'a>(
    vma: NonNull<ffi::vm_area_struct>,
    address: usize,
) -> Option<(HostVma<'a>, ArcBorrow<'a, LiveVma>)> {
    // SAFETY: The caller's promise: what is found is not closed for `'a`.
    unsafe {
        let there = NonNull::new(ffi::shadow_rmap_vma_lookup((*vma.as_ptr()).vm_mm, address))?;
        if !core::ptr::eq((*there.as_ptr()).vm_ops, &raw const OPERATIONS.0) {
            return None;
        }
        Some((HostVma::from_raw(there), private(there)?))
    }
}

/// # Safety
///
/// `vma` has our operations, and is not closed for `'a`.
unsafe fn open_file<'a>(vma: NonNull<ffi::vm_area_struct>) -> ArcBorrow<'a, OpenFile> {
    // SAFETY: By invariant (2); the VMA holds the file.
    unsafe {
        let file = (*vma.as_ptr()).vm_file;
        <Arc<OpenFile> as ForeignOwnable>::borrow((*file).private_data)
    }
}

/// The host has made a VMA of one of ours.
///
/// # Safety
///
/// `vma` is a copy of a VMA with our operations, as in invariants (1) and (3).
unsafe extern "C" fn open(vma: *mut ffi::vm_area_struct) {
    let Some(vma) = NonNull::new(vma) else {
        return;
    };
    // SAFETY: (2), (3).
    let file = unsafe { open_file(vma) };
    // SAFETY: The VMA is a copy: what `vm_private_data` says is the source's, which is not closed,
    // since its `mmap_lock` is held (3).
    let source = unsafe { private(vma) };
    // SAFETY: (3).
    let opening = Opening(unsafe { HostVma::from_raw(vma) });
    let live = events::opened(file, &opening, source);
    // SAFETY: The pointer is the source's, so nothing is owned.
    unsafe { set_private(vma, live) };
}

/// The VMA is going.
///
/// # Safety
///
/// `vma` has our operations, as in invariants (1) and (3).
unsafe extern "C" fn close(vma: *mut ffi::vm_area_struct) {
    let Some(vma) = NonNull::new(vma) else {
        return;
    };
    // SAFETY: (3).
    let private = unsafe { (*vma.as_ptr()).vm_private_data };
    if private.is_null() {
        return;
    }
    // SAFETY: (3).
    unsafe { (*vma.as_ptr()).vm_private_data = core::ptr::null_mut() };
    // SAFETY: By invariant (1) the reference is ours now.
    events::closed(unsafe { <Arc<LiveVma> as ForeignOwnable>::from_foreign(private) });
}

/// A page is to be mapped.
///
/// # Safety
///
/// `vmf` describes a fault in a VMA with our operations, as in invariants (1) and (3).
unsafe extern "C" fn fault(vmf: *mut ffi::vm_fault) -> ffi::vm_fault_t {
    // SAFETY: The host hands us a fault of one of our VMAs.
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
    let page: &Page = file.registry.zero_page();
    // SAFETY: The page is there as long as the registry; each mapping of it holds it besides. For a
    // private mapping the host copies it before it is written to.
    unsafe {
        ffi::shadow_rmap_get_page(page.as_ptr());
        (*vmf).page = page.as_ptr();
    }
    0
}

/// The operations of all our VMAs. With `close`, the host never merges one away.
struct Operations(ffi::vm_operations_struct);

// SAFETY: Never written.
unsafe impl Sync for Operations {}

static OPERATIONS: Operations = Operations(ffi::vm_operations_struct {
    open: Some(open),
    close: Some(close),
    fault: Some(fault),
    ..pin_init::zeroed()
});

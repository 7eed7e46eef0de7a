// SPDX-License-Identifier: GPL-2.0

//! The host's callbacks for mergeable mappings, as calls of safe functions.
//!
//! # Invariants of this module
//!
//! 1. `vm_private_data` of a VMA with [`OPERATIONS`] is a number, and is never followed.
//! 2. `vm_file` of such a VMA is an open `/dev/shadow_rmap`, whose private data is an [`OpenFile`].
//! 3. The callbacks are called with the VMA's `mmap_lock` held; an `open` for a fork, with that of
//!    the forking process, too. (`map_pages` must not be set, as for pinned mappings.)
//! 4. When a callback returns, no cell has a VMA of this driver.

#![allow(unsafe_code, reason = "the host's callbacks")]

use super::events;
use crate::{
    device::{
        file::OpenFile,
        live::LiveVma,
        vm_ops::{
            self,
            faulting,
            open_file,
            Opening,
            Operations, //
        }, //
    },
    ffi,
    host::{
        mm::LockedMm,
        vma::HostVma, //
    },
};
use core::ptr::NonNull;
use kernel::{
    current,
    prelude::*,
    sync::{
        Arc,
        ArcBorrow, //
    },
};

/// Stores the number of `live` in the VMA, and empties the cell of `live`.
///
/// # Safety
///
/// The VMA is being set up by this driver.
unsafe fn set_number(vma: NonNull<ffi::vm_area_struct>, live: Option<Arc<LiveVma>>) {
    if let Some(live) = &live {
        live.host.clear();
    }
    // SAFETY: The caller's promise. INVARIANT: (1).
    unsafe { vm_ops::set_number(vma, live) };
}

/// Returns the address space of `vma`.
///
/// # Safety
///
/// Its `mmap_lock` is held for `'a`.
unsafe fn mm_of<'a>(vma: NonNull<ffi::vm_area_struct>) -> Option<LockedMm<'a>> {
    // SAFETY: The caller's promise.
    unsafe { Some(LockedMm::from_raw(NonNull::new((*vma.as_ptr()).vm_mm)?)) }
}

/// `mmap()` of a file whose mappings are mergeable.
///
/// # Errors
///
/// Those of [`events::mapped`]; then the VMA stays as it was.
pub(in crate::device) fn mmap(
    file: ArcBorrow<'_, OpenFile>,
    vma: NonNull<ffi::vm_area_struct>,
) -> Result {
    // SAFETY: The `mmap_lock` is held (3). The cell is emptied in `set_number`, or the `LiveVma` was
    // dropped.
    let live = unsafe {
        let opening = Opening::new(HostVma::from_raw(vma));
        events::mapped(file, &opening, mm_of(vma).ok_or(EINVAL)?)?
    };
    // SAFETY: The VMA is being set up by this driver.
    unsafe {
        set_number(vma, live);
        (*vma.as_ptr()).vm_ops = operations();
    }
    Ok(())
}

/// `open`: the host has copied a VMA.
///
/// # Safety
///
/// `vma` is a copy of a VMA with [`OPERATIONS`], as in invariants (1) to (3).
unsafe extern "C" fn open(vma: *mut ffi::vm_area_struct) {
    #[cfg(shadow_rmap_busted)]
    if crate::is_chosen("HostForgetsOpen") {
        return;
    }
    let Some(vma) = NonNull::new(vma) else {
        return;
    };
    // SAFETY: (2), (3).
    let (file, here) = unsafe { (open_file(vma), mm_of(vma)) };
    // SAFETY: (3). The cell is emptied in `set_number`, or the `LiveVma` was dropped.
    let opening = unsafe { Opening::new(HostVma::from_raw(vma)) };
    // SAFETY: `events::opened` calls this if the VMA may be a copy of one of another address space,
    // which is that of the current process: so that process forks, and holds both locks (3).
    let forking = || unsafe {
        let task = current!();
        let mm = task.mm()?;
        Some(LockedMm::from_raw(NonNull::new(mm.as_raw())?))
    };
    let live = here.and_then(|here| events::opened(file, &opening, here, forking));
    // SAFETY: The VMA is being set up.
    unsafe { set_number(vma, live) };
}

/// `mremap`: the host has moved pages to the VMA. The VMA that had them may lose its links.
///
/// # Safety
///
/// `vma` has [`OPERATIONS`], as in invariants (1) to (3).
unsafe extern "C" fn mremap(vma: *mut ffi::vm_area_struct) -> c_int {
    if let Some(vma) = NonNull::new(vma) {
        // SAFETY: (2), (3).
        let (file, host) = unsafe { (open_file(vma), HostVma::from_raw(vma)) };
        events::moved(&file, host);
    }
    0
}

/// `fault`: the host is about to map a page.
///
/// # Safety
///
/// `vmf` describes a fault in a VMA with [`OPERATIONS`], as in invariants (1) to (3).
unsafe extern "C" fn fault(vmf: *mut ffi::vm_fault) -> ffi::vm_fault_t {
    // SAFETY: The caller's promise.
    let Some((vma, write)) = (unsafe { faulting(vmf) }) else {
        return ffi::vm_fault_reason_VM_FAULT_SIGBUS;
    };
    // SAFETY: (2), (3).
    let (file, here) = unsafe { (open_file(vma), mm_of(vma)) };
    // SAFETY: (3).
    let host = unsafe { HostVma::from_raw(vma) };
    if let Some(here) = here {
        events::fault(&file, host, here, write);
    }
    // SAFETY: The caller's promise.
    unsafe { file.registry.zero_pages.give(vmf) }
}

/// Returns the operations of all mergeable VMAs.
pub(in crate::device) fn operations() -> *const ffi::vm_operations_struct {
    &raw const OPERATIONS.0
}

/// Without `close`, so that the host merges VMAs.
static OPERATIONS: Operations = Operations(ffi::vm_operations_struct {
    open: Some(open),
    mremap: Some(mremap),
    fault: Some(fault),
    ..pin_init::zeroed()
});

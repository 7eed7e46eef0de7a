// SPDX-License-Identifier: GPL-2.0

//! The host's functions that are measured, by their addresses.
//!
//! The invariants are those of [`bench`](super).

use crate::ffi;
use core::{
    mem,
    ptr, //
};
use kernel::prelude::*;

type LockFn = unsafe extern "C" fn(*const ffi::folio, *mut c_void) -> *mut ffi::anon_vma;
type PrepareFn = unsafe extern "C" fn(*mut ffi::vm_area_struct) -> c_int;
type ForkFn = unsafe extern "C" fn(*mut ffi::vm_area_struct, *mut ffi::vm_area_struct) -> c_int;
type UnlinkFn = unsafe extern "C" fn(*mut ffi::vm_area_struct);
type CloneFn =
    unsafe extern "C" fn(*mut ffi::vm_area_struct, *mut ffi::vm_area_struct, c_uint) -> c_int;
type AddNewFn = unsafe extern "C" fn(*mut ffi::folio, *mut ffi::vm_area_struct, usize, c_int);
type AddFn = unsafe extern "C" fn(
    *mut ffi::folio,
    *mut ffi::page,
    c_int,
    *mut ffi::vm_area_struct,
    usize,
    c_int,
);
type RemoveFn =
    unsafe extern "C" fn(*mut ffi::folio, *mut ffi::page, c_int, *mut ffi::vm_area_struct);
type MoveFn = unsafe extern "C" fn(*mut ffi::folio, *mut ffi::vm_area_struct);
type FirstFn = unsafe extern "C" fn(*mut ffi::anon_vma, usize, usize) -> *mut ffi::anon_vma_chain;
type NextFn =
    unsafe extern "C" fn(*mut ffi::anon_vma_chain, usize, usize) -> *mut ffi::anon_vma_chain;

/// The addresses of the host's functions, from `/proc/kallsyms`.
#[derive(Clone, Copy, Default)]
pub(crate) struct Addresses {
    /// `folio_lock_anon_vma_read`
    pub(crate) lock: usize,
    /// `__anon_vma_prepare`
    pub(crate) prepare: usize,
    /// `anon_vma_fork`
    pub(crate) fork: usize,
    /// `anon_vma_clone`
    pub(crate) clone: usize,
    /// `unlink_anon_vmas`
    pub(crate) unlink: usize,
    /// `folio_add_new_anon_rmap`
    pub(crate) add_new: usize,
    /// `folio_add_anon_rmap_ptes`
    pub(crate) add: usize,
    /// `folio_remove_rmap_ptes`
    pub(crate) remove: usize,
    /// `folio_move_anon_rmap`
    pub(crate) relocate: usize,
    /// `anon_rmap_tree_iter_first`
    pub(crate) first: usize,
    /// `anon_rmap_tree_iter_next`
    pub(crate) next: usize,
}

/// The host's functions.
pub(crate) struct Functions {
    pub(super) lock: LockFn,
    pub(super) prepare: PrepareFn,
    pub(super) fork: ForkFn,
    pub(super) clone: CloneFn,
    pub(super) unlink: UnlinkFn,
    pub(super) add_new: AddNewFn,
    pub(super) add: AddFn,
    pub(super) remove: RemoveFn,
    pub(super) relocate: MoveFn,
    pub(super) first: FirstFn,
    pub(super) next: NextFn,
}

/// Returns whether the function `name` begins at `address`; logs an error if not.
fn begins(address: usize, name: &str) -> bool {
    let mut buffer = [0; ffi::SR_KSYM_SYMBOL_LEN];
    // SAFETY: The buffer has the size for any symbol; the address is only looked up.
    let length = unsafe { ffi::sprint_symbol(buffer.as_mut_ptr(), address) };
    let found = usize::try_from(length)
        .ok()
        .and_then(|length| buffer.get(..length))
        .and_then(|bytes| core::str::from_utf8(bytes).ok())
        .unwrap_or_default();
    let begins = found
        .strip_prefix(name)
        .is_some_and(|rest| rest.starts_with("+0x0/"));
    if !begins {
        // Where there is no function, `found` is the address.
        let there = if found.starts_with("0x") {
            "no function"
        } else {
            found
        };
        pr_err!("bench: {name} does not begin at the address given, there is {there}\n");
    }
    begins
}

impl Functions {
    /// Checks that each function begins at its address.
    ///
    /// # Errors
    ///
    /// `EINVAL` if one does not; the kernel log says which.
    pub(crate) fn new(at: Addresses) -> Result<Self> {
        let found = [
            begins(at.lock, "folio_lock_anon_vma_read"),
            begins(at.prepare, "__anon_vma_prepare"),
            begins(at.fork, "anon_vma_fork"),
            begins(at.clone, "anon_vma_clone"),
            begins(at.unlink, "unlink_anon_vmas"),
            begins(at.add_new, "folio_add_new_anon_rmap"),
            begins(at.add, "folio_add_anon_rmap_ptes"),
            begins(at.remove, "folio_remove_rmap_ptes"),
            begins(at.relocate, "folio_move_anon_rmap"),
            begins(at.first, "anon_rmap_tree_iter_first"),
            begins(at.next, "anon_rmap_tree_iter_next"),
        ];
        if found.contains(&false) {
            return Err(EINVAL);
        }
        let pointer = ptr::with_exposed_provenance::<()>;
        // SAFETY: The functions begin at these addresses, and have these types.
        // INVARIANT: (1) Checked above.
        unsafe {
            Ok(Self {
                lock: mem::transmute::<*const (), LockFn>(pointer(at.lock)),
                prepare: mem::transmute::<*const (), PrepareFn>(pointer(at.prepare)),
                fork: mem::transmute::<*const (), ForkFn>(pointer(at.fork)),
                clone: mem::transmute::<*const (), CloneFn>(pointer(at.clone)),
                unlink: mem::transmute::<*const (), UnlinkFn>(pointer(at.unlink)),
                add_new: mem::transmute::<*const (), AddNewFn>(pointer(at.add_new)),
                add: mem::transmute::<*const (), AddFn>(pointer(at.add)),
                remove: mem::transmute::<*const (), RemoveFn>(pointer(at.remove)),
                relocate: mem::transmute::<*const (), MoveFn>(pointer(at.relocate)),
                first: mem::transmute::<*const (), FirstFn>(pointer(at.first)),
                next: mem::transmute::<*const (), NextFn>(pointer(at.next)),
            })
        }
    }
}

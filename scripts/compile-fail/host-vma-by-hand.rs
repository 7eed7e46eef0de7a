// SPDX-License-Identifier: GPL-2.0
// R33, R34: a reference to a VMA of the host is a promise that its `mmap_lock` is held.

use crate::{
    ffi,
    host::vma::HostVma, //
};
use core::ptr::NonNull;

fn key(vma: NonNull<ffi::vm_area_struct>) -> usize {
    HostVma::from_raw(vma).anon_vma_key()
}

// SPDX-License-Identifier: GPL-2.0

//! Locks a family of the host, so that its trees, links and counters do not change.

use super::{
    super::{
        hold::{
            Hold,
            RWSEM, //
        },
        process::ReadLocked,
        vma::HostVma, //
    },
    read::AnonVma,
};
use crate::ffi;
use core::{
    marker::PhantomData,
    ptr, //
};
use kernel::{
    error::to_result,
    prelude::*,
    types::NotThreadSafe, //
};

/// Holds the `rwsem` of a family's root for reading.
///
/// # Invariants
///
/// The `rwsem` of `root` is held for reading, and `root` exists for `'a`.
pub(crate) struct Family<'a> {
    root: *mut ffi::anon_vma,
    _vma: PhantomData<&'a ()>,
    hold: Option<Hold>,
    _not_send: NotThreadSafe,
}

impl<'a> Family<'a> {
    /// Locks the family of a VMA that is in the maple tree; `None` if it has no anon_vma. Sleeps.
    ///
    /// # Errors
    ///
    /// `EINTR` if this thread is being killed; `EFAULT` if `vma->anon_vma` or its root leads to no
    /// memory; `EINVAL` if the VMA is of another address space.
    pub(crate) fn lock(mmap: &'a ReadLocked<'_>, vma: HostVma<'a>) -> Result<Option<Self>> {
        if !mmap.has(vma) {
            return Err(EINVAL);
        }
        // `__anon_vma_prepare()` publishes it with release: its fields are read behind this.
        let Some(anon_vma) = vma.anon_vma_acquired() else {
            return Ok(None);
        };
        // While `mmap_lock` is held, `vma->anon_vma` keeps its value. The root of an anon_vma does
        // not change (R14), and exists as long as it does (R16).
        let root = AnonVma::at(anon_vma).ok_or(EFAULT)?.root;
        AnonVma::at(root).ok_or(EFAULT)?;
        let root = ptr::with_exposed_provenance_mut::<ffi::anon_vma>(root);
        // SAFETY: As above. Memory that can be read and is no anon_vma is beyond what can be found.
        to_result(unsafe { ffi::down_read_killable(&raw mut (*root).rwsem) })?;
        // INVARIANT: The lock was taken just now.
        Ok(Some(Self {
            root,
            _vma: PhantomData,
            hold: Some(Hold::begin(&RWSEM)),
            _not_send: NotThreadSafe,
        }))
    }

    /// Returns whether another task waits for the lock.
    pub(super) fn is_contended(&self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { ffi::shadow_rmap_rwsem_is_contended(&raw mut (*self.root).rwsem) }
    }

    /// Returns the key of the root.
    pub(crate) fn root(&self) -> usize {
        self.root.addr()
    }
}

impl Drop for Family<'_> {
    fn drop(&mut self) {
        drop(self.hold.take());
        // SAFETY: By the type invariant.
        unsafe { ffi::up_read(&raw mut (*self.root).rwsem) }
    }
}

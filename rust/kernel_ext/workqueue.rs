// SPDX-License-Identifier: GPL-2.0

//! A workqueue that lives as long as the module.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)
//!
//! Work items that run the module's code must have ended before the module goes. The kernel's own
//! queues cannot be waited for; a queue of one's own can.

#![allow(unsafe_code, reason = "wraps a C type")]

use super::rwonce::ReadWriteOnce;
use crate::ffi;
use core::ptr;
use kernel::{
    alloc::Flags,
    prelude::*,
    sync::atomic::{
        Atomic,
        Full,
        Release, //
    },
    workqueue::Queue, //
};

/// The place of a workqueue that code without a reference to it can find.
///
/// # Invariants
///
/// 1. It is null, or a workqueue that [`QueueOwner`] destroys.
pub(crate) struct StaticQueue(Atomic<*mut ffi::workqueue_struct>);

/// Keeps the workqueue of a [`StaticQueue`].
///
/// Dropping it waits for the work, and destroys the queue.
///
/// # Invariants
///
/// 2. When it is dropped, no thread uses the place, or will.
pub(crate) struct QueueOwner(&'static StaticQueue);

impl StaticQueue {
    /// A place without a workqueue.
    pub(crate) const fn new() -> Self {
        // INVARIANT: (1) null.
        Self(Atomic::new(ptr::null_mut()))
    }

    /// Creates the workqueue. Sleeps.
    ///
    /// # Errors
    ///
    /// `EBUSY` if there is one already, `ENOMEM`.
    ///
    /// # Safety
    ///
    /// The owner is dropped only when no thread uses the place any more.
    pub(crate) unsafe fn create(&'static self, name: &'static CStr) -> Result<QueueOwner> {
        // SAFETY: `%s` takes the name.
        let queue = unsafe {
            ffi::alloc_workqueue_noprof(
                c"%s".as_char_ptr(),
                ffi::wq_flags_WQ_UNBOUND,
                0,
                name.as_char_ptr(),
            )
        };
        if queue.is_null() {
            return Err(ENOMEM);
        }
        // INVARIANT: (1) Just created.
        if self.0.cmpxchg(ptr::null_mut(), queue, Full).is_err() {
            // SAFETY: There is a queue already, and nothing knows this one.
            unsafe { ffi::destroy_workqueue(queue) };
            return Err(EBUSY);
        }
        // INVARIANT: (2) The caller's promise.
        Ok(QueueOwner(self))
    }

    /// Runs `work` later, in a thread that may sleep. Sleeps only if `flags` allow it.
    ///
    /// # Errors
    ///
    /// `ENODEV` without a workqueue, `ENOMEM`; `work` has been dropped then.
    pub(crate) fn spawn(&self, flags: Flags, work: impl FnOnce() + Send + 'static) -> Result {
        let queue = self.0.read_once();
        if queue.is_null() {
            return Err(ENODEV);
        }
        // SAFETY: By invariant (1); by (2) the owner is not dropped meanwhile.
        Ok(unsafe { Queue::from_raw(queue) }.try_spawn(flags, work)?)
    }

    /// `flush_workqueue()`: waits for all work that was spawned before. Sleeps.
    pub(crate) fn flush(&self) {
        let queue = self.0.read_once();
        if !queue.is_null() {
            // SAFETY: As in `spawn`.
            unsafe { ffi::__flush_workqueue(queue) };
        }
    }
}

impl Drop for QueueOwner {
    fn drop(&mut self) {
        let queue = self.0 .0.read_once();
        self.0 .0.store(ptr::null_mut(), Release);
        // SAFETY: By invariants (1) and (2); work that is left is done first.
        unsafe { ffi::destroy_workqueue(queue) };
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Mirrors `kernel::workqueue`.

use crate::{
    alloc::{AllocError, Flags},
    bindings::workqueue_struct,
    mock::alloc::allocation,
};

/// Mirrors `kernel::workqueue::Queue`. Work is done one item after the other.
#[repr(transparent)]
pub struct Queue(workqueue_struct);

impl Queue {
    /// Mirrors `Queue::from_raw`.
    ///
    /// # Safety
    ///
    /// `queue` is valid for `'a`.
    pub unsafe fn from_raw<'a>(queue: *const workqueue_struct) -> &'a Queue {
        // SAFETY: The caller's promise; the type is transparent.
        unsafe { &*queue.cast::<Queue>() }
    }

    /// Mirrors `Queue::try_spawn`.
    ///
    /// # Errors
    ///
    /// `AllocError` if a test wants that.
    pub fn try_spawn<T: 'static + Send + FnOnce()>(
        &self,
        flags: Flags,
        work: T,
    ) -> Result<(), AllocError> {
        allocation(flags)?;
        self.0.queue(Box::new(work));
        Ok(())
    }
}

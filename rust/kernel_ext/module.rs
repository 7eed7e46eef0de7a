// SPDX-License-Identifier: GPL-2.0

//! References on this module.
//!
//! C header: [`include/linux/module.h`](srctree/include/linux/module.h)

#![allow(unsafe_code, reason = "calls into C")]

use crate::ffi;
use kernel::prelude::*;

/// A reference on this module, which prevents that it is unloaded.
///
/// # Invariants
///
/// The value owns a reference that [`ModuleRef::get`] has taken.
pub(crate) struct ModuleRef(());

impl ModuleRef {
    /// Takes a reference. Any context.
    ///
    /// # Errors
    ///
    /// `ENODEV` if the module is being unloaded.
    pub(crate) fn get() -> Result<Self> {
        // SAFETY: The function has no preconditions.
        if unsafe { ffi::shadow_rmap_try_module_get() } {
            // INVARIANT: The reference was taken just now.
            Ok(Self(()))
        } else {
            Err(ENODEV)
        }
    }

    /// Keeps the reference for ever: the module cannot be unloaded any more.
    pub(crate) fn keep(self) {
        core::mem::forget(self);
    }
}

impl Drop for ModuleRef {
    fn drop(&mut self) {
        // SAFETY: By the type invariant this value owns the reference.
        unsafe { ffi::shadow_rmap_module_put() }
    }
}

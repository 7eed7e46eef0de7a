// SPDX-License-Identifier: GPL-2.0

//! What loading the kernel module does.

use crate::rmap;
use kernel::Error;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// What loading creates, and unloading destroys.
pub(crate) struct Module {
    _statics: rmap::statics::Statics,
}

/// The module, while it is loaded.
static LOADED: Mutex<Weak<Module>> = Mutex::new(Weak::new());

impl Module {
    /// Returns the module, which is loaded if it is not; it is unloaded with the last reference.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn get() -> Result<Arc<Self>, Error> {
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(module) = loaded.upgrade() {
            return Ok(module);
        }
        let module = Arc::new(Self {
            // SAFETY: All that uses a reverse map has a reference on the module.
            _statics: unsafe { rmap::statics::Statics::create() }?,
        });
        *loaded = Arc::downgrade(&module);
        Ok(module)
    }
}

/// Loads the module for the suites, which keep it: see [`kernel::kunit::run`].
///
/// # Errors
///
/// `ENOMEM`.
#[cfg(test)]
pub(crate) fn load_for_kunit() -> Result<(), Error> {
    static KEPT: Mutex<Option<Arc<Module>>> = Mutex::new(None);
    let module = Module::get()?;
    *KEPT.lock().unwrap_or_else(PoisonError::into_inner) = Some(module);
    Ok(())
}

// SPDX-License-Identifier: GPL-2.0

//! This module: its parameters, and what keeps it loaded.
//!
//! C headers: [`include/linux/module.h`](srctree/include/linux/module.h),
//! [`include/linux/miscdevice.h`](srctree/include/linux/miscdevice.h).

#![allow(unsafe_code, reason = "calls into C")]

use crate::ffi;
use kernel::{
    bindings,
    miscdevice::{
        MiscDevice,
        MiscDeviceOptions,
        MiscDeviceRegistration, //
    },
    module_param::ModuleParamAccess,
    prelude::*,
    sync::SetOnce, //
};

/// Returns the value of a module parameter.
pub(crate) fn parameter<T: Copy>(parameter: &ModuleParamAccess<T>) -> T {
    #[cfg(linux_7_2)]
    return *parameter.value();
    #[cfg(not(linux_7_2))]
    parameter.value()
}

/// Returns `THIS_MODULE`; null where the code is built in.
pub(crate) const fn this_module() -> *mut bindings::module {
    #[cfg(linux_7_2)]
    return crate::THIS_MODULE.as_ptr();
    #[cfg(not(linux_7_2))]
    kernel::module::this_module::<crate::LocalModule>().as_ptr()
}

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

/// A misc device whose open files keep this module loaded.
///
/// `MiscDeviceRegistration` of 7.2 leaves the owner out: `rmmod` would take the code away under an
/// open file. There a file that is opened while the module is still being loaded does not keep it.
#[pin_data]
pub(crate) struct OwnedDevice<T: MiscDevice> {
    #[pin]
    registration: MiscDeviceRegistration<T>,
}

impl<T: MiscDevice> OwnedDevice<T> {
    /// Creates an initialiser that registers a device. Sleeps.
    ///
    /// # Errors
    ///
    /// Those of `misc_register()`; with the kernel 7.2 `EBUSY` for a second device of this module.
    pub(crate) fn register(options: MiscDeviceOptions) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            registration <- MiscDeviceRegistration::register(options),
            _: {
                own(&registration)?;
            },
        })
    }
}

/// The file operations that [`own`] has given to a device.
struct Operations(bindings::file_operations);

// SAFETY: They are functions, and pointers to statics: any thread may use them.
unsafe impl Send for Operations {}
// SAFETY: As above.
unsafe impl Sync for Operations {}

/// They stay as long as the module does, as its code: a file that is open uses them after its device has
/// been deregistered.
static OPERATIONS: SetOnce<Operations> = SetOnce::new();

/// Gives `device` file operations with an owner, unless it has such.
fn own<T: MiscDevice>(device: &MiscDeviceRegistration<T>) -> Result {
    let device = device.as_raw();
    // SAFETY: A device that is registered has file operations, which do not change.
    let operations = unsafe { *(*device).fops };
    if !operations.owner.is_null() {
        return Ok(());
    }
    let owned = Operations(bindings::file_operations {
        owner: this_module(),
        ..operations
    });
    if !OPERATIONS.populate(owned) {
        return Err(EBUSY);
    }
    let owned = OPERATIONS.as_ref().ok_or(EBUSY)?;
    // SAFETY: The place is that of a pointer, which `misc_open()` reads as a whole. What it will
    // lead to stays as long as the module, which a file that has it keeps.
    unsafe { (&raw mut (*device).fops).write_volatile(&raw const owned.0) };
    Ok(())
}

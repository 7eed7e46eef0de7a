// SPDX-License-Identifier: GPL-2.0

//! Mirrors `kernel::sync`.

mod arc;
pub mod aref;
pub mod atomic;
pub mod barrier;
mod completion;
pub mod lock;
pub mod rcu;

pub use arc::{Arc, ArcBorrow, UniqueArc};
pub use completion::Completion;
pub use lock::{Mutex, SpinLock};

use crate::bindings::lock_class_key;
use core::pin::Pin;

/// Mirrors `kernel::sync::LockClassKey`: there are no classes of locks here.
pub struct LockClassKey(lock_class_key);

impl LockClassKey {
    /// Makes a key for [`static_lock_class!`].
    #[doc(hidden)]
    pub const fn new() -> Self {
        Self(lock_class_key(()))
    }

    /// Mirrors `LockClassKey::as_ptr`.
    pub fn as_ptr(self: Pin<&'static Self>) -> *mut lock_class_key {
        core::ptr::from_ref(&Pin::get_ref(self).0).cast_mut()
    }
}

impl Default for LockClassKey {
    fn default() -> Self {
        Self::new()
    }
}

/// Mirrors `kernel::sync::static_lock_class!`.
#[macro_export]
macro_rules! static_lock_class {
    () => {{
        static CLASS: $crate::sync::LockClassKey = $crate::sync::LockClassKey::new();
        ::core::pin::Pin::static_ref(&CLASS)
    }};
}
pub use static_lock_class;

/// Mirrors `kernel::new_spinlock!`.
#[macro_export]
macro_rules! new_spinlock {
    ($data:expr $(, $name:literal)?) => {
        $crate::sync::SpinLock::new($data)
    };
}
pub use new_spinlock;

/// Mirrors `kernel::new_mutex!`.
#[macro_export]
macro_rules! new_mutex {
    ($data:expr $(, $name:literal)?) => {
        $crate::sync::Mutex::new($data)
    };
}
pub use new_mutex;

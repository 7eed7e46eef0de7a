// SPDX-License-Identifier: GPL-2.0

//! Memory that a process shares with the children that it forks.

use anyhow::{Context, Result};
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use std::num::NonZeroUsize;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;

/// What several processes may use at the same time, and may begin with zeroes.
///
/// # Safety
///
/// Bytes of zero are a value of the type, all of its fields are atomic, and none needs a drop. It
/// is aligned to a page or less.
pub unsafe trait Shareable: Sync {}

// SAFETY: It is an atomic number.
unsafe impl Shareable for AtomicU32 {}

/// A value in shared memory, of zeroes at first. It is mapped until this is dropped.
pub struct Shared<T: Shareable>(NonNull<T>);

// SAFETY: A `Shareable` is used by reference alone, and is `Sync`.
unsafe impl<T: Shareable> Sync for Shared<T> {}

impl<T: Shareable> Shared<T> {
    /// Maps the memory.
    ///
    /// # Errors
    ///
    /// There is no memory.
    pub fn new() -> Result<Self> {
        let length = NonZeroUsize::new(size_of::<T>()).context("nothing to share")?;
        let prot = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: A new mapping at an address that the kernel chooses.
        let memory = unsafe { mmap_anonymous(None, length, prot, MapFlags::MAP_SHARED) };
        Ok(Self(memory.context("mmap() of shared memory")?.cast()))
    }
}

impl<T: Shareable> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: The memory stays mapped as long as this; zeroes are a value of the type, and its
        // fields are atomic.
        unsafe { self.0.as_ref() }
    }
}

impl<T: Shareable> Drop for Shared<T> {
    fn drop(&mut self) {
        // SAFETY: A user of the value borrows this.
        let _ = unsafe { munmap(self.0.cast(), size_of::<T>()) };
    }
}

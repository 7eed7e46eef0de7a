// SPDX-License-Identifier: GPL-2.0

//! Reads kernel memory that may not be there.
//!
//! C source: [`mm/maccess.c`](srctree/mm/maccess.c)

#![allow(unsafe_code, reason = "calls into C")]

use crate::ffi;
use core::{
    mem::{
        size_of,
        MaybeUninit, //
    },
    ops::Range,
};

/// A copy of the bytes of a `T`, taken from another place: it may be no valid `T`.
pub(crate) struct Bytes<T>(MaybeUninit<T>);

impl<T> Bytes<T> {
    /// Copies the bytes at this kernel address; `None` if no memory is there. Any context.
    ///
    /// Each aligned word is read at once.
    pub(crate) fn read(address: usize) -> Option<Self> {
        Self::read_part(address, 0..size_of::<T>())
    }

    /// As [`read`](Self::read), only the bytes at these offsets; the others are 0.
    pub(crate) fn read_part(address: usize, part: Range<usize>) -> Option<Self> {
        let mut bytes = MaybeUninit::<T>::zeroed();
        let end = part.end.min(size_of::<T>());
        let n = end.checked_sub(part.start)?;
        // SAFETY: The part lies in `bytes`, as was just checked. The other side may be any address.
        let failed = unsafe {
            ffi::copy_from_kernel_nofault(
                bytes.as_mut_ptr().byte_add(part.start).cast(),
                core::ptr::without_provenance(address.wrapping_add(part.start)),
                n,
            )
        };
        (failed == 0).then_some(Self(bytes))
    }

    /// Returns where the bytes are. All are initialised.
    pub(crate) fn as_ptr(&self) -> *const T {
        self.0.as_ptr()
    }
}

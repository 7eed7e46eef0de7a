// SPDX-License-Identifier: GPL-2.0

//! A page of kernel memory as an array of atomic words.
//!
//! C header: [`include/linux/mm.h`](srctree/include/linux/mm.h)
//!
//! [`kernel::page::Page`] requires its user to prevent data races. A frame stands for memory that
//! several processes map and write without any lock, so each of its words is atomic.

#![allow(unsafe_code, reason = "calls into C")]

use super::{
    fail,
    rwonce::ReadWriteOnce, //
};
use crate::ffi;
use core::{
    mem,
    ptr::NonNull,
    slice, //
};
use kernel::{
    alloc::flags::{
        __GFP_ZERO, //
        GFP_KERNEL_ACCOUNT,
    },
    page::{
        Page,
        PAGE_SIZE, //
    },
    prelude::*,
    sync::atomic::Atomic,
};

/// A page's memory, in 64-bit words.
///
/// # Invariants
///
/// 1. `words` is the kernel address of `page`, which stays the same while the page is allocated,
///    and only the methods of this type use the memory.
pub(crate) struct Frame {
    words: NonNull<Atomic<u64>>,
    /// Owns the memory.
    _page: Page,
}

// SAFETY: By invariant (1) the memory is used as atomic words only, and any thread may do that.
unsafe impl Send for Frame {}
// SAFETY: As above.
unsafe impl Sync for Frame {}

impl Frame {
    /// Number of words.
    pub(crate) const WORDS: usize = PAGE_SIZE / mem::size_of::<u64>();

    /// Allocates a page of zeros, charged to the memory cgroup of the caller. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> Result<Self> {
        fail::allocation()?;
        let page = Page::alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO)?;
        // SAFETY: The page was allocated just now.
        let words = unsafe { ffi::shadow_rmap_page_address(page.as_ptr()) };
        Ok(Self {
            // INVARIANT: (1) `GFP_KERNEL` memory is always mapped in the kernel; no other code has
            // the page.
            words: NonNull::new(words.cast()).ok_or(ENOMEM)?,
            _page: page,
        })
    }

    fn words(&self) -> &[Atomic<u64>] {
        // SAFETY: By invariant (1); the page was zeroed, and is aligned to its size.
        unsafe { slice::from_raw_parts(self.words.as_ptr(), Self::WORDS) }
    }

    /// Reads word `i`; `None` if it is out of range. Any context.
    #[inline]
    pub(crate) fn read(&self, i: usize) -> Option<u64> {
        Some(self.words().get(i)?.read_once())
    }

    /// Writes word `i`; `None` if it is out of range. Any context.
    #[inline]
    pub(crate) fn write(&self, i: usize, value: u64) -> Option<()> {
        self.words().get(i)?.write_once(value);
        Some(())
    }

    /// `copy_highpage()`: copies all words; each one is copied atomically. Any context.
    pub(crate) fn copy_from(&self, other: &Frame) {
        for (to, from) in self.words().iter().zip(other.words()) {
            to.write_once(from.read_once());
        }
    }
}

#[cfg(shadow_rmap_kunit)]
#[kunit_tests(shadow_rmap_frame)]
mod tests {
    use super::*;

    /// A word keeps the value written to it; an index out of range is refused.
    #[test]
    fn words_are_kept() -> Result {
        let frame = Frame::new()?;
        let zeroed = (0..Frame::WORDS).all(|i| frame.read(i) == Some(0));
        for i in 0..Frame::WORDS {
            frame.write(i, !(i as u64));
        }
        let kept = (0..Frame::WORDS).all(|i| frame.read(i) == Some(!(i as u64)));

        assert!(zeroed && kept);
        assert!(frame.read(Frame::WORDS).is_none());
        assert!(frame.write(Frame::WORDS, 1).is_none());
        Ok(())
    }

    /// A copy is complete, and later writes to the original do not change it.
    #[test]
    fn copies_are_independent() -> Result {
        let (from, to) = (Frame::new()?, Frame::new()?);
        for i in 0..Frame::WORDS {
            from.write(i, i as u64);
        }
        to.copy_from(&from);
        from.write(0, 77);

        assert!((0..Frame::WORDS).all(|i| to.read(i) == Some(i as u64)));
        assert_eq!(from.read(0), Some(77));
        to.copy_from(&to);
        assert_eq!(to.read(1), Some(1));
        Ok(())
    }

    /// An allocation failure is reported as `ENOMEM`.
    #[test]
    fn allocation_can_fail() -> Result {
        let mut errors = 0;
        let (frame, n) = fail::each(Frame::new, |failed| {
            errors += usize::from(failed.err() == Some(ENOMEM));
        });

        assert!(frame.is_ok() && n == 1 && errors == 1);
        Ok(())
    }
}

// SPDX-License-Identifier: GPL-2.0

//! A page of the kernel's memory, as words that any number of threads may read and write.
//!
//! C header: [`include/linux/mm.h`](srctree/include/linux/mm.h)
//!
//! [`kernel::page::Page`] leaves it to its user that nobody reads what another writes; a frame is
//! mapped by many page tables at once, and what their owners do to it is nobody's to forbid.

#![allow(unsafe_code, reason = "a room of the design: calls into C")]

use crate::{
    ffi,
    kernel_ext::fail, //
};
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
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
};

/// A page's memory, in 64-bit words.
///
/// # Invariants
///
/// 1. `words` is where the kernel has `page` mapped for as long as the page is allocated, and
///    nobody uses the memory but by the methods of this type.
pub(crate) struct Frame {
    words: NonNull<Atomic<u64>>,
    /// Owns the memory.
    _page: Page,
}

// SAFETY: By invariant (1) the memory is used as atomic words only, which any thread may do.
unsafe impl Send for Frame {}
// SAFETY: As above.
unsafe impl Sync for Frame {}

impl Frame {
    /// How many words there are.
    pub(crate) const WORDS: usize = PAGE_SIZE / mem::size_of::<u64>();

    /// Allocates a page of zeros, accounted to the process that asks for it. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> Result<Self> {
        fail::allocation()?;
        let page = Page::alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO)?;
        // SAFETY: The page is ours.
        let words = unsafe { ffi::shadow_rmap_page_address(page.as_ptr()) };
        Ok(Self {
            // INVARIANT: (1) `GFP_KERNEL` memory has an address of its own.
            words: NonNull::new(words.cast()).ok_or(ENOMEM)?,
            _page: page,
        })
    }

    fn words(&self) -> &[Atomic<u64>] {
        // SAFETY: By invariant (1), of which each word was zeroed; a page is aligned to its size.
        unsafe { slice::from_raw_parts(self.words.as_ptr(), Self::WORDS) }
    }

    /// Reads word `i`, if there is one. Any context.
    #[inline]
    pub(crate) fn read(&self, i: usize) -> Option<u64> {
        Some(self.words().get(i)?.load(Relaxed))
    }

    /// Writes word `i`, if there is one. Any context.
    #[inline]
    pub(crate) fn write(&self, i: usize, value: u64) -> Option<()> {
        self.words().get(i)?.store(value, Relaxed);
        Some(())
    }

    /// `copy_highpage()`: copies all words, each as it is at some instant. Any context.
    pub(crate) fn copy_from(&self, other: &Frame) {
        for (to, from) in self.words().iter().zip(other.words()) {
            to.store(from.load(Relaxed), Relaxed);
        }
    }
}

#[cfg(shadow_rmap_kunit)]
#[kunit_tests(shadow_rmap_frame)]
mod tests {
    use super::*;

    /// Words keep what was written, and there are none outside.
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

    /// A copy is complete, and independent from then on.
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

    /// When there is no memory there is no frame.
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

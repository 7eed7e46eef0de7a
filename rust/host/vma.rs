// SPDX-License-Identifier: GPL-2.0

//! A VMA of the host, and the anonymous pages that it maps.
//!
//! C headers: [`include/linux/mm.h`](srctree/include/linux/mm.h),
//! [`include/linux/rmap.h`](srctree/include/linux/rmap.h).

use crate::{
    ffi,
    kernel_ext::interval_tree::Range, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    mm::Mm,
    new_mutex,
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*,
    sync::{
        aref::ARef,
        Mutex, //
    },
};

/// A VMA of the host that is not closed.
///
/// What it tells is exact while the VMA's `mmap_lock` is held; otherwise it was true a moment ago.
///
/// # Invariants
///
/// The VMA is not closed for `'a`.
#[derive(Clone, Copy)]
pub(crate) struct HostVma<'a>(NonNull<ffi::vm_area_struct>, PhantomData<&'a ()>);

impl<'a> HostVma<'a> {
    /// Looks at a VMA.
    ///
    /// # Safety
    ///
    /// It is not closed for `'a`.
    pub(crate) unsafe fn from_raw(vma: NonNull<ffi::vm_area_struct>) -> Self {
        // INVARIANT: The caller's promise.
        Self(vma, PhantomData)
    }

    pub(super) fn as_ptr(self) -> *mut ffi::vm_area_struct {
        self.0.as_ptr()
    }

    /// What makes it this VMA and no other, for comparing only.
    pub(crate) fn key(self) -> usize {
        self.0.addr().get()
    }

    /// First address, in bytes.
    pub(crate) fn start(self) -> usize {
        // SAFETY: By the type invariant; a word is read at once.
        unsafe {
            (&raw const (*self.as_ptr()).__bindgen_anon_1.__bindgen_anon_1.vm_start).read_volatile()
        }
    }

    /// First address behind it, in bytes.
    pub(crate) fn end(self) -> usize {
        // SAFETY: As in `start`.
        unsafe {
            (&raw const (*self.as_ptr()).__bindgen_anon_1.__bindgen_anon_1.vm_end).read_volatile()
        }
    }

    /// Its length, in pages.
    pub(crate) fn pages(self) -> usize {
        self.end().saturating_sub(self.start()) >> PAGE_SHIFT
    }

    /// The page offsets that the reverse map knows it by: since 7.3 they are not those of the file
    /// but of the address at which a private mapping was made, see `vma_start_anon_pgoff()`.
    pub(crate) fn range(self) -> Range {
        // SAFETY: By the type invariant.
        let start = unsafe { ffi::shadow_rmap_vma_anon_pgoff(self.as_ptr()) };
        Range {
            start,
            last: start + self.pages().max(1) - 1,
        }
    }

    /// What makes its address space this one and no other, for comparing only.
    pub(crate) fn mm_key(self) -> usize {
        // SAFETY: By the type invariant; `vm_mm` does not change.
        unsafe { (*self.as_ptr()).vm_mm }.addr()
    }

    /// A hold on its address space's memory, though not on what is in it.
    pub(crate) fn mm(self) -> ARef<Mm> {
        // SAFETY: A VMA's address space is there; `Mm` is transparent.
        ARef::from(unsafe { &*(*self.as_ptr()).vm_mm.cast::<Mm>() })
    }

    /// How many use its address space: threads, and whoever looks at it; 0 once it is being taken
    /// down.
    pub(crate) fn mm_users(self) -> i32 {
        // SAFETY: By the type invariant; a word is read at once.
        unsafe {
            let mm = (*self.as_ptr()).vm_mm;
            (&raw const (*mm).__bindgen_anon_1.mm_users.counter).read_volatile()
        }
    }

    /// Whether it was mapped `MAP_SHARED`.
    pub(crate) fn is_shared(self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { (*self.as_ptr()).__bindgen_anon_2.vm_flags & ffi::VM_MAYSHARE != 0 }
    }

    /// What makes its anon_vma this one and no other; 0 where it has none.
    pub(crate) fn anon_vma_key(self) -> usize {
        // SAFETY: By the type invariant; a word is read at once.
        unsafe { (&raw const (*self.as_ptr()).anon_vma).read_volatile() }.addr()
    }

    /// `anon_vma_compatible()`: whether `next` begins where this ends, and differs in nothing that
    /// would keep the two from sharing an anon_vma.
    pub(crate) fn is_compatible_with(self, next: HostVma<'_>) -> bool {
        let pgoff = |vma: HostVma<'_>| {
            // SAFETY: By the type invariant.
            unsafe { (*vma.as_ptr()).vm_pgoff }
        };
        let file = |vma: HostVma<'_>| {
            // SAFETY: By the type invariant.
            unsafe { (*vma.as_ptr()).vm_file }
        };
        self.end() == next.start()
            && self.range().last + 1 == next.range().start
            && pgoff(self) + self.pages() == pgoff(next)
            && core::ptr::eq(file(self), file(next))
            // SAFETY: By the type invariants.
            && unsafe { ffi::shadow_rmap_vma_same_policy(self.as_ptr(), next.as_ptr()) }
            // SAFETY: As above.
            && unsafe { ffi::shadow_rmap_vma_same_flags(self.as_ptr(), next.as_ptr()) }
    }

    /// The anonymous pages that it maps, in order of address. Sleeps.
    ///
    /// `mmap_lock` is held; for writing, if no page may come or go meanwhile.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EINTR` when the caller is being killed.
    pub(crate) fn anonymous_pages(self) -> Result<KVVec<HostPage>> {
        let mut pages = KVVec::new();
        if self.anon_vma_key() == 0 {
            return Ok(pages);
        }
        let (first, n) = (self.range().start, self.pages());
        let mut i = 0;
        while i < n {
            // SAFETY: An FFI call with no requirements.
            if unsafe { ffi::shadow_rmap_fatal_signal_pending() } {
                return Err(EINTR);
            }
            let mut batch = [core::ptr::null_mut(); 16];
            // Nothing may fail while references are held.
            if pages.capacity() - pages.len() < batch.len() {
                pages.reserve(batch.len(), GFP_KERNEL)?;
            }
            // SAFETY: By the type invariant; `mmap_lock` is held; there is room for that many.
            let got = unsafe {
                ffi::shadow_rmap_pages_at(
                    self.as_ptr(),
                    self.start() + i * PAGE_SIZE,
                    batch.len().min(n - i),
                    batch.as_mut_ptr(),
                )
            };
            let got = usize::try_from(got).unwrap_or(0);
            for (at, &page) in (first + i..).zip(batch.iter().take(got)) {
                // SAFETY: The reference is ours, and given up here.
                let page = unsafe { HostPage::take(page, at) };
                if let Some(page) = page {
                    pages.push(page, GFP_KERNEL)?;
                }
            }
            // Past the pages, and past the hole behind them if they are fewer than asked for.
            i += got.max(1);
        }
        Ok(pages)
    }
}

/// An anonymous page as the host maps it in one place.
#[derive(Clone, Copy)]
pub(crate) struct HostPage {
    /// What makes it this page and no other, while it is mapped.
    pub(crate) key: usize,
    /// The page offset at which the VMA maps it.
    pub(crate) at: usize,
    /// The page offset that the page itself claims.
    pub(crate) index: usize,
    /// The key of the anon_vma that it leads to.
    pub(crate) mapping: usize,
    /// How many PTEs map it.
    pub(crate) mapcount: i64,
}

impl HostPage {
    /// What is to be known of a page mapped at offset `at`; `None` unless it is plain anonymous:
    /// neither the driver's own nor KSM's.
    ///
    /// # Safety
    ///
    /// The caller has a reference on the page, and gives it up.
    unsafe fn take(page: *mut ffi::page, at: usize) -> Option<Self> {
        // SAFETY: The page is there until it is put.
        let (mapping, index, mapcount) = unsafe {
            (
                ffi::shadow_rmap_page_mapping(page),
                ffi::shadow_rmap_page_index(page),
                ffi::shadow_rmap_page_mapcount(page),
            )
        };
        // SAFETY: The caller's promise.
        unsafe { ffi::shadow_rmap_put_page(page) };
        (mapping & ffi::SR_FOLIO_MAPPING_FLAGS == ffi::SR_FOLIO_MAPPING_ANON).then(|| Self {
            key: page.addr(),
            at,
            index,
            mapping: mapping & !ffi::SR_FOLIO_MAPPING_FLAGS,
            mapcount: mapcount.into(),
        })
    }
}

/// A VMA of the host that may be closed at any time.
#[pin_data]
pub(crate) struct HostVmaCell {
    #[pin]
    vma: Mutex<Option<RawVma>>,
}

/// # Invariants
///
/// The VMA is not closed.
struct RawVma(NonNull<ffi::vm_area_struct>);

// SAFETY: A VMA may be looked at by any thread.
unsafe impl Send for RawVma {}

impl HostVmaCell {
    /// Remembers `vma`.
    ///
    /// # Safety
    ///
    /// [`clear`](Self::clear) is called before `vma` is closed.
    pub(crate) unsafe fn new(vma: HostVma<'_>) -> impl PinInit<Self> {
        let raw = RawVma(vma.0);
        pin_init!(Self {
            vma <- new_mutex!(Some(raw), "shadow_rmap::host_vma"),
        })
    }

    /// Looks at the VMA, which is not closed meanwhile. `None` where it has been. Sleeps.
    pub(crate) fn read<T>(&self, f: impl FnOnce(HostVma<'_>) -> T) -> Option<T> {
        let guard = self.vma.lock();
        // INVARIANT: By the invariant of `RawVma`, until the lock is released.
        guard.as_ref().map(|vma| f(HostVma(vma.0, PhantomData)))
    }

    /// Forgets the VMA: it is about to be closed. Sleeps.
    pub(crate) fn clear(&self) {
        *self.vma.lock() = None;
    }
}

// SPDX-License-Identifier: GPL-2.0

//! A VMA of the host.
//!
//! C headers: [`include/linux/mm.h`](srctree/include/linux/mm.h),
//! [`include/linux/rmap.h`](srctree/include/linux/rmap.h).

use super::mm::{
    users,
    LockedMm, //
};
use crate::{
    ffi,
    kernel_ext::interval_tree::Range, //
};
use core::{
    marker::PhantomData,
    ptr::{
        self,
        NonNull, //
    },
    sync::atomic::{
        AtomicPtr,
        Ordering, //
    },
};
use kernel::{
    mm::Mm,
    page::PAGE_SHIFT,
    sync::aref::ARef, //
};

/// A reference to a VMA of the host whose `mmap_lock` is held.
///
/// Without the lock the VMA could be closed, its page tables freed, and its links taken away.
///
/// # Invariants
///
/// The VMA is not closed for `'a`, and its `mmap_lock` is held, for reading at least.
#[derive(Clone, Copy)]
pub(crate) struct HostVma<'a>(NonNull<ffi::vm_area_struct>, PhantomData<&'a ()>);

/// Returns the anonymous page offsets of a VMA, see [`HostVma::range`].
///
/// # Safety
///
/// The VMA exists, and its addresses do not change during the call.
pub(super) unsafe fn range_of(vma: *mut ffi::vm_area_struct) -> Range {
    // SAFETY: The caller's promise; each word is read once.
    let (start, first, end) = unsafe {
        let addresses = &raw const (*vma).__bindgen_anon_1.__bindgen_anon_1;
        (
            ffi::shadow_rmap_vma_anon_pgoff(vma),
            (&raw const (*addresses).vm_start).read_volatile(),
            (&raw const (*addresses).vm_end).read_volatile(),
        )
    };
    Range {
        start,
        last: start + (end.saturating_sub(first) >> PAGE_SHIFT).max(1) - 1,
    }
}

impl<'a> HostVma<'a> {
    /// Creates a reference.
    ///
    /// # Safety
    ///
    /// The VMA is not closed for `'a`, and its `mmap_lock` is held, for reading at least.
    pub(crate) unsafe fn from_raw(vma: NonNull<ffi::vm_area_struct>) -> Self {
        // INVARIANT: The caller's promise.
        Self(vma, PhantomData)
    }

    /// Returns its address space, whose `mmap_lock` is held.
    pub(crate) fn locked(self) -> LockedMm<'a> {
        // SAFETY: By the type invariant; a VMA has an address space.
        unsafe { LockedMm::from_raw(NonNull::new_unchecked(self.mm_ptr())) }
    }

    /// Returns the C object.
    pub(crate) fn as_ptr(self) -> *mut ffi::vm_area_struct {
        self.0.as_ptr()
    }

    /// Returns a key that identifies the VMA. Keys are compared only.
    pub(crate) fn key(self) -> usize {
        self.0.addr().get()
    }

    /// Returns the first address, in bytes.
    pub(crate) fn start(self) -> usize {
        // SAFETY: By the type invariant; the word is read once.
        unsafe {
            (&raw const (*self.as_ptr()).__bindgen_anon_1.__bindgen_anon_1.vm_start).read_volatile()
        }
    }

    /// Returns the first address after it, in bytes.
    pub(crate) fn end(self) -> usize {
        // SAFETY: As in `start`.
        unsafe {
            (&raw const (*self.as_ptr()).__bindgen_anon_1.__bindgen_anon_1.vm_end).read_volatile()
        }
    }

    /// Returns its length, in pages.
    pub(crate) fn pages(self) -> usize {
        self.end().saturating_sub(self.start()) >> PAGE_SHIFT
    }

    /// Returns its anonymous page offsets, by which the reverse map finds it. Since 7.3 these are
    /// not offsets in the file but come from the address at which a private mapping was made, see
    /// `vma_start_anon_pgoff()`; before, they are `vm_pgoff`.
    pub(crate) fn range(self) -> Range {
        // SAFETY: By the type invariant.
        unsafe { range_of(self.as_ptr()) }
    }

    /// Returns a key that identifies its address space. Keys are compared only.
    pub(crate) fn mm_key(self) -> usize {
        self.mm_ptr().addr()
    }

    /// Returns its address space.
    pub(super) fn mm_ptr(self) -> *mut ffi::mm_struct {
        // SAFETY: By the type invariant; `vm_mm` does not change.
        unsafe { (*self.as_ptr()).vm_mm }
    }

    /// Returns a reference on its `mm_struct`, which does not keep the mappings (`mmgrab()`).
    pub(crate) fn mm(self) -> ARef<Mm> {
        ARef::from(self.mm_ref())
    }

    /// Returns its `mm_struct`.
    fn mm_ref(self) -> &'a Mm {
        // SAFETY: The `mm_struct` of a VMA exists; `Mm` is transparent.
        unsafe { &*self.mm_ptr().cast::<Mm>() }
    }

    /// Returns `mm_users`: the number of threads and other users of its address space; 0 once the
    /// mappings are being removed.
    pub(crate) fn mm_users(self) -> i32 {
        users(self.mm_ref())
    }

    /// Returns `vm_private_data` as a number.
    pub(crate) fn private_number(self) -> usize {
        // SAFETY: By the type invariant; the word is read once.
        unsafe { (&raw const (*self.as_ptr()).vm_private_data).read_volatile() }.addr()
    }

    /// Returns whether it was mapped with `MAP_SHARED`.
    pub(crate) fn is_shared(self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { (*self.as_ptr()).__bindgen_anon_2.vm_flags & ffi::SR_VM_MAYSHARE != 0 }
    }

    /// Returns a key that identifies its anon_vma; 0 if it has none.
    pub(crate) fn anon_vma_key(self) -> usize {
        // SAFETY: By the type invariant; the word is read once.
        unsafe { (&raw const (*self.as_ptr()).anon_vma).read_volatile() }.addr()
    }

    /// As [`anon_vma_key`](Self::anon_vma_key), `None` for 0. What was written before it was
    /// published is visible behind the call.
    pub(super) fn anon_vma_acquired(self) -> Option<usize> {
        #[cfg(shadow_rmap_busted)]
        if crate::is_chosen("HostHidesAnonVmas") {
            return None;
        }
        // SAFETY: By the type invariant; the place is aligned, and other threads write to it as a
        // whole.
        let place = unsafe {
            AtomicPtr::from_ptr((&raw mut (*self.as_ptr()).anon_vma).cast::<*mut ffi::anon_vma>())
        };
        NonNull::new(place.load(Ordering::Acquire)).map(|key| key.as_ptr().expose_provenance())
    }

    /// Returns whether its PTEs may map what has no `struct page` of its own, or none of the usual
    /// size.
    pub(crate) fn has_odd_pages(self) -> bool {
        const ODD: ffi::vm_flags_t = ffi::VM_PFNMAP | ffi::VM_MIXEDMAP | ffi::VM_HUGETLB;
        // SAFETY: By the type invariant.
        unsafe { (*self.as_ptr()).__bindgen_anon_2.vm_flags & ODD != 0 }
    }

    /// Returns whether its anon_vma may have been made for it just now: no other VMA has it, and it has
    /// no child.
    pub(crate) fn has_fresh_anon_vma(self) -> bool {
        // SAFETY: By the type invariant: under `mmap_lock` the anon_vma stays linked, and a linked
        // anon_vma exists. Each word is read once.
        unsafe {
            let anon_vma = (&raw const (*self.as_ptr()).anon_vma).read_volatile();
            let anon_vma: *mut ffi::anon_vma = anon_vma.cast();
            // A root is its own child.
            !anon_vma.is_null()
                && (&raw const (*anon_vma).num_active_vmas).read_volatile() <= 1
                && (&raw const (*anon_vma).num_children).read_volatile() <= 1
        }
    }

    /// Returns whether it has one link, to an anon_vma that is a root. Another thread that prepares
    /// it may be about to add that link: `__anon_vma_prepare()` publishes the anon_vma before.
    pub(crate) fn has_root_alone(self) -> bool {
        // SAFETY: By the type invariant: under `mmap_lock` the anon_vma stays linked, and a linked
        // anon_vma exists.
        unsafe {
            let vma = self.as_ptr();
            let head = &raw const (*vma).anon_vma_chain;
            let next = (&raw const (*head).next).read_volatile().cast_const();
            let prev = (&raw const (*head).prev).read_volatile().cast_const();
            let anon_vma = (&raw const (*vma).anon_vma).read_volatile();
            let anon_vma: *mut ffi::anon_vma = anon_vma.cast();
            !anon_vma.is_null()
                // `list_add()` to an empty list sets one of them after the other.
                && (ptr::eq(next, head) || ptr::eq(prev, head) || ptr::eq(next, prev))
                && ptr::eq((*anon_vma).root, anon_vma)
        }
    }

    /// `anon_vma_compatible()`: returns whether `next` begins where this VMA ends, and the two may
    /// share an anon_vma.
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
            && ptr::eq(file(self), file(next))
            // SAFETY: By the type invariants.
            && unsafe { ffi::shadow_rmap_vma_same_policy(self.as_ptr(), next.as_ptr()) }
            // SAFETY: As above.
            && unsafe { ffi::shadow_rmap_vma_same_flags(self.as_ptr(), next.as_ptr()) }
    }
}

/// Returns the first anonymous page offset of a VMA of the device that has lost its links, and had
/// `pgoff` before. Since 7.3 it is that of a VMA that was mapped at `start` just now, in bytes; before,
/// `vm_pgoff` stays as it is, because the VMA is one of a file.
pub(crate) fn unlinked_pgoff(pgoff: usize, start: usize) -> usize {
    if cfg!(linux_7_2) {
        pgoff
    } else {
        start >> PAGE_SHIFT
    }
}

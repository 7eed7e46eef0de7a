// SPDX-License-Identifier: GPL-2.0

//! Calls the host's reverse map on VMAs that belong to no process, to measure it.
//!
//! C: `folio_lock_anon_vma_read()`, `__anon_vma_prepare()`, `anon_vma_fork()` and
//! `unlink_anon_vmas()` of [`mm/rmap.c`](srctree/mm/rmap.c), the tree of
//! [`mm/interval_tree.c`](srctree/mm/interval_tree.c). They are not exported to modules. User space
//! looks their addresses up in `/proc/kallsyms`, and passes them as module parameters.
//!
//! # Invariants of this module
//!
//! 1. The [`Functions`] are the addresses of the host's functions with these names.
//! 2. The thread that created a [`Space`] holds its `mmap_lock` for writing until the drop.
//! 3. A [`Vma`] is pinned. Only its owner and the anon_vmas that it is linked to have its address.
//!    When it is dropped it has no links.
//! 4. A [`Page`] is mapped and locked from its creation to its drop. Its anon_vma is that of a
//!    [`Vma`] that lives longer and cannot be unlinked meanwhile.
//! 5. At most one VMA is ever stored in the maple tree of a [`Space`]. After its drop the entry is
//!    stale, and only the prepare of that VMA follows it.

use crate::{
    ffi,
    kernel_ext::interval_tree::Range, //
};
use core::{
    cell::Cell,
    mem,
    ptr, //
};
use kernel::{
    error::to_result,
    page::PAGE_SHIFT,
    prelude::*,
    types::{
        NotThreadSafe,
        Opaque, //
    },
};

type LockFn = unsafe extern "C" fn(*const ffi::folio, *mut c_void) -> *mut ffi::anon_vma;
type PrepareFn = unsafe extern "C" fn(*mut ffi::vm_area_struct) -> c_int;
type ForkFn = unsafe extern "C" fn(*mut ffi::vm_area_struct, *mut ffi::vm_area_struct) -> c_int;
type UnlinkFn = unsafe extern "C" fn(*mut ffi::vm_area_struct);
type FirstFn = unsafe extern "C" fn(*mut ffi::anon_vma, usize, usize) -> *mut ffi::anon_vma_chain;
type NextFn =
    unsafe extern "C" fn(*mut ffi::anon_vma_chain, usize, usize) -> *mut ffi::anon_vma_chain;

/// The addresses of the host's functions, from `/proc/kallsyms`.
#[derive(Clone, Copy)]
pub(crate) struct Addresses {
    /// `folio_lock_anon_vma_read`
    pub(crate) lock: usize,
    /// `__anon_vma_prepare`
    pub(crate) prepare: usize,
    /// `anon_vma_fork`
    pub(crate) fork: usize,
    /// `unlink_anon_vmas`
    pub(crate) unlink: usize,
    /// `anon_rmap_tree_iter_first`
    pub(crate) first: usize,
    /// `anon_rmap_tree_iter_next`
    pub(crate) next: usize,
}

/// The host's functions.
pub(crate) struct Functions {
    lock: LockFn,
    prepare: PrepareFn,
    fork: ForkFn,
    unlink: UnlinkFn,
    first: FirstFn,
    next: NextFn,
}

/// Returns whether the function `name` begins at `address`; logs an error if not.
fn begins(address: usize, name: &str) -> bool {
    let mut buffer = [0; ffi::SR_KSYM_SYMBOL_LEN];
    // SAFETY: The buffer has the size for any symbol; the address is only looked up.
    let length = unsafe { ffi::sprint_symbol(buffer.as_mut_ptr(), address) };
    let found = usize::try_from(length)
        .ok()
        .and_then(|length| buffer.get(..length))
        .and_then(|bytes| core::str::from_utf8(bytes).ok())
        .unwrap_or_default();
    let begins = found
        .strip_prefix(name)
        .is_some_and(|rest| rest.starts_with("+0x0/"));
    if !begins {
        pr_err!("bench: {name} does not begin at {address:#x}, there is {found}\n");
    }
    begins
}

impl Functions {
    /// Checks that each function begins at its address.
    ///
    /// # Errors
    ///
    /// `EINVAL` if one does not; the kernel log says which.
    pub(crate) fn new(at: Addresses) -> Result<Self> {
        let found = [
            begins(at.lock, "folio_lock_anon_vma_read"),
            begins(at.prepare, "__anon_vma_prepare"),
            begins(at.fork, "anon_vma_fork"),
            begins(at.unlink, "unlink_anon_vmas"),
            begins(at.first, "anon_rmap_tree_iter_first"),
            begins(at.next, "anon_rmap_tree_iter_next"),
        ];
        if found.contains(&false) {
            return Err(EINVAL);
        }
        let pointer = ptr::with_exposed_provenance::<()>;
        // SAFETY: The functions begin at these addresses, and have these types.
        // INVARIANT: (1) Checked above.
        unsafe {
            Ok(Self {
                lock: mem::transmute::<*const (), LockFn>(pointer(at.lock)),
                prepare: mem::transmute::<*const (), PrepareFn>(pointer(at.prepare)),
                fork: mem::transmute::<*const (), ForkFn>(pointer(at.fork)),
                unlink: mem::transmute::<*const (), UnlinkFn>(pointer(at.unlink)),
                first: mem::transmute::<*const (), FirstFn>(pointer(at.first)),
                next: mem::transmute::<*const (), NextFn>(pointer(at.next)),
            })
        }
    }
}

/// An address space without a process and without memory, its `mmap_lock` held for writing.
pub(crate) struct Space<'a> {
    host: &'a Functions,
    mm: Pin<KBox<Opaque<ffi::mm_struct>>>,
    /// Whether a VMA has been stored in its maple tree.
    taken: Cell<bool>,
    _not_send: NotThreadSafe,
}

impl<'a> Space<'a> {
    /// Creates an address space. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(host: &'a Functions) -> Result<Self> {
        let mm = KBox::pin_init(
            Opaque::ffi_init(|mm| {
                // SAFETY: `mm` is valid for writes.
                unsafe { ffi::shadow_rmap_bench_mm_init(mm) }
            }),
            GFP_KERNEL,
        )?;
        // INVARIANT: (2) `drop` releases the lock.
        // SAFETY: The lock is initialised.
        unsafe { ffi::down_write(&raw mut (*mm.get()).__bindgen_anon_1.mmap_lock) };
        Ok(Self {
            host,
            mm,
            taken: Cell::new(false),
            _not_send: NotThreadSafe,
        })
    }

    /// Looks up the VMA that covers `range` and its neighbours, as [`Vma::prepare`] does, and
    /// returns how many there are.
    #[inline]
    pub(crate) fn neighbours(&self, range: Range) -> usize {
        let end = (range.last + 1) << PAGE_SHIFT;
        // SAFETY: By invariant (2) no other thread uses the tree; its entries are only counted.
        unsafe { ffi::shadow_rmap_bench_neighbours(self.mm.get(), end) as usize }
    }
}

impl Drop for Space<'_> {
    fn drop(&mut self) {
        // SAFETY: By invariant (2) no other thread uses the tree, and this one holds the lock.
        unsafe {
            let mm = &raw mut (*self.mm.get()).__bindgen_anon_1;
            ffi::__mt_destroy(&raw mut (*mm).mm_mt);
            ffi::up_write(&raw mut (*mm).mmap_lock);
        }
    }
}

/// A VMA of a [`Space`].
pub(crate) struct Vma<'a> {
    space: &'a Space<'a>,
    vma: Pin<KBox<Opaque<ffi::vm_area_struct>>>,
    entered: bool,
}

impl<'a> Vma<'a> {
    /// Creates a VMA that covers `range`, in pages, and has no links. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(space: &'a Space<'a>, range: Range) -> Result<Self> {
        let init = Opaque::ffi_init(|vma| {
            // SAFETY: `vma` is valid for writes; the address space outlives the VMA.
            unsafe {
                ffi::shadow_rmap_bench_vma_init(vma, space.mm.get(), range.start, range.last)
            };
        });
        // INVARIANT: (3) It has no links.
        Ok(Self {
            space,
            vma: KBox::pin_init(init, GFP_KERNEL)?,
            entered: false,
        })
    }

    /// Creates the first VMA of an address space, for which [`prepare`](Self::prepare) can be
    /// called. Sleeps.
    ///
    /// # Errors
    ///
    /// `EBUSY` if the address space has, or had, a first VMA; `ENOMEM`.
    pub(crate) fn first(space: &'a Space<'a>, range: Range) -> Result<Self> {
        let mut vma = Self::new(space, range)?;
        if space.taken.replace(true) {
            return Err(EBUSY);
        }
        // SAFETY: By invariants (2) and (3).
        // INVARIANT: (5) `taken` was not set before.
        to_result(unsafe { ffi::shadow_rmap_bench_vma_store(vma.vma.get()) })?;
        vma.entered = true;
        Ok(vma)
    }

    /// `__anon_vma_prepare()`. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EINVAL` if it is not the [`first`](Self::first) VMA of its address space.
    #[inline]
    pub(crate) fn prepare(&mut self) -> Result {
        if !self.entered {
            return Err(EINVAL);
        }
        // SAFETY: By invariants (1) to (3), and (5) for the maple tree.
        to_result(unsafe { (self.space.host.prepare)(self.vma.get()) })
    }

    /// `anon_vma_fork()`: makes this VMA, which has no links, the child of `parent`. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EBUSY` if it has links.
    #[inline]
    pub(crate) fn fork_from(&mut self, parent: &mut Vma<'a>) -> Result {
        // SAFETY: By invariant (3) no other thread changes it.
        if !unsafe { (*self.vma.get()).anon_vma }.is_null() {
            return Err(EBUSY);
        }
        // SAFETY: By invariants (1) to (3); this VMA has no links.
        to_result(unsafe { (self.space.host.fork)(self.vma.get(), parent.vma.get()) })
    }

    /// `unlink_anon_vmas()`. Sleeps.
    #[inline]
    pub(crate) fn unlink(&mut self) {
        // SAFETY: By invariants (1) to (3).
        unsafe { (self.space.host.unlink)(self.vma.get()) };
    }

    /// Returns the number of its links.
    pub(crate) fn links(&self) -> usize {
        // SAFETY: By invariant (3) the chain is a list that no other thread changes.
        unsafe {
            let head = &raw mut (*self.vma.get()).anon_vma_chain;
            let (mut n, mut at) = (0, (*head).next);
            while !ptr::eq(at, head) {
                (n, at) = (n + 1, (*at).next);
            }
            n
        }
    }
}

impl Drop for Vma<'_> {
    fn drop(&mut self) {
        // INVARIANT: (3)
        self.unlink();
    }
}

/// A page whose fields say that a [`Vma`] maps it; no page table does.
pub(crate) struct Page<'a> {
    page: kernel::page::Page,
    vma: &'a Vma<'a>,
}

impl<'a> Page<'a> {
    /// Creates a page at page offset `index` of `vma`. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EINVAL` if the VMA has no anon_vma.
    pub(crate) fn new(vma: &'a Vma<'a>, index: usize) -> Result<Self> {
        // SAFETY: By invariant (3) no other thread changes it.
        let anon_vma = unsafe { (*vma.vma.get()).anon_vma };
        if anon_vma.is_null() {
            return Err(EINVAL);
        }
        let page = kernel::page::Page::alloc_page(GFP_KERNEL)?;
        // INVARIANT: (4) The VMA is borrowed, and an unlink needs a mutable reference.
        // SAFETY: The page was allocated just now.
        unsafe { ffi::shadow_rmap_bench_map_page(page.as_ptr(), anon_vma.cast(), index) };
        Ok(Self { page, vma })
    }

    /// `folio_lock_anon_vma_read()`. Sleeps.
    #[inline]
    pub(crate) fn lock_anon_vma(&self) -> Option<LockedAnonVma<'_>> {
        let host = self.vma.space.host;
        let folio = self.page.as_ptr().cast::<ffi::folio>();
        // SAFETY: By invariants (1) and (4); a single page is a folio.
        let anon_vma = unsafe { (host.lock)(folio, ptr::null_mut()) };
        if anon_vma.is_null() {
            return None;
        }
        Some(LockedAnonVma {
            host,
            anon_vma,
            _page: self,
        })
    }
}

impl Drop for Page<'_> {
    fn drop(&mut self) {
        // SAFETY: By invariant (4) the page is mapped and locked.
        unsafe { ffi::shadow_rmap_bench_unmap_page(self.page.as_ptr()) };
    }
}

/// An anon_vma of the host, whose root is locked for reading.
///
/// # Invariants
///
/// This value owns the read hold; the anon_vma is linked to the VMA that maps the page.
pub(crate) struct LockedAnonVma<'a> {
    host: &'a Functions,
    anon_vma: *mut ffi::anon_vma,
    _page: &'a Page<'a>,
}

impl LockedAnonVma<'_> {
    /// Calls `f` for each link to a VMA that covers any of the page offsets `first..=last`.
    #[inline]
    pub(crate) fn for_each_link(&self, first: usize, last: usize, mut f: impl FnMut()) {
        // SAFETY: By the type invariant the tree is locked.
        let mut link = unsafe { (self.host.first)(self.anon_vma, first, last) };
        while !link.is_null() {
            f();
            // SAFETY: As above.
            link = unsafe { (self.host.next)(link, first, last) };
        }
    }
}

impl Drop for LockedAnonVma<'_> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant; a linked anon_vma has a reference on its root.
        unsafe { ffi::up_read(&raw mut (*(*self.anon_vma).root).rwsem) };
    }
}

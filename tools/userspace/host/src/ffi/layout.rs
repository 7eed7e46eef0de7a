// SPDX-License-Identifier: GPL-2.0

//! The types of `c/driver.h`.

use std::ffi::{c_char, c_int, c_long, c_ulong, c_void};
use std::ptr::NonNull;

macro_rules! handles {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[repr(transparent)]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub(crate) struct $name(NonNull<c_void>);

        impl $name {
            /// Returns the number that the host's own structures hold for it.
            #[allow(dead_code, reason = "each kind of handle has it")]
            pub(crate) fn address(self) -> u64 {
                self.0.as_ptr() as u64
            }
        }

        // SAFETY: By invariant 2 of the file one thread at a time uses the handle.
        unsafe impl Send for $name {}
    )*};
}

handles! {
    /// `struct mm_struct`.
    Mm
    /// `struct vm_area_struct`.
    Vma
    /// `struct anon_vma`.
    AnonVma
    /// `struct anon_vma_chain`.
    Link
    /// `struct folio`.
    Folio
}

/// `struct host_vma`.
#[repr(C)]
#[derive(Default)]
pub(crate) struct VmaData {
    pub(crate) start: c_ulong,
    pub(crate) end: c_ulong,
    pub(crate) pgoff: c_ulong,
    pub(crate) anon_pgoff: c_ulong,
    pub(crate) flags: c_ulong,
    pub(crate) anon_vma: Option<AnonVma>,
    pub(crate) file: bool,
}

/// `struct host_link`.
#[repr(C)]
#[derive(Default)]
pub(crate) struct LinkData {
    pub(crate) vma: Option<Vma>,
    pub(crate) anon_vma: Option<AnonVma>,
    pub(crate) first: c_ulong,
    pub(crate) last: c_ulong,
    pub(crate) subtree_last: c_ulong,
    pub(crate) left: Option<Link>,
    pub(crate) right: Option<Link>,
}

/// `struct host_anon_vma`.
#[repr(C)]
#[derive(Default)]
pub(crate) struct AnonVmaData {
    pub(crate) root: Option<AnonVma>,
    pub(crate) parent: Option<AnonVma>,
    pub(crate) refcount: c_long,
    pub(crate) num_children: c_ulong,
    pub(crate) num_active_vmas: c_ulong,
    pub(crate) locked: bool,
}

/// `struct host_folio`.
#[repr(C)]
#[derive(Default)]
pub(crate) struct FolioData {
    pub(crate) mapping: c_ulong,
    pub(crate) index: c_ulong,
    pub(crate) mapcount: c_int,
    pub(crate) exclusive: bool,
}

/// `enum host_field`: a field of the host's structures.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// `anon_vma->refcount`.
    Refcount,
    /// `anon_vma->num_children`.
    NumChildren,
    /// `anon_vma->num_active_vmas`.
    NumActiveVmas,
    /// `anon_vma->root`.
    Root,
    /// `anon_vma->parent`.
    Parent,
    /// `vma->anon_vma`.
    VmaAnonVma,
    /// The anonymous page offset of a VMA.
    VmaAnonPgoff,
    /// `vma->vm_start`.
    VmaStart,
    /// `avc->anon_vma`.
    LinkAnonVma,
    /// `avc->vma`.
    LinkVma,
    /// `avc->rb_subtree_last`.
    LinkSubtreeLast,
    /// `folio->mapping`.
    FolioMapping,
    /// `folio->index`.
    FolioIndex,
    /// `folio->_mapcount`, plus one.
    FolioMapcount,
}

/// `struct host_hooks`.
#[repr(C)]
pub(super) struct Hooks {
    pub(super) data: *mut c_void,
    pub(super) zap: unsafe extern "C" fn(*mut c_void, Vma, c_ulong, c_ulong),
    pub(super) copy: unsafe extern "C" fn(*mut c_void, Vma, Vma) -> c_int,
    pub(super) move_entries:
        unsafe extern "C" fn(*mut c_void, Mm, c_ulong, c_ulong, c_ulong) -> c_ulong,
    pub(super) visit: unsafe extern "C" fn(*mut c_void, Vma, c_ulong) -> bool,
    pub(super) warning:
        unsafe extern "C" fn(*mut c_void, *const c_char, *const c_char, *const c_char, c_int),
}

/// `struct host_api`.
#[repr(C)]
pub(super) struct Api {
    pub(super) size: c_ulong,
    pub(super) start: unsafe extern "C" fn(*const Hooks),
    pub(super) end_step: unsafe extern "C" fn() -> c_ulong,
    pub(super) mm_new: unsafe extern "C" fn() -> Mm,
    pub(super) mm_free: unsafe extern "C" fn(Mm),
    pub(super) map: unsafe extern "C" fn(Mm, c_ulong, c_ulong, c_ulong, bool, c_ulong) -> c_long,
    pub(super) unmap: unsafe extern "C" fn(Mm, c_ulong, c_ulong) -> c_int,
    pub(super) change_flags: unsafe extern "C" fn(Mm, c_ulong, c_ulong, c_ulong, c_ulong) -> c_int,
    pub(super) remap:
        unsafe extern "C" fn(Mm, c_ulong, c_ulong, c_ulong, c_ulong, c_ulong) -> c_long,
    pub(super) fork: unsafe extern "C" fn(Mm, Mm) -> c_int,
    pub(super) exit: unsafe extern "C" fn(Mm),
    pub(super) prepare: unsafe extern "C" fn(Vma) -> c_int,
    pub(super) vma_at_or_after: unsafe extern "C" fn(Mm, c_ulong) -> Option<Vma>,
    pub(super) vma_mm: unsafe extern "C" fn(Vma) -> Mm,
    pub(super) vma_read: unsafe extern "C" fn(Vma, *mut VmaData),
    pub(super) chain_next: unsafe extern "C" fn(Vma, Option<Link>) -> Option<Link>,
    pub(super) tree_next: unsafe extern "C" fn(AnonVma, Option<Link>) -> Option<Link>,
    pub(super) link_read: unsafe extern "C" fn(Link, *mut LinkData),
    pub(super) anon_vma_read: unsafe extern "C" fn(AnonVma, *mut AnonVmaData),
    pub(super) folio_new: unsafe extern "C" fn() -> Folio,
    pub(super) folio_free: unsafe extern "C" fn(Folio),
    pub(super) folio_read: unsafe extern "C" fn(Folio, *mut FolioData),
    pub(super) folio_map_new: unsafe extern "C" fn(Folio, Vma, c_ulong, bool),
    pub(super) folio_map: unsafe extern "C" fn(Folio, Vma, c_ulong),
    pub(super) folio_dup: unsafe extern "C" fn(Folio, Vma, Vma) -> c_int,
    pub(super) folio_unmap: unsafe extern "C" fn(Folio, Vma),
    pub(super) folio_move: unsafe extern "C" fn(Folio, Vma),
    pub(super) folio_walk: unsafe extern "C" fn(Folio),
    pub(super) fail_allocations: unsafe extern "C" fn(c_ulong, c_ulong),
    pub(super) allocations: unsafe extern "C" fn() -> c_ulong,
    pub(super) cache: unsafe extern "C" fn(c_int, *mut c_ulong) -> *const c_char,
    pub(super) edges: unsafe extern "C" fn() -> c_ulong,
    pub(super) damage: unsafe extern "C" fn(*mut c_void, Field, c_ulong) -> c_ulong,
}

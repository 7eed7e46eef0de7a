// SPDX-License-Identifier: GPL-2.0

//! Calls of the shared object, and its calls of the page tables. The only module with `unsafe`.
//!
//! C header: `c/driver.h`.
//!
//! # Invariants
//!
//! 1. The shared object is never unloaded, and its `host_api` has the layout of [`Api`]: its size
//!    was compared, and both are edited together.
//! 2. One thread at a time calls it: [`Library`] is used, behind the lock of [`crate::Host`].
//! 3. A handle ([`Mm`], [`Vma`], [`AnonVma`], [`Link`], [`Folio`]) comes from the shared object. It
//!    is used before the next operation that may free what it stands for: the callers read handles
//!    anew after each operation, and keep those of an mm or a folio until they free them.
//! 4. [`Tables`] is on the heap. While a function of the host runs that may call `zap`, `copy` or
//!    `move_entries`, it is reached by them alone.

#![expect(unsafe_code, reason = "the host's code is C")]

mod hooks;
mod layout;

use std::ffi::{CStr, CString, c_char, c_int, c_ulong, c_void};
use std::path::Path;

use hooks::{VISITED, locked};
use layout::{Api, FolioData, Hooks, LinkData};

pub(crate) use hooks::{Shared, take_warnings};
pub use layout::Field;
pub(crate) use layout::{AnonVma, AnonVmaData, Folio, Link, Mm, Vma, VmaData};

unsafe extern "C" {
    fn dlopen(path: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
    fn dlerror() -> *mut c_char;
}

const RTLD_NOW: c_int = 2;

/// The loaded shared object.
#[derive(Clone, Copy)]
pub(crate) struct Library(&'static Api);

/// Calls a function of the API.
macro_rules! call {
    ($library:expr, $function:ident($($argument:expr),*)) => {
        // SAFETY: By the invariants of the file the function has this type, its handles are live,
        // and no other thread runs the host's code. Pointers are to locals of the caller.
        unsafe { ($library.0.$function)($($argument),*) }
    };
}

impl Library {
    /// Loads the shared object. The caller has the lock that invariant 2 names.
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        let name = CString::new(path.as_os_str().as_encoded_bytes())
            .map_err(|_| format!("{}: a zero byte in the path", path.display()))?;
        // SAFETY: `name` is a C string; the initialisers of the object touch nothing of ours.
        let library = unsafe { dlopen(name.as_ptr(), RTLD_NOW) };
        if library.is_null() {
            // SAFETY: `dlopen` has just failed: there is a message, and it is a C string.
            let why = unsafe { CStr::from_ptr(dlerror()) };
            return Err(why.to_string_lossy().into_owned());
        }
        // SAFETY: `library` is what `dlopen` returned.
        let api = unsafe { dlsym(library, c"host_api".as_ptr()) }.cast::<Api>();
        // SAFETY: A `host_api` starts with its size; the object stays loaded (invariant 1).
        if api.is_null() || unsafe { (*api).size } != size_of::<Api>() as c_ulong {
            return Err(format!("{}: not of this version", path.display()));
        }
        // SAFETY: As above, and the size is that of `Api`.
        Ok(Self(unsafe { &*api }))
    }

    /// Starts the host's code, which keeps a pointer to the hooks.
    fn start(self, hooks: &Hooks) {
        call!(self, start(hooks));
    }

    /// Ends a grace period; returns the number of locks that are still held.
    pub(crate) fn end_step(self) -> u64 {
        call!(self, end_step())
    }

    pub(crate) fn mm_new(self) -> Mm {
        call!(self, mm_new())
    }

    pub(crate) fn mm_free(self, mm: Mm) {
        call!(self, mm_free(mm));
    }

    pub(crate) fn map(self, mm: Mm, start: u64, len: u64, flags: u64, file: Option<u64>) -> i64 {
        call!(
            self,
            map(mm, start, len, flags, file.is_some(), file.unwrap_or(0))
        )
    }

    pub(crate) fn unmap(self, mm: Mm, start: u64, len: u64) -> i32 {
        call!(self, unmap(mm, start, len))
    }

    pub(crate) fn change_flags(self, mm: Mm, start: u64, end: u64, set: u64, clear: u64) -> i32 {
        call!(self, change_flags(mm, start, end, set, clear))
    }

    pub(crate) fn remap(self, mm: Mm, from: u64, old: u64, new: u64, flags: u64, to: u64) -> i64 {
        call!(self, remap(mm, from, old, new, flags, to))
    }

    pub(crate) fn fork(self, child: Mm, parent: Mm) -> i32 {
        call!(self, fork(child, parent))
    }

    pub(crate) fn exit(self, mm: Mm) {
        call!(self, exit(mm));
    }

    pub(crate) fn prepare(self, vma: Vma) -> i32 {
        call!(self, prepare(vma))
    }

    /// Returns the first VMA that ends above an address.
    pub(crate) fn vma_at_or_after(self, mm: Mm, address: u64) -> Option<Vma> {
        call!(self, vma_at_or_after(mm, address))
    }

    pub(crate) fn vma_mm(self, vma: Vma) -> Mm {
        call!(self, vma_mm(vma))
    }

    pub(crate) fn vma(self, vma: Vma) -> VmaData {
        let mut data = VmaData::default();
        call!(self, vma_read(vma, &mut data));
        data
    }

    /// Returns the links of a VMA, in the order of its list.
    pub(crate) fn chain(self, vma: Vma) -> impl Iterator<Item = Link> {
        std::iter::successors(call!(self, chain_next(vma, None)), move |link| {
            call!(self, chain_next(vma, Some(*link)))
        })
    }

    /// Returns the members of an interval tree, in the order of their keys.
    pub(crate) fn tree(self, anon_vma: AnonVma) -> impl Iterator<Item = Link> {
        std::iter::successors(call!(self, tree_next(anon_vma, None)), move |link| {
            call!(self, tree_next(anon_vma, Some(*link)))
        })
    }

    pub(crate) fn link(self, link: Link) -> LinkData {
        let mut data = LinkData::default();
        call!(self, link_read(link, &mut data));
        data
    }

    pub(crate) fn anon_vma(self, anon_vma: AnonVma) -> AnonVmaData {
        let mut data = AnonVmaData::default();
        call!(self, anon_vma_read(anon_vma, &mut data));
        data
    }

    pub(crate) fn folio_new(self) -> Folio {
        call!(self, folio_new())
    }

    pub(crate) fn folio_free(self, folio: Folio) {
        call!(self, folio_free(folio));
    }

    pub(crate) fn folio(self, folio: Folio) -> FolioData {
        let mut data = FolioData::default();
        call!(self, folio_read(folio, &mut data));
        data
    }

    pub(crate) fn folio_map_new(self, folio: Folio, vma: Vma, address: u64, exclusive: bool) {
        call!(self, folio_map_new(folio, vma, address, exclusive));
    }

    pub(crate) fn folio_map(self, folio: Folio, vma: Vma, address: u64) {
        call!(self, folio_map(folio, vma, address));
    }

    pub(crate) fn folio_dup(self, folio: Folio, to: Vma, from: Vma) -> i32 {
        call!(self, folio_dup(folio, to, from))
    }

    pub(crate) fn folio_unmap(self, folio: Folio, vma: Vma) {
        call!(self, folio_unmap(folio, vma));
    }

    pub(crate) fn folio_move(self, folio: Folio, vma: Vma) {
        call!(self, folio_move(folio, vma));
    }

    /// Returns where the host's rmap walk looks for a page: each VMA's mm and the address there.
    pub(crate) fn walk(self, folio: Folio) -> Vec<(Mm, u64)> {
        call!(self, folio_walk(folio));
        let visited = std::mem::take(&mut *locked(&VISITED));
        visited
            .into_iter()
            .map(|(vma, address)| (self.vma_mm(vma), address))
            .collect()
    }

    /// Makes the allocations numbered `first..first + count` fail, counted from 1 and from now.
    pub(crate) fn fail_allocations(self, first: u64, count: u64) {
        call!(self, fail_allocations(first, count));
    }

    /// Returns the number of allocations since the last call of `fail_allocations`.
    pub(crate) fn allocations(self) -> u64 {
        call!(self, allocations())
    }

    /// Returns how many branches of the code were ever taken.
    pub(crate) fn edges(self) -> u64 {
        call!(self, edges())
    }

    /// Returns the name of each slab cache and the number of its objects.
    pub(crate) fn caches(self) -> Vec<(String, u64)> {
        let mut caches = Vec::new();
        loop {
            let mut objects = 0;
            let name = call!(self, cache(caches.len() as c_int, &mut objects));
            if name.is_null() {
                return caches;
            }
            // SAFETY: The names of caches are string literals of the host's code.
            let name = unsafe { CStr::from_ptr(name) };
            caches.push((name.to_string_lossy().into_owned(), objects));
        }
    }

    /// Overwrites a field; returns what was there. `object` is the address of a live handle.
    pub(crate) fn damage(self, object: u64, field: Field, value: u64) -> u64 {
        call!(self, damage(object as *mut c_void, field, value))
    }
}

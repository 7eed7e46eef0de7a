// SPDX-License-Identifier: GPL-2.0

//! `linux/slab.h`, over [`mock::slab`](crate::mock::slab).

use super::gfp_t;
use crate::{
    alloc::Flags,
    mock::{
        alloc::allocation,
        slab::{self, Cache, Layout},
    },
};
use core::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::Arc;

/// `slab_flags_t`.
pub type slab_flags_t = u32;

/// `struct kmem_cache`.
pub struct kmem_cache(Arc<Cache>);

/// `struct kmem_cache_args`: what the engine sets of it.
#[derive(Default)]
#[repr(C)]
pub struct kmem_cache_args {
    /// Alignment of the objects.
    pub align: c_uint,
    /// Their constructor.
    pub ctor: Option<slab::Constructor>,
}

// SAFETY: Zeroes are a number and no function.
unsafe impl pinned_init::Zeroable for kmem_cache_args {}

impl kmem_cache {
    /// Returns the cache.
    ///
    /// # Safety
    ///
    /// `cache` was created, and is not destroyed during `'a`.
    pub unsafe fn get<'a>(cache: *mut Self) -> &'a Arc<Cache> {
        // SAFETY: The caller's promise.
        unsafe { &(*cache).0 }
    }
}

/// `__kmem_cache_create_args()`. Sleeps. Caches that were merged are one pointer.
///
/// # Safety
///
/// `name` and `args` are valid; the constructor fits the size.
#[track_caller]
pub unsafe fn __kmem_cache_create_args(
    name: *const c_char,
    size: c_uint,
    args: *mut kmem_cache_args,
    flags: slab_flags_t,
) -> *mut kmem_cache {
    if allocation(crate::alloc::flags::GFP_KERNEL).is_err() {
        return crate::error::code::ENOMEM.to_ptr();
    }
    // SAFETY: The caller's promise.
    let (name, args) = unsafe { (CStr::from_ptr(name), &*args) };
    let layout = Layout {
        size: size as usize,
        align: args.align as usize,
        flags,
        constructor: args.ctor,
    };
    let cache = Cache::create(&name.to_string_lossy(), layout);
    // The same pointer for the same cache: the pointer to its `Arc`, made once.
    cache
        .handle(|cache| Box::into_raw(Box::new(kmem_cache(cache))).cast())
        .cast()
}

/// `kmem_cache_alloc_noprof()`.
///
/// # Safety
///
/// `cache` was created, and is not destroyed meanwhile.
#[track_caller]
pub unsafe fn kmem_cache_alloc_noprof(cache: *mut kmem_cache, flags: gfp_t) -> *mut c_void {
    if allocation(Flags(flags)).is_err() {
        return core::ptr::null_mut();
    }
    // SAFETY: The caller's promise.
    unsafe { kmem_cache::get(cache) }.alloc()
}

/// `kmem_cache_free()`.
///
/// # Safety
///
/// `object` is an object of `cache`, and the caller's to free.
#[track_caller]
pub unsafe fn kmem_cache_free(cache: *mut kmem_cache, object: *mut c_void) {
    // SAFETY: The caller's promise.
    slab::free_of(unsafe { kmem_cache::get(cache) }, object);
}

/// `kfree()`, of an object of a cache.
///
/// # Safety
///
/// `object` is the caller's to free.
#[track_caller]
pub unsafe fn kfree(object: *const c_void) {
    slab::free(object.cast_mut());
}

/// `kmem_cache_shrink()`. Sleeps.
///
/// # Safety
///
/// `cache` was created, and is not destroyed meanwhile.
pub unsafe fn kmem_cache_shrink(cache: *mut kmem_cache) -> c_int {
    // SAFETY: The caller's promise.
    unsafe { kmem_cache::get(cache) }.shrink();
    0
}

/// `kmem_cache_destroy()`. Sleeps. Does nothing for null.
///
/// # Safety
///
/// `cache` was created, and this is the only such call for that.
#[track_caller]
pub unsafe fn kmem_cache_destroy(cache: *mut kmem_cache) {
    if cache.is_null() {
        return;
    }
    // SAFETY: The caller's promise.
    let this = unsafe { kmem_cache::get(cache) }.clone();
    if this.destroy() {
        // SAFETY: That was the last use; made by `__kmem_cache_create_args`.
        drop(unsafe { Box::from_raw(cache) });
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Deliberate bugs in the life of an anon_vma: its cache, its free, its hold on the root.

#![allow(unsafe_code, reason = "deliberate bugs")]

use super::{
    lookup::try_lock_watched,
    no_model_step, //
};
use crate::{
    ffi,
    kernel_ext::typesafe::{
        construct,
        Pinnable,
        TypesafeBox,
        TypesafeCache, //
    },
    rmap::{
        anon_vma::AnonVma,
        free::free_last,
        kind::Rmap,
        steps::{
            ReadOf,
            Steps, //
        },
        window::Window, //
    },
};
use core::{
    mem,
    ptr::NonNull, //
};
use kernel::{
    error::from_err_ptr,
    prelude::*, //
};

/// Deliberate bug: the cache is not type-safe (R5, museum 1).
///
/// Its free objects are poisoned, so that they cannot be taken for an anon_vma.
pub(crate) struct PlainCache;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Rmap> Steps<R> for PlainCache {
    fn create_cache(&self, name: &CStr) -> Result<TypesafeCache<AnonVma<R>>> {
        let mut args = ffi::kmem_cache_args {
            align: mem::align_of::<AnonVma<R>>() as u32,
            ..pin_init::zeroed()
        };
        // SAFETY: Name and `args` live for the call.
        let cache = from_err_ptr(unsafe {
            ffi::__kmem_cache_create_args(
                name.as_char_ptr(),
                mem::size_of::<AnonVma<R>>() as u32,
                &mut args,
                ffi::SR_SLAB_POISON | ffi::SR_SLAB_ACCOUNT,
            )
        })?;
        let cache = NonNull::new(cache).ok_or(ENOMEM)?;
        // SAFETY: Incorrect, on purpose: free objects are no anon_vmas. Objects are constructed by
        // `alloc_object`.
        Ok(unsafe { TypesafeCache::from_raw(cache) })
    }

    fn alloc_object(&self, cache: &TypesafeCache<AnonVma<R>>) -> Result<TypesafeBox<AnonVma<R>>> {
        let object = cache.alloc()?.into_raw();
        // SAFETY: Just allocated, and raw memory. Incorrect, on purpose: a late reader sees it
        // change.
        unsafe { construct::<AnonVma<R>>(object.as_ptr().cast()) };
        // SAFETY: As above.
        Ok(unsafe { TypesafeBox::from_raw(object) })
    }

    fn try_lock_root<'a>(&self, root: &'a AnonVma<R>) -> Option<ReadOf<'a, R>> {
        try_lock_watched(root)
    }
}

/// Deliberate bug: gives an anon_vma back with its count changed (R6).
pub(crate) struct FreesDirty;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Rmap> Steps<R> for FreesDirty {
    fn give_back(&self, object: TypesafeBox<AnonVma<R>>) {
        // SAFETY: Incorrect, on purpose: there is no reference to drop.
        unsafe { object.as_ref().dec_refcount() };
        drop(object);
    }
}

/// Deliberate bug: another type's objects come from the same cache (R8, museum 5).
pub(crate) struct SharesCache;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Rmap> Steps<R> for SharesCache {
    fn share_cache(&self, cache: &TypesafeCache<AnonVma<R>>) -> Result {
        // SAFETY: A cache.
        let object =
            unsafe { ffi::kmem_cache_alloc_noprof(cache.as_raw().as_ptr(), ffi::GFP_KERNEL) };
        let words = NonNull::new(object.cast::<usize>()).ok_or(ENOMEM)?;
        // As `kzalloc()` does. The allocator's own word in a free object is behind the object,
        // because there is a constructor.
        for i in 0..mem::size_of::<AnonVma<R>>() / mem::size_of::<usize>() {
            // SAFETY: Within the object, which is ours. Incorrect, on purpose: late readers take it
            // for an anon_vma.
            unsafe { words.add(i).write_volatile(0) };
        }
        // SAFETY: Just allocated.
        unsafe { ffi::kfree(object) };
        Ok(())
    }

    fn try_lock_root<'a>(&self, root: &'a AnonVma<R>) -> Option<ReadOf<'a, R>> {
        try_lock_watched(root)
    }
}

/// Deliberate bug: a child does not hold its root (R16, museum 14).
pub(crate) struct LetsRootGo;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Rmap> Steps<R> for LetsRootGo {
    fn hold_root(&self, _root: &AnonVma<R>) -> bool {
        true
    }

    /// # Safety
    ///
    /// As the trait says.
    unsafe fn put_root(&self, _root: NonNull<AnonVma<R>>) {}

    fn try_lock_root<'a>(&self, root: &'a AnonVma<R>) -> Option<ReadOf<'a, R>> {
        try_lock_watched(root)
    }
}

/// Deliberate bug: a child lets go of its root before it is freed (R16, museum 23).
pub(crate) struct FreesRootFirst;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Rmap> Steps<R> for FreesRootFirst {
    /// # Safety
    ///
    /// As the trait says.
    unsafe fn free_last(&self, this: NonNull<AnonVma<R>>) {
        // SAFETY: Nothing else frees it.
        let anon_vma = unsafe { this.as_ref() };
        if !anon_vma.is_root() {
            // SAFETY: Incorrect, on purpose: the reference is the child's, which still leads there.
            unsafe { AnonVma::put(NonNull::from(anon_vma.root())) };
            R::window(Window::LastPut);
        }
        // SAFETY: The caller's promise.
        unsafe { free_last(this) };
    }

    /// # Safety
    ///
    /// As the trait says.
    unsafe fn put_root(&self, _root: NonNull<AnonVma<R>>) {}
}

/// Deliberate bug: frees an anon_vma while a reader holds the root's lock (R17).
pub(crate) struct FreesWhileLocked;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Rmap> Steps<R> for FreesWhileLocked {
    fn wait_for_readers(&self, _root: &AnonVma<R>) {}
}

no_model_step!(PlainCache FreesDirty SharesCache LetsRootGo FreesRootFirst FreesWhileLocked);

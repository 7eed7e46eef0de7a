// SPDX-License-Identifier: GPL-2.0

//! A `kmem_cache` in a static, for objects of one size.
//!
//! C header: [`include/linux/slab.h`](srctree/include/linux/slab.h)
//!
//! It is for small objects of which there are many, because `kmalloc()` would round their size up.
//! An object needs no pointer to its cache: the kernel finds the cache from the object's slab.

#![allow(unsafe_code, reason = "wraps a C type")]

use super::{
    fail,
    rwonce::ReadWriteOnce, //
};
use crate::ffi;
use core::{
    marker::PhantomData,
    mem,
    ops::Deref,
    ptr::{
        self,
        NonNull, //
    },
};
use kernel::{
    error::from_err_ptr,
    prelude::*,
    sync::atomic::{
        Atomic,
        Full,
        Release, //
    },
};

/// A static with a cache of objects of `SIZE` bytes, or without one.
///
/// # Invariants
///
/// 1. The pointer is null, or that of a cache of objects of `SIZE` bytes, aligned to a word.
pub(crate) struct StaticCache<const SIZE: usize>(Atomic<*mut ffi::kmem_cache>);

/// The owner of the cache of a [`StaticCache`].
///
/// Dropping it destroys the cache. If objects are left, the kernel reports that and keeps the
/// cache.
///
/// # Invariants
///
/// 2. When it is dropped, no thread uses the cache, or will.
pub(crate) struct CacheOwner<const SIZE: usize>(&'static StaticCache<SIZE>);

impl<const SIZE: usize> StaticCache<SIZE> {
    /// A merged cache would keep its name in sysfs after the module is unloaded.
    const FLAGS: ffi::slab_flags_t = ffi::SR_SLAB_ACCOUNT | ffi::SR_SLAB_NO_MERGE;

    /// Creates a static without a cache.
    pub(crate) const fn new() -> Self {
        // INVARIANT: (1) The pointer is null.
        Self(Atomic::new(ptr::null_mut()))
    }

    /// Creates the cache, with `name` in `/proc/slabinfo`. Sleeps.
    ///
    /// # Errors
    ///
    /// `EBUSY` if there is one already, `ENOMEM`.
    ///
    /// # Safety
    ///
    /// The owner is dropped only when no other thread allocates from the static or frees to it.
    pub(crate) unsafe fn create(&'static self, name: &'static CStr) -> Result<CacheOwner<SIZE>> {
        // The kernel complains of two caches with one name.
        if !self.0.read_once().is_null() {
            return Err(EBUSY);
        }
        let mut args = ffi::kmem_cache_args {
            align: mem::align_of::<usize>() as u32,
            ..pin_init::zeroed()
        };
        // SAFETY: The name is static; C uses `args` during the call only.
        let cache = from_err_ptr(unsafe {
            ffi::__kmem_cache_create_args(name.as_char_ptr(), SIZE as u32, &mut args, Self::FLAGS)
        })?;
        // INVARIANT: (1) The cache was created just now.
        if self.0.cmpxchg(ptr::null_mut(), cache, Full).is_err() {
            // SAFETY: Another thread was faster, and nothing knows this cache.
            unsafe { ffi::kmem_cache_destroy(cache) };
            return Err(EBUSY);
        }
        // INVARIANT: (2) The caller's promise.
        Ok(CacheOwner(self))
    }

    /// Allocates an object with [`GFP_BOUNDED`](super::gfp::GFP_BOUNDED), and moves `value` into
    /// it. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `ENODEV` if there is no cache.
    pub(crate) fn alloc<T>(&self, value: T) -> Result<SlabBox<T>> {
        const { assert!(mem::size_of::<T>() <= SIZE && mem::align_of::<T>() <= 8) };
        fail::allocation()?;
        let cache = self.0.read_once();
        if cache.is_null() {
            return Err(ENODEV);
        }
        // SAFETY: By invariant (1); by (2) the owner is not dropped meanwhile.
        let object = unsafe { ffi::kmem_cache_alloc_noprof(cache, ffi::SR_GFP_BOUNDED) };
        let object = NonNull::new(object.cast::<T>()).ok_or(ENOMEM)?;
        // SAFETY: The memory was allocated just now, and is large enough and aligned.
        unsafe { object.write(value) };
        // INVARIANT: The object was allocated and initialised just now.
        Ok(SlabBox(object, PhantomData))
    }

    /// `kmem_cache_free()`: as a drop, but the allocator need not look the cache up. Any context.
    ///
    /// # Safety
    ///
    /// The object comes from this cache.
    #[inline]
    pub(crate) unsafe fn free<T>(&self, object: SlabBox<T>) {
        let cache = self.0.read_once();
        if mem::needs_drop::<T>() || cache.is_null() {
            drop(object);
            return;
        }
        // SAFETY: By the invariant of `SlabBox` the object is ours, and the caller's promise. By (2)
        // the cache is not destroyed meanwhile.
        unsafe { ffi::kmem_cache_free(cache, object.into_raw().cast()) };
    }
}

impl<const SIZE: usize> Drop for CacheOwner<SIZE> {
    fn drop(&mut self) {
        let cache = self.0 .0.read_once();
        self.0 .0.store(ptr::null_mut(), Release);
        // SAFETY: By invariants (1) and (2); no later allocation finds the cache.
        unsafe { ffi::kmem_cache_destroy(cache) };
    }
}

/// An object of a [`StaticCache`].
///
/// # Invariants
///
/// The object is allocated and valid, and this value owns it.
pub(crate) struct SlabBox<T>(NonNull<T>, PhantomData<T>);

impl<T> SlabBox<T> {
    /// Gives up the object, which the pointer then owns.
    #[inline]
    pub(crate) fn into_raw(self) -> *mut T {
        mem::ManuallyDrop::new(self).0.as_ptr()
    }

    /// Creates the owner of an object again.
    ///
    /// # Safety
    ///
    /// `object` comes from [`into_raw`](Self::into_raw), is valid, and is passed to this function
    /// once.
    #[inline]
    pub(crate) unsafe fn from_raw(object: NonNull<T>) -> Self {
        // INVARIANT: The caller's promise.
        Self(object, PhantomData)
    }
}

impl<T> Deref for SlabBox<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: By the type invariant.
        unsafe { self.0.as_ref() }
    }
}

impl<T> Drop for SlabBox<T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe {
            self.0.drop_in_place();
            ffi::kfree(self.0.as_ptr().cast());
        }
    }
}

#[cfg(shadow_rmap_kunit)]
#[kunit_tests(shadow_rmap_slab)]
mod tests {
    use super::*;
    use crate::kernel_ext::fail;

    static PLACE: StaticCache<24> = StaticCache::new();

    /// Objects keep their values; a static holds one cache at a time; without a cache, or without
    /// memory, an allocation fails.
    #[test]
    fn objects_are_kept() -> Result {
        let before = PLACE.alloc(1_u64).err();
        // SAFETY: No other thread uses the static.
        let owner = unsafe { PLACE.create(c"shadow_rmap_test_slab") }?;
        // SAFETY: As above.
        let second = unsafe { PLACE.create(c"shadow_rmap_test_other") }.err();
        let one = PLACE.alloc([1_u64, 2, 3])?;
        let raw = PLACE.alloc(7_u32)?.into_raw();
        // SAFETY: From `into_raw` just above.
        let other = unsafe { SlabBox::from_raw(NonNull::new(raw).ok_or(EINVAL)?) };
        let kept = *one == [1, 2, 3] && *other == 7;
        let (refused, hit) = fail::nth(1, || PLACE.alloc(1_u64).err());
        drop((one, other));
        drop(owner);
        let after = PLACE.alloc(1_u64).err();

        assert!(before == Some(ENODEV) && after == Some(ENODEV));
        assert!(second == Some(EBUSY));
        assert!(hit && refused == Some(ENOMEM));
        assert!(kept);
        Ok(())
    }
}

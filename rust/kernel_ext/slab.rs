// SPDX-License-Identifier: GPL-2.0

//! A `kmem_cache` that lives as long as the module, for objects of one size.
//!
//! C header: [`include/linux/slab.h`](srctree/include/linux/slab.h)
//!
//! For small objects that there are many of: `kmalloc()` would round their size up. An object does
//! not know its cache, the slab that it is in does.

#![allow(unsafe_code, reason = "a room of the design: wraps a C type")]

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
        Release, //
    },
};

/// Where a cache of objects of `SIZE` bytes is found, while there is one.
///
/// # Invariants
///
/// 1. It is null, or a cache of objects of `SIZE` bytes, aligned to a word.
pub(crate) struct StaticCache<const SIZE: usize>(Atomic<*mut ffi::kmem_cache>);

/// Keeps a [`StaticCache`] in existence.
///
/// Dropping it destroys the cache; objects that are left are a leak, which the kernel reports.
pub(crate) struct CacheOwner<const SIZE: usize>(&'static StaticCache<SIZE>);

impl<const SIZE: usize> StaticCache<SIZE> {
    /// Merged with another, the cache would leave its name in sysfs when the module is gone.
    const FLAGS: ffi::slab_flags_t = ffi::SR_SLAB_ACCOUNT | ffi::SR_SLAB_NO_MERGE;

    /// A place without a cache.
    pub(crate) const fn new() -> Self {
        // INVARIANT: (1) null.
        Self(Atomic::new(ptr::null_mut()))
    }

    /// Creates the cache, shown as `name` in `/proc/slabinfo`. Sleeps.
    ///
    /// # Errors
    ///
    /// `EBUSY` if there is one already, `ENOMEM`.
    pub(crate) fn create(&'static self, name: &'static CStr) -> Result<CacheOwner<SIZE>> {
        if !self.0.read_once().is_null() {
            return Err(EBUSY);
        }
        let mut args = ffi::kmem_cache_args {
            align: mem::align_of::<usize>() as u32,
            ..pin_init::zeroed()
        };
        // SAFETY: The name lives for ever, `args` for the call.
        let cache = from_err_ptr(unsafe {
            ffi::__kmem_cache_create_args(name.as_char_ptr(), SIZE as u32, &mut args, Self::FLAGS)
        })?;
        // INVARIANT: (1) just created.
        self.0.store(cache, Release);
        Ok(CacheOwner(self))
    }

    /// Allocates memory for `value`, with `GFP_KERNEL`, and puts it there. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `ENODEV` where there is no cache.
    pub(crate) fn alloc<T>(&self, value: T) -> Result<SlabBox<T>> {
        const { assert!(mem::size_of::<T>() <= SIZE && mem::align_of::<T>() <= 8) };
        fail::allocation()?;
        let cache = self.0.read_once();
        if cache.is_null() {
            return Err(ENODEV);
        }
        // SAFETY: By invariant (1); what is found is not destroyed while its users are alive.
        let object = unsafe { ffi::kmem_cache_alloc_noprof(cache, ffi::GFP_KERNEL) };
        let object = NonNull::new(object.cast::<T>()).ok_or(ENOMEM)?;
        // SAFETY: The memory is ours, large enough and aligned.
        unsafe { object.write(value) };
        // INVARIANT: Just allocated, and written to.
        Ok(SlabBox(object, PhantomData))
    }
}

impl<const SIZE: usize> Drop for CacheOwner<SIZE> {
    fn drop(&mut self) {
        let cache = self.0 .0.read_once();
        self.0 .0.store(ptr::null_mut(), Release);
        // SAFETY: By invariant (1); nobody finds it any more.
        unsafe { ffi::kmem_cache_destroy(cache) };
    }
}

/// An object of a [`StaticCache`].
///
/// # Invariants
///
/// The object is allocated and valid, and ours.
pub(crate) struct SlabBox<T>(NonNull<T>, PhantomData<T>);

impl<T> SlabBox<T> {
    /// Hands the object to whoever holds the pointer.
    #[inline]
    pub(crate) fn into_raw(self) -> *mut T {
        mem::ManuallyDrop::new(self).0.as_ptr()
    }

    /// Takes it back.
    ///
    /// # Safety
    ///
    /// `object` comes from [`into_raw`](Self::into_raw), and is valid; this is the only such call.
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

    /// Objects keep what they are given; without a cache there are none, and there is one at a time.
    #[test]
    fn objects_are_kept() -> Result {
        let before = PLACE.alloc(1_u64).err();
        let owner = PLACE.create(c"shadow_rmap_test_slab")?;
        let second = PLACE.create(c"shadow_rmap_test_other").err();
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

// SPDX-License-Identifier: GPL-2.0

//! Caches of type-safe objects: creating, allocating, giving back, destroying.

#![allow(unsafe_code, reason = "wraps a C type")]

use super::TypesafeByRcu;
use crate::{
    ffi,
    kernel_ext::{
        fail,
        versions::initialise, //
    }, //
};
use core::{
    marker::PhantomData,
    mem,
    ptr::NonNull, //
};
use kernel::{
    error::from_err_ptr,
    prelude::*, //
};

/// A `kmem_cache` of type-safe objects.
///
/// SLUB neither poisons the objects of such a cache, nor merges it with another one. Dropping the
/// cache destroys it; the kernel waits for RCU readers meanwhile. If objects are left, the kernel
/// warns, and the cache stays behind with its memory: an object never outlives its memory.
///
/// # Invariants
///
/// 1. The cache was created with `T`'s size and alignment, and with a constructor of `T` that runs
///    before an object is handed out.
pub(crate) struct TypesafeCache<T: TypesafeByRcu>(NonNull<ffi::kmem_cache>, PhantomData<T>);

// SAFETY: The slab allocator may be called from any thread.
unsafe impl<T: TypesafeByRcu> Send for TypesafeCache<T> {}
// SAFETY: As above.
unsafe impl<T: TypesafeByRcu> Sync for TypesafeCache<T> {}

/// The cache's C constructor.
///
/// # Safety
///
/// `object` is raw memory for a `T`, which stays in place.
pub(crate) unsafe extern "C" fn construct<T: TypesafeByRcu>(object: *mut c_void) {
    // SAFETY: The caller's promise.
    unsafe { initialise(object.cast::<T>(), T::constructor()) }
}

impl<T: TypesafeByRcu> TypesafeCache<T> {
    /// Creates a cache, shown as `name` in `/proc/slabinfo`, which copies the name. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(name: &CStr) -> Result<Self> {
        const { assert!(!mem::needs_drop::<T>(), "objects are never destructed") };
        let mut args = ffi::kmem_cache_args {
            align: mem::align_of::<T>() as u32,
            ctor: Some(construct::<T>),
            ..pin_init::zeroed()
        };
        // SAFETY: Name and `args` live for the call; the constructor fits size and alignment.
        let cache = from_err_ptr(unsafe {
            ffi::__kmem_cache_create_args(
                name.as_char_ptr(),
                mem::size_of::<T>() as u32,
                &mut args,
                ffi::SR_SLAB_TYPESAFE_BY_RCU | ffi::SR_SLAB_ACCOUNT,
            )
        })?;
        let cache = NonNull::new(cache).ok_or(ENOMEM)?;
        // INVARIANT: (1) Just created.
        Ok(Self(cache, PhantomData))
    }

    /// Takes over a cache that was created in another way.
    ///
    /// # Safety
    ///
    /// Invariant (1) holds, and `cache` is the caller's to destroy.
    pub(crate) unsafe fn from_raw(cache: NonNull<ffi::kmem_cache>) -> Self {
        // INVARIANT: (1) The caller's promise.
        Self(cache, PhantomData)
    }

    /// Returns the C cache, which stays this value's to destroy.
    pub(crate) fn as_raw(&self) -> NonNull<ffi::kmem_cache> {
        self.0
    }

    /// Allocates an object in the state in which it was constructed or freed.
    ///
    /// With [`GFP_BOUNDED`](crate::kernel_ext::gfp::GFP_BOUNDED). Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    #[inline]
    pub(crate) fn alloc(&self) -> Result<TypesafeBox<T>> {
        fail::allocation()?;
        // SAFETY: By invariant (1) a cache of `T`.
        let object = unsafe { ffi::kmem_cache_alloc_noprof(self.0.as_ptr(), ffi::SR_GFP_BOUNDED) };
        let object = NonNull::new(object.cast::<T>()).ok_or(ENOMEM)?;
        // INVARIANT: Just allocated.
        Ok(TypesafeBox(object, PhantomData))
    }

    /// `kmem_cache_shrink()`: gives empty slabs back to the system. Sleeps.
    pub(crate) fn shrink(&self) {
        // SAFETY: By invariant (1).
        unsafe { ffi::kmem_cache_shrink(self.0.as_ptr()) };
    }
}

impl<T: TypesafeByRcu> Drop for TypesafeCache<T> {
    fn drop(&mut self) {
        // Slabs go back to the system by call_rcu(), and kmem_cache_destroy() waits for that: a
        // reader that found an object before it was freed may still look at it.
        // SAFETY: By invariant (1) a cache, and nothing can find it any more.
        unsafe { ffi::kmem_cache_destroy(self.0.as_ptr()) };
    }
}

/// An object of a type-safe cache that its owner alone may give back.
///
/// It is as it was constructed or freed, so what its type says of an object in use does not hold yet.
/// That is why safe code cannot look into it.
///
/// Late readers may look at it all the same: they came by a stale pointer. The object does not know
/// its cache; the slab that it is in does.
///
/// It may outlive the [`TypesafeCache`], which it does not borrow: objects are kept by counts, as
/// those of the reverse map are, and no lifetime says for how long. Safe code reaches no freed
/// memory that way. `kmem_cache_destroy()` frees no slab with an object in it. If there is one, the
/// kernel warns, and keeps the slab and the `struct kmem_cache` for good: so the object stays an
/// object, and giving it back later finds its cache. Nothing can be allocated from that cache any
/// more, so no constructor runs, even if the module has been unloaded meanwhile.
///
/// # Invariants
///
/// The object is allocated, and no other value will free it.
pub(crate) struct TypesafeBox<T: TypesafeByRcu>(NonNull<T>, PhantomData<T>);

impl<T: TypesafeByRcu> TypesafeBox<T> {
    /// Hands the object over to the owner of the returned pointer.
    pub(crate) fn into_raw(self) -> NonNull<T> {
        mem::ManuallyDrop::new(self).0
    }

    /// Returns the object.
    ///
    /// # Safety
    ///
    /// It is as it was constructed or freed: the caller relies on nothing that holds for an object in
    /// use alone.
    pub(crate) unsafe fn as_ref(&self) -> &T {
        // SAFETY: By the type invariant.
        unsafe { self.0.as_ref() }
    }

    /// Takes it back.
    ///
    /// # Safety
    ///
    /// `object` is allocated, and the caller's to free; this is the only such call for it.
    pub(crate) unsafe fn from_raw(object: NonNull<T>) -> Self {
        // INVARIANT: The caller's promise.
        Self(object, PhantomData)
    }
}

impl<T: TypesafeByRcu> Drop for TypesafeBox<T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant the object is ours to free.
        unsafe { ffi::kfree(self.0.as_ptr().cast()) };
    }
}

#[cfg(shadow_rmap_kunit)]
#[path = "../tests/cache.rs"]
mod tests;

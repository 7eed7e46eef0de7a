// SPDX-License-Identifier: GPL-2.0
// R7: no destructor ever runs for the objects of a type-safe cache.

use crate::kernel_ext::typesafe::{
    TypesafeByRcu,
    TypesafeCache, //
};
use kernel::prelude::*;

struct Owner(KVec<u8>);

// SAFETY: Of no interest: a value that owns another is refused first.
#[allow(unsafe_code)]
unsafe impl TypesafeByRcu for Owner {
    fn constructor() -> impl PinInit<Self> {
        Owner(KVec::new())
    }
}

static MAKE: fn(&CStr) -> Result<TypesafeCache<Owner>> = TypesafeCache::new;

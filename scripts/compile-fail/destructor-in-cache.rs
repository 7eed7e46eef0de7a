// SPDX-License-Identifier: GPL-2.0
// R7: no destructor ever runs for the objects of a type-safe cache.

use crate::kernel_ext::typesafe::{
    TypesafeByRcu,
    TypesafeCache, //
};
use kernel::prelude::*;

struct Owner(KVec<u8>);

// SAFETY: Of no interest: a value that owns another is refused before.
#[allow(unsafe_code)]
unsafe impl TypesafeByRcu for Owner {
    const NAME: &'static CStr = c"owner";

    fn constructor() -> impl PinInit<Self> {
        Owner(KVec::new())
    }

    fn is_free(&self) -> bool {
        self.0.is_empty()
    }
}

static MAKE: fn() -> Result<TypesafeCache<Owner>> = TypesafeCache::new;

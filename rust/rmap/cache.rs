// SPDX-License-Identifier: GPL-2.0

//! The cache that anon_vmas come from.
//!
//! C: `anon_vma_init()` of [`mm/rmap.c`](srctree/mm/rmap.c).

use super::{
    anon_vma::AnonVma,
    deferred,
    kind::{
        Live,
        Rmap, //
    },
    rules::Rule,
    steps::Steps, //
};
use crate::kernel_ext::typesafe::TypesafeCache;
use kernel::prelude::*;

/// The cache of the anon_vmas of one reverse map.
///
/// Dropping it waits for frees that were deferred, and destroys it (R7).
pub(crate) struct Cache<R: Rmap = Live>(TypesafeCache<AnonVma<R>>);

impl<R: Rmap> Cache<R> {
    /// Creates a cache with the name that is usual for the kind. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> Result<Self> {
        Self::with_name(R::CACHE)
    }

    /// Creates a cache, shown as `name` in `/proc/slabinfo`: the kernel complains of two caches
    /// with one name. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn with_name(name: &CStr) -> Result<Self> {
        let cache = R::steps().create_cache(name)?;
        Rule::R5.step();
        Rule::R8.step();
        Ok(Self(cache))
    }

    /// Returns the cache as one of objects that are not anon_vmas yet.
    pub(super) fn objects(&self) -> &TypesafeCache<AnonVma<R>> {
        &self.0
    }

    /// Gives empty slabs back to the system. Sleeps.
    pub(crate) fn shrink(&self) {
        self.0.shrink();
    }

    /// Lets another type use the cache, which no correct engine does (R8). Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn share(&self) -> Result {
        R::steps().share_cache(&self.0)
    }
}

impl<R: Rmap> Drop for Cache<R> {
    fn drop(&mut self) {
        deferred::flush();
        Rule::R7.step();
    }
}

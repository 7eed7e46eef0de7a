// SPDX-License-Identifier: GPL-2.0

//! What all reverse maps of a module share.

#![allow(unsafe_code, reason = "a promise about the end of the module")]

use super::{
    chain::{
        LINKS,
        LINK_SIZE, //
    },
    deferred::QUEUE,
};
use crate::kernel_ext::{
    slab::CacheOwner,
    workqueue::QueueOwner, //
};
use kernel::prelude::*;

/// The cache of links, and the workqueue of frees that were put off. To be kept for as long as the
/// module is loaded.
///
/// Fields are dropped from top to bottom: frees end before the cache goes.
pub(crate) struct Statics {
    _frees: QueueOwner,
    _links: CacheOwner<LINK_SIZE>,
}

impl Statics {
    /// Creates both. Sleeps.
    ///
    /// # Errors
    ///
    /// `EBUSY` if there are some already, `ENOMEM`.
    ///
    /// # Safety
    ///
    /// The result is dropped only when no other thread uses a reverse map, or will.
    pub(crate) unsafe fn create() -> Result<Self> {
        // SAFETY: The caller's promise; a work item uses the cache, and ends with the workqueue.
        unsafe {
            Ok(Self {
                _links: LINKS.create(cache_name!("anon_vma_chain"))?,
                _frees: QUEUE.create(c"shadow_rmap_free")?,
            })
        }
    }
}

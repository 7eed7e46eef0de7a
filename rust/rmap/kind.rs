// SPDX-License-Identifier: GPL-2.0

//! One reverse map among several: which lock it has, which rules it obeys, what it maps.
//!
//! The engine is written once, for any [`Rmap`].  Whatever a kind chooses is known when the module
//! is compiled: nothing is looked up at run time.

use super::rules::Rules;
use crate::{
    kernel_ext::{
        lock::FamilyLock,
        rwsem::RwSem, //
    },
    torture::busted::LiveRules,
};
use core::marker::PhantomData;
use kernel::str::CStr;

/// A kind of reverse map.
pub(crate) trait Rmap: Sized + Send + Sync + 'static {
    /// The lock of a family, and with it the protocol of a lookup (R9, R10).
    type Lock: FamilyLock;

    /// The rules: all of them, but for deliberate bugs.
    type Rules: Rules;

    /// What an address space has besides its locks: its page table.
    type Space: Send + Sync;

    /// Whether a fault may do without `mmap_lock`: VMAs have locks of their own.
    const VMA_LOCKS: bool = false;

    /// The name of the cache of its anon_vmas, as in `/proc/slabinfo`.
    const CACHE: &'static CStr;
}

/// That of live mappings: what is mapped is known to the host.
pub(crate) struct Live;

impl Rmap for Live {
    type Lock = RwSem;
    type Rules = LiveRules;
    type Space = ();

    const CACHE: &'static CStr = c"shadow_rmap_anon_vma";
}

/// One without pages, for the tests of the core: under the lock `L`, by the rules `R`.
pub(crate) struct Bare<L, R = super::rules::Correct>(PhantomData<(L, R)>);

impl<L: FamilyLock, R: Rules> Rmap for Bare<L, R> {
    type Lock = L;
    type Rules = R;
    type Space = ();

    const CACHE: &'static CStr = c"shadow_rmap_bare_anon_vma";
}

// SPDX-License-Identifier: GPL-2.0

//! A kind of reverse map: its lock, its steps, and what it maps.
//!
//! The engine is written once, for any [`Rmap`]. What a kind chooses is known at compile time.

use super::{
    lock::FamilyLock,
    mm::Mm,
    steps::{
        Correct,
        Flavour,
        Steps, //
    },
    window::Window,
};
use crate::kernel_ext::rwsem::RwSem;
use core::marker::PhantomData;
use kernel::{
    prelude::*,
    str::CStr, //
};

/// A kind of reverse map.
pub(crate) trait Rmap: Sized + Send + Sync + 'static {
    /// The lock of a family, and with it the protocol of a lookup (R9, R10).
    type Lock: FamilyLock;

    /// The steps of the engine: [`Correct`], or a deliberate bug.
    type Steps: Steps<Self> + ?Sized;

    /// What an address space has besides its locks: its page table.
    type Space: Send + Sync;

    /// What the code shows that changes the range of a VMA, or moves it: that it takes care of the
    /// PTEs, where a PTE belongs to the VMA that covers its address.
    type Layout;

    /// Whether a fault may do without `mmap_lock`: VMAs have locks of their own.
    const VMA_LOCKS: bool = false;

    /// The name of the cache of its anon_vmas, as in `/proc/slabinfo`.
    const CACHE: &'static CStr;

    /// Returns the steps.
    fn steps() -> &'static Self::Steps;

    /// Clears the PTEs of the addresses `first..=last`, where a VMA was that is dropped with links:
    /// its pages would lead to anon_vmas that are gone. Sleeps.
    fn clear_pages(_mm: &Mm<Self>, _first: usize, _last: usize) {}

    /// Marks a place between two steps. Called in whatever context the engine is in there.
    #[inline(always)]
    fn window(_at: Window) {}

    /// Returns whether the allocation that the engine is about to make may go ahead. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if it is to fail.
    #[inline(always)]
    fn allocation() -> Result {
        Ok(())
    }
}

/// What happens in the windows of a kind: nothing, unless a test or a torture says otherwise.
pub(crate) trait Windows: Send + Sync + 'static {
    /// See [`Rmap::window`].
    #[inline(always)]
    fn window(_at: Window) {}

    /// See [`Rmap::allocation`].
    ///
    /// # Errors
    ///
    /// The same.
    #[inline(always)]
    fn allocation() -> Result {
        Ok(())
    }
}

/// Windows in which nothing happens.
#[cfg(not(shadow_rmap_kunit))]
pub(crate) struct Empty;

#[cfg(not(shadow_rmap_kunit))]
impl Windows for Empty {}

/// The kind of live mappings: the host knows what is mapped.
pub(crate) struct Live;

impl Rmap for Live {
    type Lock = RwSem;
    type Steps = <crate::LiveFlavour as Flavour>::Steps<Self>;
    type Space = ();
    type Layout = ();

    const CACHE: &'static CStr = cache_name!("anon_vma");

    #[inline(always)]
    fn steps() -> &'static Self::Steps {
        <crate::LiveFlavour as Flavour>::steps::<Self>()
    }
}

/// A kind without pages, for tests of the core: the lock `L`, the steps of `F`, the windows `W`.
pub(crate) struct Bare<L, F = Correct, W = crate::UsualWindows>(PhantomData<(L, F, W)>);

impl<L: FamilyLock, F: Flavour, W: Windows> Rmap for Bare<L, F, W> {
    type Lock = L;
    type Steps = F::Steps<Self>;
    type Space = ();
    type Layout = ();

    const CACHE: &'static CStr = cache_name!("bare_anon_vma");

    fn steps() -> &'static Self::Steps {
        F::steps::<Self>()
    }

    fn window(at: Window) {
        W::window(at);
    }

    fn allocation() -> Result {
        W::allocation()
    }
}

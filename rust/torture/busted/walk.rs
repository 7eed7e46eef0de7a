// SPDX-License-Identifier: GPL-2.0

//! Deliberate bugs in walking page tables: unmapping, migration, moves, swapoff.

#![allow(unsafe_code, reason = "deliberate bugs")]

use super::{
    maps_all_the_same,
    no_rmap_step, //
};
use crate::{
    kernel_ext::typesafe::{
        Anchor,
        Candidate,
        Pinnable,
        Pinned, //
    },
    model::{
        page::Page,
        space::Vma,
        steps::ModelSteps,
        table::Pte,
        Modelled, //
    },
    rmap::{
        anon_vma::AnonVma,
        family::{
            FamilyWrite,
            LockedAnonVma, //
        },
        lock::FamilyLock,
        lookup::{
            page_get_anon_vma,
            wait, //
        },
        mm::MmapWrite,
        steps::Correct, //
    },
};
use core::{
    mem,
    ops::ControlFlow, //
};
use kernel::sync::rcu;

/// Deliberate bug: counts a PTE that is replaced by an entry twice (R3, museum 6).
pub(crate) struct UnmapsTwice;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Modelled> ModelSteps<R> for UnmapsTwice {
    maps_all_the_same!();

    fn unmap_pte(&self, page: &Page<R>) {
        page.rmap.remove_rmap();
        page.rmap.remove_rmap();
    }
}

/// Deliberate bug: does not pin the anon_vma of a page that migrates (R18, museum 15).
pub(crate) struct MigratesUnpinned;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Modelled> ModelSteps<R> for MigratesUnpinned {
    maps_all_the_same!();

    fn keep_anon_vma(&self, page: &Page<R>) -> Option<Pinned<AnonVma<R>>> {
        let anon_vma = page_get_anon_vma(&page.rmap)?.into_raw();
        // SAFETY: The reference is ours. Incorrect, on purpose: what is returned owns none.
        unsafe {
            AnonVma::put(anon_vma);
            Some(Pinned::from_raw(anon_vma))
        }
    }

    /// Follows the old page's `mapping`, although no PTE maps the page.
    fn lock_kept<'a>(
        &self,
        _kept: &'a Pinned<AnonVma<R>>,
        page: &'a Page<R>,
    ) -> Option<LockedAnonVma<'a, R>> {
        let rcu = rcu::read_lock();
        let anon_vma = page.rmap.load()?;
        // SAFETY: Incorrect, on purpose: the memory may have been given back.
        let candidate = unsafe { Candidate::from_raw_parts(&page.rmap, anon_vma, rcu) };
        match candidate.try_lock() {
            Ok(locked) => {
                // SAFETY: Incorrect, on purpose: the lock may be that of another anon_vma.
                let (family, candidate) = unsafe { locked.into_raw_parts() };
                let (_, anon_vma, rcu) = candidate.into_raw_parts();
                // SAFETY: As above.
                let locked =
                    unsafe { LockedAnonVma::confirmed(family, anon_vma, R::Lock::keep(Some(rcu))) };
                Some(locked)
            }
            Err(candidate) => {
                // SAFETY: Incorrect, on purpose: the reference may be on another anon_vma.
                let (candidate, pin) = unsafe { candidate.try_pin()?.into_raw_parts() };
                drop(candidate);
                wait(pin, &page.rmap)
            }
        }
    }

    fn drop_kept(&self, kept: Pinned<AnonVma<R>>) {
        // There is no reference to drop.
        let _ = kept.into_raw();
    }
}

/// Deliberate bug: a walk takes whatever a VMA has at the address for the page that it looks for
/// (R35).
///
/// If that is an entry of a swap slot, the slot keeps a user that no walk finds, and swapoff waits.
pub(crate) struct TrustsVmas;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Modelled> ModelSteps<R> for TrustsVmas {
    maps_all_the_same!();

    fn acts_on(&self, _wanted: bool) -> bool {
        true
    }

    /// Forgets it: no bug, but it may be the last reference, which must not go under a spinlock.
    fn dispose(&self, pte: Pte<R>) {
        mem::forget(pte);
    }
}

/// Deliberate bug: moves PTEs without the family's lock (R36, museum 19).
pub(crate) struct MovesUnlocked;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Modelled> ModelSteps<R> for MovesUnlocked {
    maps_all_the_same!();

    fn lock_to_move<'a>(
        &self,
        _from: &'a Vma<R>,
        _before: bool,
        _bulk: bool,
        _mmap: &'a MmapWrite<'_, R>,
    ) -> Option<FamilyWrite<'a, R>> {
        None
    }
}

/// Deliberate bug: leaves the lock out if all PTEs are moved at once (R36, museum 20).
pub(crate) struct MovesBulkUnlocked;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Modelled> ModelSteps<R> for MovesBulkUnlocked {
    maps_all_the_same!();

    fn lock_to_move<'a>(
        &self,
        from: &'a Vma<R>,
        before: bool,
        bulk: bool,
        mmap: &'a MmapWrite<'_, R>,
    ) -> Option<FamilyWrite<'a, R>> {
        ModelSteps::<R>::lock_to_move(&Correct, from, before && !bulk, bulk, mmap)
    }
}

/// Deliberate bug: taking all locks takes a root for each VMA that is linked to it (R38).
pub(crate) struct TakesRootsAgain;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Modelled> ModelSteps<R> for TakesRootsAgain {
    maps_all_the_same!();

    fn takes_root(&self, _before: Option<usize>, _root: &AnonVma<R>) -> bool {
        true
    }
}

/// Deliberate bug: swapoff asks one VMA, and not all that the anon_vma leads to (R39).
pub(crate) struct AsksOneVma;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Modelled> ModelSteps<R> for AsksOneVma {
    maps_all_the_same!();

    fn next_user(&self) -> ControlFlow<()> {
        ControlFlow::Break(())
    }
}

no_rmap_step!(UnmapsTwice MigratesUnpinned TrustsVmas MovesUnlocked MovesBulkUnlocked TakesRootsAgain AsksOneVma);

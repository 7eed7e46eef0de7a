// SPDX-License-Identifier: GPL-2.0

//! Deliberate bugs in the lookup from a page to its anon_vma.

#![allow(unsafe_code, reason = "deliberate bugs")]

use super::no_model_step;
use crate::{
    kernel_ext::typesafe::{
        Anchor,
        Candidate,
        LockedCandidate,
        Pinned,
        PinnedCandidate, //
    },
    rmap::{
        anon_vma::AnonVma,
        family::{
            FamilyRead,
            LockedAnonVma, //
        },
        kind::Rmap,
        lock::FamilyLock,
        lookup::ConfirmedLock,
        page::PageRmap,
        steps::{
            ReadOf,
            Steps, //
        },
        window::Window, //
    },
};
use core::hint::spin_loop;
use kernel::sync::rcu;

/// Tries to lock a root whose memory may cease to be one meanwhile.
///
/// No bug: it keeps the test machine alive. A spinning lock in memory that was given to another
/// user would be waited for without end.
pub(super) fn try_lock_watched<R: Rmap>(root: &AnonVma<R>) -> Option<ReadOf<'_, R>> {
    while root.is_typed() {
        if let Some(guard) = root.lock().try_read_now() {
            return Some(guard);
        }
        if R::Lock::SLEEPS {
            return None;
        }
        wait_a_moment();
    }
    None
}

/// Lets the holder of a lock run.
fn wait_a_moment() {
    #[cfg(shadow_rmap_torture)]
    crate::kernel_ext::sched::preempt_here();
    spin_loop();
}

/// Takes a lock for what was found, without asking the page.
fn believe<R: Rmap>(locked: LockedCandidate<'_, PageRmap<R>>) -> ConfirmedLock<R> {
    // SAFETY: Incorrect, on purpose: the lock may be that of another anon_vma.
    let (family, candidate) = unsafe { locked.into_raw_parts() };
    let (_, anon_vma, rcu) = candidate.into_raw_parts();
    ConfirmedLock {
        family,
        kept: R::Lock::keep(Some(rcu)),
        anon_vma,
    }
}

/// Takes a reference for one on what was found, without asking the page.
fn believe_pin<R: Rmap>(pinned: PinnedCandidate<'_, PageRmap<R>>) -> Pinned<AnonVma<R>> {
    // SAFETY: Incorrect, on purpose: the reference may be on another anon_vma.
    let (candidate, pin) = unsafe { pinned.into_raw_parts() };
    drop(candidate);
    pin
}

/// Deliberate bug: follows `mapping` without looking whether the page is mapped (R4, museum 3).
pub(crate) struct SkipsFirstCheck;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Rmap> Steps<R> for SkipsFirstCheck {
    fn find<'a>(&self, page: &'a PageRmap<R>) -> Option<Candidate<'a, PageRmap<R>>> {
        let rcu = rcu::read_lock();
        let anon_vma = page.load()?;
        // SAFETY: Incorrect, on purpose: the memory may have been given back long ago.
        Some(unsafe { Candidate::from_raw_parts(page, anon_vma, rcu) })
    }

    fn try_lock_root<'a>(&self, root: &'a AnonVma<R>) -> Option<ReadOf<'a, R>> {
        try_lock_watched(root)
    }
}

/// Deliberate bug: leaves RCU once the spinlock is held, and asks the page afterwards (R9, museum
/// 4).
pub(crate) struct LeavesRcuEarly;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Rmap> Steps<R> for LeavesRcuEarly {
    fn confirm_lock(&self, locked: LockedCandidate<'_, PageRmap<R>>) -> Option<ConfirmedLock<R>> {
        // SAFETY: Incorrect, on purpose: a wrong lock is released when its memory may be gone.
        let (family, candidate) = unsafe { locked.into_raw_parts() };
        let (page, anon_vma, rcu) = candidate.into_raw_parts();
        drop(rcu);
        if !page.mapped() {
            R::window(Window::RcuLeft);
            drop(family);
            return None;
        }
        Some(ConfirmedLock {
            family,
            kept: R::Lock::keep(Some(rcu::read_lock())),
            anon_vma,
        })
    }

    fn try_lock_root<'a>(&self, root: &'a AnonVma<R>) -> Option<ReadOf<'a, R>> {
        try_lock_watched(root)
    }
}

/// Deliberate bug: a lookup that waited with the last reference goes on (R10).
pub(crate) struct KeepsLastReference;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Rmap> Steps<R> for KeepsLastReference {
    /// # Safety
    ///
    /// As the trait says.
    unsafe fn drop_pin<'a>(
        &self,
        family: FamilyRead<R>,
        pin: Pinned<AnonVma<R>>,
    ) -> Option<LockedAnonVma<'a, R>> {
        let anon_vma = pin.into_raw();
        // SAFETY: Incorrect, on purpose: if it is the last reference, the anon_vma is never freed.
        unsafe {
            anon_vma.as_ref().dec_refcount();
            Some(LockedAnonVma::confirmed(
                family,
                anon_vma,
                R::Lock::keep(None),
            ))
        }
    }
}

/// Deliberate bug: puts a reference that is not wanted before it leaves RCU (R11, museum 22).
pub(crate) struct PutsUnderRcu;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Rmap> Steps<R> for PutsUnderRcu {
    fn confirm_pin(&self, pinned: PinnedCandidate<'_, PageRmap<R>>) -> Option<Pinned<AnonVma<R>>> {
        // SAFETY: The reference is confirmed below, or dropped.
        let (candidate, pin) = unsafe { pinned.into_raw_parts() };
        let (page, _, rcu) = candidate.into_raw_parts();
        let confirmed = page.mapped().then_some(pin);
        drop(rcu);
        confirmed
    }
}

/// Deliberate bug: does not look at the page again under the lock (R12, museum 16).
pub(crate) struct SkipsSecondCheck;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Rmap> Steps<R> for SkipsSecondCheck {
    fn confirm_lock(&self, locked: LockedCandidate<'_, PageRmap<R>>) -> Option<ConfirmedLock<R>> {
        Some(believe(locked))
    }

    fn confirm_pin(&self, pinned: PinnedCandidate<'_, PageRmap<R>>) -> Option<Pinned<AnonVma<R>>> {
        Some(believe_pin(pinned))
    }
}

/// Deliberate bug: looks at the reference count again, and not at the page (R12, R13, museum 17).
pub(crate) struct AsksRefcount;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Rmap> Steps<R> for AsksRefcount {
    fn confirm_lock(&self, locked: LockedCandidate<'_, PageRmap<R>>) -> Option<ConfirmedLock<R>> {
        let confirmed = believe(locked);
        // SAFETY: Incorrect, on purpose: nothing but RCU, if that is still held, keeps the memory.
        (unsafe { confirmed.anon_vma.as_ref() }.refcount() > 0).then_some(confirmed)
    }

    fn confirm_pin(&self, pinned: PinnedCandidate<'_, PageRmap<R>>) -> Option<Pinned<AnonVma<R>>> {
        Some(believe_pin(pinned))
    }
}

no_model_step!(SkipsFirstCheck LeavesRcuEarly KeepsLastReference PutsUnderRcu SkipsSecondCheck AsksRefcount);

// SPDX-License-Identifier: GPL-2.0

//! From a page to its anon_vma, while any thread may be unmapping the page.
//!
//! C: `folio_lock_anon_vma_read()` and `folio_get_anon_vma()` of [`mm/rmap.c`](srctree/mm/rmap.c).
//!
//! One lookup serves both protocols. Under a spinning lock the first try succeeds in the end, and
//! what is returned holds RCU as well (R9). Under a sleeping lock the first try may fail; then the
//! anon_vma is pinned, RCU left, and the lock waited for (R10).

#![allow(unsafe_code, reason = "confirms locks in type-safe memory")]

use super::{
    anon_vma::AnonVma,
    family::{
        FamilyRead,
        LockedAnonVma,
        RawParts, //
    },
    free::put,
    kind::Rmap,
    lock::FamilyLock,
    oracle::Oracle,
    page::PageRmap,
    path,
    rules::Rule,
    steps::Steps,
    window::Window, //
};
use crate::{
    kernel_ext::{
        rwonce::ReadWriteOnce,
        typesafe::{
            Candidate,
            Lockable,
            LockedCandidate,
            Pinned, //
        },
    },
    trace::{
        self,
        Stale, //
    },
};
use core::ptr::NonNull;

// SAFETY: The root's lock, by a pointer that is read once (R13):
// `tools/litmus/R13+saved-root.litmus`.
unsafe impl<R: Rmap> Lockable for AnonVma<R> {
    type Lock = FamilyRead<R>;

    /// # Safety
    ///
    /// As the trait says.
    #[inline]
    unsafe fn try_lock(&self) -> Option<FamilyRead<R>> {
        // Memory that is no anon_vma is not touched any further (R5).
        if !Oracle::TypeStability.holds(Rule::R5, self.is_typed()) {
            return None;
        }
        let root = self.root.read_once();
        R::window(Window::RootRead);
        // SAFETY: By invariant (4); a pointer that is not null led to an anon_vma when it was
        // stored.
        let root = unsafe { root.as_ref() }?;
        if !Oracle::TypeStability.holds(Rule::R5, root.is_typed()) {
            return None;
        }
        let guard = R::steps().try_lock_root(root)?;
        // SAFETY: The caller holds RCU (4).
        Some(unsafe { FamilyRead::new(root, guard) })
    }
}

/// A lock that was taken through a page, and that the page was asked about again.
///
/// The order of the fields is R9: the lock is released before RCU is left
/// (`tools/litmus/R9+rcu-until-unlock.litmus`).
pub(crate) struct ConfirmedLock<R: Rmap> {
    /// The lock.
    pub(crate) family: FamilyRead<R>,
    /// What is kept of RCU while the lock is held.
    pub(crate) kept: <R::Lock as FamilyLock>::Kept,
    /// The anon_vma that the lock was taken for. The lock keeps it, if the page is still mapped.
    pub(crate) anon_vma: NonNull<AnonVma<R>>,
}

/// Asks the page again about a lock that was taken through it (R12), and keeps of RCU what the
/// protocol demands (R9).
#[inline]
pub(super) fn confirm_lock<R: Rmap>(
    locked: LockedCandidate<'_, PageRmap<R>>,
) -> Option<ConfirmedLock<R>> {
    let (family, anon_vma, rcu) = locked.confirm()?;
    Some(ConfirmedLock {
        family,
        kept: R::Lock::keep(Some(rcu)),
        anon_vma,
    })
}

/// Finds what a page leads to (R4), and says in which life it is: see [`AnonVma::life`].
#[inline(always)]
fn find<R: Rmap>(page: &PageRmap<R>) -> Option<(Candidate<'_, PageRmap<R>>, u32)> {
    let candidate = R::steps().find(page)?;
    // SAFETY: A candidate is an `AnonVma` until RCU is left.
    let life = unsafe { candidate.as_ptr().as_ref() }.life();
    R::window(Window::Found);
    Some((candidate, life))
}

/// Counts and traces a lookup that found no mapped page.
#[cold]
fn unmapped<R: Rmap>(page: &PageRmap<R>) {
    if page.is_anon() {
        path::LOOKUP_UNMAPPED.count();
    } else {
        path::LOOKUP_NEVER.count();
    }
    stale(page, Stale::Unmapped);
}

/// Traces a lookup that found nothing.
#[inline(always)]
fn stale<R: Rmap>(page: &PageRmap<R>, seen: Stale) {
    trace::lookup_stale(|| (page.index(), seen as u32));
}

/// Returns whether the object is in the same life as when it was found. Between the two looks at a
/// mapped page it cannot have been freed (R12).
#[inline]
fn is_same<R: Rmap>(anon_vma: &AnonVma<R>, life: u32) -> bool {
    Oracle::LockIdentity.holds(Rule::R12, anon_vma.life() == life)
}

/// Returns whether a VMA is linked to the anon_vma of a lock that was confirmed (R18).
#[inline]
fn is_linked<R: Rmap>(anon_vma: &AnonVma<R>, page: &PageRmap<R>) -> bool {
    // A mapped page is one that a walk will not find. Otherwise the lock is not the page's.
    let oracle = if page.mapped() {
        Oracle::WalkCompleteness
    } else {
        Oracle::LockIdentity
    };
    oracle.holds(Rule::R18, !anon_vma.tree().is_empty())
}

/// `folio_get_anon_vma()`: a reference to the page's anon_vma.
///
/// `None` if the page is not mapped, or was unmapped meanwhile. The caller holds a reference on the
/// page (R4). May sleep if the reference turns out to be the last one.
pub(crate) fn page_get_anon_vma<R: Rmap>(page: &PageRmap<R>) -> Option<Pinned<AnonVma<R>>> {
    let Some((candidate, life)) = find(page) else {
        unmapped(page);
        return None;
    };
    path::LOOKUP_PIN.count();
    let pin = pin(candidate, page, life)?;
    trace::lookup_found(|| (page.index(), false));
    Some(pin)
}

/// Takes a reference on what was found, and asks the page again (R12:
/// `tools/litmus/R12+mapped-pin-mapped.litmus`).
fn pin<R: Rmap>(
    candidate: Candidate<'_, PageRmap<R>>,
    page: &PageRmap<R>,
    life: u32,
) -> Option<Pinned<AnonVma<R>>> {
    let pinned = candidate.try_pin().and_then(|pinned| {
        R::window(Window::Referenced);
        R::steps().confirm_pin(pinned)
    });
    let Some(pin) = pinned else {
        path::PIN_LATE.count();
        stale(page, Stale::UnmappedWhenPinned);
        return None;
    };
    path::PINNED.count();
    is_same(&pin, life).then_some(pin)
}

/// `folio_lock_anon_vma_read()`: the page's anon_vma, with its family locked for reading.
///
/// The fast path is an RCU pair, a trylock, and two looks at the page. `None` if the page is not
/// mapped, or was unmapped meanwhile. The caller holds a reference on the page (R4). Spins, or
/// sleeps if the lock is taken (R10).
#[inline(always)]
pub(crate) fn page_lock_anon_vma<R: Rmap>(page: &PageRmap<R>) -> Option<LockedAnonVma<'_, R>> {
    let Some((candidate, life)) = find(page) else {
        unmapped(page);
        return None;
    };
    match candidate.try_lock() {
        Ok(locked) => confirm(locked, page, life),
        Err(candidate) => {
            let (root, anon_vma, kept) = lock_slowly(candidate, page, life)?;
            // SAFETY: From `into_raw_parts` just above.
            Some(unsafe { LockedAnonVma::from_raw_parts(root, anon_vma, kept) })
        }
    }
}

/// The part of a lookup that found the lock taken (R10).
///
/// Two pointers come back in registers: a structure that comes back in memory would slow down the
/// fast path, where the compiler merges both.
#[cold]
#[inline(never)]
fn lock_slowly<R: Rmap>(
    candidate: Candidate<'_, PageRmap<R>>,
    page: &PageRmap<R>,
    life: u32,
) -> Option<RawParts<R>> {
    path::LOOKUP_BUSY.count();
    wait(pin(candidate, page, life)?, page).map(LockedAnonVma::into_raw_parts)
}

/// Confirms a lock that was taken through a page.
#[inline(always)]
fn confirm<'a, R: Rmap>(
    locked: LockedCandidate<'a, PageRmap<R>>,
    page: &PageRmap<R>,
    life: u32,
) -> Option<LockedAnonVma<'a, R>> {
    R::window(Window::Locked);
    let Some(confirmed) = R::steps().confirm_lock(locked) else {
        path::LOOKUP_LATE.count();
        stale(page, Stale::UnmappedWhenLocked);
        return None;
    };
    let ConfirmedLock {
        family,
        kept,
        anon_vma,
    } = confirmed;
    path::LOOKUP_FAST.count();
    // SAFETY: The page was seen mapped while `family` was held: by invariant (8) a VMA that maps it
    // is linked to `anon_vma`, and is not unlinked before the lock is released (3). The order of
    // lock and look is that of `tools/litmus/R12+mapped-lock-mapped.litmus`.
    let found = unsafe { anon_vma.as_ref() };
    let good = is_same(found, life) && family.is_root_of(found) && is_linked(found, page);
    if !good {
        // The lock is released before RCU is left (R9).
        drop(family);
        drop(kept);
        return None;
    }
    // SAFETY: As above. The lock is released when the result is dropped, within the life of the
    // page.
    let locked = unsafe { LockedAnonVma::confirmed(family, anon_vma, kept) };
    trace::lookup_found(|| (page.index(), true));
    R::window(Window::Confirmed);
    Some(locked)
}

/// The slow half of a lookup: sleeps for the lock of a pinned anon_vma, and drops the pin (R10).
///
/// A spinning lock is held in an RCU read section (R9), and a free does not wait for it (R17): no
/// reader has it between its put and its unlock. There the pin is dropped first, and the lookup
/// begins again.
pub(crate) fn wait<'a, R: Rmap>(
    pin: Pinned<AnonVma<R>>,
    page: &'a PageRmap<R>,
) -> Option<LockedAnonVma<'a, R>> {
    if !R::Lock::SLEEPS {
        drop(pin);
        return page_lock_anon_vma(page);
    }
    let life = pin.life();
    R::window(Window::Pinned);
    let root = pin.lock_owner();
    // SAFETY: The pin keeps the anon_vma, and so its root (1): `tools/litmus/R10+pin.litmus`.
    // `drop_pin` drops it only if another reference, or the free that waits for this lock (R17),
    // keeps them.
    let family = unsafe { FamilyRead::new(root, root.lock.read()) };
    // The pin has kept it.
    Oracle::TypeStability.holds(Rule::R10, pin.life() == life);
    // SAFETY: The lock is that of the pin's root.
    let locked = unsafe { R::steps().drop_pin(family, pin) };
    trace::lookup_waited(|| (page.index(), locked.is_some()));
    let locked = locked?;
    R::window(if locked.tree().is_empty() {
        Window::Outlived
    } else {
        Window::Confirmed
    });
    Some(locked)
}

/// Drops the pin of a lookup that has waited for the lock.
///
/// `None` if the pin is the last reference: the lock is released before the anon_vma is freed.
///
/// # Safety
///
/// `family` is the lock of the pin's family.
pub(super) unsafe fn drop_pin<'a, R: Rmap>(
    family: FamilyRead<R>,
    pin: Pinned<AnonVma<R>>,
) -> Option<LockedAnonVma<'a, R>> {
    let raw = pin.into_raw();
    let mut family = Some(family);
    let last = || {
        path::WAITED_LAST.count();
        family = None;
    };
    // SAFETY: The pin is still ours.
    unsafe { put(raw, last) }.count();
    let family = family?;
    path::WAITED.count();
    // SAFETY: References are left. One of them is the tree's, and the last VMA is not unlinked
    // without this lock; or all of them are pins, and the free waits for this lock (R17):
    // `tools/litmus/R17+put-after-lock.litmus`.
    Some(unsafe { LockedAnonVma::confirmed(family, raw, R::Lock::keep(None)) })
}

#[cfg(shadow_rmap_kunit)]
#[path = "tests/lookup.rs"]
mod tests;

#[cfg(shadow_rmap_kunit)]
#[path = "tests/lookup_windows.rs"]
mod window_tests;

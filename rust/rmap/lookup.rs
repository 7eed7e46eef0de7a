// SPDX-License-Identifier: GPL-2.0

//! From a page to its anon_vma, while anybody may be unmapping the page.
//!
//! C: `folio_lock_anon_vma_read()` and `folio_get_anon_vma()` of
//! [`mm/rmap.c`](srctree/mm/rmap.c).
//!
//! There is one lookup for both protocols.  Under a spinning lock the first try has it in the end,
//! and what is returned holds RCU as well (R9); under a sleeping one the first try may fail, and
//! then the anon_vma is pinned, RCU left, and the lock waited for (R10).

use super::{
    anon_vma::{
        AnonVma,
        LockedAnonVma,
        PageRmap, //
    },
    kind::Rmap, //
};
use crate::{
    kernel_ext::typesafe::Pinned,
    stats, //
};

/// `folio_get_anon_vma()`: a reference to the page's anon_vma.
///
/// `None` where the page is not mapped, or was unmapped meanwhile.  The caller holds a reference on
/// the page (R4).  May sleep when the reference turns out to be the last.
pub(crate) fn page_get_anon_vma<R: Rmap>(page: &PageRmap<R>) -> Option<Pinned<AnonVma<R>>> {
    stats::LOOKUPS.inc();
    let pinned = AnonVma::find(page)
        .and_then(|candidate| candidate.try_pin())
        .and_then(AnonVma::confirm_pin);
    told_if_stale(pinned)
}

/// `folio_lock_anon_vma_read()`: the page's anon_vma, its family locked for reading.
///
/// The fast path costs what it is made of: an RCU pair, a trylock, and two looks at the page.
/// `None` where the page is not mapped, or was unmapped meanwhile.  The caller holds a reference on
/// the page (R4).  Spins; or sleeps where the lock is not to be had at once (R10).
#[inline]
pub(crate) fn page_lock_anon_vma<R: Rmap>(page: &PageRmap<R>) -> Option<LockedAnonVma<'_, R>> {
    stats::LOOKUPS.inc();
    let found = AnonVma::find(page).and_then(|candidate| match candidate.try_lock() {
        Ok(locked) => AnonVma::confirm(locked),
        Err(candidate) => {
            stats::SLOW_LOOKUPS.inc();
            candidate
                .try_pin()
                .and_then(AnonVma::confirm_pin)
                .and_then(LockedAnonVma::wait)
        }
    });
    told_if_stale(found)
}

/// Counts the lookups that came too late.
#[inline]
fn told_if_stale<T>(found: Option<T>) -> Option<T> {
    if found.is_none() {
        stats::STALE_LOOKUPS.inc();
    }
    found
}

#[cfg(shadow_rmap_kunit)]
#[path = "tests/lookup.rs"]
mod tests;

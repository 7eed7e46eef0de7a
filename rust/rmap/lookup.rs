// SPDX-License-Identifier: GPL-2.0

//! From a page to its anon_vma, while anybody may be unmapping the page.
//!
//! C: `folio_lock_anon_vma_read()` and `folio_get_anon_vma()` of
//! [`mm/rmap.c`](srctree/mm/rmap.c).

use super::{
    anon_vma::{
        AnonVma,
        LockedAnonVma,
        PageRmap, //
    },
    rules::Rule,
};
use crate::{
    prim::typesafe::{
        Candidate,
        Pinned, //
    },
    stats,
};

/// `folio_get_anon_vma()`: a reference to the page's anon_vma.
///
/// `None` where the page is not mapped, or was unmapped meanwhile.  The caller holds a reference on
/// the page (R4).  May sleep when the reference turns out to be the last.
#[cfg_attr(not(CONFIG_KUNIT = "y"), expect(dead_code))]
pub(crate) fn page_get_anon_vma(page: &PageRmap) -> Option<Pinned<AnonVma>> {
    let pinned = find(page)?.try_pin().and_then(|pin| pin.confirm());
    confirmed(pinned)
}

/// `folio_lock_anon_vma_read()`: the page's anon_vma, its family locked for reading.
///
/// The fast path costs what it is made of: an RCU pair, a trylock, and two looks at the page.
/// `None` where the page is not mapped, or was unmapped meanwhile.  The caller holds a reference on
/// the page (R4).  Sleeps where the lock is not to be had at once (R10).
pub(crate) fn page_lock_anon_vma(page: &PageRmap) -> Option<LockedAnonVma<'_>> {
    match find(page)?.try_lock() {
        Ok(locked) => confirmed(AnonVma::confirm(locked)),
        Err(candidate) => {
            stats::SLOW_LOOKUPS.inc();
            Rule::R10.checked(1);
            let pin = candidate.try_pin().and_then(|pin| pin.confirm());
            confirmed(pin).and_then(LockedAnonVma::wait)
        }
    }
}

/// The look at the page before anything is dereferenced (R4, R12).
fn find(page: &PageRmap) -> Option<Candidate<'_, PageRmap>> {
    stats::LOOKUPS.inc();
    Rule::R4.checked(1);
    confirmed(Candidate::find(page))
}

/// Counts the lookups that came too late.
fn confirmed<T>(found: Option<T>) -> Option<T> {
    Rule::R12.checked(1);
    if found.is_none() {
        stats::STALE_LOOKUPS.inc();
    }
    found
}

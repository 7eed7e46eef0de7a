// SPDX-License-Identifier: GPL-2.0

//! Mapping a page again in all PTEs that have an entry of its swap slot.
//!
//! C: `try_to_unuse()` of [`mm/swapfile.c`](srctree/mm/swapfile.c).

use super::walk_locked;
use crate::{
    model::{
        mapping,
        page::{
            Page,
            PageGuard, //
        },
        steps::ModelSteps,
        swap::{
            Leaving,
            Slot, //
        },
        table::Pte,
        Modelled, //
    },
    rmap::{
        oracle::Oracle,
        rules::Rule, //
    },
};
use kernel::{
    prelude::*,
    sync::Arc,
    time::{
        delay::fsleep,
        Delta, //
    },
};

/// The longest wait of [`unuse`], in milliseconds, for entries that other threads have taken out of
/// a PTE and are about to drop.
const LONGEST_WAIT: usize = 10_000;

/// `try_to_unuse()` of one slot: maps the page again in each PTE that has an entry of the slot.
/// Returns the number of these PTEs. Sleeps.
///
/// # Errors
///
/// `EBUSY` if another thread does the same already, or if users are left that no walk finds;
/// `ENOMEM`.
pub(crate) fn unuse<R: Modelled>(slot: &Arc<Slot<R>>) -> Result<usize> {
    let Some(leaving) = Leaving::new(slot)? else {
        return Ok(0);
    };
    let mut found = 0;
    for _ in 0..LONGEST_WAIT {
        // Making an entry takes the page lock: if there still is one, the walk has missed it, and
        // another walk would.
        let (n, left) =
            slot.with_page(|page, locked| (unuse_page(slot, page, locked), slot.ptes()))?;
        found += n;
        if left > 0 || leaving.others() == 0 {
            break;
        }
        // No PTE has an entry, but a thread that is unmapping or faulting has. As in C, it is tried
        // again.
        fsleep(Delta::from_millis(1));
    }
    if Oracle::WalkCompleteness.check(Rule::R39, leaving.others() == 0) {
        Ok(found)
    } else {
        Err(EBUSY)
    }
}

/// `unuse_vma()` and the functions that it calls, for all users to which the slot's anon_vma leads.
///
/// The page is locked. If it is new, it leads to the anon_vma of the slot, and not to the
/// `->anon_vma` of one of its users, to which the others need not be linked (R20). See
/// [`swap`](crate::model::swap) for why all are linked to the former (R21).
fn unuse_page<R: Modelled>(
    slot: &Arc<Slot<R>>,
    page: &Arc<Page<R>>,
    locked: &PageGuard<'_, R>,
) -> usize {
    let anon_vma = slot.anon_vma().lock_read();
    if !page.rmap.is_anon() {
        mapping::lead_back((page, locked), &anon_vma);
    }
    let uses = |pte: &Pte<R>| matches!(pte, Pte::Swap(entry) if entry.is_of(slot));
    let walk = walk_locked(anon_vma, slot.index(), uses, |found| {
        // Read-only: a write looks for other PTEs that map it.
        found.map_again((page, locked), false);
        Rule::R39.step();
        R::model_steps().next_user()
    });
    walk.found
}

// SPDX-License-Identifier: GPL-2.0

//! Taking a page out of all PTEs that map it.
//!
//! C: `try_to_unmap()` of [`mm/rmap.c`](srctree/mm/rmap.c), `shrink_folio_list()` of
//! [`mm/vmscan.c`](srctree/mm/vmscan.c).

use super::{
    rmap_walk,
    Walk, //
};
use crate::{
    model::{
        page::{
            Page,
            PageGuard, //
        },
        swap::{
            free_swap,
            remove_mapping,
            Entry,
            Room, //
        },
        table::Pte,
        Modelled, //
    },
    rmap::{
        lookup::page_get_anon_vma,
        oracle::Oracle,
        rules::Rule, //
    },
};
use core::ops::ControlFlow;
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// `try_to_unmap()`: replaces each PTE that maps `page` by an entry of the page's swap slot.
///
/// Returns whether no PTE is left. Then the swap cache has the page until it is
/// [reclaimed](reclaim), or until the slot has no users. Sleeps.
///
/// # Errors
///
/// `ENOMEM`.
pub(crate) fn try_to_unmap<R: Modelled>(page: &Arc<Page<R>>) -> Result<bool> {
    let room = Room::new()?;
    Ok(unmap_locked(page, &mut page.lock(), room))
}

/// `shrink_folio_list()` of one page: unmaps it and writes it to swap, so that its memory is freed
/// with the last reference. Returns whether that was possible. Sleeps.
///
/// # Errors
///
/// `ENOMEM`.
pub(crate) fn reclaim<R: Modelled>(page: &Arc<Page<R>>) -> Result<bool> {
    let room = Room::new()?;
    let mut locked = page.lock();
    Ok(unmap_locked(page, &mut locked, room) && remove_mapping(page, &mut locked))
}

/// Unmaps a locked page.
fn unmap_locked<R: Modelled>(
    page: &Arc<Page<R>>,
    locked: &mut PageGuard<'_, R>,
    room: Room<R>,
) -> bool {
    let slot = match &**locked {
        Some(slot) => slot.clone(),
        None => match page_get_anon_vma(&page.rmap) {
            Some(pin) => room.add(page, locked, pin),
            // No PTE maps it.
            None => return is_out(page, &Walk::NONE),
        },
    };
    let walk = rmap_walk(page, |found| {
        found.unmap(page, Pte::Swap(Entry::new(&slot, locked)));
        if page.rmap.mapped() {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    });
    // If the PTEs were gone before the walk, the slot has no users.
    free_swap(locked);
    is_out(page, &walk)
}

/// Returns whether no PTE maps a locked page, after a walk that was to take it out of all page
/// tables.
///
/// If a PTE does, the walk has missed it (R21). While the page is locked, only a fork maps it
/// again, by a copy of a PTE that the walk has not visited yet.
pub(super) fn is_out<R: Modelled>(page: &Page<R>, walk: &Walk) -> bool {
    let out = !page.rmap.mapped();
    if !out && walk.bounded {
        Oracle::WalkCompleteness.report(Some(Rule::R21));
    }
    out
}

// SPDX-License-Identifier: GPL-2.0

//! Checks PTEs, pages and slots.

use super::{
    collect::{
        SeenPte,
        SeenSlot,
        SeenVma,
        Target, //
    },
    Sink, //
};
use crate::{
    kernel_ext::gather::gather,
    model::{
        page::Page,
        table::Pte,
        Modelled, //
    },
    rmap::{
        family::LockedAnonVma,
        lookup::page_lock_anon_vma,
        rules::Rule, //
    },
    snapshot::build::Builder, //
};
use core::ops::ControlFlow;
use kernel::{
    prelude::*,
    rbtree::RBTree,
    sync::Arc, //
};

/// Checks each PTE.
pub(super) fn check_ptes<R: Modelled>(ptes: &[SeenPte<R>], vmas: &[SeenVma<R>], sink: &mut Sink) {
    for pte in ptes {
        let (number, address) = (pte.mm + 1, pte.address);
        let vma = pte.vma.and_then(|vma| vmas.get(vma));
        sink.structure(
            vma.is_some(),
            fmt!("mm {number}: there is a PTE at {address}, but no VMA"),
        );
        let index = match &pte.target {
            Target::Page { page, writable } => {
                sink.structure(
                    !writable || page.rmap.mapcount() == 1,
                    fmt!(
                        "mm {number}, address {address}: page {} may be written to, though its \
                         mapcount is {}",
                        page.id,
                        page.rmap.mapcount()
                    ),
                );
                page.rmap.index()
            }
            Target::Slot(slot) => slot.index(),
            Target::Migration => {
                sink.structure(
                    false,
                    fmt!("mm {number}, address {address}: the PTE is a migration entry"),
                );
                continue;
            }
        };
        if let Some(vma) = vma {
            sink.check(
                Rule::R21,
                vma.vma.core.address(index) == address,
                fmt!(
                    "mm {number}, address {address}: a page with offset {index} belongs at {}",
                    vma.vma.core.address(index)
                ),
            );
        }
    }
}

/// Adds the pages, and the VMAs that walks from each of them find.
pub(super) fn add_pages<R: Modelled>(
    ptes: &[SeenPte<R>],
    vmas: &[SeenVma<R>],
    builder: &mut Builder,
    sink: &mut Sink,
) -> Result {
    let mut pages: RBTree<usize, &Arc<Page<R>>> = RBTree::new();
    for pte in ptes {
        let (Target::Page { page, .. }, Some(vma)) = (&pte.target, pte.vma) else {
            continue;
        };
        let key = Arc::as_ptr(page).addr();
        builder.mapped(
            vma,
            key,
            page.rmap.anon_vma_key().unwrap_or(0),
            page.rmap.index(),
            page.rmap.mapcount().into(),
        )?;
        // An anon_vma to which no VMA is linked may be freed. It is not walked; the graph shows the
        // damage.
        if page
            .rmap
            .anon_vma_key()
            .is_some_and(|key| builder.knows(key))
        {
            pages.try_create_and_insert(key, page, GFP_KERNEL)?;
        }
    }
    for (&key, page) in pages.iter() {
        let at = page.rmap.index();
        let found = walk(|| page_lock_anon_vma(&page.rmap), at, |pte| pte.maps(page))?;
        for vma in found {
            if vmas.iter().any(|seen| seen.vma.core.key() == vma) {
                builder.found(key, vma)?;
            } else {
                sink.check(
                    Rule::R35,
                    false,
                    fmt!(
                        "page {}: a walk finds a VMA that is in no address space",
                        page.id
                    ),
                );
            }
        }
    }
    Ok(())
}

/// Returns the keys of the VMAs in a tree whose PTE for the offset `at` is the wanted one.
///
/// It does not use the walks of `model::walk`, because they are verified.
fn walk<'a, R: Modelled>(
    lock: impl Fn() -> Option<LockedAnonVma<'a, R>>,
    at: usize,
    wanted: impl Fn(&Pte<R>) -> bool,
) -> Result<KVVec<usize>> {
    let found = gather(
        lock,
        |locked| locked.as_ref().map_or(0, LockedAnonVma::number_of_vmas),
        |locked, all| {
            let mut pushed = Ok(());
            if let Some(locked) = locked {
                let _: ControlFlow<()> = locked.for_each_vma(at, at, |vma| {
                    let ptes = vma.mm().space().table.lock();
                    if wanted(ptes.get(vma.address(at))) {
                        pushed = pushed.and(all.push(vma.key(), GFP_KERNEL));
                    }
                    ControlFlow::Continue(())
                });
            }
            pushed
        },
    )?;
    Ok(found)
}

/// Checks each slot of swap.
pub(super) fn check_slots<R: Modelled>(slots: &[SeenSlot<R>], sink: &mut Sink) -> Result {
    for (number, SeenSlot { slot, entries }) in slots.iter().enumerate() {
        let number = number + 1;
        sink.check(
            Rule::R39,
            slot.users() == *entries,
            fmt!(
                "slot {number}: it has {} users, PTEs with an entry of it: {entries}",
                slot.users()
            ),
        );
        let found = walk(
            || Some(slot.anon_vma().lock_read()),
            slot.index(),
            |pte| matches!(pte, Pte::Swap(entry) if entry.is_of(slot)),
        )?;
        sink.check(
            Rule::R39,
            found.len() == *entries,
            fmt!(
                "slot {number}: a walk from the anon_vma that it pins finds {} of its {entries} \
                 entries",
                found.len()
            ),
        );
    }
    Ok(())
}

// SPDX-License-Identifier: GPL-2.0

//! Collects VMAs, PTEs, slots and anon_vmas.

use super::Sink;
use crate::{
    kernel_ext::gather::gather,
    model::{
        mm::Mm,
        page::Page,
        space::Vma,
        swap::Slot,
        table::Pte,
        Modelled, //
    },
    rmap::anon_vma::AnonVma,
    snapshot::{
        build::{
            AnonVmaFacts,
            Builder, //
        },
        MmNode,
        VmaNode, //
    },
};
use core::cell::Cell;
use kernel::{
    page::PAGE_SHIFT,
    prelude::*,
    sync::Arc, //
};

/// A VMA, and its addresses in the tree of VMAs.
pub(super) struct SeenVma<R: Modelled> {
    pub(super) vma: Arc<Vma<R>>,
    pub(super) mm: usize,
    pub(super) first: usize,
    pub(super) last: usize,
}

/// The content of a PTE. It is not the PTE itself, because a copy of an entry would be a user of
/// its slot.
pub(super) enum Target<R: Modelled> {
    Page { page: Arc<Page<R>>, writable: bool },
    Slot(Arc<Slot<R>>),
    Migration,
}

/// A PTE that is not none.
pub(super) struct SeenPte<R: Modelled> {
    pub(super) mm: usize,
    pub(super) address: usize,
    /// The index of its VMA.
    pub(super) vma: Option<usize>,
    pub(super) target: Target<R>,
}

/// A slot of swap, and the number of PTEs that have entries of it.
pub(super) struct SeenSlot<R: Modelled> {
    pub(super) slot: Arc<Slot<R>>,
    pub(super) entries: usize,
}

/// Collects all VMAs, in the order of the graph.
pub(super) fn seen_vmas<R: Modelled>(
    mms: &[&Mm<R>],
    builder: &mut Builder,
    sink: &mut Sink,
) -> Result<KVVec<SeenVma<R>>> {
    let mut all = KVVec::new();
    for (mm, space) in mms.iter().enumerate() {
        let number = mm + 1;
        builder.mm(MmNode {
            id: number as u64,
            pid: 0,
            comm: [0; 16],
        })?;
        let mmap = space.core().mmap_read();
        for slot in space.space().vmas.range(0, usize::MAX) {
            let (vma, first, last) = (slot.vma, slot.first, slot.last);
            let id = vma.core.id();
            let covers = vma.addresses(&mmap);
            sink.structure(
                covers == (first, last),
                fmt!(
                    "mm {number}, vma {id}: it covers {} to {}, but is in the tree at {first} to {last}",
                    covers.0,
                    covers.1
                ),
            );
            builder.vma(
                vma.core.key(),
                VmaNode {
                    tainted: vma.core.is_untracked(),
                    ..VmaNode::new(
                        id,
                        mm,
                        first << PAGE_SHIFT..(last + 1) << PAGE_SHIFT,
                        vma.range(&mmap).start,
                    )
                },
            )?;
            let seen = SeenVma {
                vma,
                mm,
                first,
                last,
            };
            all.push(seen, GFP_KERNEL)?;
        }
    }
    Ok(all)
}

/// Collects all PTEs that are not empty.
pub(super) fn seen_ptes<R: Modelled>(
    mms: &[&Mm<R>],
    vmas: &[SeenVma<R>],
) -> Result<KVVec<SeenPte<R>>> {
    let mut all = KVVec::new();
    for (mm, space) in mms.iter().enumerate() {
        let table = &space.space().table;
        let found = gather(
            || table.lock(),
            |ptes| {
                (0..table.size())
                    .filter(|&address| !ptes.get(address).is_none())
                    .count()
            },
            |ptes, all| {
                for address in 0..table.size() {
                    let target = match ptes.get(address) {
                        Pte::None => continue,
                        Pte::Present { page, writable } => Target::Page {
                            page: page.clone(),
                            writable: *writable,
                        },
                        Pte::Swap(entry) => Target::Slot(entry.slot().clone()),
                        Pte::Migration { .. } => Target::Migration,
                    };
                    all.push((address, target), GFP_KERNEL)?;
                }
                Ok(())
            },
        )?;
        for (address, target) in found {
            let vma = vmas
                .iter()
                .position(|vma| vma.mm == mm && vma.first <= address && address <= vma.last);
            let pte = SeenPte {
                mm,
                address,
                vma,
                target,
            };
            all.push(pte, GFP_KERNEL)?;
        }
    }
    Ok(all)
}

/// Collects all slots: those of entries in PTEs, and those for which a mapped page is in the swap
/// cache.
pub(super) fn seen_slots<R: Modelled>(ptes: &[SeenPte<R>]) -> Result<KVVec<SeenSlot<R>>> {
    let mut all: KVVec<SeenSlot<R>> = KVVec::new();
    for pte in ptes {
        let (slot, entries) = match &pte.target {
            Target::Slot(slot) => (slot.clone(), 1),
            Target::Page { page, .. } => match page.lock().clone() {
                Some(slot) => (slot, 0),
                None => continue,
            },
            Target::Migration => continue,
        };
        match all.iter_mut().find(|seen| Arc::ptr_eq(&seen.slot, &slot)) {
            Some(seen) => seen.entries += entries,
            None => all.push(SeenSlot { slot, entries }, GFP_KERNEL)?,
        }
    }
    Ok(all)
}

/// Adds the chains, and the anon_vmas to which they lead.
pub(super) fn add_links<R: Modelled>(
    mms: &[&Mm<R>],
    vmas: &[SeenVma<R>],
    slots: &[SeenSlot<R>],
    builder: &mut Builder,
) -> Result {
    for (mm, space) in mms.iter().enumerate() {
        let mmap = space.core().mmap_read();
        for (index, seen) in vmas.iter().enumerate().filter(|(_, seen)| seen.mm == mm) {
            for anon_vma in seen.vma.core.links(&mmap) {
                add_anon_vma(builder, anon_vma.root(), slots)?;
                add_anon_vma(builder, anon_vma, slots)?;
                builder.chain_entry(index, anon_vma.key())?;
            }
            if let Some(anon_vma) = seen.vma.core.anon_vma(&mmap) {
                builder.active(index, anon_vma.key());
            }
        }
    }
    Ok(())
}

/// Adds an anon_vma and its tree, unless the graph has it.
fn add_anon_vma<R: Modelled>(
    builder: &mut Builder,
    anon_vma: &AnonVma<R>,
    slots: &[SeenSlot<R>],
) -> Result {
    let key = anon_vma.key();
    if builder.knows(key) {
        return Ok(());
    }
    let facts = Cell::new(None);
    let tree = gather(
        || anon_vma.lock_read(),
        |locked| locked.number_of_vmas(),
        |locked, all| {
            facts.set(Some((
                locked.refcount(),
                AnonVmaFacts {
                    root: locked.root().key(),
                    parent: locked.parent_key(),
                    refcount: 0,
                    num_children: locked.num_children(),
                    num_active_vmas: locked.num_active_vmas(),
                },
            )));
            locked.push_each(all, |vma| vma.key())
        },
    )?;
    let (refcount, mut facts) = facts.take().ok_or(ENOMEM)?;
    // The graph knows the references of links and children only, so those of slots are subtracted.
    let pins = slots
        .iter()
        .filter(|seen| seen.slot.anon_vma().key() == key)
        .count();
    facts.refcount = i64::from(refcount).saturating_sub_unsigned(pins as u64);
    builder.anon_vma(key, facts)?;
    for vma in tree {
        builder.tree_entry(key, vma)?;
    }
    Ok(())
}

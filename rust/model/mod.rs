// SPDX-License-Identifier: GPL-2.0

//! Address spaces made of shadow objects only: no process, no hardware, the same rules.
//!
//! | module | is | mirrors |
//! |---|---|---|
//! | [`page`] | a page: what the reverse map keeps in it, its lock, its memory | `struct folio` |
//! | [`table`] | page tables | `mm/memory.c`, `set_pte_at()` and its like |
//! | [`space`] | the VMAs and the page table of an address space | `struct mm_struct` |
//! | [`mm`] | map, unmap, split, grow, fork, exit | `mm/vma.c`, `kernel/fork.c` |
//! | [`fault`] | reading and writing, copy-on-write, swapping in | `mm/memory.c` |
//! | [`merge`] | which VMAs become one | `mm/vma.c` |
//! | [`remap`] | moving a part of an address space elsewhere | `mm/mremap.c` |
//! | [`swap`] | where pages go that are taken out of all page tables | `mm/swapfile.c` |
//! | [`walk`] | from a page to all page tables that map it | `mm/rmap.c` |
//! | [`take_all`] | every lock of an address space at once | `mm/vma.c`, `mm_take_all_locks()` |
//! | [`verify`] | whether all of that agrees, at rest | |
//! | `reference` | what all of that should do, as simply as can be, for tests | |
//! | `sequences` | random operations, compared with the reference, for tests | |
//! | `failures` | every allocation fails once, for tests | |
//!
//! # Order of locks
//!
//! Locks are taken from top to bottom and never the other way round (R34); lockdep knows each by
//! its name.
//!
//! | | lock | protects | may its holder sleep |
//! |---|---|---|---|
//! | 1 | `shadow_rmap::mmap_lock`, the parent's before the child's | VMAs, ranges, chains | yes |
//! | 2 | `shadow_rmap::vma_lock`, the parent's before the child's | the same, from faults that do without `mmap_lock` | yes |
//! | 3 | `shadow_rmap_take_all` | taking all locks of an address space, one at a time | yes |
//! | 4 | `shadow_rmap::page_lock` | where a page leads to, its migration, its swap slot | yes |
//! | 5 | `shadow_rmap::anon_vma::rwsem` or `::lock`, the root's | the trees of a family | rwsem only |
//! | 6 | `shadow_rmap::page_table_lock` | the first anon_vma of a VMA | no |
//! | 7 | `shadow_rmap::ptl`, the parent's before the child's | PTEs | no |
//! | 8 | `shadow_rmap::swap_cache` | which page a swap slot has in memory | no |
//! | 8 | `shadow_rmap::notifiers` | who is told when PTEs change | no |
//!
//! `vma_lock` stands for the locks of all VMAs of an address space: it is taken for writing whenever
//! `mmap_lock` is, right after it.
//!
//! Addresses are in pages, from 0 to the size that the address space was made with.

use crate::{
    kernel_ext::{
        fail,
        lock::FamilyLock, //
    },
    rmap::{
        kind::Rmap,
        rules::{
            Correct,
            Rules, //
        },
    },
};
use core::marker::PhantomData;
use kernel::{
    prelude::*,
    str::CStr, //
};

#[cfg(shadow_rmap_kunit)]
mod failures;
pub(crate) mod fault;
pub(crate) mod merge;
pub(crate) mod mm;
pub(crate) mod page;
#[cfg(shadow_rmap_kunit)]
mod reference;
pub(crate) mod remap;
#[cfg(shadow_rmap_kunit)]
mod sequences;
pub(crate) mod space;
pub(crate) mod swap;
pub(crate) mod table;
pub(crate) mod take_all;
pub(crate) mod verify;
pub(crate) mod walk;

/// The kind of reverse map whose pages and page tables are here: under the lock `L`, by the rules
/// `B`.
pub(crate) struct Model<L, B = Correct>(PhantomData<(L, B)>);

impl<L: FamilyLock, B: Rules> Rmap for Model<L, B> {
    type Lock = L;
    type Rules = B;
    type Space = space::Space<Self>;

    const VMA_LOCKS: bool = true;
    const CACHE: &'static CStr = c"shadow_rmap_model_anon_vma";
}

/// An [`Rmap`] with the page tables of this module.
pub(crate) trait Modelled: Rmap<Space = space::Space<Self>> {}

impl<R: Rmap<Space = space::Space<R>>> Modelled for R {}

/// Whether the allocation that the caller is about to make may go ahead: a test or the torture can
/// make it fail.  Sleeps.
///
/// # Errors
///
/// `ENOMEM` where it is to fail.
fn may_allocate<R: Rmap>() -> Result {
    R::Rules::allocation()?;
    Ok(fail::allocation()?)
}

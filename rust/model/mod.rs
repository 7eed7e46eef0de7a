// SPDX-License-Identifier: GPL-2.0

//! Address spaces made of shadow objects only, without processes and hardware; the rules are the
//! same.
//!
//! | module | contents | mirrors |
//! |---|---|---|
//! | [`page`] | a page: what the reverse map keeps in it, its lock, its memory | `struct folio` |
//! | [`table`] | page tables | `mm/memory.c`, `set_pte_at()` and its like |
//! | [`space`] | the VMAs and the page table of an address space | `struct mm_struct` |
//! | [`attributes`] | flags of a VMA, and what it maps | `vm_flags`, `is_mergeable_vma()` |
//! | [`mm`] | map, unmap, split, exit | `mm/vma.c` |
//! | `protect` | changing flags | `mm/mprotect.c`, `vma_modify()` |
//! | `resize` | longer and shorter in place | `mm/mremap.c` |
//! | [`fork`] | copying an address space | `kernel/fork.c`, `mm/mmap.c` |
//! | [`mapping`] | PTEs that map pages, made and counted in one place | `folio_add_anon_rmap_pte()` |
//! | [`steps`] | a method for each place where a rule about page tables is followed | |
//! | [`fault`] | reading and writing, copy-on-write, swapping in | `mm/memory.c` |
//! | [`merge`] | merging VMAs | `mm/vma.c` |
//! | [`remap`] | moving a part of an address space elsewhere | `mm/mremap.c` |
//! | `move_vmas` | moving several VMAs, and to another length | `mm/mremap.c` |
//! | [`swap`] | pages that are taken out of all page tables | `mm/swapfile.c` |
//! | [`walk`] | from a page to all page tables that map it | `mm/rmap.c` |
//! | [`take_all`] | every lock of an address space at once | `mm/vma.c`, `mm_take_all_locks()` |
//! | [`verify`] | verification of all of it at rest | |
//! | `tests` | tests of all of it: a second implementation, random sequences, failures | |
//!
//! # Order of locks
//!
//! Locks are taken from top to bottom, never in another order (R34); lockdep knows each by its
//! name.
//!
//! | | lock | protects | may its holder sleep |
//! |---|---|---|---|
//! | 1 | `shadow_rmap::mmap_lock`, the parent's before the child's | VMAs, ranges, chains | yes |
//! | 2 | `shadow_rmap::vma_lock`, the parent's before the child's | the same, from faults without `mmap_lock` | yes |
//! | 3 | `shadow_rmap_take_all` | taking all locks of an address space, one at a time | yes |
//! | 4 | `shadow_rmap::page_lock` | the anon_vma of a page, its migration, its swap slot | yes |
//! | 5 | `shadow_rmap::anon_vma::rwsem` or `::lock`, the root's | the trees of a family | rwsem only |
//! | 6 | `shadow_rmap::page_table_lock` | the first anon_vma of a VMA | no |
//! | 7 | `shadow_rmap::ptl`, the parent's before the child's | PTEs | no |
//! | 8 | `shadow_rmap::swap_cache` | the page of a swap slot | no |
//! | 8 | `shadow_rmap::notifiers` | the notifiers of an address space | no |
//!
//! `vma_lock` stands for the locks of all VMAs of an address space: it is taken for writing
//! whenever `mmap_lock` is, right after it.
//!
//! Addresses are in pages, from 0 to the size of the address space.

use crate::{
    kernel_ext::fail,
    rmap::{
        kind::{
            Rmap,
            Windows, //
        },
        lock::FamilyLock,
        mm::Mm,
        steps::Correct,
        window::Window, //
    },
};
use core::marker::PhantomData;
use kernel::{
    prelude::*,
    str::CStr, //
};
pub(crate) use mapping::table;
use steps::{
    ModelFlavour,
    ModelSteps, //
};

pub(crate) mod attributes;
pub(crate) mod fault;
mod fork;
pub(crate) mod mapping;
pub(crate) mod merge;
pub(crate) mod mm;
mod move_vmas;
pub(crate) mod page;
mod protect;
pub(crate) mod remap;
mod resize;
pub(crate) mod space;
pub(crate) mod steps;
pub(crate) mod swap;
pub(crate) mod take_all;
#[cfg(shadow_rmap_kunit)]
mod tests;
pub(crate) mod verify;
pub(crate) mod walk;

/// A kind of reverse map with the pages and page tables of this module: the lock `L`, the steps of
/// `F`, the windows `W`.
pub(crate) struct Model<L, F = Correct, W = crate::UsualWindows>(PhantomData<(L, F, W)>);

impl<L: FamilyLock, F: ModelFlavour, W: Windows> Rmap for Model<L, F, W> {
    type Lock = L;
    type Steps = F::Steps<Self>;
    type Space = space::Space<Self>;
    type Layout = mapping::Layout;

    const VMA_LOCKS: bool = true;
    const CACHE: &'static CStr = cache_name!("model_anon_vma");

    fn steps() -> &'static Self::Steps {
        F::steps::<Self>()
    }

    fn clear_pages(mm: &Mm<Self>, first: usize, last: usize) {
        mapping::zap(mm, first, last);
    }

    fn window(at: Window) {
        W::window(at);
    }

    fn allocation() -> Result {
        W::allocation()
    }
}

/// An [`Rmap`] with the page tables of this module.
pub(crate) trait Modelled:
    Rmap<Space = space::Space<Self>, Layout = mapping::Layout>
{
    /// The steps of the model: [`Correct`], or a deliberate bug.
    type ModelSteps: ModelSteps<Self> + ?Sized;

    /// Returns them.
    fn model_steps() -> &'static Self::ModelSteps;
}

impl<L: FamilyLock, F: ModelFlavour, W: Windows> Modelled for Model<L, F, W> {
    type ModelSteps = F::ModelSteps<Self>;

    fn model_steps() -> &'static Self::ModelSteps {
        F::model_steps::<Self>()
    }
}

/// Is called before an allocation: a test or a torture can make it fail. Sleeps.
///
/// # Errors
///
/// `ENOMEM` if it is to fail.
fn may_allocate<R: Rmap>() -> Result {
    R::allocation()?;
    Ok(fail::allocation()?)
}

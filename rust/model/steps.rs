// SPDX-License-Identifier: GPL-2.0

//! The steps of the model: those of [`rmap::steps`](crate::rmap::steps) that need page tables.

#![allow(
    unsafe_code,
    reason = "steps that the reverse map's promise about PTEs needs"
)]

use super::{
    merge::{
        self,
        Plan, //
    },
    page::Page,
    space::Vma,
    table::Pte,
    Modelled, //
};
use crate::{
    kernel_ext::typesafe::Pinned,
    rmap::{
        anon_vma::AnonVma,
        family::{
            FamilyWrite,
            LockedAnonVma, //
        },
        lookup::page_get_anon_vma,
        mm::MmapWrite,
        rules::Rule,
        steps::{
            Correct,
            Flavour, //
        }, //
    },
};
use core::ops::ControlFlow;
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// Chooses the steps of a model as well.
pub(crate) trait ModelFlavour: Flavour {
    /// The steps of the model of the kind `R`.
    type ModelSteps<R: Modelled>: ModelSteps<R> + ?Sized;

    /// Returns them.
    fn model_steps<R: Modelled>() -> &'static Self::ModelSteps<R>;
}

// SAFETY: The provided methods.
unsafe impl<R: Modelled> ModelSteps<R> for Correct {}

impl ModelFlavour for Correct {
    type ModelSteps<R: Modelled> = Self;

    fn model_steps<R: Modelled>() -> &'static Self {
        &Self
    }
}

/// The steps of the model. `R` is the kind of reverse map.
///
/// # Safety
///
/// `model/mapping.rs` keeps its promise to the reverse map by some of the steps: one that is
/// overridden does what its provided method does, as far as memory is concerned. A deliberate bug
/// does not, on purpose.
pub(crate) unsafe trait ModelSteps<R: Modelled>: Send + Sync + 'static {
    /// Returns whether a VMA maps a page: if it is `linked` to the page's anon_vma (R21).
    fn may_map(&self, linked: bool) -> bool {
        Rule::R21.guard(linked)
    }

    /// Counts one PTE less when one was replaced by an entry (R3).
    fn unmap_pte(&self, page: &Page<R>) {
        page.rmap.remove_rmap();
    }

    /// Keeps the anon_vma of a page that is about to leave all page tables, by a reference (R18).
    /// Sleeps or spins.
    fn keep_anon_vma(&self, page: &Page<R>) -> Option<Pinned<AnonVma<R>>> {
        page_get_anon_vma(&page.rmap)
    }

    /// Locks an anon_vma that was kept for the second walk of a migration (R18). Sleeps or spins.
    fn lock_kept<'a>(
        &self,
        kept: &'a Pinned<AnonVma<R>>,
        _page: &'a Page<R>,
    ) -> Option<LockedAnonVma<'a, R>> {
        Some(kept.lock_read())
    }

    /// Drops an anon_vma that was kept (R18). Sleeps.
    fn drop_kept(&self, kept: Pinned<AnonVma<R>>) {
        drop(kept);
    }

    /// Returns whether a walk acts on a PTE: if it is what the walk looks for (R35).
    fn acts_on(&self, wanted: bool) -> bool {
        wanted
    }

    /// Disposes of what a walk has taken out of a PTE, with the page table locked (R35): it is
    /// never the last reference.
    fn dispose(&self, pte: Pte<R>) {
        drop(pte);
    }

    /// Returns whether the search for users of a swap slot goes on: there may be more (R39).
    fn next_user(&self) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// Locks the family of PTEs that move, if a walk may pass them: if the destination is `before`
    /// the source (R36). `bulk` says that a whole page table moves. Sleeps or spins.
    fn lock_to_move<'a>(
        &self,
        from: &'a Vma<R>,
        before: bool,
        _bulk: bool,
        mmap: &'a MmapWrite<'_, R>,
    ) -> Option<FamilyWrite<'a, R>> {
        before
            .then(|| from.core.anon_vma(mmap).map(AnonVma::lock_write))
            .flatten()
    }

    /// Returns whether a root is locked when all locks are taken: each once (R38). `before` is the
    /// key of the one that was locked before; the roots are in order.
    fn takes_root(&self, before: Option<usize>, root: &AnonVma<R>) -> bool {
        before != Some(root.key())
    }

    /// Lets the survivor of a merge inherit the links of a VMA that has some (R21), with faults
    /// kept away (R31). Returns the VMA that inherited. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; then nothing has changed.
    fn inherit(&self, plan: &Plan<R>, mmap: &mut MmapWrite<'_, R>) -> Result<Option<Arc<Vma<R>>>> {
        merge::inherit(plan, plan.sources(), mmap)
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Deliberate bugs in a VMA: its range, its chain, its `->anon_vma`.

#![allow(unsafe_code, reason = "deliberate bugs")]

use super::no_model_step;
use crate::{
    kernel_ext::interval_tree::Range,
    rmap::{
        anon_vma::AnonVma,
        chain::AnonVmaChain,
        family::FamilyWrite,
        kind::Rmap,
        oracle::Oracle,
        rules::Rule,
        steps::Steps,
        vma::Vma,
        window::Window, //
    },
};
use kernel::sync::atomic::Atomic;

/// Reads `->anon_vma` of a VMA that may have one without a link.
///
/// The bugs that leave such a VMA behind go on with it as long as the anon_vma is allocated. If it
/// is not, that is reported, and the VMA gets another at its next fault.
///
/// # Safety
///
/// As [`Steps::read_anon_vma`].
pub(super) unsafe fn read_without_link<'a, R: Rmap>(vma: &Vma<R>) -> Option<&'a AnonVma<R>> {
    // SAFETY: Incorrect, on purpose: without a link nothing keeps the anon_vma.
    let anon_vma = unsafe { vma.anon_vma_ptr().as_ref() }?;
    if vma.nr_links() > 0 || Oracle::TypeStability.guard(Rule::R33, anon_vma.is_allocated()) {
        return Some(anon_vma);
    }
    // SAFETY: It has no links.
    unsafe { vma.reset_anon_vma() };
    None
}

/// Deliberate bug: changes a range while the VMA is in its trees (R32, museum 21).
///
/// `subtree_last` of the nodes above is stale then. A search in the host's tree goes to the right
/// child without a test for NULL, as `subtree_last` promises a match there
/// (include/linux/interval_tree_generic.h), so the kernel may fault before a walk misses a page.
pub(crate) struct MovesInTrees;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Rmap> Steps<R> for MovesInTrees {
    /// # Safety
    ///
    /// As the trait says.
    unsafe fn change_range(&self, vma: &Vma<R>, range: Range) {
        R::window(Window::OutOfTrees);
        // SAFETY: Incorrect, on purpose: the VMA is in its trees.
        unsafe { vma.overwrite_range(range) };
    }
}

/// Deliberate bug: puts a new link last (R22, museum 12).
pub(crate) struct LinksLast;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Rmap> Steps<R> for LinksLast {
    /// # Safety
    ///
    /// As the trait says.
    unsafe fn place_of_link<'a>(&self, vma: &'a Vma<R>) -> &'a Atomic<*mut AnonVmaChain<R>> {
        // SAFETY: The caller's promise.
        unsafe { vma.end_of_chain() }
    }
}

/// Deliberate bug: a VMA that was unlinked keeps its anon_vma (R33, museum 29).
pub(crate) struct KeepsAnonVma;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Rmap> Steps<R> for KeepsAnonVma {
    /// # Safety
    ///
    /// As the trait says.
    unsafe fn reset_anon_vma(&self, _vma: &Vma<R>) {}

    /// # Safety
    ///
    /// As the trait says.
    unsafe fn read_anon_vma<'a>(&self, vma: &Vma<R>) -> Option<&'a AnonVma<R>> {
        // SAFETY: The caller's promise.
        unsafe { read_without_link(vma) }
    }
}

/// Deliberate bug: exec moves the VMA of its stack before the PTEs, without the family's lock (R36,
/// museum 18).
pub(crate) struct MovesRangeFirst;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Rmap> Steps<R> for MovesRangeFirst {
    fn lock_to_relocate<'a>(&self, _anon_vma: &'a AnonVma<R>) -> Option<FamilyWrite<'a, R>> {
        None
    }
}

no_model_step!(MovesInTrees LinksLast KeepsAnonVma MovesRangeFirst);

// SPDX-License-Identifier: GPL-2.0

//! The first anon_vma of a VMA.
//!
//! C: `__anon_vma_prepare()` of [`mm/rmap.c`](srctree/mm/rmap.c), `reusable_anon_vma()` of
//! [`mm/vma.c`](srctree/mm/vma.c).

use super::{
    anon_vma::AnonVma,
    chain::LinkReserve,
    family::FamilyWrite,
    kind::Rmap,
    mm::MmapLocked,
    path,
    path::Path,
    rules::Rule,
    steps::Steps,
    vma::Vma,
    window::Window, //
};
use crate::{
    stats,
    trace, //
};
use kernel::prelude::*;

/// Which neighbours' anon_vmas a VMA may share, and with that, which VMAs may be merged.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// Today's rule: only that of a neighbour with a single link (R27), so that two VMAs with one
    /// `->anon_vma` have equal chains (R26).
    Singleton,
    /// The rule of early 2010: that of any neighbour, so that a merge may have to move links (R25).
    Any,
}

/// `__anon_vma_prepare()`: gives `vma` an anon_vma for new pages, unless it has one. Sleeps.
///
/// `neighbours` are the VMAs that `vma` could be merged with, the next one first, as in
/// `find_mergeable_anon_vma()`: the anon_vma of the first that allows it is shared.
///
/// # Errors
///
/// `ENOMEM`; then nothing has changed.
pub(crate) fn anon_vma_prepare<R: Rmap>(
    vma: &Vma<R>,
    mmap: &impl MmapLocked<R>,
    neighbours: [Option<&Vma<R>>; 2],
    sharing: Sharing,
) -> Result {
    if !vma.is_unfaulted() {
        return Ok(());
    }
    // What is left is freed once the locks have been released.
    let mut links = LinkReserve::new(1)?;
    let shared = neighbours
        .into_iter()
        .flatten()
        .find_map(|neighbour| Some((neighbour, reusable_anon_vma(neighbour, mmap, sharing)?)));
    let Some((neighbour, anon_vma)) = shared else {
        let new = AnonVma::alloc(mmap.mm().cache())?.into_root();
        R::window(Window::PrepareTested);
        R::steps().before_first_link(vma, &new.0, mmap);
        let attached = new.lock_and_link(|family, anon_vma| {
            attach(vma, mmap, &mut links, family, anon_vma, &path::PREPARE)
        });
        trace::prepare(|| (vma.id(), 0, attached == Some(true)));
        return Ok(());
    };
    R::window(Window::PrepareTested);
    R::steps().before_first_link(vma, anon_vma, mmap);
    let mut family = anon_vma.lock_write();
    let attached = attach(
        vma,
        mmap,
        &mut links,
        &mut family,
        anon_vma,
        &path::PREPARE_SHARED,
    );
    trace::prepare(|| (vma.id(), neighbour.id(), attached));
    if attached && sharing == Sharing::Singleton {
        // VMAs with one anon_vma have equal chains.
        Rule::R27.check(neighbour.nr_links() == vma.nr_links());
    }
    Ok(())
}

/// `reusable_anon_vma()`: the anon_vma of `neighbour`, if it may be shared (R27).
///
/// The pages of a VMA with a longer chain are not all reachable through its `->anon_vma`, so a
/// merge of the two VMAs would have to move links.
fn reusable_anon_vma<'a, R: Rmap>(
    neighbour: &'a Vma<R>,
    mmap: &'a impl MmapLocked<R>,
    sharing: Sharing,
) -> Option<&'a AnonVma<R>> {
    let anon_vma = neighbour.anon_vma(mmap)?;
    let may_share = match sharing {
        Sharing::Singleton => R::steps().may_share(neighbour),
        // A VMA with this link alone does not keep the parent; a child keeps its root (R16).
        Sharing::Any => anon_vma.parent_key() == anon_vma.root().key(),
    };
    may_share.then_some(anon_vma)
}

/// The part of a prepare under the locks. Returns whether `vma` was given `anon_vma`.
fn attach<R: Rmap>(
    vma: &Vma<R>,
    mmap: &impl MmapLocked<R>,
    links: &mut LinkReserve<R>,
    family: &mut FamilyWrite<'_, R>,
    anon_vma: &AnonVma<R>,
    path: &Path,
) -> bool {
    let page_table = mmap.lock_page_table();
    // Another thread's fault may have been faster; the slower one frees what it allocated (R28:
    // `tools/litmus/R28+test-again-locked.litmus`).
    if !R::steps().is_first(vma, anon_vma) {
        stats::PREPARE_RACES.inc();
        return false;
    }
    if !family.link(links, vma, anon_vma, &page_table) {
        return false;
    }
    R::window(Window::Linked);
    R::steps().publish_first(family, vma, anon_vma, &page_table);
    path.count();
    Rule::R28.holds(vma.nr_links() == 1)
}

#[cfg(shadow_rmap_kunit)]
#[path = "tests/prepare.rs"]
mod tests;

// SPDX-License-Identifier: GPL-2.0

//! The child's VMA at fork.
//!
//! C: `anon_vma_fork()` of [`mm/rmap.c`](srctree/mm/rmap.c).

use super::{
    anon_vma::{
        AnonVma,
        FreshAnonVma, //
    },
    chain::LinkReserve,
    clone::{
        anon_vma_clone,
        Operation,
        Reuse, //
    },
    kind::Rmap,
    mm::{
        Locked,
        MmapWrite, //
    },
    oracle::Oracle,
    rules::Rule,
    steps::Steps,
    vma::Vma,
    window::Window, //
};
use core::ptr;
use kernel::prelude::*;

/// `anon_vma_fork()`: links the child's `vma` to each anon_vma that its parent's `pvma` is linked
/// to, and gives it an anon_vma of its own unless an ancestor's could be reused (R23). Sleeps.
///
/// # Errors
///
/// `ENOMEM`; then `vma` has no links and no anon_vma, and no counter has changed (R37).
pub(crate) fn anon_vma_fork<R: Rmap>(
    vma: &Vma<R>,
    mmap: &MmapWrite<'_, R>,
    pvma: &Vma<R>,
    pmmap: &MmapWrite<'_, R>,
    reuse: Reuse,
) -> Result {
    let Some(parent) = pvma.anon_vma(pmmap) else {
        return Ok(());
    };
    // Both are allocated first: nothing has to be undone.
    let anon_vma = AnonVma::alloc(mmap.mm().cache())?;
    let links = LinkReserve::new(1)?;
    anon_vma_clone(vma, mmap, pvma, pmmap, Operation::Fork(reuse))?;
    R::window(Window::Cloned);
    if !vma.is_unfaulted() {
        return Ok(());
    }
    R::steps().give_own(vma, mmap, parent, anon_vma, links);
    R::window(Window::Forked);
    let own = vma.anon_vma(mmap);
    // The newest stands first (R22).
    let first = vma.links(mmap).next();
    let newest_first = matches!((first, own), (Some(first), Some(own)) if ptr::eq(first, own));
    Oracle::Topology.holds(Rule::R22, newest_first);
    let is_child = own
        .is_some_and(|own| own.parent_key() == parent.key() && ptr::eq(own.root(), parent.root()));
    Rule::R23.holds(is_child && vma.nr_links() == pvma.nr_links() + 1);
    Ok(())
}

/// Makes `anon_vma` the child's own: root and parent are set before anything can find it (R14,
/// R23).
pub(super) fn give_own<R: Rmap>(
    vma: &Vma<R>,
    mmap: &MmapWrite<'_, R>,
    parent: &AnonVma<R>,
    anon_vma: FreshAnonVma<R>,
    mut links: LinkReserve<R>,
) {
    anon_vma
        .into_child_of(parent)
        .lock_and_link(|family, anon_vma| {
            if family.link(&mut links, vma, anon_vma, mmap) {
                family.publish(vma, anon_vma, mmap);
                family.child_born(parent);
            }
        });
}

#[cfg(shadow_rmap_kunit)]
#[path = "tests/fork.rs"]
mod tests;

#[cfg(shadow_rmap_kunit)]
#[path = "tests/fork_reuse.rs"]
mod reuse_tests;

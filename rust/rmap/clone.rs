// SPDX-License-Identifier: GPL-2.0

//! Cloning the links of a VMA.
//!
//! C: `anon_vma_clone()` of [`mm/rmap.c`](srctree/mm/rmap.c).

use super::{
    chain::LinkReserve,
    kind::Rmap,
    mm::MmapWrite,
    path,
    rules::Rule,
    steps::Steps,
    vma::Vma,
    window::Window, //
};
use crate::trace;
use kernel::prelude::*;

/// What a VMA is cloned for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// A part of a VMA becomes one of its own, or a VMA is moved: source and copy are of one
    /// address space, and share `->anon_vma`.
    Copy,
    /// The child's VMA at fork.
    Fork(Reuse),
}

/// How a fork finds the idle ancestor that it reuses.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reuse {
    /// By the rule: the first on the chain that may be reused (R24).
    ByRule,
    /// The anon_vma at this position of the chain (`None`: none), as another reverse map did. The
    /// caller has compared that with the rule, see [`reusable`]. The verifier finds two address
    /// spaces that share an `->anon_vma` (R24).
    AsSeen(Option<usize>),
}

/// Returns the position on the chain of `src` of the anon_vma that a fork reuses by the rule (R24),
/// if it reuses one. Sleeps.
pub(crate) fn reusable<R: Rmap>(src: &Vma<R>, mmap: &MmapWrite<'_, R>) -> Option<usize> {
    let active = src.anon_vma(mmap)?;
    let _family = active.lock_read();
    src.links(mmap)
        .position(|anon_vma| R::steps().may_reuse(anon_vma, active))
}

/// `anon_vma_clone()`: links `dst`, which has no links, to each anon_vma that `src` is linked to.
///
/// A copy shares `src->anon_vma`. At fork `dst` stays without one unless an ancestor can be reused
/// (R24). The chain of the copy is in reverse order, as the host's since 7.3: which of several
/// reusable ancestors is found first depends on it (R22). For a copy both locks are the same.
/// Sleeps.
///
/// # Errors
///
/// `ENOMEM`; then `dst` has no links and no anon_vma, and no counter has changed (R37).
pub(crate) fn anon_vma_clone<R: Rmap>(
    dst: &Vma<R>,
    dst_mmap: &MmapWrite<'_, R>,
    src: &Vma<R>,
    src_mmap: &MmapWrite<'_, R>,
    operation: Operation,
) -> Result {
    let Some(active) = src.anon_vma(src_mmap) else {
        return Ok(());
    };
    let mut links = match LinkReserve::new(src.nr_links()) {
        Ok(links) => links,
        Err(error) => {
            R::steps().clone_failed(dst, active, dst_mmap);
            Rule::R37.check(dst.is_unfaulted() && dst.nr_links() == 0);
            return Err(error);
        }
    };

    let mut family = active.lock_write();
    // The position of the anon_vma that the rule reuses.
    let mut by_rule = None;
    let mut linked = 0;
    for (i, anon_vma) in src.links(src_mmap).enumerate() {
        linked += usize::from(R::steps().clone_link(
            &mut family,
            &mut links,
            dst,
            anon_vma,
            dst_mmap,
            operation,
        ));
        let Operation::Fork(reuse) = operation else {
            continue;
        };
        if by_rule.is_none() && R::steps().may_reuse(anon_vma, active) {
            by_rule = Some(i);
        }
        let reused = match reuse {
            Reuse::ByRule => by_rule,
            Reuse::AsSeen(seen) => seen,
        };
        if reused == Some(i) {
            family.publish(dst, anon_vma, dst_mmap);
            trace::reuse(|| (src.id(), dst.id(), i));
            if by_rule == Some(i) {
                // The child's VMA is the only active one.
                Rule::R24.check(anon_vma.num_active_vmas() == 1 && anon_vma.num_children() <= 1);
            }
        }
    }
    R::window(Window::Linked);
    match operation {
        Operation::Copy => {
            path::CLONE_RUN.count([linked, 1, 0, 0]);
            R::steps().share_anon_vma(&mut family, dst, active, dst_mmap);
            trace::clone(|| (src.id(), dst.id(), linked));
        }
        Operation::Fork(_) => {
            let own = usize::from(dst.is_unfaulted());
            path::CLONE_RUN.count([linked, 0, 1 - own, own]);
            trace::fork(|| (src.id(), dst.id(), linked, own == 1));
        }
    }
    Rule::R21.holds(dst.nr_links() == src.nr_links());
    Ok(())
}

#[cfg(shadow_rmap_kunit)]
#[path = "tests/clone.rs"]
mod tests;

// SPDX-License-Identifier: GPL-2.0

//! From an anon_vma to the VMAs that may map its pages.
//!
//! C: `rmap_walk_anon()` of [`mm/rmap.c`](srctree/mm/rmap.c), `anon_rmap_tree_foreach()`.

#![allow(unsafe_code, reason = "nodes lead to VMAs")]

use super::{
    family::LockedAnonVma,
    kind::Rmap,
    vma::Vma, //
};
use crate::kernel_ext::interval_tree::Node;
use core::ops::ControlFlow;

impl<R: Rmap> LockedAnonVma<'_, R> {
    /// Calls `f` with each VMA that covers any of the page offsets `first..=last`, in order of
    /// where they start. `O(log n + k)`.
    #[inline]
    pub(crate) fn for_each_vma<B>(
        &self,
        first: usize,
        last: usize,
        mut f: impl FnMut(&Vma<R>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        // SAFETY: The family is locked (3).
        let mut node = unsafe { self.tree().first(first, last) };
        while !node.is_null() {
            // SAFETY: A node in a tree is that of a link (5), whose range is the first field of a
            // VMA, which outlives the link (6).
            let vma = unsafe { &*Node::range_of(node).cast::<Vma<R>>() };
            f(vma)?;
            // SAFETY: As above; the lock was not released.
            node = unsafe { self.tree().next(node, first, last) };
        }
        ControlFlow::Continue(())
    }
}

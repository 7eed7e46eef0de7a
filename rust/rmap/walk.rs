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
use core::ops::{
    ControlFlow,
    Deref, //
};
use kernel::{
    alloc::AllocError,
    prelude::*, //
};

/// A VMA that a walk visits.
///
/// # Invariants
///
/// The VMA is linked to an anon_vma of a family, the lock of which is held for `'a`.
pub(crate) struct Visited<'a, R: Rmap>(&'a Vma<R>);

impl<R: Rmap> Deref for Visited<'_, R> {
    type Target = Vma<R>;

    #[inline]
    fn deref(&self) -> &Vma<R> {
        self.0
    }
}

impl<R: Rmap> Visited<'_, R> {
    /// Returns whether it is linked to the anon_vma with this [`key`](super::anon_vma::AnonVma::key).
    pub(crate) fn is_linked_to(&self, key: usize) -> bool {
        // SAFETY: By the type invariant, and (5): all links of the VMA are of the family, and are
        // added and taken away with the family's lock held for writing.
        unsafe { self.0.links_here() }.any(|anon_vma| anon_vma.key() == key)
    }

    /// Returns whether it covers the page offset `index`.
    pub(crate) fn covers(&self, index: usize) -> bool {
        // SAFETY: By the type invariant, and (6): the range of a VMA with links changes with the
        // family's lock held for writing.
        let range = unsafe { *self.0.range.get() };
        range.start <= index && index <= range.last
    }
}

impl<R: Rmap> LockedAnonVma<'_, R> {
    /// Returns the number of links in the tree.
    pub(crate) fn number_of_vmas(&self) -> usize {
        let mut n = 0;
        let _: ControlFlow<()> = self.for_each_vma(0, usize::MAX, |_| {
            n += 1;
            ControlFlow::Continue(())
        });
        n
    }

    /// Appends what `of` returns for each VMA in the tree, for which `all` has room: see
    /// [`gather`](crate::kernel_ext::gather::gather).
    ///
    /// # Errors
    ///
    /// `AllocError` if there is no room.
    pub(crate) fn push_each<T>(
        &self,
        all: &mut KVVec<T>,
        of: impl Fn(&Visited<'_, R>) -> T,
    ) -> Result<(), AllocError> {
        let pushed = self.for_each_vma(0, usize::MAX, |vma| {
            match all.push_within_capacity(of(vma)) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(AllocError),
            }
        });
        match pushed {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(error) => Err(error),
        }
    }

    /// Calls `f` with each VMA that covers any of the page offsets `first..=last`, in order of
    /// where they start. `O(log n + k)`.
    #[inline]
    pub(crate) fn for_each_vma<B>(
        &self,
        first: usize,
        last: usize,
        mut f: impl FnMut(&Visited<'_, R>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        // SAFETY: The family is locked (3).
        let mut node = unsafe { self.tree().first(first, last) };
        while !node.is_null() {
            // SAFETY: A node in a tree is that of a link (5), whose range is the first field of a
            // VMA, which outlives the link (6).
            let vma = unsafe { &*Node::range_of(node).cast::<Vma<R>>() };
            // INVARIANT: Its link is in this tree, which is locked during the call.
            f(&Visited(vma))?;
            // SAFETY: As above; the lock was not released.
            node = unsafe { self.tree().next(node, first, last) };
        }
        ControlFlow::Continue(())
    }
}

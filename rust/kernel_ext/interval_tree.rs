// SPDX-License-Identifier: GPL-2.0

//! An interval tree whose nodes are parts of other objects, and whose ranges live elsewhere.
//!
//! C header: [`include/linux/interval_tree_generic.h`](srctree/include/linux/interval_tree_generic.h)
//!
//! This is the tree of `mm/interval_tree.c`: a node finds its range through a pointer, so that
//! moving a VMA's boundary does not cost a write in each of its nodes, and a node is no larger than
//! the host's. In return the range must not change while the node is in a tree (R32).

#![allow(unsafe_code, reason = "a room of the design: wraps a C type")]

use crate::ffi;
use core::{
    cell::UnsafeCell,
    ptr, //
};

/// A closed range of page offsets.
pub(crate) type Range = ffi::shadow_rmap_range;

/// A place in a tree, to be a field of something larger.
pub(crate) type Node = ffi::shadow_rmap_node;

impl Node {
    /// A node that is in no tree, for what covers `range`.
    pub(crate) const fn new(range: *const Range) -> Self {
        Node {
            rb: ffi::rb_node {
                __rb_parent_color: 0,
                rb_right: ptr::null_mut(),
                rb_left: ptr::null_mut(),
            },
            subtree_last: 0,
            range,
        }
    }
}

/// A tree of [`Node`]s, ordered by where their ranges start.
///
/// It owns nothing and locks nothing.
///
/// # Invariants
///
/// 1. Each node in the tree is valid and pinned, its range is valid, and neither the range nor the
///    node changes but by methods of this tree.
#[repr(transparent)]
pub(crate) struct IntervalTree(UnsafeCell<ffi::rb_root_cached>);

// SAFETY: All methods that look inside ask their caller for the lock.
unsafe impl Send for IntervalTree {}
// SAFETY: As above.
unsafe impl Sync for IntervalTree {}

impl IntervalTree {
    /// An empty tree.
    pub(crate) const fn new() -> Self {
        // INVARIANT: There is no node.
        Self(UnsafeCell::new(ffi::rb_root_cached {
            rb_root: ffi::rb_root {
                rb_node: ptr::null_mut(),
            },
            rb_leftmost: ptr::null_mut(),
        }))
    }

    /// Whether there is no node; exact under the tree's lock, a hint elsewhere.
    pub(crate) fn is_empty(&self) -> bool {
        // SAFETY: The field is valid; a word is read at once, whoever writes it.
        unsafe { (&raw const (*self.0.get()).rb_root.rb_node).read_volatile() }.is_null()
    }

    /// Adds `node`.
    ///
    /// # Safety
    ///
    /// The tree's lock is held for writing. `node` is in no tree; until it is removed it stays
    /// where it is, and so does its range, unchanged.
    pub(crate) unsafe fn insert(&self, node: *mut Node) {
        // SAFETY: The caller's promise.
        // INVARIANT: (1) is what the caller promises.
        unsafe { ffi::shadow_rmap_tree_insert(node, self.0.get()) }
    }

    /// Takes `node` out.
    ///
    /// # Safety
    ///
    /// The tree's lock is held for writing, and `node` is in this tree.
    pub(crate) unsafe fn remove(&self, node: *mut Node) {
        // SAFETY: The caller's promise, and invariant (1).
        unsafe { ffi::shadow_rmap_tree_remove(node, self.0.get()) }
    }

    /// Whether a search for what `node` covers finds it. `O(log n + k)`.
    ///
    /// # Safety
    ///
    /// The tree's lock is held; `node` is valid, and so is its range.
    pub(crate) unsafe fn contains(&self, node: *mut Node) -> bool {
        // SAFETY: The caller's promise.
        let Range { start, last } = unsafe { *(*node).range };
        // SAFETY: The caller's promise.
        let mut found = unsafe { self.first(start, last) };
        while !found.is_null() && !ptr::eq(found, node) {
            // SAFETY: The lock has been held since `first`.
            found = unsafe { self.next(found, start, last) };
        }
        !found.is_null()
    }

    /// The first node that overlaps `first..=last`, or null. `O(log n)`.
    ///
    /// # Safety
    ///
    /// The tree's lock is held.
    pub(crate) unsafe fn first(&self, first: usize, last: usize) -> *mut Node {
        // SAFETY: The caller's promise, and invariant (1).
        unsafe { ffi::shadow_rmap_tree_first(self.0.get(), first, last) }
    }

    /// The next node after `node` that overlaps `first..=last`, or null. `O(log n)`.
    ///
    /// # Safety
    ///
    /// The tree's lock is held, and has been since `node` came from [`first`](Self::first) or from
    /// here.
    pub(crate) unsafe fn next(&self, node: *mut Node, first: usize, last: usize) -> *mut Node {
        // SAFETY: The caller's promise, and invariant (1).
        unsafe { ffi::shadow_rmap_tree_next(node, first, last) }
    }
}

#[cfg(shadow_rmap_kunit)]
#[kernel::macros::kunit_tests(shadow_rmap_interval_tree)]
mod tests {
    use super::*;
    use kernel::prelude::*;

    /// Every query finds exactly the ranges that overlap it, in order of their start.
    #[test]
    fn finds_exactly_what_overlaps() -> Result {
        let mut ranges = KVec::with_capacity(64, GFP_KERNEL)?;
        for i in 0..64_usize {
            // Starts that are not in order, lengths from 1 to 8.
            let start = (i * 37) % 64;
            ranges.push(
                Range {
                    start,
                    last: start + i % 8,
                },
                GFP_KERNEL,
            )?;
        }
        let mut nodes = KVec::with_capacity(64, GFP_KERNEL)?;
        for range in &ranges {
            nodes.push(Node::new(range), GFP_KERNEL)?;
        }
        let tree = IntervalTree::new();
        for node in nodes.iter_mut() {
            // SAFETY: Nobody else knows the tree; node and range stay as they are until removed.
            unsafe { tree.insert(node) };
        }
        let mut wrong = 0;
        for first in 0..70 {
            for last in first..(first + 5) {
                let expected = ranges
                    .iter()
                    .filter(|r| r.start <= last && r.last >= first)
                    .count();
                if found(&tree, first, last) != Some(expected) {
                    wrong += 1;
                }
            }
        }
        for node in nodes.iter_mut() {
            // SAFETY: As above, and it was inserted.
            unsafe { tree.remove(node) };
        }

        assert_eq!(wrong, 0);
        assert!(tree.is_empty());
        Ok(())
    }

    /// How many nodes a query finds; `None` when they are out of order.
    fn found(tree: &IntervalTree, first: usize, last: usize) -> Option<usize> {
        let (mut n, mut before) = (0, 0);
        // SAFETY: The only user of the tree.
        let mut node = unsafe { tree.first(first, last) };
        while !node.is_null() {
            // SAFETY: Nodes in the tree are valid.
            let start = unsafe { (*(*node).range).start };
            if start < before {
                return None;
            }
            (n, before) = (n + 1, start);
            // SAFETY: As above.
            node = unsafe { tree.next(node, first, last) };
        }
        Some(n)
    }
}

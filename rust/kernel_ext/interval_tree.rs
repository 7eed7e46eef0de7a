// SPDX-License-Identifier: GPL-2.0

//! An intrusive interval tree whose nodes point to their ranges.
//!
//! C header:
//! [`include/linux/interval_tree_generic.h`](srctree/include/linux/interval_tree_generic.h)
//!
//! `mm/interval_tree.c` has such a tree: a node does not contain its range but finds it through a
//! pointer. One range can so serve many nodes in many trees, and a change of the range needs no
//! write to each node. In return the range must not change while a node that points to it is in a
//! tree.

#![allow(unsafe_code, reason = "wraps a C type")]

use crate::ffi;
use core::{
    cell::UnsafeCell,
    ptr, //
};
use kernel::types::Opaque;

/// A closed range of page offsets.
pub(crate) type Range = ffi::shadow_rmap_range;

/// A node of an [`IntervalTree`], to be embedded in another type.
///
/// While a node is in a tree, C writes to it whenever a neighbour is inserted or removed, under the
/// lock of the tree. The node is [`Opaque`], so that a shared reference to the object around it
/// stays valid meanwhile. Code that does not hold that lock must not look inside.
#[repr(transparent)]
pub(crate) struct Node(Opaque<ffi::shadow_rmap_node>);

impl Node {
    /// Creates a node that is in no tree, for the range that `range` points to.
    ///
    /// The node keeps `range` with its provenance. If [`range_of`](Self::range_of) is to lead back
    /// to the object that contains the range, `range` must come from a pointer to that whole
    /// object, by `&raw const (*object).range`, and not from a reference to the field.
    pub(crate) const fn new(range: *const Range) -> Self {
        Self(Opaque::new(ffi::shadow_rmap_node {
            rb: ffi::rb_node {
                __rb_parent_color: 0,
                rb_right: ptr::null_mut(),
                rb_left: ptr::null_mut(),
            },
            subtree_last: 0,
            range,
        }))
    }

    /// Returns the pointer that was given to [`new`](Self::new).
    ///
    /// The tree does not change it, so the lock of the tree is not needed.
    ///
    /// # Safety
    ///
    /// `node` is valid, and nothing assigns to it during the call.
    #[inline(always)]
    pub(crate) unsafe fn range_of(node: *const Self) -> *const Range {
        // SAFETY: The caller's promise; C writes to the other fields only.
        unsafe { (&raw const (*Self::raw(node)).range).read() }
    }

    /// Returns the C node, of which `node` may be in a tree.
    #[inline(always)]
    const fn raw(node: *const Self) -> *mut ffi::shadow_rmap_node {
        // `Node` is transparent.
        Opaque::cast_into(node.cast())
    }
}

/// A tree of [`Node`]s, ordered by the starts of their ranges.
///
/// It neither owns its nodes nor locks anything.
///
/// # Invariants
///
/// 1. Each node in the tree is valid and pinned, and so is its range. Neither changes while the
///    node is in the tree, but for what the methods of this tree do.
#[repr(transparent)]
pub(crate) struct IntervalTree(UnsafeCell<ffi::rb_root_cached>);

// SAFETY: Each method that follows a pointer is unsafe, and requires the lock of the tree.
unsafe impl Send for IntervalTree {}
// SAFETY: As above.
unsafe impl Sync for IntervalTree {}

impl IntervalTree {
    /// Creates an empty tree.
    pub(crate) const fn new() -> Self {
        // INVARIANT: (1) There is no node.
        Self(UnsafeCell::new(ffi::rb_root_cached {
            rb_root: ffi::rb_root {
                rb_node: ptr::null_mut(),
            },
            rb_leftmost: ptr::null_mut(),
        }))
    }

    /// Returns whether the tree has no node: exact under the tree's lock, a hint without it.
    pub(crate) fn is_empty(&self) -> bool {
        // SAFETY: The field is valid, and is read once, as by `READ_ONCE()`.
        unsafe { (&raw const (*self.0.get()).rb_root.rb_node).read_volatile() }.is_null()
    }

    /// Adds `node`.
    ///
    /// # Safety
    ///
    /// The tree's lock is held for writing. `node` is in no tree. Until it is removed, node and
    /// range stay where they are, and the range does not change.
    pub(crate) unsafe fn insert(&self, node: *mut Node) {
        // SAFETY: The caller's promise.
        // INVARIANT: (1) is what the caller promises.
        unsafe { ffi::shadow_rmap_tree_insert(Node::raw(node), self.0.get()) }
    }

    /// Removes `node`.
    ///
    /// # Safety
    ///
    /// The tree's lock is held for writing, and `node` is in this tree.
    pub(crate) unsafe fn remove(&self, node: *mut Node) {
        // SAFETY: The caller's promise, and invariant (1).
        unsafe { ffi::shadow_rmap_tree_remove(Node::raw(node), self.0.get()) }
    }

    /// Returns whether a search for the range of `node` finds `node`. `O(log n + k)`.
    ///
    /// # Safety
    ///
    /// The tree's lock is held; `node` is valid, and so is its range.
    pub(crate) unsafe fn contains(&self, node: *mut Node) -> bool {
        // SAFETY: The caller's promise.
        let Range { start, last } = unsafe { *Node::range_of(node) };
        // SAFETY: The caller's promise.
        let mut found = unsafe { self.first(start, last) };
        while !found.is_null() && !ptr::eq(found, node) {
            // SAFETY: The lock has been held since `first`.
            found = unsafe { self.next(found, start, last) };
        }
        !found.is_null()
    }

    /// Returns the first node that overlaps `first..=last`, or null. `O(log n)`.
    ///
    /// # Safety
    ///
    /// The tree's lock is held.
    #[inline]
    pub(crate) unsafe fn first(&self, first: usize, last: usize) -> *mut Node {
        // SAFETY: The caller's promise, and invariant (1).
        unsafe { ffi::shadow_rmap_tree_first(self.0.get(), first, last) }.cast()
    }

    /// Returns the next node after `node` that overlaps `first..=last`, or null. `O(log n)`.
    ///
    /// # Safety
    ///
    /// `node` was returned by [`first`](Self::first) or by this method, and the tree's lock has
    /// been held since.
    #[inline]
    pub(crate) unsafe fn next(&self, node: *mut Node, first: usize, last: usize) -> *mut Node {
        // SAFETY: The caller's promise, and invariant (1).
        unsafe { ffi::shadow_rmap_tree_next(Node::raw(node), first, last) }.cast()
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
            // The starts are not in order; the lengths are 1 to 8.
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
            // SAFETY: Only this test uses the tree; node and range stay as they are until removed.
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
            // SAFETY: As above; the node is in the tree.
            unsafe { tree.remove(node) };
        }

        assert_eq!(wrong, 0);
        assert!(tree.is_empty());
        Ok(())
    }

    /// A node leads back to the object that contains its range.
    #[test]
    fn a_node_leads_to_its_owner() -> Result {
        #[repr(C)]
        struct Owner {
            before: u64,
            range: UnsafeCell<Range>,
            after: u64,
        }

        let owner = KBox::new(
            Owner {
                before: 1,
                range: UnsafeCell::new(Range { start: 3, last: 5 }),
                after: 2,
            },
            GFP_KERNEL,
        )?;
        let whole: *const Owner = &*owner;
        // SAFETY: `whole` is valid; no reference to the field is made.
        let range = UnsafeCell::raw_get(unsafe { &raw const (*whole).range });
        let mut node = Node::new(range);
        let tree = IntervalTree::new();
        // SAFETY: Only this test uses the tree; node and range stay as they are until removed.
        unsafe { tree.insert(&mut node) };
        // SAFETY: As above.
        let found = unsafe { tree.first(4, 4) };
        let fields = (!found.is_null()).then(|| {
            // SAFETY: The node was found in the tree, and its range is that of an `Owner`.
            unsafe {
                let range = Node::range_of(found).cast::<UnsafeCell<Range>>();
                let owner = kernel::container_of!(range.cast_mut(), Owner, range);
                ((*owner).before, (*owner).after)
            }
        });
        // SAFETY: As above; the node is in the tree.
        unsafe { tree.remove(&mut node) };

        assert!(fields == Some((1, 2)));
        Ok(())
    }

    /// Returns how many nodes a query finds; `None` if they are out of order.
    fn found(tree: &IntervalTree, first: usize, last: usize) -> Option<usize> {
        let (mut n, mut before) = (0, 0);
        // SAFETY: Only this test uses the tree.
        let mut node = unsafe { tree.first(first, last) };
        while !node.is_null() {
            // SAFETY: Nodes in the tree are valid.
            let start = unsafe { (*Node::range_of(node)).start };
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

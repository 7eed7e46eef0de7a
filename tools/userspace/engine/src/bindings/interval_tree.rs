// SPDX-License-Identifier: GPL-2.0

//! The interval tree of `rust/helpers/interval_tree.c`, in Rust.
//!
//! It is ordered by the starts of the ranges; nodes with the same start are in the order in which
//! they were inserted. Neither the kernel's C files nor a C compiler are needed, no symbol can
//! clash with that of C code linked beside, and the tree works under tools that interpret Rust
//! alone.

use super::rbtree::{
    self,
    Side::{Left, Right},
    child, insert, parent, rb_node, rb_root_cached, remove,
};
use std::ptr;

/// `struct shadow_rmap_range`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct shadow_rmap_range {
    pub(crate) start: usize,
    pub(crate) last: usize,
}

/// `struct shadow_rmap_node`.
#[repr(C)]
pub(crate) struct shadow_rmap_node {
    /// First, so that a pointer to it is one to the node.
    pub(crate) rb: rb_node,
    /// The largest `last` of the node and those below it.
    pub(crate) subtree_last: usize,
    pub(crate) range: *const shadow_rmap_range,
}

/// # Safety
///
/// `node` is in a tree, which is locked.
unsafe fn range(node: rbtree::Node) -> shadow_rmap_range {
    // SAFETY: The caller's promise.
    unsafe { *(*node.cast::<shadow_rmap_node>()).range }
}

/// Returns the largest `last` in the subtree of `node`, which may be null.
///
/// # Safety
///
/// `node` is null, or in a tree, which is locked.
unsafe fn subtree_last(node: rbtree::Node) -> Option<usize> {
    // SAFETY: The caller's promise.
    (!node.is_null()).then(|| unsafe { (*node.cast::<shadow_rmap_node>()).subtree_last })
}

/// Computes `subtree_last`.
///
/// # Safety
///
/// `node` is in a tree, which is locked.
unsafe fn update(node: rbtree::Node) {
    // SAFETY: The caller's promise.
    unsafe {
        let below = subtree_last(child(node, Left)).max(subtree_last(child(node, Right)));
        (*node.cast::<shadow_rmap_node>()).subtree_last = range(node).last.max(below.unwrap_or(0));
    }
}

/// Inserts `node`, behind those with the same start.
///
/// # Safety
///
/// The tree is locked; `node` and its range are valid, and in no tree.
pub(crate) unsafe fn shadow_rmap_tree_insert(
    node: *mut shadow_rmap_node,
    root: *mut rb_root_cached,
) {
    // SAFETY: The caller's promise.
    unsafe {
        let start = range(node.cast()).start;
        let (mut above, mut side) = (ptr::null_mut(), Left);
        let mut at = (*root).rb_root.rb_node;
        while !at.is_null() {
            above = at;
            side = if start < range(at).start { Left } else { Right };
            at = child(at, side);
        }
        insert(root, above, side, node.cast(), update);
    }
}

/// Removes `node`.
///
/// # Safety
///
/// The tree is locked, and `node` is in it.
pub(crate) unsafe fn shadow_rmap_tree_remove(
    node: *mut shadow_rmap_node,
    root: *mut rb_root_cached,
) {
    // SAFETY: The caller's promise.
    unsafe { remove(root, node.cast(), update) };
}

/// Returns the first node of the subtree of `node` that overlaps `start..=last`, or null.
///
/// # Safety
///
/// The tree is locked; `node` is null or in it.
unsafe fn first_below(mut node: rbtree::Node, start: usize, last: usize) -> rbtree::Node {
    let reaches = |end: Option<usize>| end.is_some_and(|end| end >= start);
    // SAFETY: The caller's promise.
    unsafe {
        while reaches(subtree_last(node)) {
            let left = child(node, Left);
            if reaches(subtree_last(left)) {
                // If none of these overlaps, then because it starts behind `last`; so do all
                // others.
                node = left;
                continue;
            }
            let range = range(node);
            if range.start > last {
                break;
            }
            if range.last >= start {
                return node;
            }
            node = child(node, Right);
        }
    }
    ptr::null_mut()
}

/// Returns the first node that overlaps `start..=last`, or null.
///
/// # Safety
///
/// The tree is locked.
pub(crate) unsafe fn shadow_rmap_tree_first(
    root: *mut rb_root_cached,
    start: usize,
    last: usize,
) -> *mut shadow_rmap_node {
    // SAFETY: The caller's promise.
    unsafe { first_below((*root).rb_root.rb_node, start, last) }.cast()
}

/// Returns the next node after `node` that overlaps `start..=last`, or null.
///
/// # Safety
///
/// The tree is locked, and `node` is in it.
pub(crate) unsafe fn shadow_rmap_tree_next(
    node: *mut shadow_rmap_node,
    start: usize,
    last: usize,
) -> *mut shadow_rmap_node {
    let mut node: rbtree::Node = node.cast();
    // SAFETY: The caller's promise.
    unsafe {
        loop {
            let found = first_below(child(node, Right), start, last);
            if !found.is_null() {
                return found.cast();
            }
            // Up, to the first node that is behind this one.
            let mut below = node;
            node = parent(node);
            while !node.is_null() && child(node, Right) == below {
                below = node;
                node = parent(node);
            }
            if node.is_null() || range(node).start > last {
                return ptr::null_mut();
            }
            if range(node).last >= start {
                return node.cast();
            }
        }
    }
}

#[cfg(test)]
mod tests;

// SPDX-License-Identifier: GPL-2.0

//! A red-black tree: the textbook's algorithm, which is that of `lib/rbtree.c`.
//!
//! So a tree has the same shape as in the kernel after the same insertions and removals. Code that
//! follows the rules does not depend on the shape. But where ranges have changed inside a tree
//! (R32), the shape decides where a search ends.

use std::ptr;

/// `struct rb_node`.
#[repr(C)]
pub(crate) struct rb_node {
    /// The parent, and in bit 0 the colour: 1 for black.
    pub(crate) __rb_parent_color: usize,
    pub(crate) rb_right: *mut rb_node,
    pub(crate) rb_left: *mut rb_node,
}

/// `struct rb_root`.
#[repr(C)]
pub(crate) struct rb_root {
    pub(crate) rb_node: *mut rb_node,
}

/// `struct rb_root_cached`; the leftmost node is not kept.
#[repr(C)]
pub(crate) struct rb_root_cached {
    pub(crate) rb_root: rb_root,
    pub(crate) rb_leftmost: *mut rb_node,
}

/// A node, or null.
pub(super) type Node = *mut rb_node;

/// A side of a node.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}
use Side::{Left, Right};

impl Side {
    fn other(self) -> Self {
        match self {
            Left => Right,
            Right => Left,
        }
    }
}

const BLACK: usize = 1;

/// Computes what a node knows of all those below it, from its children.
pub(super) type Update = unsafe fn(Node);

/// Returns the child of `node` on a side, or null.
///
/// # Safety
///
/// As for all functions here: each node is valid and in one tree, which is locked.
pub(super) unsafe fn child(node: Node, side: Side) -> Node {
    // SAFETY: The caller's promise.
    unsafe {
        match side {
            Left => (*node).rb_left,
            Right => (*node).rb_right,
        }
    }
}

/// Returns the parent of `node`, or null.
///
/// # Safety
///
/// As for [`child`].
pub(super) unsafe fn parent(node: Node) -> Node {
    // SAFETY: The caller's promise.
    ptr::with_exposed_provenance_mut(unsafe { (*node).__rb_parent_color } & !BLACK)
}

/// # Safety
///
/// As for [`child`].
unsafe fn set_child(node: Node, side: Side, child: Node) {
    // SAFETY: The caller's promise.
    unsafe {
        match side {
            Left => (*node).rb_left = child,
            Right => (*node).rb_right = child,
        }
        if !child.is_null() {
            set_parent(child, node);
        }
    }
}

/// # Safety
///
/// As for [`child`].
unsafe fn set_parent(node: Node, parent: Node) {
    // SAFETY: The caller's promise.
    unsafe {
        (*node).__rb_parent_color = parent.expose_provenance() | (*node).__rb_parent_color & BLACK
    };
}

/// Returns whether there is a red node.
///
/// # Safety
///
/// As for [`child`], or `node` is null.
pub(super) unsafe fn is_red(node: Node) -> bool {
    // SAFETY: The caller's promise.
    !node.is_null() && unsafe { (*node).__rb_parent_color } & BLACK == 0
}

/// # Safety
///
/// As for [`child`].
unsafe fn set_red(node: Node, red: bool) {
    // SAFETY: The caller's promise.
    unsafe {
        let word = &mut (*node).__rb_parent_color;
        *word = *word & !BLACK | usize::from(!red);
    }
}

/// Puts `new`, which may be null, where `old` is below `parent`, or at the root.
///
/// # Safety
///
/// As for [`child`].
unsafe fn replace(root: *mut rb_root_cached, parent: Node, old: Node, new: Node) {
    // SAFETY: The caller's promise.
    unsafe {
        if !parent.is_null() {
            let side = if child(parent, Left) == old {
                Left
            } else {
                Right
            };
            set_child(parent, side, new);
            return;
        }
        (*root).rb_root.rb_node = new;
        if !new.is_null() {
            set_parent(new, ptr::null_mut());
        }
    }
}

/// Rotates `node` down to a side; its child on the other side takes its place.
///
/// # Safety
///
/// As for [`child`]; there is such a child.
unsafe fn rotate(root: *mut rb_root_cached, node: Node, side: Side, update: Update) {
    // SAFETY: The caller's promise.
    unsafe {
        let up = child(node, side.other());
        replace(root, parent(node), node, up);
        set_child(node, side.other(), child(up, side));
        set_child(up, side, node);
        update(node);
        update(up);
    }
}

/// Updates `node` and all above it.
///
/// # Safety
///
/// As for [`child`], or `node` is null.
unsafe fn update_up(mut node: Node, update: Update) {
    while !node.is_null() {
        // SAFETY: The caller's promise.
        unsafe {
            update(node);
            node = parent(node);
        }
    }
}

/// Makes `node` the child of `above` on a side, where there is none, or the root of an empty tree.
///
/// # Safety
///
/// As for [`child`]; `node` is in no tree.
pub(super) unsafe fn insert(
    root: *mut rb_root_cached,
    above: Node,
    side: Side,
    node: Node,
    update: Update,
) {
    // SAFETY: The caller's promise.
    unsafe {
        let new = rb_node {
            __rb_parent_color: 0,
            rb_right: ptr::null_mut(),
            rb_left: ptr::null_mut(),
        };
        node.write(new);
        if above.is_null() {
            replace(root, above, ptr::null_mut(), node);
        } else {
            set_child(above, side, node);
        }
        update_up(node, update);
        balance_after_insert(root, node, update);
    }
}

/// Puts right that `node` and its parent may both be red.
///
/// # Safety
///
/// As for [`child`].
unsafe fn balance_after_insert(root: *mut rb_root_cached, mut node: Node, update: Update) {
    // SAFETY: The caller's promise. A red node is not the root, so that it has a parent.
    unsafe {
        let mut above = parent(node);
        while is_red(above) {
            let top = parent(above);
            let side = if child(top, Left) == above {
                Left
            } else {
                Right
            };
            let uncle = child(top, side.other());
            if is_red(uncle) {
                set_red(above, false);
                set_red(uncle, false);
                set_red(top, true);
                node = top;
                above = parent(node);
                continue;
            }
            if child(above, side.other()) == node {
                rotate(root, above, side, update);
                above = node;
            }
            set_red(above, false);
            set_red(top, true);
            rotate(root, top, side.other(), update);
            break;
        }
        set_red((*root).rb_root.rb_node, false);
    }
}

/// Takes `node` out of the tree.
///
/// # Safety
///
/// As for [`child`].
pub(super) unsafe fn remove(root: *mut rb_root_cached, node: Node, update: Update) {
    // SAFETY: The caller's promise.
    unsafe {
        let (left, right, above) = (child(node, Left), child(node, Right), parent(node));
        if left.is_null() || right.is_null() {
            let only = if left.is_null() { right } else { left };
            replace(root, above, node, only);
            update_up(above, update);
            fill(root, above, only, !is_red(node), update);
            return;
        }
        let mut next = right;
        while !child(next, Left).is_null() {
            next = child(next, Left);
        }
        let (orphan, lost_black) = (child(next, Right), !is_red(next));
        let hole = if next == right { next } else { parent(next) };
        if next != right {
            set_child(hole, Left, orphan);
            set_child(next, Right, right);
        }
        set_child(next, Left, left);
        set_red(next, is_red(node));
        replace(root, above, node, next);
        update_up(hole, update);
        fill(root, hole, orphan, lost_black, update);
    }
}

/// Puts right that below `above`, where `node` is now or nothing, a node is missing, which was
/// black if `lost_black`.
///
/// # Safety
///
/// As for [`child`]; `above` and `node` may be null.
unsafe fn fill(
    root: *mut rb_root_cached,
    mut above: Node,
    mut node: Node,
    lost_black: bool,
    update: Update,
) {
    // SAFETY: The caller's promise. Where a black node is missing on one side, there is one on the
    // other.
    unsafe {
        while lost_black && !above.is_null() && !is_red(node) {
            let side = if child(above, Left) == node {
                Left
            } else {
                Right
            };
            let mut sibling = child(above, side.other());
            if is_red(sibling) {
                set_red(sibling, false);
                set_red(above, true);
                rotate(root, above, side, update);
                sibling = child(above, side.other());
            }
            let (near, far) = (child(sibling, side), child(sibling, side.other()));
            if !is_red(near) && !is_red(far) {
                set_red(sibling, true);
                node = above;
                above = parent(node);
                continue;
            }
            if !is_red(far) {
                set_red(near, false);
                set_red(sibling, true);
                rotate(root, sibling, side.other(), update);
                sibling = near;
            }
            set_red(sibling, is_red(above));
            set_red(above, false);
            set_red(child(sibling, side.other()), false);
            rotate(root, above, side, update);
            return;
        }
        if lost_black && !node.is_null() {
            set_red(node, false);
        }
    }
}

// SPDX-License-Identifier: GPL-2.0

use super::*;
use crate::bindings::rbtree::{is_red, rb_root};
use kernel::mock::random::Random;

/// A tree, and the same nodes in a list that is sorted by start, then by insertion.
struct Both {
    root: rb_root_cached,
    list: Vec<*mut shadow_rmap_node>,
}

impl Both {
    fn new() -> Self {
        Self {
            root: rb_root_cached {
                rb_root: rb_root {
                    rb_node: ptr::null_mut(),
                },
                rb_leftmost: ptr::null_mut(),
            },
            list: Vec::new(),
        }
    }

    fn insert(&mut self, start: usize, last: usize) {
        let range = Box::into_raw(Box::new(shadow_rmap_range { start, last }));
        let rb = rb_node {
            __rb_parent_color: 0,
            rb_right: ptr::null_mut(),
            rb_left: ptr::null_mut(),
        };
        let node = Box::into_raw(Box::new(shadow_rmap_node {
            rb,
            subtree_last: 0,
            range,
        }));
        // SAFETY: Only this test uses the nodes.
        unsafe {
            shadow_rmap_tree_insert(node, &mut self.root);
            let at = self
                .list
                .partition_point(|other| (*(**other).range).start <= start);
            self.list.insert(at, node);
        }
    }

    fn remove(&mut self, at: usize) {
        let node = self.list.remove(at);
        // SAFETY: The node is in the tree, and made by `insert`.
        unsafe {
            shadow_rmap_tree_remove(node, &mut self.root);
            drop(Box::from_raw((*node).range.cast_mut()));
            drop(Box::from_raw(node));
        }
    }

    /// Returns what a search finds in the tree, and what it should.
    fn found(&mut self, start: usize, last: usize) -> [Vec<*mut shadow_rmap_node>; 2] {
        let mut found = Vec::new();
        // SAFETY: Only this test uses the tree.
        unsafe {
            let mut node = shadow_rmap_tree_first(&mut self.root, start, last);
            while !node.is_null() {
                found.push(node);
                node = shadow_rmap_tree_next(node, start, last);
            }
            let overlaps = |node: &&*mut shadow_rmap_node| {
                let range = *(***node).range;
                range.start <= last && range.last >= start
            };
            [found, self.list.iter().filter(overlaps).copied().collect()]
        }
    }
}

/// Returns the black height, and checks colours, parents, and `subtree_last`.
fn height(node: rbtree::Node, above: rbtree::Node) -> usize {
    if node.is_null() {
        return 1;
    }
    // SAFETY: Only the test uses the tree.
    unsafe {
        assert_eq!(parent(node), above, "a parent");
        assert!(
            !(is_red(node) && is_red(above)),
            "two red nodes, one below the other"
        );
        let (left, right) = (child(node, Left), child(node, Right));
        let heights = [height(left, node), height(right, node)];
        assert_eq!(heights[0], heights[1], "the number of black nodes");
        let last = subtree_last(left)
            .max(subtree_last(right))
            .max(Some(range(node).last));
        assert_eq!(subtree_last(node), last, "subtree_last");
        heights[0] + usize::from(!is_red(node))
    }
}

/// Random insertions, removals and searches, against the list; the tree stays a red-black tree.
#[test]
fn as_a_sorted_list() {
    for seed in 0..20 {
        let mut random = Random::new(seed);
        let mut both = Both::new();
        for step in 0..400 {
            let n = both.list.len();
            // The tree grows first, and then shrinks.
            if n == 0 || random.below(400) > step {
                let start = random.below(60);
                both.insert(start, start + random.below(20));
            } else {
                both.remove(random.below(n));
            }
            height(both.root.rb_root.rb_node, ptr::null_mut());
            let start = random.below(70);
            let [is, should_be] = both.found(start, start + random.below(10));
            assert_eq!(is, should_be, "seed {seed}, step {step}");
        }
        while !both.list.is_empty() {
            both.remove(0);
        }
        assert!(both.root.rb_root.rb_node.is_null());
    }
}

/// The shape is that of the kernel's tree: ascending insertions rotate the second node to the top.
#[test]
fn the_shape_is_that_of_the_kernel() {
    let mut both = Both::new();
    for start in 0..3 {
        both.insert(start, start);
    }
    let top: *mut shadow_rmap_node = both.root.rb_root.rb_node.cast();
    assert_eq!(top, both.list[1]);
    for _ in 0..3 {
        both.remove(0);
    }
}

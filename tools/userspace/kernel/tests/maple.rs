// SPDX-License-Identifier: GPL-2.0

//! Tests of the maple tree against a list of all indices, and of what it demands.

mod common;

use common::splat_of;
use core::ffi::c_void;
use kernel::{
    bindings::{
        __init_rwsem, __mt_destroy, GFP_KERNEL, down_read, down_write, ma_state, maple_tree,
        mas_destroy, mas_find, mas_preallocate, mas_prev, mas_store, mas_walk, mt_init,
        mt_on_stack, rw_semaphore, up_read, up_write,
    },
    mock::random::Random,
};
use std::{mem::MaybeUninit, ptr};

/// Number of indices.
const SIZE: usize = 40;

/// A tree and its lock; neither is freed.
struct Tree {
    tree: *mut maple_tree,
    lock: *mut rw_semaphore,
}

impl Tree {
    fn new() -> Self {
        let tree = Box::leak(Box::new(MaybeUninit::uninit())).as_mut_ptr();
        let lock = Box::leak(Box::new(MaybeUninit::uninit())).as_mut_ptr();
        // SAFETY: Both are valid for writes.
        unsafe {
            __init_rwsem(lock, ptr::null(), ptr::null_mut());
            mt_init(tree, lock);
        }
        Self { tree, lock }
    }

    fn state(&self, index: usize, last: usize) -> ma_state {
        ma_state {
            tree: self.tree,
            index,
            last,
            ..Default::default()
        }
    }

    fn store(&self, first: usize, last: usize, entry: usize) {
        let mut state = self.state(first, last);
        let entry = ptr::without_provenance_mut(entry);
        // SAFETY: Initialised.
        unsafe {
            down_write(self.lock);
            assert_eq!(mas_preallocate(&mut state, entry, GFP_KERNEL), 0);
            mas_store(&mut state, entry);
            up_write(self.lock);
            mas_destroy(&mut state);
        }
    }

    /// Runs a search at `index`; returns the range and the entry.
    fn search(
        &self,
        index: usize,
        search: fn(&mut ma_state) -> *mut c_void,
    ) -> Option<(usize, usize, usize)> {
        let mut state = self.state(index, index);
        // SAFETY: Initialised.
        let entry = unsafe {
            down_read(self.lock);
            let entry = search(&mut state);
            up_read(self.lock);
            entry
        };
        (!entry.is_null()).then(|| (state.index, state.last, entry.addr()))
    }
}

fn walk(state: &mut ma_state) -> *mut c_void {
    // SAFETY: The tree is initialised, and locked.
    unsafe { mas_walk(state) }
}

fn find(state: &mut ma_state) -> *mut c_void {
    // SAFETY: The tree is initialised, and locked.
    unsafe { mas_find(state, usize::MAX) }
}

fn prev(state: &mut ma_state) -> *mut c_void {
    // SAFETY: The tree is initialised, and locked.
    unsafe { mas_prev(state, 0) }
}

/// Returns the range of equal entries around an index. Each store has an entry of its own.
fn range(list: &[usize; SIZE], index: usize) -> (usize, usize, usize) {
    let entry = list[index];
    let first = (0..=index).rev().take_while(|&i| list[i] == entry).last();
    let last = (index..SIZE).take_while(|&i| list[i] == entry).last();
    (first.unwrap_or(index), last.unwrap_or(index), entry)
}

/// Random stores and searches.
#[test]
fn as_a_list() {
    for seed in 0..20 {
        let mut random = Random::new(seed);
        let (tree, mut list) = (Tree::new(), [0; SIZE]);
        for step in 1..100 {
            let first = random.below(SIZE);
            let last = (first + random.below(8)).min(SIZE - 1);
            let entry = if random.below(3) == 0 { 0 } else { 4 * step };
            tree.store(first, last, entry);
            list[first..=last].fill(entry);
            for index in 0..SIZE {
                let here = Some(range(&list, index)).filter(|range| range.2 != 0);
                assert_eq!(tree.search(index, walk), here);
                let from = (index..SIZE).find(|&i| list[i] != 0);
                let from = from.map(|i| range(&list, i));
                assert_eq!(tree.search(index, find), from, "seed {seed}, step {step}");
                let begin = if list[index] == 0 {
                    index
                } else {
                    range(&list, index).0
                };
                let before = (0..begin).rev().find(|&i| list[i] != 0);
                let before = before.map(|i| range(&list, i));
                assert_eq!(tree.search(index, prev), before);
            }
        }
    }
}

/// A walk visits each range once, up to the last index that it is given.
#[test]
fn a_walk_visits_all() {
    let tree = Tree::new();
    for (first, last) in [(2, 4), (5, 5), (20, 30)] {
        tree.store(first, last, 4 * (first + 1));
    }
    let visited = |max| {
        let (mut state, mut visited) = (tree.state(0, 0), Vec::new());
        // SAFETY: Initialised.
        unsafe {
            down_read(tree.lock);
            while !mas_find(&mut state, max).is_null() {
                visited.push(state.index);
            }
            up_read(tree.lock);
        }
        visited
    };
    assert_eq!(visited(usize::MAX), [2, 5, 20]);
    assert_eq!(visited(19), [2, 5]);
}

/// The lock must be held for writing where the tree is changed.
#[test]
fn a_reader_changes_nothing() {
    let tree = Tree::new();
    let (at, lock) = (tree.tree.expose_provenance(), tree.lock.expose_provenance());
    let changes: [fn(&mut ma_state); 3] = [
        // SAFETY: Initialised; the misuse is noticed before it has a consequence.
        |state| unsafe {
            mas_preallocate(state, ptr::without_provenance_mut(4), GFP_KERNEL);
        },
        // SAFETY: As above.
        |state| unsafe {
            mas_store(state, ptr::without_provenance_mut(4));
        },
        // SAFETY: As above.
        |state| unsafe { __mt_destroy(state.tree) },
    ];
    for change in changes {
        let text = splat_of(|| {
            let mut state = ma_state {
                tree: ptr::with_exposed_provenance_mut(at),
                ..Default::default()
            };
            // SAFETY: Initialised.
            unsafe { down_read(ptr::with_exposed_provenance_mut(lock)) };
            change(&mut state);
        });
        assert!(text.contains("its lock held for reading"), "{text}");
    }
}

/// The lock must be held, and memory reserved.
#[test]
fn misuse() {
    let (tree, other) = (Tree::new(), Tree::new());
    let (at, lock) = (tree.tree.expose_provenance(), tree.lock.expose_provenance());
    let state = move || ma_state {
        tree: ptr::with_exposed_provenance_mut(at),
        ..Default::default()
    };
    // SAFETY: Initialised; the misuse is noticed before it has a consequence.
    unsafe {
        let text = splat_of(|| {
            mas_find(&mut state(), usize::MAX);
        });
        assert!(text.contains("without its lock"), "{text}");
        let text = splat_of(|| {
            down_write(ptr::with_exposed_provenance_mut(lock));
            mas_store(&mut state(), ptr::without_provenance_mut(4));
        });
        assert!(text.contains("would allocate"), "{text}");
        // Unless no other thread has the tree.
        mt_on_stack(other.tree);
        assert!(mas_find(&mut other.state(0, 0), usize::MAX).is_null());
    }
}

// SPDX-License-Identifier: GPL-2.0

//! `linux/maple_tree.h`, over a `BTreeMap`: the functions of the advanced interface that the engine
//! uses.
//!
//! The tree has an external lock, a semaphore: each function complains unless the thread holds it,
//! for writing where the tree is changed.
//! A store whose memory was not allocated before is a splat.

use super::{gfp_t, rw_semaphore};
use crate::{
    alloc::Flags,
    mock::{
        alloc::allocation,
        context::{self, splat},
    },
};
use core::{
    ffi::{c_int, c_uchar, c_ulong, c_void},
    ptr,
};
use std::collections::BTreeMap;

/// The ranges, by their first indices: their last ones, and their entries.
type Ranges = BTreeMap<usize, (usize, *mut c_void)>;

/// `struct maple_tree`.
pub struct maple_tree {
    ranges: Ranges,
    /// Null where no lock is needed.
    lock: *mut rw_semaphore,
}

/// `enum maple_status`.
pub type maple_status = u32;
/// The walk has not begun.
pub const maple_status_ma_start: maple_status = 0;
/// The walk is at a range.
const ma_active: maple_status = 1;

/// `enum store_type`.
pub type store_type = u32;
/// No store.
pub const store_type_wr_invalid: store_type = 0;

/// `struct ma_state`: the fields that the engine knows. `alloc` is a box where memory was
/// allocated.
#[allow(missing_docs, reason = "the fields are those of C")]
#[repr(C)]
pub struct ma_state {
    pub tree: *mut maple_tree,
    pub index: usize,
    pub last: usize,
    pub node: *mut c_void,
    pub min: usize,
    pub max: usize,
    pub sheaf: *mut c_void,
    pub alloc: *mut c_void,
    pub node_request: c_ulong,
    pub status: maple_status,
    pub mas_flags: c_uchar,
    pub store_type: store_type,
}

impl Default for ma_state {
    fn default() -> Self {
        Self {
            tree: ptr::null_mut(),
            index: 0,
            last: 0,
            node: ptr::null_mut(),
            min: 0,
            max: usize::MAX,
            sheaf: ptr::null_mut(),
            alloc: ptr::null_mut(),
            node_request: 0,
            status: maple_status_ma_start,
            mas_flags: 0,
            store_type: store_type_wr_invalid,
        }
    }
}

/// Makes an empty tree with the lock `lock`.
///
/// # Safety
///
/// `tree` is valid for writes.
pub unsafe fn mt_init(tree: *mut maple_tree, lock: *mut rw_semaphore) {
    let new = maple_tree {
        ranges: Ranges::new(),
        lock,
    };
    // SAFETY: The caller's promise.
    unsafe { tree.write(new) };
}

/// `mt_on_stack()`: no lock is needed any more.
///
/// # Safety
///
/// The tree is initialised, and no other thread uses it.
pub unsafe fn mt_on_stack(tree: *mut maple_tree) {
    // SAFETY: The caller's promise.
    unsafe { (*tree).lock = ptr::null_mut() };
}

/// Complains unless the thread holds the tree's lock.
///
/// # Safety
///
/// The tree is initialised.
#[track_caller]
unsafe fn must_be_locked(tree: *mut maple_tree) {
    // SAFETY: The caller's promise; the lock is set when no other thread uses the tree.
    let lock = unsafe { (&raw const (*tree).lock).read() };
    if !lock.is_null() && !context::holds(lock.addr()) {
        splat("the maple tree is used without its lock");
    }
}

/// Complains unless the thread holds the tree's lock for writing, as `mt_write_locked()`.
///
/// # Safety
///
/// The tree is initialised.
#[track_caller]
unsafe fn must_be_locked_for_writing(tree: *mut maple_tree) {
    // SAFETY: The caller's promise.
    unsafe { must_be_locked(tree) };
    // SAFETY: As in `must_be_locked`.
    let lock = unsafe { (&raw const (*tree).lock).read() };
    if !lock.is_null() && !context::holds_for_writing(lock.addr()) {
        splat("the maple tree is changed with its lock held for reading");
    }
}

/// Returns the ranges of the tree that `state` walks.
///
/// # Safety
///
/// The tree is initialised; no thread changes it during `'a`.
#[track_caller]
unsafe fn ranges<'a>(state: &ma_state) -> &'a Ranges {
    // SAFETY: The caller's promise.
    unsafe {
        must_be_locked(state.tree);
        &(*state.tree).ranges
    }
}

/// Goes to a range, or nowhere. Returns the entry.
fn go(state: &mut ma_state, range: Option<(&usize, &(usize, *mut c_void))>) -> *mut c_void {
    state.status = ma_active;
    let Some((&first, &(last, entry))) = range else {
        return ptr::null_mut();
    };
    (state.index, state.last) = (first, last);
    entry
}

/// Returns the range that contains `index`.
fn at(ranges: &Ranges, index: usize) -> Option<(&usize, &(usize, *mut c_void))> {
    let range = ranges.range(..=index).next_back();
    range.filter(|(_, (last, _))| index <= *last)
}

/// `mas_walk()`: goes to the index of the state. A hole is not described.
///
/// # Safety
///
/// The state is valid, and its tree initialised.
#[track_caller]
pub unsafe fn mas_walk(state: *mut ma_state) -> *mut c_void {
    // SAFETY: The caller's promise; the lock is held.
    let (state, ranges) = unsafe { (&mut *state, ranges(&*state)) };
    let range = at(ranges, state.index);
    go(state, range)
}

/// `mas_find()`: goes to the range at the index of the state, or after the range where it is, that
/// begins at `max` or before.
///
/// # Safety
///
/// The state is valid, and its tree initialised.
#[track_caller]
pub unsafe fn mas_find(state: *mut ma_state, max: usize) -> *mut c_void {
    // SAFETY: The caller's promise; the lock is held.
    let (state, ranges) = unsafe { (&mut *state, ranges(&*state)) };
    let from = match state.status {
        maple_status_ma_start => Some(state.index),
        _ => state.last.checked_add(1),
    };
    let range = from.and_then(|from| {
        let behind = ranges.range(from..).next();
        at(ranges, from)
            .or(behind)
            .filter(|(first, _)| **first <= max)
    });
    if range.is_none() {
        // The walk is over.
        state.last = usize::MAX;
    }
    go(state, range)
}

/// `mas_prev()`: goes to the range before the one, or the hole, where the index of the state is, if
/// it ends at `min` or after.
///
/// # Safety
///
/// The state is valid, and its tree initialised.
#[track_caller]
pub unsafe fn mas_prev(state: *mut ma_state, min: usize) -> *mut c_void {
    // SAFETY: The caller's promise; the lock is held.
    let (state, ranges) = unsafe { (&mut *state, ranges(&*state)) };
    let first = at(ranges, state.index).map_or(state.index, |(first, _)| *first);
    let range = ranges.range(..first).next_back();
    go(state, range.filter(|(_, (last, _))| min <= *last))
}

/// `mas_preallocate()`. Sleeps if `flags` say so.
///
/// # Safety
///
/// The state is valid, and its tree initialised.
#[track_caller]
pub unsafe fn mas_preallocate(state: *mut ma_state, _entry: *mut c_void, flags: gfp_t) -> c_int {
    // SAFETY: The caller's promise.
    let state = unsafe { &mut *state };
    // SAFETY: The caller's promise.
    unsafe { must_be_locked_for_writing(state.tree) };
    if allocation(Flags(flags)).is_err() {
        return crate::error::code::ENOMEM.to_errno();
    }
    if state.alloc.is_null() {
        state.alloc = Box::into_raw(Box::new(0_u8)).cast();
    }
    0
}

/// `mas_destroy()`: frees memory that was not needed.
///
/// # Safety
///
/// The state is valid.
pub unsafe fn mas_destroy(state: *mut ma_state) {
    // SAFETY: The caller's promise.
    let state = unsafe { &mut *state };
    if !state.alloc.is_null() {
        // SAFETY: Made by `mas_preallocate`, and only here taken away.
        drop(unsafe { Box::from_raw(state.alloc.cast::<u8>()) });
        state.alloc = ptr::null_mut();
    }
}

/// `mas_store()`: stores `entry`, or nothing if it is null, from the index to the last of the
/// state. Returns what was at the index.
///
/// # Safety
///
/// The state is valid, and its tree initialised.
#[track_caller]
pub unsafe fn mas_store(state: *mut ma_state, entry: *mut c_void) -> *mut c_void {
    // SAFETY: The caller's promise.
    let this = unsafe { &mut *state };
    // SAFETY: The caller's promise.
    unsafe { must_be_locked_for_writing(this.tree) };
    if this.alloc.is_null() {
        splat("mas_store() would allocate");
    }
    // SAFETY: The caller's promise; the lock is held for writing.
    let ranges = unsafe { &mut (*this.tree).ranges };
    let (first, last) = (this.index, this.last);
    let before = at(ranges, first).map_or(ptr::null_mut(), |(_, (_, entry))| *entry);
    let from = at(ranges, first).map_or(first, |(start, _)| *start);
    let overlapped: Vec<_> = ranges
        .range(from..=last)
        .map(|(start, (end, entry))| (*start, *end, *entry))
        .collect();
    for (start, end, entry) in overlapped {
        ranges.remove(&start);
        if start < first {
            ranges.insert(start, (first - 1, entry));
        }
        if last < end {
            ranges.insert(last + 1, (end, entry));
        }
    }
    if !entry.is_null() {
        ranges.insert(first, (last, entry));
    }
    // SAFETY: The caller's promise.
    unsafe { mas_destroy(state) };
    before
}

/// `__mt_destroy()`: forgets all ranges.
///
/// # Safety
///
/// The tree is initialised.
#[track_caller]
pub unsafe fn __mt_destroy(tree: *mut maple_tree) {
    // SAFETY: The caller's promise.
    unsafe {
        must_be_locked_for_writing(tree);
        (*tree).ranges = Ranges::new();
    }
}

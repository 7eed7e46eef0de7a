// SPDX-License-Identifier: GPL-2.0

//! Reads the host's reverse map into a graph.
//!
//! C: `struct anon_vma` and `struct anon_vma_chain` of
//! [`include/linux/rmap.h`](srctree/include/linux/rmap.h).

use super::{
    mm::AllMmaps,
    vma::{
        range_of,
        HostVma, //
    },
};
use crate::{
    ffi,
    kernel_ext::{
        gather::gather,
        gfp::GFP_BOUNDED,
        sched::cond_resched, //
    },
    snapshot::build::{
        AnonVmaFacts,
        Builder, //
    },
};
use core::{
    cell::Cell,
    ptr, //
};
use kernel::{
    alloc::AllocError,
    container_of,
    prelude::*, //
};

/// Calls `f` with each anon_vma of the VMA's chain, in order.
///
/// # Safety
///
/// The VMA's `mmap_lock` is held for writing.
unsafe fn for_each_link(
    vma: HostVma<'_>,
    mut f: impl FnMut(*mut ffi::anon_vma) -> Result,
) -> Result {
    // SAFETY: The VMA is not closed (1).
    let head = unsafe { &raw mut (*vma.as_ptr()).anon_vma_chain };
    // SAFETY: The list does not change (2).
    let mut entry = unsafe { (*head).next };
    while !ptr::eq(entry, head) {
        cond_resched();
        // SAFETY: The entries of the list are links (2).
        unsafe {
            let link = container_of!(entry, ffi::anon_vma_chain, same_vma);
            f((*link).anon_vma)?;
            entry = (*entry).next;
        }
    }
    Ok(())
}

/// Returns the place of the anon_vma with this key on the VMA's chain, and the length of the chain.
///
/// # Safety
///
/// The VMA's `mmap_lock` is held for writing.
pub(crate) unsafe fn place_on_chain(vma: HostVma<'_>, key: usize) -> (Option<usize>, usize) {
    let (mut place, mut n) = (None, 0);
    // SAFETY: The caller's promise. The visitor does not fail.
    let _ = unsafe {
        for_each_link(vma, |anon_vma| {
            if anon_vma.addr() == key {
                place = Some(n);
            }
            n += 1;
            Ok(())
        })
    };
    (place, n)
}

/// Calls `f` with each link in the anon_vma's tree, in the tree's order.
///
/// # Safety
///
/// The root's `rwsem` is held.
unsafe fn for_each_in_tree(
    anon_vma: *mut ffi::anon_vma,
    mut f: impl FnMut(*mut ffi::anon_vma_chain) -> Result,
) -> Result {
    // SAFETY: The tree does not change (3).
    let mut node = unsafe { (*anon_vma).rb_root.rb_leftmost };
    while !node.is_null() {
        cond_resched();
        // SAFETY: The nodes of the tree are those of links (3).
        unsafe {
            f(container_of!(node, ffi::anon_vma_chain, rb))?;
            node = ffi::rb_next(node);
        }
    }
    Ok(())
}

/// Returns the first offset of a link in a tree, and whether a search finds the link by its offsets:
/// `rb_subtree_last` is the last one at and below it, and the link before it has the first offset `before` at
/// most.
///
/// # Safety
///
/// As for [`for_each_in_tree`].
unsafe fn place_in_tree(link: *mut ffi::anon_vma_chain, before: usize) -> (usize, bool) {
    let below = |node: *mut ffi::rb_node| {
        if node.is_null() {
            return 0;
        }
        // SAFETY: The nodes of the tree are those of links (3).
        unsafe { (*container_of!(node, ffi::anon_vma_chain, rb)).rb_subtree_last }
    };
    // SAFETY: The VMA of a link exists, and its range does not change while the root is locked (3).
    unsafe {
        let range = range_of((*link).vma);
        let last = range
            .last
            .max(below((*link).rb.rb_left))
            .max(below((*link).rb.rb_right));
        #[cfg(shadow_rmap_busted)]
        let last = last + usize::from(crate::is_chosen("HostForgetsTheLast"));
        (
            range.start,
            range.start >= before && (*link).rb_subtree_last == last,
        )
    }
}

/// A guard of `anon_vma_lock_read()`.
///
/// # Invariants
///
/// The root's `rwsem` is held for reading.
struct FamilyRead(*mut ffi::anon_vma);

impl FamilyRead {
    /// Takes the lock. Sleeps.
    ///
    /// # Safety
    ///
    /// `anon_vma` is linked to a VMA, and stays so until the guard is dropped.
    unsafe fn new(anon_vma: *mut ffi::anon_vma) -> Self {
        // SAFETY: A linked anon_vma exists (2), and has a reference on its root.
        unsafe {
            let root = (*anon_vma).root;
            ffi::down_read(&raw mut (*root).rwsem);
            Self(root)
        }
    }
}

impl Drop for FamilyRead {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { ffi::up_read(&raw mut (*self.0).rwsem) }
    }
}

/// Adds the chain of `vma`, which has the number `index` in `builder`, and each anon_vma of the
/// chain with its tree. All VMAs have been added before.
///
/// # Errors
///
/// `EINVAL` if `mmaps` does not hold the `mmap_lock` of the VMA, `ENOMEM`.
pub(crate) fn add_links(
    builder: &mut Builder,
    mmaps: &AllMmaps<'_>,
    vma: HostVma<'_>,
    index: usize,
) -> Result {
    if !mmaps.has(vma) {
        return Err(EINVAL);
    }
    // SAFETY: `mmaps` holds the `mmap_lock` of the VMA for writing; the anon_vmas are linked to it.
    unsafe {
        for_each_link(vma, |anon_vma| {
            if !builder.knows(anon_vma.addr()) {
                let (facts, tree, misplaced) = look_at(anon_vma)?;
                builder.anon_vma(anon_vma.addr(), facts)?;
                builder.misplaced(anon_vma.addr(), misplaced);
                for vma in tree {
                    builder.tree_entry(anon_vma.addr(), vma)?;
                }
            }
            builder.chain_entry(index, anon_vma.addr())
        })?;
    }
    builder.active(index, vma.anon_vma_key());
    Ok(())
}

/// Where an anon_vma is in the chain of a VMA.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct InChain {
    /// The number of links before that to this anon_vma.
    pub(crate) before: usize,
    /// The number of links of the VMA.
    pub(crate) links: usize,
    /// Whether it is the VMA's own anon_vma.
    pub(crate) is_own: bool,
    /// Whether it is a root.
    pub(crate) is_root: bool,
}

/// Returns where the anon_vma with this key is in the chain of `vma`, if it is there. Sleeps.
///
/// # Errors
///
/// `EINVAL` if `mmaps` does not hold the `mmap_lock` of the VMA.
pub(crate) fn place_in_chain(
    mmaps: &AllMmaps<'_>,
    vma: HostVma<'_>,
    key: usize,
) -> Result<Option<InChain>> {
    if !mmaps.has(vma) {
        return Err(EINVAL);
    }
    let (mut found, mut links) = (None, 0);
    // SAFETY: As in `add_links()`; the root of a linked anon_vma does not change.
    unsafe {
        for_each_link(vma, |anon_vma| {
            if anon_vma.addr() == key {
                found = Some((links, (*anon_vma).root == anon_vma));
            }
            links += 1;
            Ok(())
        })?;
    }
    Ok(found.map(|(before, is_root)| InChain {
        before,
        links,
        is_own: vma.anon_vma_key() == key,
        is_root,
    }))
}

/// Returns the fields of an anon_vma, the keys of the VMAs in its tree, and how many entries of that are
/// misplaced, at one instant.
///
/// No memory is allocated under the lock, because reclaim may need the lock.
///
/// # Safety
///
/// `anon_vma` is linked to a VMA whose `mmap_lock` is held for writing.
unsafe fn look_at(anon_vma: *mut ffi::anon_vma) -> Result<(AnonVmaFacts, KVVec<usize>, usize)> {
    let (facts, misplaced) = (Cell::new(None), Cell::new(0));
    let tree = gather(
        // SAFETY: The caller's promise; the links do not change (2).
        || unsafe { FamilyRead::new(anon_vma) },
        |_| {
            let mut n = 0;
            // SAFETY: The root is locked. The visitor does not fail.
            let _ = unsafe {
                for_each_in_tree(anon_vma, |_| {
                    n += 1;
                    Ok(())
                })
            };
            n
        },
        |_, all| {
            // SAFETY: The root is locked.
            unsafe {
                facts.set(Some(AnonVmaFacts {
                    root: root_of(anon_vma),
                    parent: (*anon_vma).parent.addr(),
                    refcount: (*anon_vma).refcount.counter.into(),
                    num_children: (*anon_vma).num_children,
                    num_active_vmas: (*anon_vma).num_active_vmas,
                }));
                let mut before = 0;
                for_each_in_tree(anon_vma, |link| {
                    let (start, is_found) = place_in_tree(link, before);
                    before = start;
                    misplaced.set(misplaced.get() + usize::from(!is_found));
                    Ok(all.push((*link).vma.addr(), GFP_BOUNDED)?)
                })
            }
            .map_err(|_: Error| AllocError)
        },
    )?;
    Ok((facts.take().ok_or(ENOMEM)?, tree, misplaced.get()))
}

/// Returns the key of the root of an anon_vma; of its parent, if that bug of the host is chosen.
///
/// # Safety
///
/// As for [`look_at`]; the root is locked.
unsafe fn root_of(anon_vma: *mut ffi::anon_vma) -> usize {
    #[cfg(shadow_rmap_busted)]
    if crate::is_chosen("HostNamesTheParent") {
        // SAFETY: The caller's promise.
        return unsafe { (*anon_vma).parent.addr() };
    }
    // SAFETY: The caller's promise.
    unsafe { (*anon_vma).root.addr() }
}

// SPDX-License-Identifier: GPL-2.0

//! Reads the host's own reverse map into a graph.
//!
//! C: `struct anon_vma` and `struct anon_vma_chain` of
//! [`include/linux/rmap.h`](srctree/include/linux/rmap.h).

use super::{
    mm::AllMmaps,
    vma::HostVma, //
};
use crate::{
    ffi,
    kernel_ext::gather::gather,
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

/// Calls `f` with each anon_vma on the VMA's chain, in order.
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
        // SAFETY: What is on the list are links (2).
        unsafe {
            let link = container_of!(entry, ffi::anon_vma_chain, same_vma);
            f((*link).anon_vma)?;
            entry = (*entry).next;
        }
    }
    Ok(())
}

/// At which place of how many on the VMA's chain the anon_vma with this key is.
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

/// Calls `f` with the VMA of each link in the anon_vma's tree.
///
/// # Safety
///
/// The root's `rwsem` is held.
unsafe fn for_each_in_tree(
    anon_vma: *mut ffi::anon_vma,
    mut f: impl FnMut(*mut ffi::vm_area_struct) -> Result,
) -> Result {
    // SAFETY: The tree does not change (3).
    let mut node = unsafe { (*anon_vma).rb_root.rb_leftmost };
    while !node.is_null() {
        // SAFETY: What is in the tree are links (3).
        unsafe {
            let link = container_of!(node, ffi::anon_vma_chain, rb);
            f((*link).vma)?;
            node = ffi::rb_next(node);
        }
    }
    Ok(())
}

/// `anon_vma_lock_read()`.
///
/// # Invariants
///
/// The root's `rwsem` is held for reading.
struct FamilyRead(*mut ffi::anon_vma);

impl FamilyRead {
    /// # Safety
    ///
    /// `anon_vma` is linked to a VMA whose `mmap_lock` is held for writing.
    unsafe fn new(anon_vma: *mut ffi::anon_vma) -> Self {
        // SAFETY: A linked anon_vma is there, and holds its root.
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

/// Adds what the host knows of `vma`, which is number `index` in `builder`: its chain, and each
/// anon_vma on it that is not known yet, with its tree. All VMAs have been added.
///
/// # Errors
///
/// `ENOMEM`.
pub(crate) fn add_links(
    builder: &mut Builder,
    _mmaps: &AllMmaps<'_>,
    vma: HostVma<'_>,
    index: usize,
) -> Result {
    // SAFETY: `_mmaps` holds the locks; the anon_vmas are linked.
    unsafe {
        for_each_link(vma, |anon_vma| {
            if !builder.knows(anon_vma.addr()) {
                let (facts, tree) = look_at(anon_vma)?;
                builder.anon_vma(anon_vma.addr(), facts)?;
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

/// An anon_vma and the keys of the VMAs in its tree, as they are at one instant.
///
/// Nothing is allocated under the lock: reclaim may want it.
///
/// # Safety
///
/// `anon_vma` is linked to a VMA whose `mmap_lock` is held for writing.
unsafe fn look_at(anon_vma: *mut ffi::anon_vma) -> Result<(AnonVmaFacts, KVVec<usize>)> {
    let facts = Cell::new(None);
    let tree = gather(
        // SAFETY: The caller's promise.
        || unsafe { FamilyRead::new(anon_vma) },
        |_| {
            let mut n = 0;
            // SAFETY: The root is locked. Counting cannot fail.
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
                    root: (*anon_vma).root.addr(),
                    parent: (*anon_vma).parent.addr(),
                    refcount: (*anon_vma).refcount.counter.into(),
                    num_children: (*anon_vma).num_children,
                    num_active_vmas: (*anon_vma).num_active_vmas,
                }));
                for_each_in_tree(anon_vma, |vma| Ok(all.push(vma.addr(), GFP_KERNEL)?))
            }
            .map_err(|_: Error| AllocError)
        },
    )?;
    Ok((facts.take().ok_or(ENOMEM)?, tree))
}

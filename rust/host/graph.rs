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
    snapshot::build::{
        AnonVmaFacts,
        Builder, //
    },
};
use core::ptr;
use kernel::{
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
/// anon_vma on it that is not known yet, with its tree.  All VMAs have been added.
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
    // SAFETY: `_mmaps` holds the locks; the anon_vmas are linked, and their roots locked by us.
    unsafe {
        for_each_link(vma, |anon_vma| {
            if !builder.knows(anon_vma.addr()) {
                let _family = FamilyRead::new(anon_vma);
                builder.anon_vma(
                    anon_vma.addr(),
                    AnonVmaFacts {
                        root: (*anon_vma).root.addr(),
                        parent: (*anon_vma).parent.addr(),
                        refcount: (*anon_vma).refcount.counter.into(),
                        num_children: (*anon_vma).num_children,
                        num_active_vmas: (*anon_vma).num_active_vmas,
                    },
                )?;
                for_each_in_tree(anon_vma, |vma| {
                    builder.tree_entry(anon_vma.addr(), vma.addr())
                })?;
            }
            builder.chain_entry(index, anon_vma.addr())
        })?;
    }
    builder.active(index, vma.anon_vma_key());
    Ok(())
}

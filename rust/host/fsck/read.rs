// SPDX-License-Identifier: GPL-2.0

//! Copies of the host's links, anon_vmas and VMAs, read from wherever a pointer leads.
//!
//! A structure in doubt may have a wrong pointer. Each copy is read by `copy_from_kernel_nofault()`,
//! so that a pointer to no memory is found, not followed. A pointer to other memory gives a copy
//! whose fields contradict what led there.

use crate::{
    ffi,
    kernel_ext::{
        interval_tree::Range,
        nofault::Bytes, //
    },
};
use core::mem::{
    offset_of,
    size_of, //
};
use kernel::page::PAGE_SHIFT;

/// Most levels of a tree. A red-black tree of 2^48 entries has no more.
const MOST_LEVELS: usize = 96;

/// A `struct anon_vma_chain`.
#[derive(Clone, Copy)]
pub(crate) struct Link {
    /// Where it is.
    pub(crate) key: usize,
    /// The VMA.
    pub(crate) vma: usize,
    /// The anon_vma.
    pub(crate) anon_vma: usize,
    /// The list entry of the next link on the chain, or the head of the list.
    pub(crate) next: usize,
    /// The node above it in the tree, with the colour in its lowest bits.
    above: usize,
    left: usize,
    right: usize,
    /// `rb_subtree_last`.
    pub(crate) subtree_last: usize,
}

impl Link {
    /// The offsets of its list entry and its node.
    const ENTRY: usize = offset_of!(ffi::anon_vma_chain, same_vma);
    const NODE: usize = offset_of!(ffi::anon_vma_chain, rb);

    /// Copies the link at `key`.
    pub(crate) fn at(key: usize) -> Option<Self> {
        let bytes = Bytes::<ffi::anon_vma_chain>::read(key)?;
        let link = bytes.as_ptr();
        // SAFETY: All bytes are initialised; each field read is a pointer or an integer.
        unsafe {
            Some(Self {
                key,
                vma: (*link).vma.addr(),
                anon_vma: (*link).anon_vma.addr(),
                next: (*link).same_vma.next.addr(),
                above: (*link).rb.__rb_parent_color,
                left: (*link).rb.rb_left.addr(),
                right: (*link).rb.rb_right.addr(),
                subtree_last: (*link).rb_subtree_last,
            })
        }
    }

    /// Copies the link with this list entry.
    pub(crate) fn of_entry(entry: usize) -> Option<Self> {
        Self::at(entry.wrapping_sub(Self::ENTRY))
    }

    /// Copies the link with this node.
    pub(crate) fn of_node(node: usize) -> Option<Self> {
        Self::at(node.wrapping_sub(Self::NODE))
    }

    /// Returns its node.
    pub(crate) fn node(&self) -> usize {
        self.key.wrapping_add(Self::NODE)
    }

    /// Copies the links at both sides below it; `None` if one of them cannot be read.
    pub(crate) fn below(&self) -> Option<[Option<Self>; 2]> {
        let side = |node: usize| match node {
            0 => Some(None),
            node => Self::of_node(node).map(Some),
        };
        Some([side(self.left)?, side(self.right)?])
    }

    /// Returns whether the tree with this root node has it: each node above leads back to it.
    pub(crate) fn is_below(&self, root: usize) -> bool {
        let mut node = *self;
        for _ in 0..MOST_LEVELS {
            let above = node.above & !3;
            if above == 0 {
                return node.node() == root;
            }
            match Self::of_node(above) {
                Some(up) if up.left == node.node() || up.right == node.node() => node = up,
                _ => return false,
            }
        }
        false
    }

    /// Returns the leftmost link below this one, or itself; `None` if a pointer leads nowhere.
    fn leftmost(mut self) -> Option<Self> {
        for _ in 0..MOST_LEVELS {
            if self.left == 0 {
                return Some(self);
            }
            self = Self::of_node(self.left)?;
        }
        None
    }

    /// Returns the node of the first link of the tree with this root node, found by its branches.
    pub(crate) fn first_below(root: usize) -> Option<usize> {
        Some(Self::of_node(root)?.leftmost()?.node())
    }

    /// Returns the next link in the order of the tree: `Some(None)` behind the last one, `None` if
    /// a pointer leads nowhere.
    pub(crate) fn successor(&self) -> Option<Option<Self>> {
        if self.right != 0 {
            return Some(Some(Self::of_node(self.right)?.leftmost()?));
        }
        let mut node = *self;
        for _ in 0..MOST_LEVELS {
            let above = node.above & !3;
            if above == 0 {
                return Some(None);
            }
            let up = Self::of_node(above)?;
            if up.left == node.node() {
                return Some(Some(up));
            }
            node = up;
        }
        None
    }
}

/// A `struct anon_vma`.
#[derive(Clone, Copy)]
pub(crate) struct AnonVma {
    pub(crate) key: usize,
    pub(crate) root: usize,
    pub(crate) parent: usize,
    pub(crate) refcount: i64,
    pub(crate) num_children: usize,
    pub(crate) num_active_vmas: usize,
    /// The root node of its tree; 0 if the tree is empty.
    pub(crate) tree: usize,
    /// `rb_leftmost`.
    pub(crate) leftmost: usize,
}

impl AnonVma {
    /// Copies the anon_vma at `key`.
    pub(crate) fn at(key: usize) -> Option<Self> {
        // Between the two parts is the lock, which is large where lockdep is on.
        let root = Bytes::<usize>::read(key.wrapping_add(offset_of!(ffi::anon_vma, root)))?;
        let rest = offset_of!(ffi::anon_vma, refcount)..size_of::<ffi::anon_vma>();
        let bytes = Bytes::<ffi::anon_vma>::read_part(key, rest)?;
        let this = bytes.as_ptr();
        // SAFETY: All bytes are initialised; each field read is a pointer or an integer.
        unsafe {
            Some(Self {
                key,
                root: *root.as_ptr(),
                parent: (*this).parent.addr(),
                refcount: (*this).refcount.counter.into(),
                num_children: (*this).num_children,
                num_active_vmas: (*this).num_active_vmas,
                tree: (*this).rb_root.rb_root.rb_node.addr(),
                leftmost: (*this).rb_root.rb_leftmost.addr(),
            })
        }
    }

    /// Returns whether this copy has what `other` has, but for `refcount`, which changes without a lock.
    pub(crate) fn is_as(&self, other: &Self) -> bool {
        let of = |this: &Self| {
            let counts = (this.num_children, this.num_active_vmas);
            (this.root, this.parent, counts, this.tree, this.leftmost)
        };
        of(self) == of(other)
    }

    /// Returns whether it is the root of its family.
    pub(crate) fn is_root(&self) -> bool {
        self.root == self.key
    }
}

/// What the reverse map knows of a `struct vm_area_struct`.
#[derive(Clone, Copy)]
pub(crate) struct Area {
    /// Its address space.
    pub(crate) mm: usize,
    /// `vma->anon_vma`.
    pub(crate) anon_vma: usize,
    /// The head of its chain.
    pub(crate) head: usize,
    /// The list entry of the first link on its chain, or the head.
    pub(crate) first: usize,
    /// Its anonymous page offsets.
    pub(crate) range: Range,
}

impl Area {
    /// Copies the VMA at `key`.
    pub(crate) fn at(key: usize) -> Option<Self> {
        let bytes = Bytes::<ffi::vm_area_struct>::read(key)?;
        let vma = bytes.as_ptr();
        // SAFETY: All bytes are initialised; each field read is a pointer or an integer, and the
        // helper reads integers alone.
        unsafe {
            let bounds = &raw const (*vma).__bindgen_anon_1.__bindgen_anon_1;
            let pages = (*bounds).vm_end.wrapping_sub((*bounds).vm_start) >> PAGE_SHIFT;
            let start = ffi::shadow_rmap_vma_anon_pgoff(vma);
            Some(Self {
                mm: (*vma).vm_mm.addr(),
                anon_vma: (*vma).anon_vma.addr(),
                head: key.wrapping_add(offset_of!(ffi::vm_area_struct, anon_vma_chain)),
                first: (*vma).anon_vma_chain.next.addr(),
                range: Range {
                    start,
                    last: start.wrapping_add(pages.max(1) - 1),
                },
            })
        }
    }
}

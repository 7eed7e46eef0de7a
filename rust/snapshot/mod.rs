// SPDX-License-Identifier: GPL-2.0

//! One neutral picture of a reverse map, whoever it was taken of: the shadow or the host.
//!
//! A [`Graph`] is plain data: no locks, no pointers that anybody follows. It is taken under the
//! locks of its owner, and everything that looks at it ([`compare`], [`verify`], the printers)
//! works afterwards, at leisure, on any two of them.
//!
//! What a reader sees are small integers: a VMA's number is given when it is born, an anon_vma's
//! and a page's are their places in the graph, counted from one. Keys are compared, never shown.

use kernel::prelude::*;

pub(crate) mod build;
pub(crate) mod compare;
pub(crate) mod dot;
pub(crate) mod json;
pub(crate) mod text;
pub(crate) mod verify;

/// Whose reverse map a [`Graph`] shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Ours.
    Shadow,
    /// That of the running kernel.
    Host,
}

/// The name of a process, as in `/proc/<pid>/comm`: up to the first zero byte.
pub(crate) type Comm = [u8; 16];

/// An address space.
pub(crate) struct MmNode {
    /// Its number, for people.
    pub(crate) id: u64,
    /// The process that first mapped or was forked into it.
    pub(crate) pid: i32,
    /// That process's name.
    pub(crate) comm: Comm,
}

/// A VMA.
pub(crate) struct VmaNode {
    /// Its number, for people; the same in the shadow's graph and in the host's.
    pub(crate) id: u64,
    /// Its address space, as an index into [`Graph::mms`].
    pub(crate) mm: usize,
    /// First address, in bytes.
    pub(crate) start: usize,
    /// First address behind it, in bytes.
    pub(crate) end: usize,
    /// Offset of the first page in the file, in pages.
    pub(crate) pgoff: usize,
    /// `vma->anon_vma`, as an index into [`Graph::anon_vmas`].
    pub(crate) anon_vma: Option<usize>,
    /// The anon_vmas of its chain, in the chain's order, as indices.
    pub(crate) chain: KVVec<usize>,
    /// Whether the shadow gave up somewhere in this VMA's family, for want of memory or beyond a
    /// limit: what the two graphs say of it is not compared.
    pub(crate) tainted: bool,
}

/// An anon_vma.
pub(crate) struct AnonVmaNode {
    /// Its root, as an index; its own index where it is one.
    pub(crate) root: usize,
    /// Its parent, as an index; its own index where it is a root.
    pub(crate) parent: usize,
    /// References: one while any VMA is linked, one for each non-root whose root it is, pins.
    pub(crate) refcount: i64,
    /// anon_vmas whose parent it is, a root itself among them.
    pub(crate) num_children: usize,
    /// VMAs whose `->anon_vma` it is.
    pub(crate) num_active_vmas: usize,
    /// The VMAs in its interval tree, as indices into [`Graph::vmas`], in the tree's order.
    pub(crate) vmas: KVVec<usize>,
    /// Entries of its interval tree whose VMA is not part of this graph.
    pub(crate) foreign: usize,
}

/// An anonymous page.
pub(crate) struct PageNode {
    /// What makes it this page and no other, in the shadow's graph and in the host's.
    pub(crate) key: usize,
    /// Its anon_vma, as an index; `None` where that is not in the graph.
    pub(crate) anon_vma: Option<usize>,
    /// Its offset in the mapped file, in pages.
    pub(crate) index: usize,
    /// How many PTEs map it: the kernel's `_mapcount` plus one.
    pub(crate) mapcount: i64,
    /// The VMAs that really map it, as indices, ascending.
    pub(crate) mapped_by: KVVec<usize>,
    /// The VMAs that a walk from its anon_vma found to map it, as indices, ascending.
    pub(crate) found_by: KVVec<usize>,
}

/// A reverse map at one instant.
pub(crate) struct Graph {
    /// Whose.
    pub(crate) source: Source,
    /// Whether VMAs share any neighbour's anon_vma, as in 2010 (R25), and not only that of one whose
    /// chain is no longer (R27).
    pub(crate) shared: bool,
    /// The address spaces.
    pub(crate) mms: KVVec<MmNode>,
    /// The VMAs, ordered by address space and address.
    pub(crate) vmas: KVVec<VmaNode>,
    /// The anon_vmas that these VMAs are linked to, and their roots and parents.
    pub(crate) anon_vmas: KVVec<AnonVmaNode>,
    /// The anonymous pages that these VMAs map.
    pub(crate) pages: KVVec<PageNode>,
}

impl Graph {
    /// An empty graph.
    pub(crate) fn new(source: Source) -> Self {
        Self {
            source,
            shared: false,
            mms: KVVec::new(),
            vmas: KVVec::new(),
            anon_vmas: KVVec::new(),
            pages: KVVec::new(),
        }
    }

    /// Links between VMAs and anon_vmas.
    pub(crate) fn links(&self) -> usize {
        self.vmas.iter().map(|vma| vma.chain.len()).sum()
    }
}

// SPDX-License-Identifier: GPL-2.0

//! A snapshot of a reverse map as a neutral graph, of the shadow or of the host.
//!
//! A [`Graph`] is plain data: it holds no locks, and no pointers that are followed. It is taken
//! under the locks of the structures that it describes; the functions of this folder ([`compare`],
//! [`verify`], the printers) work on it later, without locks. None of them keeps a counter: results
//! are returned, or passed to a function of the caller.
//!
//! Output identifies everything by small integers. A VMA has a number for its whole life; the
//! numbers of anon_vmas and pages are their places in the graph, counted from one. Keys are
//! compared, and never printed.
//!
//! | module | is |
//! |---|---|
//! | [`build`] | builds a graph from what its owner finds under its locks |
//! | [`verify`] | checks one graph against the rules |
//! | [`compare`] | compares the shadow's graph with the host's |
//! | [`family`] | tells what is wrong with what was read of a family of the host |
//! | [`text`], [`json`], [`dot`] | print a graph |

use core::ops::Range;
use indices::Indices;
use kernel::prelude::*;

pub(crate) mod build;
pub(crate) mod compare;
pub(crate) mod dot;
pub(crate) mod family;
mod indices;
pub(crate) mod json;
mod lineage;
mod lists;
mod places;
mod reach;
#[cfg(shadow_rmap_kunit)]
#[path = "tests/sample.rs"]
pub(crate) mod sample;
pub(crate) mod text;
pub(crate) mod verify;

/// The reverse map that a [`Graph`] shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// That of this module.
    Shadow,
    /// That of the running kernel.
    Host,
}

/// The name of a process, as in `/proc/<pid>/comm`: up to the first zero byte.
pub(crate) type Comm = [u8; 16];

/// An address space.
#[derive(Clone, Copy)]
pub(crate) struct MmNode {
    /// Its number in output.
    pub(crate) id: u64,
    /// The id of a process that has this address space; 0 if there is none.
    pub(crate) pid: i32,
    /// The name of that process.
    pub(crate) comm: Comm,
}

/// A VMA.
pub(crate) struct VmaNode {
    /// Its number in output; the shadow's graph and the host's use the same. 0 for a VMA that the
    /// shadow does not have.
    pub(crate) id: u64,
    /// Its address space, as an index into [`Graph::mms`].
    pub(crate) mm: usize,
    /// First address, in bytes.
    pub(crate) start: usize,
    /// First address after it, in bytes.
    pub(crate) end: usize,
    /// Anonymous page offset of the first page.
    pub(crate) pgoff: usize,
    /// The offset by which the trees of the shadow have it. It differs from `pgoff` where the shadow could not
    /// follow the host: a tree has the host's range then.
    pub(crate) tree_offset: usize,
    /// `vma->anon_vma`, as an index into [`Graph::anon_vmas`].
    pub(crate) anon_vma: Option<usize>,
    /// The anon_vmas of its chain, in the chain's order, as indices.
    pub(crate) chain: Indices,
    /// Whether this graph has only the other one's VMA here, so that both have the same order.
    pub(crate) absent: bool,
    /// Which anon_vma was reused when it was forked; `None` if that is not known, or it was not
    /// forked.
    pub(crate) reused: Option<Reused>,
    /// The number of a VMA that the host has merged into this one against the rules (R26); 0 for
    /// none. Only the shadow's graph has it.
    pub(crate) wrongly_merged: u64,
    /// Whether the shadow has stopped following a VMA of the same family, because memory or a limit
    /// was exhausted. Such a VMA is not compared.
    pub(crate) tainted: bool,
}

impl VmaNode {
    /// Returns a VMA of address space `mm` at these addresses, in bytes, without links.
    pub(crate) fn new(id: u64, mm: usize, addresses: Range<usize>, pgoff: usize) -> Self {
        Self {
            id,
            mm,
            start: addresses.start,
            end: addresses.end,
            pgoff,
            tree_offset: pgoff,
            anon_vma: None,
            chain: Indices::new(),
            absent: false,
            reused: None,
            wrongly_merged: 0,
            tainted: false,
        }
    }
}

/// Which anon_vma a fork reused for a VMA (R24).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reused {
    /// None: the VMA got one of its own.
    None,
    /// The one at this position of the chain that was cloned.
    At(usize),
}

/// An anon_vma.
pub(crate) struct AnonVmaNode {
    /// Its root, as an index; a root is its own root.
    pub(crate) root: usize,
    /// Its parent, as an index; a root is its own parent.
    pub(crate) parent: usize,
    /// How many of its pointers to root and parent lead out of this graph: they are shown as pointers to
    /// itself.
    pub(crate) outside: usize,
    /// References: one while a VMA is linked, one for each other anon_vma whose root it is, and
    /// pins.
    pub(crate) refcount: i64,
    /// Number of anon_vmas whose parent it is; a root counts itself.
    pub(crate) num_children: usize,
    /// Number of VMAs whose `->anon_vma` it is.
    pub(crate) num_active_vmas: usize,
    /// How many entries of its interval tree are out of order, or have a wrong `rb_subtree_last`, so that a
    /// search may not find them.
    pub(crate) misplaced: usize,
    /// The VMAs in its interval tree, as indices into [`Graph::vmas`], in the tree's order.
    pub(crate) vmas: Indices,
    /// Number of entries of its interval tree whose VMA is not part of this graph.
    pub(crate) foreign: usize,
    /// References beyond those of links and of the family, which KSM, migration, reclaim and walks take;
    /// below 0: references that are missing. `None` if a part of its family is not in this graph.
    pub(crate) pins: Option<i64>,
}

/// An anonymous page.
pub(crate) struct PageNode {
    /// Identifies the page in the shadow's graph and in the host's.
    pub(crate) key: usize,
    /// Its anon_vma, as an index; `None` if that is not in the graph.
    pub(crate) anon_vma: Option<usize>,
    /// `page->index`: its anonymous page offset.
    pub(crate) index: usize,
    /// Number of PTEs that map it: the kernel's `_mapcount` plus one.
    pub(crate) mapcount: i64,
    /// The VMAs whose page tables map it, as indices, ascending.
    pub(crate) mapped_by: Indices,
    /// The VMAs that a walk from its anon_vma found to map it, as indices, ascending.
    pub(crate) found_by: Indices,
}

/// A reverse map at one instant.
pub(crate) struct Graph {
    /// The reverse map that it shows.
    pub(crate) source: Source,
    /// Whether a VMA may share the anon_vma of any neighbour, as in 2010 (R25). If not, it shares
    /// only that of a neighbour whose chain has one link (R27).
    pub(crate) shared: bool,
    /// Whether others may hold references on the anon_vmas as well: KSM, migration and reclaim.
    pub(crate) held: bool,
    /// Whether VMAs are missing because there was no memory for them, or no room: a VMA that is not in
    /// the graph may be one of these.
    pub(crate) incomplete: bool,
    /// The address spaces.
    pub(crate) mms: KVVec<MmNode>,
    /// The VMAs, ordered by address space and address.
    pub(crate) vmas: KVVec<VmaNode>,
    /// The anon_vmas to which these VMAs are linked, and their roots and parents.
    pub(crate) anon_vmas: KVVec<AnonVmaNode>,
    /// The anonymous pages that these VMAs map.
    pub(crate) pages: KVVec<PageNode>,
}

impl Graph {
    /// Creates an empty graph.
    pub(crate) fn new(source: Source) -> Self {
        Self {
            source,
            shared: false,
            held: false,
            incomplete: false,
            mms: KVVec::new(),
            vmas: KVVec::new(),
            anon_vmas: KVVec::new(),
            pages: KVVec::new(),
        }
    }

    /// Returns the number of links between VMAs and anon_vmas.
    pub(crate) fn links(&self) -> usize {
        self.vmas.iter().map(|vma| vma.chain.len()).sum()
    }

    /// Iterates over the address spaces, each with the index of its first VMA, and its VMAs.
    ///
    /// It is one pass over the VMAs, which are ordered by address space.
    fn mms_with_vmas(&self) -> impl Iterator<Item = (&MmNode, usize, &[VmaNode])> {
        let mut next = 0;
        self.mms.iter().enumerate().map(move |(index, mm)| {
            let first = next;
            let rest = self.vmas.get(first..).unwrap_or(&[]);
            let n = rest.iter().take_while(|vma| vma.mm == index).count();
            next += n;
            (mm, first, rest.get(..n).unwrap_or(&[]))
        })
    }

    /// Returns whether every index in the graph refers to an element.
    fn is_well_formed(&self) -> bool {
        let vmas = |list: &[usize]| list.iter().all(|&vma| vma < self.vmas.len());
        let known = |anon_vma: usize| anon_vma < self.anon_vmas.len();
        self.vmas.iter().all(|vma| {
            vma.mm < self.mms.len()
                && vma.anon_vma.is_none_or(known)
                && vma.chain.iter().all(|&anon_vma| known(anon_vma))
        }) && self
            .anon_vmas
            .iter()
            .all(|node| known(node.root) && known(node.parent) && vmas(&node.vmas))
            && self.pages.iter().all(|page| {
                page.anon_vma.is_none_or(known) && vmas(&page.mapped_by) && vmas(&page.found_by)
            })
    }
}

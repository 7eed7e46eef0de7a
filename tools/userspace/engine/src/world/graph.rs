// SPDX-License-Identifier: GPL-2.0

//! A graph, as plain data.

use crate::snapshot::{self, json, text};
use core::fmt;

/// A reverse map at one instant. All numbers of VMAs, anon_vmas and pages are places in the graph,
/// from 0.
pub struct Graph(snapshot::Graph);

/// A VMA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vma<'a> {
    /// Its address space: the place in the list that was given.
    pub mm: usize,
    /// First address, in bytes.
    pub start: usize,
    /// First address after it, in bytes.
    pub end: usize,
    /// Anonymous page offset of the first page.
    pub pgoff: usize,
    /// `vma->anon_vma`.
    pub anon_vma: Option<usize>,
    /// The anon_vmas of its chain, in the chain's order.
    pub chain: &'a [usize],
}

/// An anon_vma.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnonVma<'a> {
    /// Its root; a root is its own.
    pub root: usize,
    /// Its parent; a root is its own.
    pub parent: usize,
    /// References.
    pub refcount: i64,
    /// Number of anon_vmas whose parent it is; a root counts itself.
    pub num_children: usize,
    /// Number of VMAs whose `->anon_vma` it is.
    pub num_active_vmas: usize,
    /// The VMAs in its interval tree, in the tree's order.
    pub vmas: &'a [usize],
}

/// An anonymous page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page<'a> {
    /// Its anon_vma.
    pub anon_vma: Option<usize>,
    /// `page->index`.
    pub index: usize,
    /// Number of PTEs that map it.
    pub mapcount: i64,
    /// The VMAs that map it.
    pub mapped_by: &'a [usize],
    /// The VMAs that a walk from its anon_vma finds.
    pub found_by: &'a [usize],
}

/// Prints a graph by a function of `snapshot`.
struct Shown<'a>(
    &'a snapshot::Graph,
    fn(&snapshot::Graph, &mut fmt::Formatter<'_>) -> fmt::Result,
);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.1)(self.0, f)
    }
}

impl Graph {
    pub(super) fn new(graph: snapshot::Graph) -> Self {
        Self(graph)
    }

    /// Iterates over the VMAs, ordered by address space and address.
    pub fn vmas(&self) -> impl Iterator<Item = Vma<'_>> {
        self.0.vmas.iter().map(|vma| Vma {
            mm: vma.mm,
            start: vma.start,
            end: vma.end,
            pgoff: vma.pgoff,
            anon_vma: vma.anon_vma,
            chain: &vma.chain,
        })
    }

    /// Iterates over the anon_vmas.
    pub fn anon_vmas(&self) -> impl Iterator<Item = AnonVma<'_>> {
        self.0.anon_vmas.iter().map(|node| AnonVma {
            root: node.root,
            parent: node.parent,
            refcount: node.refcount,
            num_children: node.num_children,
            num_active_vmas: node.num_active_vmas,
            vmas: &node.vmas,
        })
    }

    /// Iterates over the pages.
    pub fn pages(&self) -> impl Iterator<Item = Page<'_>> {
        self.0.pages.iter().map(|page| Page {
            anon_vma: page.anon_vma,
            index: page.index,
            mapcount: page.mapcount,
            mapped_by: &page.mapped_by,
            found_by: &page.found_by,
        })
    }

    /// Returns the text of debugfs `chains`.
    pub fn text(&self) -> String {
        Shown(&self.0, text::show).to_string()
    }

    /// Returns the text of debugfs `chains.json`.
    pub fn json(&self) -> String {
        Shown(&self.0, json::show).to_string()
    }
}

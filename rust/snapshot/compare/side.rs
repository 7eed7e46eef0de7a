// SPDX-License-Identifier: GPL-2.0

//! One of the two graphs of a comparison.

use super::words::Label;
use crate::{
    snapshot::{
        lineage::{
            lineages,
            Lineage, //
        },
        lists::Lists,
        AnonVmaNode,
        Graph,
        VmaNode, //
    }, //
};
use core::cmp::Ordering;
use kernel::prelude::*;

/// One of the two graphs.
pub(super) struct Side<'a> {
    pub(super) graph: &'a Graph,
    /// The chain of each VMA.
    pub(super) chains: Lists,
    /// The VMAs of each anon_vma.
    pub(super) trees: Lists,
    pub(super) lineages: KVVec<Lineage>,
    /// The partner of each anon_vma in the other graph.
    pub(super) partners: KVVec<Option<usize>>,
    /// Whether each anon_vma is excluded from the comparison.
    pub(super) aside: KVVec<bool>,
}

impl<'a> Side<'a> {
    /// Creates the tables; no anon_vma has a partner yet.
    pub(super) fn new(graph: &'a Graph) -> Result<Self> {
        let number = graph.anon_vmas.len();
        Ok(Self {
            graph,
            chains: Lists::sorted(graph.vmas.iter().map(|vma| &*vma.chain))?,
            trees: Lists::sorted(graph.anon_vmas.iter().map(|node| &*node.vmas))?,
            lineages: lineages(graph)?,
            partners: KVVec::from_elem(None, number, GFP_KERNEL_ACCOUNT)?,
            aside: KVVec::from_elem(false, number, GFP_KERNEL_ACCOUNT)?,
        })
    }

    /// Returns a VMA of the graph.
    pub(super) fn vma(&self, index: usize) -> Option<&'a VmaNode> {
        self.graph.vmas.get(index)
    }

    /// Returns an anon_vma of the graph.
    pub(super) fn anon_vma(&self, index: usize) -> Option<&'a AnonVmaNode> {
        self.graph.anon_vmas.get(index)
    }

    /// Returns the partner of an anon_vma in the other graph.
    pub(super) fn partner(&self, anon_vma: usize) -> Option<usize> {
        self.partners.get(anon_vma).copied().flatten()
    }

    /// Returns whether an anon_vma is excluded from the comparison.
    pub(super) fn is_aside(&self, anon_vma: usize) -> bool {
        self.aside.get(anon_vma).is_some_and(|&aside| aside)
    }

    /// Returns whether an anon_vma still needs a partner.
    pub(super) fn is_alone(&self, anon_vma: usize) -> bool {
        self.partner(anon_vma).is_none() && !self.is_aside(anon_vma)
    }

    /// Returns the number of steps to the root; `None` if the parents form a loop.
    pub(super) fn depth(&self, anon_vma: usize) -> Option<usize> {
        match self.lineages.get(anon_vma) {
            Some(&Lineage::Ends { depth, .. }) => Some(depth),
            _ => None,
        }
    }

    /// Returns the name of an anon_vma for output.
    pub(super) fn label(&self, anon_vma: usize) -> Label<'a> {
        Label(self.graph, anon_vma)
    }

    /// Orders two anon_vmas by properties that are equal in both graphs: the deeper one comes
    /// first; then the VMAs in their trees and the numbers of their children decide, then those of
    /// their parents, and so on.
    pub(super) fn order(&self, mut one: usize, mut other: usize) -> Ordering {
        let depth = self.depth(one);
        let mut order = self.depth(other).cmp(&depth);
        for _ in 0..=depth.unwrap_or(0) {
            if order != Ordering::Equal || one == other {
                break;
            }
            let (Some(a), Some(b)) = (self.anon_vma(one), self.anon_vma(other)) else {
                break;
            };
            order = self
                .trees
                .get(one)
                .cmp(self.trees.get(other))
                .then(a.num_children.cmp(&b.num_children));
            (one, other) = (a.parent, b.parent);
        }
        order
    }
}

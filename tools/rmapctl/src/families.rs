// SPDX-License-Identifier: GPL-2.0

//! The families of a graph: a root, all anon_vmas that have it as their root, and the VMAs that
//! are linked to any of these.
//!
//! One lock, that of the root, covers a family.

use crate::graph::{AnonVma, Graph, Mm};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A family, with its sizes.
#[derive(Debug)]
pub(crate) struct Family<'g> {
    /// The number of the root.
    pub(crate) root: u64,
    /// The anon_vmas in the order in which a tree is drawn, each with its depth; the root has 1.
    pub(crate) members: Vec<(&'g AnonVma, usize)>,
    /// VMAs that are linked to an anon_vma of the family.
    pub(crate) vmas: u64,
    /// The address spaces of these VMAs, the first in the graph first.
    pub(crate) mms: Vec<&'g Mm>,
    /// Links from these VMAs to anon_vmas of the family.
    pub(crate) links: u64,
    /// Links of the VMA that has most.
    pub(crate) longest_chain: u64,
}

impl Family<'_> {
    /// Returns the number of generations.
    pub(crate) fn depth(&self) -> u64 {
        let depths = self.members.iter().map(|(_, depth)| *depth as u64);
        depths.max().unwrap_or(0)
    }

    /// Returns the number of VMAs in the largest interval tree.
    pub(crate) fn largest_tree(&self) -> u64 {
        let sizes = self.members.iter().map(|(av, _)| av.vmas.len() as u64);
        sizes.max().unwrap_or(0)
    }

    /// Returns the reference count of the root; 0 if the graph lacks the root.
    pub(crate) fn refcount(&self) -> i64 {
        let mut members = self.members.iter();
        let root = members.find(|(av, _)| av.id == self.root);
        root.map_or(0, |(av, _)| av.refcount)
    }

    /// Returns the memory of the family's anon_vmas and links.
    pub(crate) fn bytes(&self, sizes: Sizes) -> u64 {
        self.members.len() as u64 * sizes.anon_vma + self.links * sizes.link
    }
}

/// The sizes of the kernel's structures in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// `struct anon_vma`.
    pub(crate) anon_vma: u64,
    /// `struct anon_vma_chain`.
    pub(crate) link: u64,
}

/// Lists the families of `graph` by the number of their root.
pub(crate) fn families(graph: &Graph) -> Vec<Family<'_>> {
    let mut families = trees(graph);
    let root_of: HashMap<u64, u64> = graph
        .anon_vmas
        .iter()
        .map(|av| (av.id, av.root.unwrap_or(av.id)))
        .collect();
    for mm in &graph.mms {
        for vma in &mm.vmas {
            let mut links: BTreeMap<u64, u64> = BTreeMap::new();
            for root in vma.chain.iter().filter_map(|id| root_of.get(id)) {
                *links.entry(*root).or_default() += 1;
            }
            for (root, links) in links {
                let Some(family) = families.get_mut(&root) else {
                    continue;
                };
                family.vmas += 1;
                family.links += links;
                family.longest_chain = family.longest_chain.max(links);
                if family.mms.last().is_none_or(|last| last.id != mm.id) {
                    family.mms.push(mm);
                }
            }
        }
    }
    families.into_values().collect()
}

/// Finds the anon_vmas of each family. One that has no parent in its family has depth 1.
fn trees(graph: &Graph) -> BTreeMap<u64, Family<'_>> {
    let known: BTreeMap<u64, &AnonVma> = graph.anon_vmas.iter().map(|av| (av.id, av)).collect();
    let mut children: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
    let mut tops = Vec::new();
    for av in known.values() {
        match av.parent {
            Some(parent)
                if parent != av.id && known.get(&parent).is_some_and(|p| p.root == av.root) =>
            {
                children.entry(parent).or_default().insert(av.id);
            }
            _ => tops.push(av.id),
        }
    }
    let mut families: BTreeMap<u64, Family<'_>> = BTreeMap::new();
    let mut stack: Vec<(u64, usize)> = tops.into_iter().rev().map(|id| (id, 1)).collect();
    while let Some((id, depth)) = stack.pop() {
        let Some(av) = known.get(&id) else { continue };
        let root = av.root.unwrap_or(id);
        let family = families.entry(root).or_insert_with(|| Family {
            root,
            members: Vec::new(),
            vmas: 0,
            mms: Vec::new(),
            links: 0,
            longest_chain: 0,
        });
        family.members.push((av, depth));
        if let Some(below) = children.get(&id) {
            stack.extend(below.iter().rev().map(|child| (*child, depth + 1)));
        }
    }
    families
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::tests::HOST;

    #[test]
    fn a_family_is_measured() {
        let graph = Graph::parse(HOST).expect("valid");
        let families = families(&graph);
        let roots: Vec<u64> = families.iter().map(|family| family.root).collect();
        assert_eq!(roots, [1, 5]);
        let large = &families[0];
        let members: Vec<_> = large.members.iter().map(|(av, d)| (av.id, *d)).collect();
        assert_eq!(members, [(1, 1), (2, 2), (3, 3), (4, 2)]);
        assert_eq!((large.vmas, large.links, large.longest_chain), (5, 9, 3));
        assert_eq!((large.depth(), large.largest_tree()), (3, 5));
        assert_eq!(large.refcount(), 4);
        let pids: Vec<i64> = large.mms.iter().map(|mm| mm.pid).collect();
        assert_eq!(pids, [1, 52, 107]);
        let sizes = Sizes {
            anon_vma: 100,
            link: 7,
        };
        assert_eq!(large.bytes(sizes), 463);
        assert_eq!(families[1].bytes(sizes), 107);
        assert_eq!((families[1].depth(), families[1].mms.len()), (1, 1));
    }

    /// A parent of another family does not move an anon_vma into that family.
    #[test]
    fn the_root_decides_about_the_family() {
        let text = HOST.replacen(
            r#""id":5,"root":5,"parent":5"#,
            r#""id":5,"root":5,"parent":3"#,
            1,
        );
        let graph = Graph::parse(&text).expect("valid");
        let families = families(&graph);
        assert_eq!(families.len(), 2);
        assert_eq!(families[1].members[0].1, 1);
    }
}

// SPDX-License-Identifier: GPL-2.0

//! The line of parents of each anon_vma.

use super::Graph;
use crate::kernel_ext::sched::resched_each;
use kernel::prelude::*;

/// The end of an anon_vma's line of parents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lineage {
    /// Not computed yet.
    Unknown,
    /// Being computed; if the line comes back to it, the line is a loop.
    Open,
    /// The line ends at a root, which is its own parent.
    Ends {
        /// Steps to the root.
        depth: usize,
        /// The root, as an index.
        root: usize,
    },
    /// The line is a loop.
    Loops,
}

/// Computes the lineage of each anon_vma of `graph`, in time proportional to their number.
///
/// # Errors
///
/// [`ENOMEM`].
pub(super) fn lineages(graph: &Graph) -> Result<KVVec<Lineage>> {
    let mut lineages =
        KVVec::from_elem(Lineage::Unknown, graph.anon_vmas.len(), GFP_KERNEL_ACCOUNT)?;
    let mut path: KVVec<usize> = KVVec::new();
    for start in resched_each(0..graph.anon_vmas.len()) {
        let mut at = start;
        let mut end = loop {
            let (Some(lineage), Some(node)) = (lineages.get_mut(at), graph.anon_vmas.get(at))
            else {
                break Lineage::Loops;
            };
            match *lineage {
                Lineage::Unknown if node.parent == at => {
                    *lineage = Lineage::Ends { depth: 0, root: at };
                }
                Lineage::Unknown => {
                    *lineage = Lineage::Open;
                    path.push(at, GFP_KERNEL_ACCOUNT)?;
                    at = node.parent;
                }
                Lineage::Open => break Lineage::Loops,
                known => break known,
            }
        };
        while let Some(at) = path.pop() {
            if let Lineage::Ends { depth, .. } = &mut end {
                *depth += 1;
            }
            if let Some(lineage) = lineages.get_mut(at) {
                *lineage = end;
            }
        }
    }
    Ok(lineages)
}

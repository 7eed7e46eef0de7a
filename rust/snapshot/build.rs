// SPDX-License-Identifier: GPL-2.0

//! Builds a [`Graph`] from keys, in which order they may come.

use super::{
    AnonVmaNode,
    Graph,
    MmNode,
    PageNode,
    Source,
    VmaNode, //
};
use crate::kernel_ext::sort::sort_by_key;
use kernel::{
    prelude::*,
    rbtree::RBTree, //
};

/// What its owner knows of an anon_vma; all others are named by their keys.
pub(crate) struct AnonVmaFacts {
    pub(crate) root: usize,
    pub(crate) parent: usize,
    pub(crate) refcount: i64,
    pub(crate) num_children: usize,
    pub(crate) num_active_vmas: usize,
}

/// A [`Graph`] in the making.
pub(crate) struct Builder {
    graph: Graph,
    vmas: RBTree<usize, usize>,
    anon_vmas: RBTree<usize, usize>,
    /// Root and parent of each anon_vma, by key.
    families: KVVec<(usize, usize)>,
    pages: RBTree<usize, usize>,
}

impl Builder {
    /// An empty one.
    pub(crate) fn new(source: Source) -> Self {
        Self {
            graph: Graph::new(source),
            vmas: RBTree::new(),
            anon_vmas: RBTree::new(),
            families: KVVec::new(),
            pages: RBTree::new(),
        }
    }

    /// Adds an address space; its index.
    pub(crate) fn mm(&mut self, mm: MmNode) -> Result<usize> {
        self.graph.mms.push(mm, GFP_KERNEL)?;
        Ok(self.graph.mms.len() - 1)
    }

    /// Adds a VMA, without its chain.
    pub(crate) fn vma(&mut self, key: usize, vma: VmaNode) -> Result<usize> {
        let index = self.graph.vmas.len();
        self.vmas.try_create_and_insert(key, index, GFP_KERNEL)?;
        self.graph.vmas.push(vma, GFP_KERNEL)?;
        Ok(index)
    }

    /// Whether the anon_vma is known.
    pub(crate) fn knows(&self, key: usize) -> bool {
        self.anon_vmas.get(&key).is_some()
    }

    /// Adds an anon_vma, without the VMAs in its tree; all VMAs have been added.
    pub(crate) fn anon_vma(&mut self, key: usize, facts: AnonVmaFacts) -> Result {
        let index = self.graph.anon_vmas.len();
        self.anon_vmas
            .try_create_and_insert(key, index, GFP_KERNEL)?;
        self.families.push((facts.root, facts.parent), GFP_KERNEL)?;
        self.graph.anon_vmas.push(
            AnonVmaNode {
                root: index,
                parent: index,
                refcount: facts.refcount,
                num_children: facts.num_children,
                num_active_vmas: facts.num_active_vmas,
                vmas: KVVec::new(),
                foreign: 0,
            },
            GFP_KERNEL,
        )?;
        Ok(())
    }

    /// A VMA found in the tree of a known anon_vma.
    pub(crate) fn tree_entry(&mut self, anon_vma: usize, vma: usize) -> Result {
        let vma = self.vmas.get(&vma).copied();
        let Some(node) = self
            .anon_vmas
            .get(&anon_vma)
            .and_then(|&index| self.graph.anon_vmas.get_mut(index))
        else {
            return Err(EINVAL);
        };
        match vma {
            Some(vma) => node.vmas.push(vma, GFP_KERNEL)?,
            None => node.foreign += 1,
        }
        Ok(())
    }

    /// A known anon_vma found on the chain of the VMA with index `vma`.
    pub(crate) fn chain_entry(&mut self, vma: usize, anon_vma: usize) -> Result {
        let &anon_vma = self.anon_vmas.get(&anon_vma).ok_or(EINVAL)?;
        let vma = self.graph.vmas.get_mut(vma).ok_or(EINVAL)?;
        vma.chain.push(anon_vma, GFP_KERNEL)?;
        Ok(())
    }

    /// The `->anon_vma` of the VMA with index `vma`.
    pub(crate) fn active(&mut self, vma: usize, anon_vma: usize) {
        let index = self.anon_vmas.get(&anon_vma).copied();
        if let Some(vma) = self.graph.vmas.get_mut(vma) {
            vma.anon_vma = index;
        }
    }

    /// A page that the VMA with index `vma` maps; the first time that the page's key is seen, its
    /// anon_vma's key, its index and its mapcount are taken.
    pub(crate) fn mapped(
        &mut self,
        vma: usize,
        key: usize,
        anon_vma: usize,
        index: usize,
        mapcount: i64,
    ) -> Result {
        let page = match self.pages.get(&key) {
            Some(&page) => page,
            None => {
                let page = self.graph.pages.len();
                self.pages.try_create_and_insert(key, page, GFP_KERNEL)?;
                self.graph.pages.push(
                    PageNode {
                        key,
                        anon_vma: self.anon_vmas.get(&anon_vma).copied(),
                        index,
                        mapcount,
                        mapped_by: KVVec::new(),
                        found_by: KVVec::new(),
                    },
                    GFP_KERNEL,
                )?;
                page
            }
        };
        if let Some(page) = self.graph.pages.get_mut(page) {
            page.mapped_by.push(vma, GFP_KERNEL)?;
        }
        Ok(())
    }

    /// What a walk for `page` found, by the keys of the VMAs; the page is one that was given to
    /// [`mapped`](Self::mapped).
    pub(crate) fn found(&mut self, page: usize, vma: usize) -> Result {
        let (Some(&page), Some(&vma)) = (self.pages.get(&page), self.vmas.get(&vma)) else {
            return Err(EINVAL);
        };
        if let Some(page) = self.graph.pages.get_mut(page) {
            page.found_by.push(vma, GFP_KERNEL)?;
        }
        Ok(())
    }

    /// The index of the VMA with this key.
    pub(crate) fn vma_index(&self, key: usize) -> Option<usize> {
        self.vmas.get(&key).copied()
    }

    /// Walks the tree of each page's anon_vma: `maps` tells whether the VMA with this index maps,
    /// at this offset, the page with this key.
    pub(crate) fn walk_all(&mut self, maps: impl Fn(usize, usize, usize) -> bool) -> Result {
        for page in self.graph.pages.iter_mut() {
            let Some(node) = page.anon_vma.and_then(|i| self.graph.anon_vmas.get(i)) else {
                continue;
            };
            for &vma in &node.vmas {
                // Trees are in order of where the VMAs start.
                if self
                    .graph
                    .vmas
                    .get(vma)
                    .is_some_and(|vma| vma.pgoff > page.index)
                {
                    break;
                }
                if maps(vma, page.index, page.key) {
                    page.found_by.push(vma, GFP_KERNEL)?;
                }
            }
        }
        Ok(())
    }

    /// How many pages there are so far.
    pub(crate) fn pages(&self) -> usize {
        self.graph.pages.len()
    }

    /// The graph: roots and parents are looked up, and lists of VMAs sorted.
    pub(crate) fn finish(mut self) -> Graph {
        for (i, (root, parent)) in self.families.iter().enumerate() {
            if let Some(node) = self.graph.anon_vmas.get_mut(i) {
                node.root = self.anon_vmas.get(root).copied().unwrap_or(i);
                node.parent = self.anon_vmas.get(parent).copied().unwrap_or(i);
            }
        }
        for page in self.graph.pages.iter_mut() {
            sort_by_key(&mut page.mapped_by, |&vma| vma);
            sort_by_key(&mut page.found_by, |&vma| vma);
        }
        self.graph
    }
}

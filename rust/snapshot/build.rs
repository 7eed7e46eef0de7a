// SPDX-License-Identifier: GPL-2.0

//! Builds a [`Graph`] from objects that are identified by keys.

use super::{
    indices::Indices,
    places::Places,
    reach::Reach,
    AnonVmaNode,
    Graph,
    MmNode,
    PageNode,
    Source,
    VmaNode, //
};
use crate::kernel_ext::{
    gfp::GFP_BOUNDED,
    sched::resched_each,
    sort::sort_by_key, //
};
use kernel::prelude::*;

/// The fields of an anon_vma; `root` and `parent` are keys.
pub(crate) struct AnonVmaFacts {
    pub(crate) root: usize,
    pub(crate) parent: usize,
    pub(crate) refcount: i64,
    pub(crate) num_children: usize,
    pub(crate) num_active_vmas: usize,
}

/// Builds a [`Graph`].
pub(crate) struct Builder {
    graph: Graph,
    /// The index of each VMA, by key.
    vmas: Places,
    /// The index of each anon_vma, by key.
    anon_vmas: Places,
    /// The keys of root and parent of each anon_vma.
    families: KVVec<(usize, usize)>,
    /// The index of each page, by key.
    pages: Places,
}

impl Builder {
    /// Creates a builder of an empty graph.
    pub(crate) fn new(source: Source) -> Self {
        Self {
            graph: Graph::new(source),
            vmas: Places::new(),
            anon_vmas: Places::new(),
            families: KVVec::new(),
            pages: Places::new(),
        }
    }

    /// Adds an address space, and returns its index.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(crate) fn mm(&mut self, mm: MmNode) -> Result<usize> {
        self.graph.mms.push(mm, GFP_BOUNDED)?;
        Ok(self.graph.mms.len() - 1)
    }

    /// Adds a VMA without its chain, and returns its index.
    ///
    /// VMAs must be added in order of their address spaces, and of their addresses.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`]; [`EINVAL`] if the previous VMA belongs to a later address space.
    pub(crate) fn vma(&mut self, key: usize, vma: VmaNode) -> Result<usize> {
        if self.graph.vmas.last().is_some_and(|last| last.mm > vma.mm) {
            return Err(EINVAL);
        }
        let index = self.graph.vmas.len();
        self.vmas.insert(key, index)?;
        self.graph.vmas.push(vma, GFP_BOUNDED)?;
        Ok(index)
    }

    /// Returns whether the anon_vma with this key has been added.
    pub(crate) fn knows(&self, key: usize) -> bool {
        self.anon_vmas.get(key).is_some()
    }

    /// Adds an anon_vma without the VMAs in its tree. All VMAs must have been added before.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(crate) fn anon_vma(&mut self, key: usize, facts: AnonVmaFacts) -> Result {
        let index = self.graph.anon_vmas.len();
        self.anon_vmas.insert(key, index)?;
        self.families
            .push((facts.root, facts.parent), GFP_BOUNDED)?;
        self.graph.anon_vmas.push(
            AnonVmaNode {
                root: index,
                parent: index,
                outside: 0,
                refcount: facts.refcount,
                num_children: facts.num_children,
                num_active_vmas: facts.num_active_vmas,
                misplaced: 0,
                vmas: Indices::new(),
                foreign: 0,
                pins: None,
            },
            GFP_BOUNDED,
        )?;
        Ok(())
    }

    /// Notes how many entries of the tree of an anon_vma, given by key, are misplaced.
    pub(crate) fn misplaced(&mut self, anon_vma: usize, entries: usize) {
        let index = self.anon_vmas.get(anon_vma);
        if let Some(node) = index.and_then(|index| self.graph.anon_vmas.get_mut(index)) {
            node.misplaced = entries;
        }
    }

    /// Adds an entry to the tree of an anon_vma, both given by key. A VMA without an index counts
    /// as foreign.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`]; [`EINVAL`] if the anon_vma has not been added.
    pub(crate) fn tree_entry(&mut self, anon_vma: usize, vma: usize) -> Result {
        let vma = self.vmas.get(vma);
        let Some(node) = self
            .anon_vmas
            .get(anon_vma)
            .and_then(|index| self.graph.anon_vmas.get_mut(index))
        else {
            return Err(EINVAL);
        };
        match vma {
            Some(vma) => node.vmas.push(vma, GFP_BOUNDED)?,
            None => node.foreign += 1,
        }
        Ok(())
    }

    /// Adds an anon_vma, given by key, to the chain of the VMA with index `vma`.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`]; [`EINVAL`] if one of the two has not been added.
    pub(crate) fn chain_entry(&mut self, vma: usize, anon_vma: usize) -> Result {
        let anon_vma = self.anon_vmas.get(anon_vma).ok_or(EINVAL)?;
        let vma = self.graph.vmas.get_mut(vma).ok_or(EINVAL)?;
        vma.chain.push(anon_vma, GFP_BOUNDED)?;
        Ok(())
    }

    /// Sets the `->anon_vma` of the VMA with index `vma` to the anon_vma with this key.
    pub(crate) fn active(&mut self, vma: usize, anon_vma: usize) {
        let index = self.anon_vmas.get(anon_vma);
        if let Some(vma) = self.graph.vmas.get_mut(vma) {
            vma.anon_vma = index;
        }
    }

    /// Adds a page with this key that the VMA with index `vma` maps. If the page was added before,
    /// its `anon_vma` (a key), `index` and `mapcount` keep their values.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(crate) fn mapped(
        &mut self,
        vma: usize,
        key: usize,
        anon_vma: usize,
        index: usize,
        mapcount: i64,
    ) -> Result {
        let page = match self.pages.get(key) {
            Some(page) => page,
            None => {
                let page = self.graph.pages.len();
                self.pages.insert(key, page)?;
                self.graph.pages.push(
                    PageNode {
                        key,
                        anon_vma: self.anon_vmas.get(anon_vma),
                        index,
                        mapcount,
                        mapped_by: Indices::new(),
                        found_by: Indices::new(),
                    },
                    GFP_BOUNDED,
                )?;
                page
            }
        };
        if let Some(page) = self.graph.pages.get_mut(page) {
            page.mapped_by.push(vma, GFP_BOUNDED)?;
        }
        Ok(())
    }

    /// Adds a VMA that a walk has found for a page, both given by key.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`]; [`EINVAL`] if one of the two has not been added.
    pub(crate) fn found(&mut self, page: usize, vma: usize) -> Result {
        let (Some(page), Some(vma)) = (self.pages.get(page), self.vmas.get(vma)) else {
            return Err(EINVAL);
        };
        if let Some(page) = self.graph.pages.get_mut(page) {
            page.found_by.push(vma, GFP_BOUNDED)?;
        }
        Ok(())
    }

    /// Returns the index of the VMA with this key.
    pub(crate) fn vma_index(&self, key: usize) -> Option<usize> {
        self.vmas.get(key)
    }

    /// Walks the tree of each page's anon_vma, in the graph. `maps` returns whether the VMA with
    /// this index maps, at this page offset, the page with this key.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(crate) fn walk_all(&mut self, maps: impl Fn(usize, usize, usize) -> bool) -> Result {
        let mut reaches = KVVec::with_capacity(self.graph.anon_vmas.len(), GFP_BOUNDED)?;
        for node in resched_each(&self.graph.anon_vmas) {
            reaches.push(Reach::new(&node.vmas, &self.graph.vmas)?, GFP_BOUNDED)?;
        }
        for page in resched_each(self.graph.pages.iter_mut()) {
            let Some(anon_vma) = page.anon_vma else {
                continue;
            };
            let (Some(node), Some(reach)) =
                (self.graph.anon_vmas.get(anon_vma), reaches.get(anon_vma))
            else {
                continue;
            };
            reach.for_each_at(page.index, |place| match node.vmas.get(place) {
                Some(&vma) if maps(vma, page.index, page.key) => {
                    Ok(page.found_by.push(vma, GFP_BOUNDED)?)
                }
                _ => Ok(()),
            })?;
        }
        Ok(())
    }

    /// Returns the number of pages so far.
    pub(crate) fn pages(&self) -> usize {
        self.graph.pages.len()
    }

    /// Counts the references of each anon_vma that nothing in the graph explains.
    fn count_pins(&mut self) {
        let nodes = &mut self.graph.anon_vmas;
        for node in resched_each(nodes.iter_mut()) {
            let linked = !node.vmas.is_empty() || node.foreign > 0;
            node.pins = Some(node.refcount - i64::from(linked));
        }
        for i in resched_each(0..nodes.len()) {
            let Some((root, foreign)) = nodes.get(i).map(|node| (node.root, node.foreign)) else {
                continue;
            };
            if let Some(node) = nodes.get_mut(root) {
                let member = i64::from(root != i);
                node.pins = node.pins.filter(|_| foreign == 0).map(|pins| pins - member);
            }
        }
        for i in resched_each(0..nodes.len()) {
            let root = nodes.get(i).and_then(|node| nodes.get(node.root));
            let is_whole = root.is_some_and(|root| root.pins.is_some());
            if let Some(node) = nodes.get_mut(i) {
                node.pins = node.pins.filter(|_| is_whole);
            }
        }
    }

    /// Looks up roots and parents, sorts the lists of VMAs, and returns the graph.
    pub(crate) fn finish(mut self) -> Graph {
        for (i, &(root, parent)) in resched_each(&self.families).enumerate() {
            if let Some(node) = self.graph.anon_vmas.get_mut(i) {
                let found = [root, parent].map(|key| self.anon_vmas.get(key));
                [node.root, node.parent] = found.map(|index| index.unwrap_or(i));
                node.outside = found.iter().filter(|index| index.is_none()).count();
            }
        }
        self.count_pins();
        for page in resched_each(self.graph.pages.iter_mut()) {
            sort_by_key(&mut page.mapped_by, |&vma| vma);
            sort_by_key(&mut page.found_by, |&vma| vma);
        }
        self.graph
    }
}

#[cfg(shadow_rmap_kunit)]
#[kunit_tests(shadow_rmap_build)]
mod tests {
    use super::*;

    /// The printers need the VMAs in order of their address spaces.
    #[test]
    fn vmas_come_by_address_space() -> Result {
        let mut builder = two_mms()?;
        let first = builder.vma(1, vma(0))?;
        let second = builder.vma(2, vma(1))?;
        let refused = builder.vma(3, vma(0)).err();
        let third = builder.vma(3, vma(1))?;

        assert!((first, second, third) == (0, 1, 2));
        assert!(refused == Some(EINVAL));
        Ok(())
    }

    /// A parent that is not in the graph is counted, and shown as the anon_vma itself.
    #[test]
    fn a_parent_outside_is_counted() -> Result {
        let mut builder = two_mms()?;
        let facts = AnonVmaFacts {
            root: 7,
            parent: 9,
            refcount: 1,
            num_children: 0,
            num_active_vmas: 0,
        };
        builder.anon_vma(7, facts)?;
        let graph = builder.finish();

        let node = graph.anon_vmas.first().ok_or(EINVAL)?;
        assert!((node.root, node.parent, node.outside) == (0, 0, 1));
        Ok(())
    }

    /// Roots and parents may be added after their children; an entry without a VMA is foreign.
    #[test]
    fn keys_become_indices() -> Result {
        let mut builder = two_mms()?;
        let index = builder.vma(11, vma(0))?;
        for (key, parent) in [(7, 8), (8, 8)] {
            let facts = AnonVmaFacts {
                root: 8,
                parent,
                refcount: 1,
                num_children: 0,
                num_active_vmas: 0,
            };
            builder.anon_vma(key, facts)?;
        }
        builder.chain_entry(index, 7)?;
        builder.active(index, 7);
        builder.tree_entry(7, 11)?;
        builder.tree_entry(7, 12)?;
        builder.mapped(index, 0xb000, 7, 3, 1)?;
        let unknown = [
            builder.chain_entry(index, 9).err(),
            builder.tree_entry(9, 11).err(),
            builder.found(0xb001, 11).err(),
        ];
        builder.walk_all(|vma, index, key| (vma, index, key) == (0, 3, 0xb000))?;
        let graph = builder.finish();

        assert!(unknown == [Some(EINVAL); 3]);
        let node = graph.anon_vmas.first().ok_or(EINVAL)?;
        assert!((node.root, node.parent, node.foreign) == (1, 1, 1));
        assert!(node.outside == 0);
        assert!(node.pins.is_none());
        assert!(*node.vmas == [0]);
        let vma = graph.vmas.first().ok_or(EINVAL)?;
        assert!(vma.anon_vma == Some(0) && *vma.chain == [0]);
        let page = graph.pages.first().ok_or(EINVAL)?;
        assert!(page.anon_vma == Some(0) && *page.found_by == [0]);
        Ok(())
    }

    /// References that neither a link nor a member of the family needs.
    #[test]
    fn pins() -> Result {
        // The root has a link and a child; one more reference is held on each.
        let pins = |root, child| -> Result<_> {
            let mut builder = two_mms()?;
            builder.vma(11, vma(0))?;
            for (key, refcount) in [(8, root), (7, child)] {
                let facts = AnonVmaFacts {
                    root: 8,
                    parent: 8,
                    refcount,
                    num_children: 0,
                    num_active_vmas: 0,
                };
                builder.anon_vma(key, facts)?;
                builder.tree_entry(key, 11)?;
            }
            let graph = builder.finish();
            let pins = |i: usize| graph.anon_vmas.get(i).and_then(|node| node.pins);
            Ok((pins(0), pins(1)))
        };
        assert!(pins(2, 1)? == (Some(0), Some(0)));
        assert!(pins(3, 3)? == (Some(1), Some(2)));
        assert!(pins(1, 1)? == (Some(-1), Some(0)));
        Ok(())
    }

    fn two_mms() -> Result<Builder> {
        let mut builder = Builder::new(Source::Shadow);
        for id in 1..=2 {
            builder.mm(MmNode {
                id,
                pid: 0,
                comm: [0; 16],
            })?;
        }
        Ok(builder)
    }

    fn vma(mm: usize) -> VmaNode {
        VmaNode::new(0, mm, 0..0x4000, 0)
    }
}

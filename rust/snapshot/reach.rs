// SPDX-License-Identifier: GPL-2.0

//! Which entries of an anon_vma's tree contain a page offset.

use super::VmaNode;
use crate::kernel_ext::{
    gfp::GFP_BOUNDED,
    largest::Largest,
    sched::resched_each, //
};
use kernel::{
    page::PAGE_SHIFT,
    prelude::*, //
};

/// The entries of a tree, in its own order.
pub(super) struct Reach {
    /// The VMA's first page offset.
    firsts: KVVec<usize>,
    /// The page offset behind the VMA's last one.
    ends: Largest,
}

impl Reach {
    /// Reads the entries `tree`, which are indices of `vmas`.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(super) fn new(tree: &[usize], vmas: &[VmaNode]) -> Result<Self> {
        let range = |vma: &usize| {
            let vma = vmas.get(*vma);
            let first = vma.map_or(0, |vma| vma.pgoff);
            let pages = vma.map_or(0, |vma| vma.end.saturating_sub(vma.start) >> PAGE_SHIFT);
            (first, first.saturating_add(pages.max(1)))
        };
        let mut firsts = KVVec::with_capacity(tree.len(), GFP_BOUNDED)?;
        for vma in resched_each(tree) {
            firsts.push(range(vma).0, GFP_BOUNDED)?;
        }
        let ends = Largest::new(tree.iter().map(|vma| range(vma).1))?;
        Ok(Self { firsts, ends })
    }

    /// Calls `f` with the place in the tree of each entry that contains the page offset `at`. The
    /// entries of a tree are in order of their first page offset: it finds no others.
    ///
    /// # Errors
    ///
    /// Those of `f`.
    pub(super) fn for_each_at(&self, at: usize, mut f: impl FnMut(usize) -> Result) -> Result {
        let behind = self.firsts.partition_point(|&first| first <= at);
        let mut next = self.ends.beyond(at, 0);
        while let Some(place) = next.filter(|&place| place < behind) {
            f(place)?;
            next = self.ends.beyond(at, place + 1);
        }
        Ok(())
    }
}

#[cfg(shadow_rmap_kunit)]
#[kunit_tests(shadow_rmap_reach)]
mod tests {
    use super::*;

    /// VMAs with these first page offsets and lengths, which are in the tree in this order.
    fn vmas(ranges: &[(usize, usize)]) -> Result<(KVVec<usize>, KVVec<VmaNode>)> {
        let (mut tree, mut vmas) = (KVVec::new(), KVVec::new());
        for &(pgoff, pages) in ranges {
            tree.push(vmas.len(), GFP_KERNEL)?;
            let vma = VmaNode::new(1, 0, 0..pages << PAGE_SHIFT, pgoff);
            vmas.push(vma, GFP_KERNEL)?;
        }
        Ok((tree, vmas))
    }

    /// Each entry that contains an offset is found, whatever other entries are in between.
    #[test]
    fn finds_all_that_contain_an_offset() -> Result {
        let (tree, vmas) = vmas(&[(0, 8), (1, 2), (2, 1), (4, 4), (9, 1)])?;
        let reach = Reach::new(&tree, &vmas)?;
        let mut found = [0_u8; 10];
        for (at, found) in found.iter_mut().enumerate() {
            reach.for_each_at(at, |place| {
                let vma = vmas.get(place).ok_or(EINVAL)?;
                let last = vma.pgoff + (vma.end >> PAGE_SHIFT);
                if (vma.pgoff..last).contains(&at) {
                    *found |= 1 << place;
                }
                Ok(())
            })?;
        }

        assert!(found == [1, 3, 7, 1, 9, 9, 9, 9, 0, 16]);
        Ok(())
    }

    /// The cost of a look does not depend on the number of entries that lie elsewhere.
    #[test]
    fn looks_at_few_of_many() -> Result {
        let mut ranges = KVVec::new();
        for i in 0..1000 {
            ranges.push((i, 1), GFP_KERNEL)?;
        }
        assert!(looks(&ranges)? == 1000);
        Ok(())
    }

    /// Nor does it where the first entry contains all others.
    #[test]
    fn looks_at_few_behind_a_large_one() -> Result {
        let mut ranges = KVVec::new();
        ranges.push((0, 1000), GFP_KERNEL)?;
        for i in 0..1000 {
            ranges.push((i, 1), GFP_KERNEL)?;
        }
        assert!(looks(&ranges)? == 2000);
        Ok(())
    }

    /// Returns the number of entries that looks at 1000 offsets find.
    fn looks(ranges: &[(usize, usize)]) -> Result<usize> {
        let (tree, vmas) = vmas(ranges)?;
        let reach = Reach::new(&tree, &vmas)?;
        let mut looks = 0;
        for at in 0..1000 {
            reach.for_each_at(at, |_| {
                looks += 1;
                Ok(())
            })?;
        }
        Ok(looks)
    }
}

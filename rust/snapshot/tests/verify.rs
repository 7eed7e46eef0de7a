// SPDX-License-Identifier: GPL-2.0

//! KUnit suite of [`verify`](crate::snapshot::verify): links, families and trees.

use kernel::prelude::*;

#[kunit_tests(shadow_rmap_verify)]
mod suite {
    use super::super::{
        broken::{
            broken,
            broken_in,
            seen, //
        },
        *, //
    };
    use crate::snapshot::{
        lineage::{
            lineages,
            Lineage, //
        },
        sample,
        Source, //
    };

    #[test]
    fn a_right_graph_is_silent() -> Result {
        for source in [Source::Shadow, Source::Host] {
            assert!(sample::is(&seen(&Graph::new(source))?, "0\n"));
            assert!(sample::is(&seen(&sample::single(source)?)?, "0\n"));
            assert!(sample::is(&seen(&sample::generations(source)?)?, "0\n"));
            assert!(sample::is(&seen(&sample::reuse(source)?)?, "0\n"));
            assert!(sample::is(&seen(&sample::siblings(source, true)?)?, "0\n"));
        }
        Ok(())
    }

    #[test]
    fn a_large_family_is_silent() -> Result {
        let mut graph = Graph::new(Source::Shadow);
        sample::mm(&mut graph, 41, b"main")?;
        let all: KVVec<usize> = (0..2000).try_fold(KVVec::new(), |mut all, vma| {
            all.push(vma, GFP_KERNEL).map(|()| all)
        })?;
        for _ in 0..all.len() {
            sample::vma(&mut graph, 0, Some(0), &[0])?;
        }
        sample::anon_vma(&mut graph, 0, 0, (1, 1, all.len()), &all)?;
        sample::page(&mut graph, Some(0), 0, &all)?;
        assert!(sample::is(&seen(&graph)?, "0\n"));
        Ok(())
    }

    #[test]
    fn a_deep_family_is_silent() -> Result {
        const DEPTH: usize = 118;
        let mut graph = Graph::new(Source::Shadow);
        let all: KVVec<usize> = (0..DEPTH).try_fold(KVVec::new(), |mut all, vma| {
            all.push(vma, GFP_KERNEL).map(|()| all)
        })?;
        for at in 0..DEPTH {
            sample::mm(&mut graph, 41, b"main")?;
            let chain = all.get(..at + 1).ok_or(EINVAL)?;
            sample::vma(&mut graph, at, Some(at), chain)?;
            let members = if at == 0 { DEPTH as i64 } else { 1 };
            let children = usize::from(at == 0) + usize::from(at + 1 < DEPTH);
            let vmas = all.get(at..).ok_or(EINVAL)?;
            let parent = at.saturating_sub(1);
            sample::anon_vma(&mut graph, 0, parent, (members, children, 1), vmas)?;
        }
        assert!(graph.links() > 7000);
        assert!(sample::is(&seen(&graph)?, "0\n"));
        Ok(())
    }

    #[test]
    fn links_both_ways() -> Result {
        // The child's VMA is missing in the root's tree; the grandchild's tree has a VMA whose
        // chain does not link it.
        assert!(broken(
            |graph| {
                graph.anon_vmas.get_mut(0)?.vmas.remove(1).ok()?;
                graph.anon_vmas.get_mut(2)?.vmas.push(0, GFP_KERNEL).ok()
            },
            "R21 vma 12: it is not in the tree of anon_vma 1 of its chain\n\
             structure anon_vma 3: vma 11 is in its tree, but does not link to it\n\
             2\n",
        )?);
        Ok(())
    }

    #[test]
    fn links_only_once() -> Result {
        assert!(broken(
            |graph| {
                graph.vmas.get_mut(0)?.chain.push(0, GFP_KERNEL).ok()?;
                graph.anon_vmas.get_mut(2)?.vmas.push(3, GFP_KERNEL).ok()
            },
            "structure vma 11: its chain links anon_vma 1 more than once\n\
             structure anon_vma 3: vma 14 is in its tree more than once\n\
             2\n",
        )?);
        Ok(())
    }

    #[test]
    fn a_link_that_fork_forgot() -> Result {
        // The child is not linked to its parent's anon_vma, so its pages are not found.
        assert!(broken(
            |graph| {
                graph.vmas.get_mut(1)?.chain.remove(1).ok()?;
                graph.anon_vmas.get_mut(0)?.vmas.remove(1).ok()?;
                graph.pages.get_mut(0)?.found_by.remove(1).ok()?;
                Some(())
            },
            "R23 vma 12: its chain links anon_vma 2, but not the parent of that, anon_vma 1\n\
             R21 page 1: vma 12 maps it, but does not link to its anon_vma 1\n\
             R21 page 1: vma 12 maps it, but a walk from anon_vma 1 does not find that\n\
             3\n",
        )?);
        Ok(())
    }

    #[test]
    fn foreign_entries() -> Result {
        let change = |graph: &mut Graph| {
            let root = graph.anon_vmas.get_mut(0)?;
            (root.foreign, root.num_active_vmas) = (2, 3);
            (root.num_children, root.refcount) = (4, 5);
            graph.pages.get_mut(0)?.mapcount = 5;
            Some(())
        };
        // In the host's graph, foreign entries belong to other processes.
        assert!(broken(
            change,
            "R33 anon_vma 1: 2 in its tree are VMAs that no longer exist\n1\n",
        )?);
        assert!(broken_in(
            sample::generations(Source::Host)?,
            change,
            "0\n"
        )?);
        // But they explain only larger counts, and not by any amount.
        assert!(broken_in(
            sample::generations(Source::Host)?,
            |graph| {
                change(graph)?;
                let root = graph.anon_vmas.get_mut(0)?;
                (root.num_active_vmas, root.num_children, root.refcount) = (4, 1, 2);
                Some(())
            },
            "R24 anon_vma 1: num_active_vmas is 4, VMAs whose anon_vma it is: 1\n\
             R24 anon_vma 1: num_children is 1, linked anon_vmas whose parent it is: 2\n\
             R16 anon_vma 1: refcount is 2, its links and those whose root it is make 3\n\
             3\n",
        )?);
        Ok(())
    }

    #[test]
    fn anon_vma_and_chain() -> Result {
        // The pointer was not reset; the chain has no pointer.
        assert!(broken(
            |graph| {
                graph.vmas.get_mut(2)?.anon_vma = Some(2);
                graph.anon_vmas.get_mut(2)?.num_active_vmas = 1;
                graph.vmas.get_mut(3)?.anon_vma = None;
                Some(())
            },
            "R33 vma 13: it has anon_vma 3, but no chain\n\
             structure vma 14: it has no anon_vma, but its chain links 3\n\
             2\n",
        )?);
        assert!(broken(
            |graph| {
                graph.vmas.get_mut(0)?.anon_vma = Some(1);
                graph.anon_vmas.get_mut(0)?.num_active_vmas = 0;
                graph.anon_vmas.get_mut(1)?.num_active_vmas = 2;
                Some(())
            },
            "structure vma 11: its anon_vma 2 is not in its chain of 1\n\
             R24 vma 11 and vma 12: both have anon_vma 2, in different address spaces\n\
             R26 vma 11 and vma 12: both have anon_vma 2, but different chains\n\
             3\n",
        )?);
        Ok(())
    }

    #[test]
    fn order_of_a_tree() -> Result {
        let change = |graph: &mut Graph| {
            graph.vmas.get_mut(1)?.tree_offset = 1;
            Some(())
        };
        assert!(broken(
            change,
            "R32 anon_vma 1: vma 12 is in its tree before vma 14, which has a lower offset\n\
             R32 anon_vma 2: vma 12 is in its tree before vma 14, which has a lower offset\n\
             2\n",
        )?);
        assert!(broken_in(
            sample::generations(Source::Host)?,
            change,
            "0\n"
        )?);
        Ok(())
    }

    #[test]
    fn sharing() -> Result {
        // The halves of a split VMA must have the same chain.
        assert!(broken_in(
            sample::reuse(Source::Shadow)?,
            |graph| {
                graph.vmas.get_mut(3)?.chain.remove(0).ok()?;
                graph.anon_vmas.get_mut(2)?.vmas.pop()?;
                Some(())
            },
            "R26 vma 13 and vma 14: both have anon_vma 2, but different chains\n1\n",
        )?);
        // A fork reuses an anon_vma that is in use.
        assert!(broken_in(
            sample::reuse(Source::Shadow)?,
            |graph| {
                graph.vmas.get_mut(4)?.anon_vma = Some(2);
                graph.vmas.get_mut(4)?.chain.remove(0).ok()?;
                graph.anon_vmas.pop()?;
                graph.pages.pop()?;
                graph.anon_vmas.get_mut(0)?.refcount = 3;
                graph.anon_vmas.get_mut(1)?.num_children = 1;
                graph.anon_vmas.get_mut(2)?.num_active_vmas = 2;
                Some(())
            },
            "R24 vma 12 and vma 15: both have anon_vma 3, in different address spaces\n1\n",
        )?);
        Ok(())
    }

    #[test]
    fn different_roots() -> Result {
        assert!(broken_in(
            sample::single(Source::Shadow)?,
            |graph| {
                sample::anon_vma(graph, 1, 1, (1, 1, 0), &[0]).ok()?;
                graph.vmas.get_mut(0)?.chain.push(1, GFP_KERNEL).ok()
            },
            "R15 vma 11: anon_vma 1 and anon_vma 2 of its chain have different roots\n1\n",
        )?);
        Ok(())
    }

    #[test]
    fn roots_and_parents() -> Result {
        assert!(broken(
            |graph| {
                graph.anon_vmas.get_mut(2)?.root = 1;
                graph.anon_vmas.get_mut(0)?.refcount = 2;
                graph.anon_vmas.get_mut(1)?.refcount = 2;
                Some(())
            },
            "R15 vma 14: anon_vma 2 and anon_vma 3 of its chain have different roots\n\
             R14 anon_vma 3: its root, anon_vma 2, has a root itself, anon_vma 1\n\
             R14 anon_vma 3: its root is anon_vma 2, but its parents end at anon_vma 1\n\
             3\n",
        )?);
        assert!(broken(
            |graph| {
                graph.anon_vmas.get_mut(1)?.parent = 2;
                graph.anon_vmas.get_mut(0)?.num_children = 1;
                graph.anon_vmas.get_mut(2)?.num_children = 1;
                Some(())
            },
            "R23 vma 12: its chain links anon_vma 2, but not the parent of that, anon_vma 3\n\
             R14 anon_vma 2: its parents go round in a circle\n\
             R14 anon_vma 3: its parents go round in a circle\n\
             3\n",
        )?);
        Ok(())
    }

    #[test]
    fn lineages_of_all() -> Result {
        let graph = sample::generations(Source::Shadow)?;
        let expected = [0, 1, 2].map(|depth| Lineage::Ends { depth, root: 0 });
        assert!(lineages(&graph)?.as_slice() == expected);
        // The result does not depend on the order.
        let graph = sample::retaken(&graph, Source::Host, &[2, 1, 0])?;
        let expected = [2, 1, 0].map(|depth| Lineage::Ends { depth, root: 2 });
        assert!(lineages(&graph)?.as_slice() == expected);
        Ok(())
    }

    #[test]
    fn indices_out_of_range() -> Result {
        for change in [
            |graph: &mut Graph| graph.vmas.get_mut(0).map(|vma| vma.mm = 3),
            |graph: &mut Graph| graph.vmas.get_mut(0).map(|vma| vma.anon_vma = Some(3)),
            |graph: &mut Graph| graph.vmas.get_mut(3)?.chain.get_mut(2).map(|at| *at = 3),
            |graph: &mut Graph| graph.anon_vmas.get_mut(0).map(|node| node.root = 3),
            |graph: &mut Graph| graph.anon_vmas.get_mut(0).map(|node| node.parent = 3),
            |graph: &mut Graph| {
                graph
                    .anon_vmas
                    .get_mut(0)?
                    .vmas
                    .get_mut(2)
                    .map(|at| *at = 4)
            },
            |graph: &mut Graph| graph.pages.get_mut(0).map(|page| page.anon_vma = Some(3)),
            |graph: &mut Graph| {
                graph
                    .pages
                    .get_mut(0)?
                    .mapped_by
                    .get_mut(2)
                    .map(|at| *at = 4)
            },
            |graph: &mut Graph| {
                graph
                    .pages
                    .get_mut(0)?
                    .found_by
                    .get_mut(2)
                    .map(|at| *at = 4)
            },
        ] {
            let mut graph = sample::generations(Source::Shadow)?;
            change(&mut graph).ok_or(EINVAL)?;
            assert!(seen(&graph).is_err());
        }
        Ok(())
    }
}

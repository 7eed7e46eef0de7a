// SPDX-License-Identifier: GPL-2.0

//! KUnit suite of [`verify`](crate::snapshot::verify): counts of anon_vmas and pages.

use kernel::prelude::*;

#[kunit_tests(shadow_rmap_verify_numbers)]
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
        sample,
        Source, //
    };

    #[test]
    fn counters() -> Result {
        assert!(broken(
            |graph| {
                graph.anon_vmas.get_mut(0)?.num_active_vmas = 2;
                graph.anon_vmas.get_mut(0)?.num_children = 1;
                graph.anon_vmas.get_mut(1)?.num_children = 2;
                graph.anon_vmas.get_mut(2)?.num_active_vmas = 0;
                Some(())
            },
            "R24 anon_vma 1: num_active_vmas is 2, VMAs whose anon_vma it is: 1\n\
             R24 anon_vma 1: num_children is 1, linked anon_vmas whose parent it is: 2\n\
             R24 anon_vma 2: num_children is 2, linked anon_vmas whose parent it is: 1\n\
             R24 anon_vma 3: num_active_vmas is 0, VMAs whose anon_vma it is: 1\n\
             4\n",
        )?);
        Ok(())
    }

    #[test]
    fn references() -> Result {
        let change = |graph: &mut Graph| {
            graph.anon_vmas.get_mut(0)?.refcount = 2;
            graph.anon_vmas.get_mut(1)?.refcount = 2;
            graph.anon_vmas.get_mut(2)?.refcount = 0;
            Some(())
        };
        assert!(broken(
            change,
            "R16 anon_vma 1: refcount is 2, its links and those whose root it is make 3\n\
             R18 anon_vma 2: refcount is 2, its links and those whose root it is make 1\n\
             R18 anon_vma 3: refcount is 0, its links and those whose root it is make 1\n\
             3\n",
        )?);
        // In the host another thread may hold a pin.
        assert!(broken_in(
            sample::generations(Source::Host)?,
            change,
            "R16 anon_vma 1: refcount is 2, its links and those whose root it is make 3\n\
             R18 anon_vma 3: refcount is 0, its links and those whose root it is make 1\n\
             2\n",
        )?);
        Ok(())
    }

    #[test]
    fn an_empty_tree_is_no_child() -> Result {
        // The state between the two loops of unlink: only a reference keeps the anon_vma.
        let mut graph = sample::single(Source::Shadow)?;
        sample::anon_vma(&mut graph, 0, 0, (1, 0, 0), &[])?;
        assert!(sample::is(
            &seen(&graph)?,
            "R16 anon_vma 1: refcount is 1, its links and those whose root it is make 2\n\
             R18 anon_vma 2: refcount is 1, its links and those whose root it is make 0\n\
             2\n",
        ));
        // Without that reference it has been freed, but the graph still has it.
        for (index, refcount) in [(0, 2), (1, 0)] {
            graph.anon_vmas.get_mut(index).ok_or(EINVAL)?.refcount = refcount;
        }
        assert!(sample::is(
            &seen(&graph)?,
            "R18 anon_vma 2: refcount is 0, its links and those whose root it is make 0\n1\n",
        ));
        Ok(())
    }

    #[test]
    fn pages() -> Result {
        assert!(broken(
            |graph| {
                graph.pages.get_mut(0)?.found_by.remove(1).ok()?;
                let second = graph.pages.get_mut(1)?;
                second.found_by = sample::list(&[0, 1, 3]).ok()?;
                second.mapcount = 3;
                graph.pages.get_mut(2)?.mapcount = -1;
                graph.pages.get_mut(3)?.anon_vma = None;
                Some(())
            },
            "R21 page 1: vma 12 maps it, but a walk from anon_vma 1 does not find that\n\
             R35 page 2: a walk from anon_vma 2 finds vma 11, which does not map it\n\
             R3 page 2: mapcount is 3, PTEs that map it: 2\n\
             R3 page 3: mapcount is -1, PTEs that map it: 1\n\
             R21 page 4: 1 VMAs map it, but none links to its anon_vma\n\
             5\n",
        )?);
        Ok(())
    }

    #[test]
    fn pages_of_a_tainted_vma() -> Result {
        assert!(broken(
            |graph| {
                let vma = graph.vmas.get_mut(2)?;
                vma.tainted = true;
                let page = graph.pages.get_mut(3)?;
                page.mapped_by = sample::list(&[2]).ok()?;
                page.found_by.clear();
                Some(())
            },
            "0\n",
        )?);
        Ok(())
    }

    #[test]
    fn looks_are_counted_by_rule() -> Result {
        // Nothing is added to the counters of the rules.
        let counters = || {
            [Rule::R16, Rule::R21, Rule::R33].map(|rule| {
                let counts = rule.counts();
                (counts.steps, counts.checks, counts.violations)
            })
        };
        let before = counters();
        let mut graph = sample::generations(Source::Shadow)?;
        let looks = verify(&graph, &mut |_, _, _| ())?;
        // A look at each root; for each link, each VMA that maps a page, and each page; for each
        // VMA with an anon_vma and each tree.
        assert!(looks.at(Some(Rule::R16)) == 1);
        assert!(looks.at(Some(Rule::R21)) == 6 + 7 + 4);
        assert!(looks.at(Some(Rule::R33)) == 3 + 3);
        assert!(looks.at(Some(Rule::R1)) == 0);
        // One for each VMA, one for each link of a chain, two for each entry of a tree.
        assert!(looks.at(None) == 4 + 6 + 2 * 6);

        // A violation is a look as well.
        graph.anon_vmas.get_mut(0).ok_or(EINVAL)?.refcount = 0;
        let mut violations = 0;
        let looks = verify(&graph, &mut |_, rule, _| {
            violations += usize::from(rule == Some(Rule::R16));
        })?;
        assert!(looks.at(Some(Rule::R16)) == 1 && violations == 1);
        assert!(counters() == before);
        Ok(())
    }

    #[test]
    fn the_hosts_graph_has_fewer_looks() -> Result {
        // The order of a tree and foreign entries are the shadow's alone.
        let graph = sample::generations(Source::Host)?;
        let looks = verify(&graph, &mut |_, _, _| ())?;
        assert!(looks.at(Some(Rule::R32)) == 0);
        assert!(looks.at(Some(Rule::R33)) == 3);
        Ok(())
    }
}

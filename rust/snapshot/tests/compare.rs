// SPDX-License-Identifier: GPL-2.0

//! KUnit suite of [`compare`](crate::snapshot::compare): graphs that differ.

use kernel::prelude::*;

#[kunit_tests(shadow_rmap_compare)]
mod suite {
    use super::super::{
        compared::{
            differ,
            generations,
            only_different,
            seen, //
        },
        *, //
    };
    use crate::snapshot::{
        sample,
        Reused,
        Source, //
    };

    #[test]
    fn a_missing_link() -> Result {
        // The child was not linked to its parent's anon_vma.
        assert!(differ(
            |shadow| {
                shadow.vmas.get_mut(1)?.chain.remove(1).ok()?;
                shadow.anon_vmas.get_mut(0)?.vmas.remove(1).ok()?;
                shadow.pages.get_mut(0)?.found_by.remove(1).ok()?;
                Some(())
            },
            "\
vma 12 (pid 42 child) [0x10000, 0x14000): chain: host links 2 anon_vmas, shadow 1: the host's anon_vma 3 (root) is missing
anon_vma 1 (root), the host's 3: tree: host 3 VMAs, shadow 2: vma 12 is missing
page 1 (index 0): found by a walk: host 3 VMAs, shadow 2: vma 12 is missing
compare: vmas=4 anon_vmas=3 chains=5 pages=4 untracked=0 ambiguous=0 violations=0 differences=3
"
        )?);
        Ok(())
    }

    #[test]
    fn links_too_many() -> Result {
        assert!(differ(
            |shadow| {
                let vma = shadow.vmas.get_mut(0)?;
                vma.chain = sample::list(&[2, 1, 0]).ok()?;
                shadow.vmas.get_mut(1)?.chain.push(0, GFP_KERNEL).ok()
            },
            "\
vma 11 (pid 41 main) [0x10000, 0x14000): chain: host links 1 anon_vma, shadow 3: the shadow's anon_vma 2 (child of 1) is one too many, the shadow's anon_vma 3 (child of 2) is one too many
vma 12 (pid 42 child) [0x10000, 0x14000): chain: host links 2 anon_vmas, shadow 3
compare: vmas=4 anon_vmas=3 chains=9 pages=4 untracked=0 ambiguous=0 violations=0 differences=3
"
        )?);
        Ok(())
    }

    #[test]
    fn an_entry_that_a_search_does_not_find() -> Result {
        assert!(differ(
            |shadow| {
                shadow.anon_vmas.get_mut(0)?.misplaced = 2;
                Some(())
            },
            "\
anon_vma 1 (root), the host's 3: misplaced tree entries: host 0, shadow 2
compare: vmas=4 anon_vmas=3 chains=6 pages=4 untracked=0 ambiguous=0 violations=0 differences=1
"
        )?);
        Ok(())
    }

    #[test]
    fn another_active_anon_vma() -> Result {
        // The grandchild reused its grandparent's anon_vma and did not get its own.
        assert!(differ(
            |shadow| {
                shadow.anon_vmas.pop()?;
                shadow.anon_vmas.get_mut(0)?.refcount = 2;
                shadow.anon_vmas.get_mut(1)?.num_children = 0;
                shadow.anon_vmas.get_mut(0)?.num_active_vmas = 2;
                let vma = shadow.vmas.get_mut(3)?;
                vma.anon_vma = Some(0);
                vma.chain.remove(0).ok()?;
                shadow.pages.get_mut(2)?.anon_vma = None;
                Some(())
            },
            "\
vma 14 (pid 43 grand child) [0x10000, 0x14000): anon_vma: should be the host's anon_vma 1 (child of 2), which has no counterpart, is anon_vma 1; chain: host links 3 anon_vmas, shadow 2: the host's anon_vma 1 (child of 2) is missing
anon_vma 1 (root), the host's 3: num_active_vmas: host 1, shadow 2; refcount: host 3, shadow 2
anon_vma 2 (child of 1), the host's 2: num_children: host 1, shadow 0
the host's anon_vma 1 (child of 2): only the host has it
page 3 (index 2): anon_vma: should be the host's anon_vma 1 (child of 2), which has no counterpart, is none
compare: vmas=4 anon_vmas=2 chains=5 pages=4 untracked=0 ambiguous=0 violations=0 differences=7
"
        )?);
        Ok(())
    }

    #[test]
    fn no_active_anon_vma() -> Result {
        assert!(differ(
            |shadow| {
                shadow.vmas.get_mut(3)?.anon_vma = None;
                shadow.vmas.get_mut(2)?.anon_vma = Some(2);
                Some(())
            },
            "\
vma 13 (pid 42 child) [0x20000, 0x21000): anon_vma: should be none, is anon_vma 3
vma 14 (pid 43 grand child) [0x10000, 0x14000): anon_vma: should be anon_vma 3 (the host's 1), is none
compare: vmas=4 anon_vmas=3 chains=6 pages=4 untracked=0 ambiguous=0 violations=0 differences=2
"
        )?);
        Ok(())
    }

    #[test]
    fn a_merge_against_the_rules() -> Result {
        assert!(differ(
            |shadow| {
                shadow.vmas.get_mut(0)?.wrongly_merged = 17;
                Some(())
            },
            "\
vma 11 (pid 41 main) [0x10000, 0x14000): merge (R26): the host has merged vma 17 into it, against the rules
compare: vmas=4 anon_vmas=3 chains=6 pages=4 untracked=0 ambiguous=0 violations=0 differences=1
"
        )?);
        Ok(())
    }

    #[test]
    fn ranges() -> Result {
        assert!(differ(
            |shadow| {
                let vma = shadow.vmas.get_mut(2)?;
                (vma.start, vma.pgoff) = (0x1f000, 3);
                shadow.vmas.get_mut(0)?.end = 0x15000;
                Some(())
            },
            "\
vma 11 (pid 41 main) [0x10000, 0x15000): range: host [0x10000, 0x14000), shadow [0x10000, 0x15000)
vma 13 (pid 42 child) [0x1f000, 0x21000): range: host [0x20000, 0x21000), shadow [0x1f000, 0x21000); pgoff: host 4, shadow 3
compare: vmas=4 anon_vmas=3 chains=6 pages=4 untracked=0 ambiguous=0 violations=0 differences=3
"
        )?);
        Ok(())
    }

    #[test]
    fn roots_and_parents() -> Result {
        assert!(differ(
            |shadow| {
                shadow.anon_vmas.get_mut(2)?.root = 1;
                Some(())
            },
            "\
anon_vma 3 (child of 2), the host's 1: root: should be anon_vma 1 (the host's 3), is anon_vma 2
compare: vmas=4 anon_vmas=3 chains=6 pages=4 untracked=0 ambiguous=0 violations=0 differences=1
"
        )?);
        // The depth is right, the parent is the wrong one of two.
        let mut shadow = sample::siblings(Source::Shadow, true)?;
        sample::anon_vma(&mut shadow, 0, 2, (1, 0, 0), &[0])?;
        shadow
            .vmas
            .get_mut(0)
            .ok_or(EINVAL)?
            .chain
            .push(5, GFP_KERNEL)?;
        let host = sample::retaken(&shadow, Source::Host, &[0, 1, 2, 3, 4, 5])?;
        shadow.anon_vmas.get_mut(5).ok_or(EINVAL)?.parent = 3;
        assert!(sample::is(
            &seen(&(shadow, host))?,
            "\
vma 11 (pid 46 last) [0x10000, 0x14000): same
anon_vma 6 (child of 4), the host's 6: parent: should be anon_vma 3 (the host's 3), is anon_vma 4
compare: vmas=1 anon_vmas=6 chains=6 pages=2 untracked=0 ambiguous=0 violations=0 differences=1
"
        ));
        // A loop of parents matches no line that ends.
        let (mut shadow, host) = generations(&[0, 1, 2])?;
        shadow.anon_vmas.get_mut(0).ok_or(EINVAL)?.parent = 2;
        assert!(compare(&shadow, &host, &mut |_, _| ())?.differences > 3);
        Ok(())
    }

    #[test]
    fn numbers_of_an_anon_vma() -> Result {
        assert!(differ(
            |shadow| {
                let node = shadow.anon_vmas.get_mut(1)?;
                (node.num_children, node.num_active_vmas) = (0, 3);
                (node.refcount, node.foreign, node.outside) = (-1, 1, 2);
                Some(())
            },
            "\
anon_vma 2 (child of 1), the host's 2: num_children: host 1, shadow 0; num_active_vmas: host 1, shadow 3; foreign VMAs: host 0, shadow 1; pointers to unknown anon_vmas: host 0, shadow 2; refcount: host 1, shadow -1
compare: vmas=4 anon_vmas=3 chains=6 pages=4 untracked=0 ambiguous=0 violations=0 differences=5
"
        )?);
        Ok(())
    }

    #[test]
    fn the_tree_of_an_anon_vma() -> Result {
        assert!(differ(
            |shadow| {
                shadow.anon_vmas.get_mut(1)?.vmas = sample::list(&[3, 0]).ok()?;
                Some(())
            },
            "\
anon_vma 2 (child of 1), the host's 2: tree: host 2 VMAs, shadow 2: vma 12 is missing, vma 11 is too many
compare: vmas=4 anon_vmas=3 chains=6 pages=4 untracked=0 ambiguous=0 violations=0 differences=1
"
        )?);
        // Only the first few VMAs are named.
        let mut shadow = Graph::new(Source::Shadow);
        sample::mm(&mut shadow, 41, b"main")?;
        let mut all = KVVec::new();
        for vma in 0..2000 {
            sample::vma(&mut shadow, 0, Some(0), &[0])?;
            all.push(vma, GFP_KERNEL)?;
        }
        sample::anon_vma(&mut shadow, 0, 0, (1, 1, 2000), &all)?;
        let host = sample::retaken(&shadow, Source::Host, &[0])?;
        shadow
            .anon_vmas
            .get_mut(0)
            .ok_or(EINVAL)?
            .vmas
            .keep(|place, _| place < 1994)?;
        let graphs = (shadow, host);
        let text = seen(&graphs)?;
        let mut lines = text.split(|&byte| byte == b'\n').skip(2000);
        assert!(sample::is(
            lines.next().unwrap_or(b""),
            "anon_vma 1 (root), the host's 1: tree: host 2000 VMAs, shadow 1994: vma 2005 is missing, vma 2006 is missing, vma 2007 is missing, vma 2008 is missing, 2 more are missing"
        ));
        Ok(())
    }

    #[test]
    fn anon_vmas_on_one_side() -> Result {
        assert!(differ(
            |shadow| sample::anon_vma(shadow, 0, 1, (1, 0, 0), &[]).ok(),
            "\
anon_vma 4 (child of 2): only the shadow has it
compare: vmas=4 anon_vmas=4 chains=6 pages=4 untracked=0 ambiguous=0 violations=0 differences=1
"
        )?);
        Ok(())
    }

    #[test]
    fn pages() -> Result {
        assert!(differ(
            |shadow| {
                let page = shadow.pages.get_mut(0)?;
                (page.index, page.mapcount, page.anon_vma) = (7, 2, Some(1));
                let page = shadow.pages.get_mut(1)?;
                page.mapped_by = sample::list(&[0, 1, 3]).ok()?;
                page.found_by.clear();
                shadow.pages.get_mut(2)?.key = 0xb00f;
                Some(())
            },
            "\
page 1 (index 7): anon_vma: should be anon_vma 1 (the host's 3), is anon_vma 2; index: host 0, shadow 7; mapcount: host 3, shadow 2
page 2 (index 1): mapped by: host 2 VMAs, shadow 3: vma 11 is too many; found by a walk: host 2 VMAs, shadow 0: vma 12 is missing, vma 14 is missing
the host's page 2 (index 2): only the host has it
page 3 (index 2): only the shadow has it
compare: vmas=4 anon_vmas=3 chains=6 pages=4 untracked=0 ambiguous=0 violations=0 differences=7
"
        )?);
        Ok(())
    }

    #[test]
    fn more_vmas() -> Result {
        assert!(differ(
            |shadow| { sample::vma(shadow, 2, None, &[]).ok() },
            "\
vma 15 (pid 43 grand child) [0x10000, 0x14000): only the shadow has it
compare: vmas=5 anon_vmas=3 chains=6 pages=4 untracked=0 ambiguous=0 violations=0 differences=1
"
        )?);
        let mut graphs = generations(&[0, 1, 2])?;
        sample::vma(&mut graphs.1, 0, None, &[])?;
        assert!(sample::is(
            &only_different(&seen(&graphs)?)?,
            "\
vma 15 (pid 41 main) [0x10000, 0x14000): only the host has it
compare: vmas=4 anon_vmas=3 chains=6 pages=4 untracked=0 ambiguous=0 violations=0 differences=1
"
        ));
        Ok(())
    }

    /// The host has dropped a VMA without a callback, and has one that the shadow was not told of.
    #[test]
    fn vmas_of_one_side() -> Result {
        let mut graphs = generations(&[0, 1, 2])?;
        graphs.1.vmas.get_mut(2).ok_or(EINVAL)?.absent = true;
        sample::vma(&mut graphs.1, 1, None, &[])?;
        graphs.1.vmas.get_mut(4).ok_or(EINVAL)?.id = 0;
        assert!(sample::is(
            &only_different(&seen(&graphs)?)?,
            "\
vma 13 (pid 42 child) [0x20000, 0x21000): only the shadow has it
unknown vma 0 (pid 42 child) [0x10000, 0x14000): only the host has it
compare: vmas=4 anon_vmas=3 chains=6 pages=4 untracked=0 ambiguous=0 violations=0 differences=2
"
        ));
        Ok(())
    }

    /// Rule and host have chosen differently at a fork (R24). A choice that is not known is not
    /// compared.
    #[test]
    fn other_choices_at_fork() -> Result {
        let choices = [
            (Some(Reused::None), Some(Reused::None)),
            (Some(Reused::At(1)), Some(Reused::None)),
            (None, Some(Reused::At(0))),
            (Some(Reused::At(0)), Some(Reused::At(2))),
        ];
        let mut graphs = generations(&[0, 1, 2])?;
        let vmas = graphs.0.vmas.iter_mut().zip(graphs.1.vmas.iter_mut());
        for ((shadow, host), choice) in vmas.zip(choices) {
            (shadow.reused, host.reused) = choice;
        }
        assert!(sample::is(
            &only_different(&seen(&graphs)?)?,
            "\
vma 12 (pid 42 child) [0x10000, 0x14000): reuse at fork (R24): host none, shadow number 2 of the parent's chain
vma 14 (pid 43 grand child) [0x10000, 0x14000): reuse at fork (R24): host number 3 of the parent's chain, shadow number 1 of the parent's chain
compare: vmas=4 anon_vmas=3 chains=6 pages=4 untracked=0 ambiguous=0 violations=0 differences=2
"
        ));
        Ok(())
    }

    #[test]
    fn untracked_families() -> Result {
        // The shadow does not follow the grandchild: its family is not compared, other VMAs are.
        let mut shadow = sample::generations(Source::Shadow)?;
        sample::vma(&mut shadow, 0, Some(3), &[3])?;
        sample::anon_vma(&mut shadow, 3, 3, (1, 1, 1), &[4])?;
        sample::page(&mut shadow, Some(3), 9, &[4])?;
        let host = sample::retaken(&shadow, Source::Host, &[3, 2, 1, 0])?;
        let vma = shadow.vmas.get_mut(3).ok_or(EINVAL)?;
        (vma.tainted, vma.anon_vma) = (true, None);
        vma.chain.clear();
        shadow.pages.get_mut(2).ok_or(EINVAL)?.anon_vma = None;
        shadow.pages.get_mut(0).ok_or(EINVAL)?.mapcount = 2;
        shadow.anon_vmas.get_mut(0).ok_or(EINVAL)?.refcount = 2;
        shadow.anon_vmas.get_mut(2).ok_or(EINVAL)?.vmas.clear();
        let mut graphs = (shadow, host);
        assert!(sample::is(
            &seen(&graphs)?,
            "\
vma 11 (pid 41 main) [0x10000, 0x14000): untracked, not compared
vma 12 (pid 42 child) [0x10000, 0x14000): untracked, not compared
vma 13 (pid 42 child) [0x20000, 0x21000): same
vma 14 (pid 43 grand child) [0x10000, 0x14000): untracked, not compared
vma 15 (pid 41 main) [0x10000, 0x14000): same
compare: vmas=5 anon_vmas=4 chains=4 pages=5 untracked=3 ambiguous=0 violations=0 differences=0
"
        ));
        // Other families are still compared.
        graphs.0.anon_vmas.get_mut(3).ok_or(EINVAL)?.num_children = 2;
        graphs.0.pages.get_mut(4).ok_or(EINVAL)?.mapcount = 2;
        assert!(compare(&graphs.0, &graphs.1, &mut |_, _| ())?.differences == 2);
        Ok(())
    }

    #[test]
    fn indices_out_of_range() -> Result {
        let mut graphs = generations(&[0, 1, 2])?;
        graphs.1.vmas.get_mut(0).ok_or(EINVAL)?.anon_vma = Some(3);
        assert!(seen(&graphs).is_err());
        Ok(())
    }
}

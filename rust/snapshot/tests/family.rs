// SPDX-License-Identifier: GPL-2.0

//! KUnit suite of [`family`](crate::snapshot::family): each fault is told from the facts.

use kernel::prelude::*;

#[kunit_tests(shadow_rmap_family_faults)]
mod suite {
    use super::super::*;
    use crate::snapshot::sample;
    use kernel::{
        prelude::*,
        str::CString, //
    };

    /// The second link of a chain of two, all as it should be.
    const LINK: LinkFacts<'_> = LinkFacts {
        place: 2,
        own_vma: true,
        anon_vma: 10,
        root: 10,
        parent: 10,
        family: 10,
        in_tree: true,
        chain: &[20, 10],
    };

    /// The second entry of a tree, with one below it.
    const ENTRY: EntryFacts = EntryFacts {
        place: 1,
        entry: 2,
        own_anon_vma: true,
        on_chain: true,
        start: 4,
        last: 7,
        before: Some(4),
        subtree_last: 9,
        below: [Some(9), None],
    };

    /// A root with a child in the tree of which is another VMA.
    const ROOT: AnonVmaCounts = AnonVmaCounts {
        place: 1,
        is_root: true,
        is_own_parent: true,
        root_is_root: true,
        leftmost: true,
        refcount: 2,
        num_children: 2,
        num_active_vmas: 1,
        active: 1,
        several_mms: false,
        children: 2,
        members: 1,
    };

    #[test]
    fn a_link() -> Result {
        assert!(says(|found| LINK.judge(found), "")?);
        let wrong = LinkFacts {
            own_vma: false,
            root: 11,
            parent: 30,
            in_tree: false,
            ..LINK
        };
        let expected = "\
structure: link 2 of its chain is one of another VMA
R15: anon_vma 2 of its chain: it has another root than the VMA's anon_vma
R23: anon_vma 2 of its chain: its parent is not on the chain
R21: anon_vma 2 of its chain: the VMA is not in its tree
";
        assert!(says(|found| wrong.judge(found), expected)?);
        let again = LinkFacts {
            chain: &[10, 10],
            ..LINK
        };
        let expected = "structure: anon_vma 2 of its chain: it is on the chain before\n";
        assert!(says(|found| again.judge(found), expected)?);
        Ok(())
    }

    #[test]
    fn an_entry_of_a_tree() -> Result {
        assert!(says(|found| ENTRY.judge(found), "")?);
        let wrong = EntryFacts {
            own_anon_vma: false,
            on_chain: false,
            before: Some(5),
            subtree_last: 7,
            ..ENTRY
        };
        let expected = "\
structure: anon_vma 1 of its chain: entry 2 of its tree is a link to another anon_vma
structure: anon_vma 1 of its chain: entry 2 of its tree is not on the chain of its VMA
R32: anon_vma 1 of its chain: entry 2 of its tree begins before the entry in front of it
R32: anon_vma 1 of its chain: rb_subtree_last of entry 2 is 7, the last below it is 9
";
        assert!(says(|found| wrong.judge(found), expected)?);
        // Its own last offset counts as well.
        let own = EntryFacts {
            last: 12,
            before: None,
            ..ENTRY
        };
        let expected =
            "R32: anon_vma 1 of its chain: rb_subtree_last of entry 2 is 9, the last below it is 12\n";
        assert!(says(|found| own.judge(found), expected)?);
        Ok(())
    }

    #[test]
    fn counters() -> Result {
        assert!(says(|found| ROOT.judge(found), "")?);
        // Other threads may hold references, and nothing can be said of these.
        let pinned = AnonVmaCounts {
            refcount: 7,
            ..ROOT
        };
        assert!(says(|found| pinned.judge(found), "")?);
        let wrong = AnonVmaCounts {
            root_is_root: false,
            is_own_parent: false,
            leftmost: false,
            several_mms: true,
            refcount: 1,
            num_children: 3,
            num_active_vmas: 0,
            ..ROOT
        };
        let expected = "\
R14: anon_vma 1 of its chain: its root has a root itself
R14: anon_vma 1 of its chain: it is a root with a parent
R32: anon_vma 1 of its chain: rb_leftmost is not the first entry of its tree
R24: anon_vma 1 of its chain: VMAs of different address spaces have it as their anon_vma
R24: anon_vma 1 of its chain: num_children is 3, linked anon_vmas whose parent it is: 2
R24: anon_vma 1 of its chain: num_active_vmas is 0, VMAs whose anon_vma it is: 1
R16: anon_vma 1 of its chain: refcount is 1, its links and those whose root it is make 2
";
        assert!(says(|found| wrong.judge(found), expected)?);
        let child = AnonVmaCounts {
            is_root: false,
            refcount: 0,
            members: 0,
            ..ROOT
        };
        let expected = "\
R14: anon_vma 1 of its chain: it is its own parent, but not a root
R18: anon_vma 1 of its chain: refcount is 0, its links and those whose root it is make 1
";
        assert!(says(|found| child.judge(found), expected)?);
        Ok(())
    }

    /// What the reader of the host finds without facts of these kinds.
    #[test]
    fn other_words() -> Result {
        let all = [
            Fault::LeadsNowhere { place: 0 },
            Fault::LeadsNowhere { place: 3 },
            Fault::ChainAlone,
            Fault::NoChain,
            Fault::NotOnChain { links: 2 },
            Fault::Endless { links: 9 },
            Fault::EndlessTree {
                place: 1,
                entries: 8,
            },
            Fault::PageElsewhere { address: 0x5000 },
            Fault::PageAlone { address: 0x6000 },
            Fault::PageIndex {
                address: 0x5000,
                index: 3,
                expected: 5,
            },
        ];
        let expected = "\
structure: a pointer of it leads to no memory
structure: anon_vma 3 of its chain: a pointer of it or its links leads to no memory
structure: it has a chain, but no anon_vma
R33: it has an anon_vma, but no chain
structure: its anon_vma is not on its chain of 2
structure: its chain does not end after 9 links
structure: anon_vma 1 of its chain: its tree does not end after 8 entries
R21: the page at 0x5000 leads to an anon_vma that is not on its chain
R21: the page at 0x6000 is anonymous, but there is no anon_vma
R41: the page at 0x5000 has index 3, its place has 5
";
        let found = |report: &mut dyn FnMut(Fault)| all.into_iter().for_each(report);
        assert!(says(found, expected)?);
        Ok(())
    }

    /// Returns whether `judge` finds exactly the `expected` faults, a line each.
    fn says(judge: impl FnOnce(&mut dyn FnMut(Fault)), expected: &str) -> Result<bool> {
        let (mut text, mut result) = (KVVec::new(), Ok(()));
        judge(&mut |fault| {
            let mut add = || -> Result {
                let name = fault.rule().map_or("structure", |rule| rule.name());
                let line = CString::try_from_fmt(fmt!("{name}: {fault}\n"))?;
                Ok(text.extend_from_slice(line.to_bytes(), GFP_KERNEL)?)
            };
            result = result.and(add());
        });
        result?;
        Ok(sample::is(&text, expected))
    }
}

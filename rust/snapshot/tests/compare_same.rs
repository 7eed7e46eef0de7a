// SPDX-License-Identifier: GPL-2.0

//! KUnit suite of [`compare`](crate::snapshot::compare): graphs that are the same.

use kernel::prelude::*;

#[kunit_tests(shadow_rmap_compare_same)]
mod suite {
    use super::super::{
        compared::{
            generations,
            seen, //
        },
        *, //
    };
    use crate::snapshot::{
        sample,
        Source, //
    };

    #[test]
    fn nothing() -> Result {
        let graphs = (Graph::new(Source::Shadow), Graph::new(Source::Host));
        assert!(sample::is(
            &seen(&graphs)?,
            "compare: vmas=0 anon_vmas=0 chains=0 pages=0 untracked=0 ambiguous=0 violations=0 differences=0\n"
        ));
        Ok(())
    }

    #[test]
    fn the_same_with_other_names() -> Result {
        let expected = "\
vma 11 (pid 41 main) [0x10000, 0x14000): same
vma 12 (pid 42 child) [0x10000, 0x14000): same
vma 13 (pid 42 child) [0x20000, 0x21000): same
vma 14 (pid 43 grand child) [0x10000, 0x14000): same
compare: vmas=4 anon_vmas=3 chains=6 pages=4 untracked=0 ambiguous=0 violations=0 differences=0
";
        for order in [
            [0, 1, 2],
            [0, 2, 1],
            [1, 0, 2],
            [1, 2, 0],
            [2, 0, 1],
            [2, 1, 0],
        ] {
            assert!(sample::is(&seen(&generations(&order)?)?, expected));
        }
        Ok(())
    }

    /// What KSM and others hold is no difference, where there are others; one that is missing is.
    #[test]
    fn references_of_others() -> Result {
        for (held, more, expected) in [
            (true, 0, 0),
            (true, 2000, 0),
            (true, -1, 1),
            (false, 0, 0),
            (false, 1, 1),
            (false, -1, 1),
        ] {
            let (shadow, mut host) = generations(&[0, 1, 2])?;
            host.held = held;
            host.anon_vmas.get_mut(0).ok_or(EINVAL)?.refcount += more;
            let outcome = compare(&shadow, &host, &mut |_, _| ())?;
            assert_eq!(outcome.differences, expected);
        }
        Ok(())
    }

    /// A VMA of the family is not in the graph: a difference, unless it is known that some are missing.
    #[test]
    fn a_family_with_missing_vmas() -> Result {
        for (incomplete, expected) in [(true, (3, 0)), (false, (0, 1))] {
            let (shadow, mut host) = generations(&[0, 1, 2])?;
            host.incomplete = incomplete;
            host.anon_vmas.get_mut(0).ok_or(EINVAL)?.foreign += 1;
            let outcome = compare(&shadow, &host, &mut |_, _| ())?;
            assert_eq!((outcome.untracked, outcome.differences), expected);
        }
        Ok(())
    }

    #[test]
    fn the_same_after_reuse() -> Result {
        let expected = "\
vma 11 (pid 41 main) [0x10000, 0x14000): same
vma 12 (pid 43 grand child) [0x10000, 0x14000): same
vma 13 (pid 44 reuser) [0x10000, 0x12000): same
vma 14 (pid 44 reuser) [0x12000, 0x14000): same
vma 15 (pid 45 last) [0x10000, 0x12000): same
compare: vmas=5 anon_vmas=4 chains=14 pages=4 untracked=0 ambiguous=0 violations=0 differences=0
";
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 0, 3, 2], [2, 3, 0, 1]] {
            let shadow = sample::reuse(Source::Shadow)?;
            let host = sample::retaken(&shadow, Source::Host, &order)?;
            assert!(sample::is(&seen(&(shadow, host))?, expected));
        }
        Ok(())
    }

    #[test]
    fn siblings_that_are_alike() -> Result {
        // A chain has three anon_vmas of the same depth, two of them idle. Only their pages tell
        // them apart, or nothing does; then any pairing is right.
        for pages in [true, false] {
            for order in [[0, 1, 2, 3, 4], [0, 1, 3, 2, 4], [4, 3, 2, 1, 0]] {
                let shadow = sample::siblings(Source::Shadow, pages)?;
                let host = sample::retaken(&shadow, Source::Host, &order)?;
                let outcome = compare(&shadow, &host, &mut |_, _| ())?;
                assert!(outcome.differences == 0);
                assert!((outcome.anon_vmas, outcome.chains) == (5, 5));
            }
        }
        Ok(())
    }

    #[test]
    fn siblings_by_their_vmas() -> Result {
        // Two idle siblings without a page. A second VMA links to one of them, and to its child.
        for order in [[0, 1, 2, 3, 4, 5, 6], [6, 1, 3, 2, 4, 0, 5]] {
            let mut shadow = sample::siblings(Source::Shadow, false)?;
            sample::mm(&mut shadow, 47, b"other")?;
            sample::vma(&mut shadow, 1, Some(5), &[5, 6, 3, 1, 0])?;
            sample::anon_vma(&mut shadow, 0, 1, (1, 0, 1), &[1])?;
            sample::anon_vma(&mut shadow, 0, 3, (1, 0, 0), &[1])?;
            for (index, vmas) in [(0, &[0, 1][..]), (1, &[0, 1]), (3, &[0, 1])] {
                shadow.anon_vmas.get_mut(index).ok_or(EINVAL)?.vmas = sample::list(vmas)?;
            }
            shadow.anon_vmas.get_mut(0).ok_or(EINVAL)?.refcount = 7;
            shadow.anon_vmas.get_mut(1).ok_or(EINVAL)?.num_children = 4;
            shadow.anon_vmas.get_mut(3).ok_or(EINVAL)?.num_children = 1;
            let host = sample::retaken(&shadow, Source::Host, &order)?;
            assert!(sample::is(
                &seen(&(shadow, host))?,
                "vma 11 (pid 46 last) [0x10000, 0x14000): same\n\
                 vma 12 (pid 47 other) [0x10000, 0x14000): same\n\
                 compare: vmas=2 anon_vmas=7 chains=10 pages=0 untracked=0 ambiguous=0 violations=0 differences=0\n"
            ));
        }
        Ok(())
    }

    #[test]
    fn siblings_by_their_relatives() -> Result {
        let same = "vma 11 (pid 46 last) [0x10000, 0x14000): same\n\
             vma 12 (pid 47 other) [0x10000, 0x14000): same\n";

        // Two idle siblings have the same VMAs; one of them has a child.
        let mut shadow = Graph::new(Source::Shadow);
        sample::mm(&mut shadow, 46, b"last")?;
        sample::mm(&mut shadow, 47, b"other")?;
        sample::vma(&mut shadow, 0, Some(4), &[4, 3, 2, 1, 0])?;
        sample::vma(&mut shadow, 1, Some(5), &[5, 6, 3, 2, 1, 0])?;
        sample::anon_vma(&mut shadow, 0, 0, (7, 2, 0), &[0, 1])?;
        sample::anon_vma(&mut shadow, 0, 0, (1, 4, 0), &[0, 1])?;
        sample::anon_vma(&mut shadow, 0, 1, (1, 0, 0), &[0, 1])?;
        sample::anon_vma(&mut shadow, 0, 1, (1, 1, 0), &[0, 1])?;
        sample::anon_vma(&mut shadow, 0, 1, (1, 0, 1), &[0])?;
        sample::anon_vma(&mut shadow, 0, 1, (1, 0, 1), &[1])?;
        sample::anon_vma(&mut shadow, 0, 3, (1, 0, 0), &[1])?;
        let host = sample::retaken(&shadow, Source::Host, &[0, 1, 3, 2, 4, 5, 6])?;
        let text = seen(&(shadow, host))?;
        assert!(sample::is(text.get(..same.len()).unwrap_or(b""), same));
        assert!(text.ends_with(b" untracked=0 ambiguous=0 violations=0 differences=0\n"));

        // Two idle anon_vmas have the same VMA; the trees of their parents differ.
        let mut shadow = Graph::new(Source::Shadow);
        sample::mm(&mut shadow, 46, b"last")?;
        sample::mm(&mut shadow, 47, b"other")?;
        sample::vma(&mut shadow, 0, Some(4), &[4, 2, 1, 0])?;
        sample::vma(&mut shadow, 1, Some(5), &[5, 7, 6, 3, 2, 1, 0])?;
        sample::anon_vma(&mut shadow, 0, 0, (8, 2, 0), &[0, 1])?;
        sample::anon_vma(&mut shadow, 0, 0, (1, 4, 0), &[0, 1])?;
        sample::anon_vma(&mut shadow, 0, 1, (1, 1, 0), &[0, 1])?;
        sample::anon_vma(&mut shadow, 0, 1, (1, 1, 0), &[1])?;
        sample::anon_vma(&mut shadow, 0, 1, (1, 0, 1), &[0])?;
        sample::anon_vma(&mut shadow, 0, 1, (1, 0, 1), &[1])?;
        sample::anon_vma(&mut shadow, 0, 2, (1, 0, 0), &[1])?;
        sample::anon_vma(&mut shadow, 0, 3, (1, 0, 0), &[1])?;
        let host = sample::retaken(&shadow, Source::Host, &[0, 1, 2, 3, 4, 5, 7, 6])?;
        let text = seen(&(shadow, host))?;
        assert!(sample::is(text.get(..same.len()).unwrap_or(b""), same));
        assert!(text.ends_with(b" untracked=0 ambiguous=0 violations=0 differences=0\n"));
        Ok(())
    }

    #[test]
    fn a_deep_family() -> Result {
        const DEPTH: usize = 118;
        let mut shadow = Graph::new(Source::Shadow);
        let mut order = KVVec::new();
        for at in 0..DEPTH {
            order.push(DEPTH - 1 - at, GFP_KERNEL)?;
        }
        for at in 0..DEPTH {
            sample::mm(&mut shadow, 41, b"main")?;
            let chain = order.get(DEPTH - 1 - at..).ok_or(EINVAL)?;
            sample::vma(&mut shadow, at, Some(at), chain)?;
            let vmas = order.get(..DEPTH - at).ok_or(EINVAL)?;
            let parent = at.saturating_sub(1);
            sample::anon_vma(&mut shadow, 0, parent, (1, 1, 1), vmas)?;
        }
        let mut host = sample::retaken(&shadow, Source::Host, &order)?;
        let outcome = compare(&shadow, &host, &mut |_, _| ())?;
        assert!(outcome.chains > 7000 && outcome.differences == 0);
        // A missing link in the middle is a difference in the chain and one in the tree.
        host.vmas.get_mut(60).ok_or(EINVAL)?.chain.remove(30)?;
        let node = host.anon_vmas.get_mut(DEPTH - 1 - 30).ok_or(EINVAL)?;
        node.vmas.keep(|_, vma| vma != 60)?;
        let outcome = compare(&shadow, &host, &mut |_, _| ())?;
        assert!(outcome.differences == 2);
        Ok(())
    }
}

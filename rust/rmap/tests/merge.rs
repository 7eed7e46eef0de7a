// SPDX-License-Identifier: GPL-2.0

//! Tests of `merge.rs`.

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_merge)]
mod suite {
    use super::super::*;
    use crate::{
        kernel_ext::rwsem::RwSem,
        rmap::{
            kind::Bare,
            lock::{
                FamilyLock,
                Spin, //
            },
            prepare::anon_vma_prepare,
            testing::{
                at,
                damaged,
                live,
                Process,
                World, //
            },
        },
        torture::{
            at_run_time::AtRunTime,
            busted, //
        }, //
    };
    use kernel::sync::atomic::Relaxed;

    /// By today's rules VMAs merge if one has no anon_vma and the other is no fork child, or if
    /// they have the same (R26).
    #[test]
    fn vmas_of_one_anon_vma_may_merge() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let was = live();
            let world = World::<Bare<L>>::new()?;
            let a = world.process(0, 3)?;
            let empty = a.another(4, 7)?;
            a.fault()?;
            let other = a.another(8, 11)?;
            other.fault()?;
            let part = a.copy(2, 3)?;
            let child = a.fork()?;
            let beside_child = child.another(4, 7)?;
            let verdicts = [
                may(&a, &empty),
                may(&empty, &a),
                may(&a, &part),
                !may(&a, &other),
                !may(&child, &beside_child),
                !may(&beside_child, &child),
            ];
            for process in [a, empty, other, part, child, beside_child] {
                process.unmap();
            }

            assert!(verdicts.iter().all(|&right| right));
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Of two halves either may go (R26).
    #[test]
    fn halves_have_equal_chains() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let was = live();
            let world = World::<Bare<L>>::new()?;
            let a = world.faulted()?;
            let b = a.fork()?;
            let half = b.copy(4, 7)?;
            merge(&b, &half, Sharing::Singleton);
            let after = (b.links(), half.links(), b.facts());
            b.unmap();
            a.unmap();

            assert!(after == (2, 0, [1, 0, 1, 1]));
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// VMAs of two families that are merged all the same are noticed (R26).
    #[test]
    fn merging_what_differs_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let _bug = AtRunTime::with::<busted::merge::MergesDifferent>();
            let was = live();
            let world = World::<Bare<L, AtRunTime>>::new()?;
            let a = world.process(0, 3)?;
            let b = a.another(4, 7)?;
            a.fault()?;
            b.fault()?;
            let allowed = may(&a, &b);
            let ((), n) = Rule::R26.expect_violations(|| merge(&a, &b, Sharing::Singleton));
            a.unmap();

            assert!(allowed && n == 1);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Two halves have another anon_vma, another number of links, or other links (R26).
    #[test]
    fn damage_of_a_chain_is_noticed_by_a_merge() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let a = world.faulted()?;
            let b = a.fork()?;
            let half = b.copy(4, 7)?;
            let sibling = a.fork()?;
            let root = a.vma.core.anon_vma_ptr();
            let chain = sibling.vma.core.chain.load(Relaxed);
            let check = || check_equal(&b.vma.core, &half.vma.core, &b.mm.mmap_write());
            let ((), equal) = Rule::R26.expect_violations(check);
            let ((), anon_vma) =
                Rule::R26.expect_violations(|| damaged(&half.vma.core.anon_vma, root, check));
            let ((), links) =
                Rule::R26.expect_violations(|| damaged(&half.vma.core.nr_links, 3, check));
            let ((), others) =
                Rule::R26.expect_violations(|| damaged(&half.vma.core.chain, chain, check));
            for process in [a, b, half, sibling] {
                process.unmap();
            }

            assert_eq!([equal, anon_vma, links, others], [0, 1, 1, 1]);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A VMA inherits the links of a fork child (R26).
    #[test]
    fn damage_of_a_source_is_noticed_by_a_dup() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let a = world.faulted()?;
            let b = a.fork()?;
            let target = b.another(8, 11)?;
            let mmap = b.mm.mmap_write();
            let (inherited, n) = Rule::R26.expect_violations(|| {
                dup_anon_vma(&target.vma.core, &b.vma.core, &mmap, Sharing::Singleton)
            });
            drop(mmap);
            for process in [a, b, target] {
                process.unmap();
            }

            assert!(inherited == Ok(true));
            assert_eq!(n, 1);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// The three cases of 2010: equal chains, the survivor has more, the one that goes has more
    /// (R25).
    #[test]
    fn the_three_cases_of_2010() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let was = live();
            let world = World::<Bare<L>>::new()?;
            let a = world.faulted()?;
            let mut links = KVec::new();
            for case in 0..3 {
                let child = a.fork()?;
                let other = match case {
                    0 => child.copy(4, 7)?,
                    _ => sharing_with(&child)?,
                };
                let (survivor, goes) = if case == 2 {
                    (&other, &child)
                } else {
                    (&child, &other)
                };
                merge(survivor, goes, Sharing::Any);
                links.push((survivor.links(), goes.links()), GFP_KERNEL)?;
                survivor.unmap();
            }
            a.unmap();

            // The child's own anon_vma and its parent's, whichever survives.
            assert!(links.iter().all(|&links| links == (2, 0)));
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Where the third case drops what it should move, that is noticed (R25).
    #[test]
    fn dropped_links_are_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let _bug = AtRunTime::with::<busted::merge::DropsLinksInMerge>();
            let was = live();
            let world = World::<Bare<L, AtRunTime>>::new()?;
            let a = world.faulted()?;
            let child = a.fork()?;
            let other = sharing_with(&child)?;
            let ((), n) = Rule::R25.expect_violations(|| merge(&other, &child, Sharing::Any));
            other.unmap();
            a.unmap();

            assert_eq!(n, 1);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A merge that links a VMA to an anon_vma twice makes a walk visit that VMA twice (R25).
    #[test]
    fn links_that_are_taken_twice_make_a_walk_come_twice() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let _bug = AtRunTime::with::<busted::merge::LinksTwice>();
            let world = World::<Bare<L, AtRunTime>>::new()?;
            let was = live();
            let a = world.faulted()?;
            let half = a.copy(4, 7)?;
            merge(&a, &half, Sharing::Any);
            let (links, visited) = (a.links(), a.visited(0, 0));
            a.unmap();

            assert_eq!([links, visited], [2, 2]);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// The links of a VMA of another family are not moved (R15), and so are missing (R25).
    #[test]
    fn damage_of_a_family_is_noticed_by_a_merge() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let a = world.process(0, 3)?;
            let b = a.another(4, 7)?;
            a.fault()?;
            b.fault()?;
            let (((), families), missing) = Rule::R25
                .expect_violations(|| Rule::R15.expect_violations(|| merge(&a, &b, Sharing::Any)));
            let links = (a.links(), b.links());
            a.unmap();

            assert_eq!([families, missing], [1, 1]);
            assert!(links == (1, 0));
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A VMA without anon_vma inherits the links of another, and loses them if the merge fails
    /// (R37). There is nothing to inherit where the other has none, or both have some.
    #[test]
    fn a_dup_can_be_undone() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let a = world.faulted()?;
            let b = a.fork()?;
            let target = b.another(8, 11)?;
            let before = b.facts();
            let mut mmap = target.mm.mmap_write();
            let dup = |from: &Process<_>| {
                dup_anon_vma(&target.vma.core, &from.vma.core, &mmap, Sharing::Any)
            };
            let (none, inherited, again) = (dup(&target), dup(&b), dup(&b));
            let links = target.links();
            undo_dup(&target.vma.core, target.emptied(&mut mmap));
            drop(mmap);
            let after = b.facts();
            let left = target.links();
            for process in [a, b, target] {
                process.unmap();
            }

            assert!((none, inherited, again) == (Ok(false), Ok(true), Ok(false)));
            assert!(links == 2 && left == 0 && before == after);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A dup that is not undone is noticed (R37).
    #[test]
    fn a_dup_that_stays_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let _bug = AtRunTime::with::<busted::merge::KeepsClonedLinks>();
            let world = World::<Bare<L, AtRunTime>>::new()?;
            let was = live();
            let a = world.faulted()?;
            let target = a.another(8, 11)?;
            let mut mmap = target.mm.mmap_write();
            let inherited = dup_anon_vma(&target.vma.core, &a.vma.core, &mmap, Sharing::Singleton);
            let ((), n) = Rule::R37
                .expect_violations(|| undo_dup(&target.vma.core, target.emptied(&mut mmap)));
            drop(mmap);
            a.unmap();
            target.unmap();

            assert!(inherited == Ok(true) && n == 1);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A VMA has a link after a dup was undone (R37).
    #[test]
    fn damage_of_an_undone_dup_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let a = world.faulted()?;
            let target = a.another(8, 11)?;
            let theirs = target.clone();
            let mut mmap = target.mm.mmap_write();
            let inherited = dup_anon_vma(&target.vma.core, &a.vma.core, &mmap, Sharing::Singleton);
            let (undone, n) = Rule::R37.expect_violations(|| {
                at(
                    Window::Unlinked,
                    move || theirs.vma.core.nr_links.store(1, Relaxed),
                    || undo_dup(&target.vma.core, target.emptied(&mut mmap)),
                )
            });
            drop(mmap);
            target.vma.core.nr_links.store(0, Relaxed);
            a.unmap();

            assert!(inherited == Ok(true) && undone == Ok(((), ())));
            assert_eq!(n, 1);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Returns whether the first may take in the addresses of the second.
    fn may<R: Rmap<Space = ()>>(target: &Process<R>, source: &Process<R>) -> bool {
        is_mergeable_anon_vma(
            &target.vma.core,
            Some(&source.vma.core),
            Some(&source.vma.core),
            &target.mm.mmap_read(),
            Sharing::Singleton,
        )
    }

    /// Merges two VMAs: `goes` is unlinked.
    fn merge<R: Rmap<Space = ()>>(survivor: &Process<R>, goes: &Process<R>, sharing: Sharing) {
        let mut mmap = survivor.mm.mmap_write();
        anon_vma_merge(&survivor.vma.core, goes.emptied(&mut mmap), sharing);
    }

    /// A VMA beside `vma` that was faulted in later, and shares its anon_vma though that one was
    /// forked.
    fn sharing_with<R: Rmap<Space = ()>>(vma: &Process<R>) -> Result<Process<R>> {
        let beside = vma.another(8, 11)?;
        anon_vma_prepare(
            &beside.vma.core,
            &beside.mm.mmap_read(),
            [Some(&vma.vma.core), None],
            Sharing::Any,
        )?;
        Ok(beside)
    }
}

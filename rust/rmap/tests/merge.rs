// SPDX-License-Identifier: GPL-2.0

//! Tests of `merge.rs`.

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_merge)]
mod suite {
    use super::super::super::{
        kind::Bare,
        link::anon_vma_prepare,
        testing::{
            live,
            Process,
            World, //
        },
    };
    use super::super::*;
    use crate::{
        kernel_ext::{
            lock::{
                FamilyLock,
                Spin, //
            },
            rwsem::RwSem, //
        },
        torture::busted::{
            DropsLinksInMerge,
            KeepsClonedLinks,
            MergesDifferent, //
        },
    };

    /// By today's rules VMAs merge if one has no anon_vma and the other is no fork child, or if they
    /// have the same (R26).
    #[test]
    fn who_may_merge() -> Result {
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
            let a = world.process(0, 7)?;
            a.fault()?;
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

    /// Two that were never one are found out when they are merged all the same (R26).
    #[test]
    fn merging_what_differs_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let was = live();
            let world = World::<Bare<L, MergesDifferent>>::new()?;
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

    /// The three cases of 2010: equal chains, the survivor has more, the one that goes has more
    /// (R25).
    #[test]
    fn the_three_cases_of_2010() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let was = live();
            let world = World::<Bare<L>>::new()?;
            let a = world.process(0, 7)?;
            a.fault()?;
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

            // The child's own anon_vma and its parent's, whoever survives.
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
            let was = live();
            let world = World::<Bare<L, DropsLinksInMerge>>::new()?;
            let a = world.process(0, 7)?;
            a.fault()?;
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

    /// A VMA without anon_vma inherits the other's links, and loses them where the merge fails after
    /// all (R37).
    #[test]
    fn a_dup_can_be_taken_back() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let was = live();
            let world = World::<Bare<L>>::new()?;
            let a = world.process(0, 7)?;
            a.fault()?;
            let b = a.fork()?;
            let heir = b.another(8, 11)?;
            let before = b.facts();
            let mut mmap = heir.mm.mmap_write();
            let inherited = dup_anon_vma(&heir.vma.core, &b.vma.core, &mmap, Sharing::Any)?;
            let links = heir.vma.core.links(&mmap);
            undo_dup(&heir.vma.core, &mut mmap);
            drop(mmap);
            let after = b.facts();
            let left = heir.links();
            for process in [a, b, heir] {
                process.unmap();
            }

            assert!(inherited && links == 2 && left == 0 && before == after);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A dup that is not taken back is noticed (R37).
    #[test]
    fn a_dup_that_stays_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let was = live();
            let world = World::<Bare<L, KeepsClonedLinks>>::new()?;
            let a = world.process(0, 7)?;
            a.fault()?;
            let heir = a.another(8, 11)?;
            let mut mmap = heir.mm.mmap_write();
            let inherited = dup_anon_vma(&heir.vma.core, &a.vma.core, &mmap, Sharing::Singleton);
            let ((), n) = Rule::R37.expect_violations(|| undo_dup(&heir.vma.core, &mut mmap));
            drop(mmap);
            a.unmap();
            heir.unmap();

            assert!(inherited == Ok(true) && n == 1);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Whether the first may take in the addresses of the second.
    fn may<R: Rmap<Space = ()>>(target: &Process<R>, source: &Process<R>) -> bool {
        is_mergeable_anon_vma(
            &target.vma.core,
            Some(&source.vma.core),
            Some(&source.vma.core),
            &target.mm.mmap_read(),
            Sharing::Singleton,
        )
    }

    fn merge<R: Rmap<Space = ()>>(survivor: &Process<R>, goes: &Process<R>, sharing: Sharing) {
        let mut mmap = survivor.mm.mmap_write();
        anon_vma_merge(&survivor.vma.core, &goes.vma.core, &mut mmap, sharing);
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

// SPDX-License-Identifier: GPL-2.0

//! Tests of `chain.rs`.

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_chain)]
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
            testing::{
                live,
                World, //
            },
        },
    };
    use core::ops::ControlFlow;

    /// A walk visits the VMAs that cover the offset, in order, and stops when it is told to (R35).
    #[test]
    fn walk_visits_what_overlaps() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let a = world.process(0, 9)?;
            a.fault()?;
            let b = a.copy(5, 9)?;
            let c = a.copy(7, 7)?;
            let visited = [
                a.visited(0, 0),
                a.visited(6, 6),
                a.visited(7, 7),
                a.visited(10, 20),
            ];
            let mut n = 0;
            let stopped = a.locked(|anon_vma| {
                anon_vma.for_each_vma(0, usize::MAX, |_| {
                    n += 1;
                    ControlFlow::Break(())
                })
            });
            for process in [a, b, c] {
                process.unmap();
            }

            assert_eq!(visited, [1, 2, 3, 0]);
            assert!(stopped == Some(ControlFlow::Break(())) && n == 1);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A VMA keeps its first anon_vma through more faults, forks and copies (R31).
    #[test]
    fn a_vma_keeps_its_anon_vma() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let a = world.faulted()?;
            let b = a.fork()?;
            let keys = || [a.key(), b.key()];
            let first = keys();
            b.fault()?;
            let (c, d) = (b.fork()?, b.copy(4, 7)?);
            a.fault_beside(&a.another(8, 9)?)?;
            let same = first == keys();
            for process in [a, b, c, d] {
                process.unmap();
            }

            assert!(same);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A VMA that has an anon_vma is given another: it keeps the first (R31).
    #[test]
    fn damage_by_a_second_anon_vma_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let a = world.process(0, 7)?;
            let b = a.another(10, 17)?;
            a.fault()?;
            b.fault()?;
            let key = b.key();
            let ((), n) = Rule::R31.expect_violations(|| {
                let mmap = a.mm.mmap_write();
                if let Some(anon_vma) = a.vma.core.anon_vma(&mmap) {
                    let mut family = anon_vma.lock_write();
                    // SAFETY: Nothing is published.
                    unsafe { family.publish_unlinked(&b.vma.core, anon_vma, &mmap) };
                }
            });
            let same = b.key() == key && a.facts() == [1, 1, 1, 1];
            a.unmap();
            b.unmap();

            assert!(same && n == 1);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// An anon_vma is published for a VMA that is linked to it, and for no other (R21).
    #[test]
    fn an_anon_vma_without_a_link_is_refused() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let a = world.process(0, 7)?;
            let b = a.another(10, 17)?;
            a.fault()?;
            let (published, n) = Rule::R21.expect_violations(|| {
                let mmap = a.mm.mmap_write();
                let anon_vma = a.vma.core.anon_vma(&mmap)?;
                anon_vma.lock_write().publish(&b.vma.core, anon_vma, &mmap);
                Some(b.vma.core.anon_vma(&mmap).is_some())
            });
            a.unmap();
            b.unmap();

            assert!(published == Some(false) && n == 1);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A VMA is linked to anon_vmas of one family only (R15).
    #[test]
    fn a_link_to_a_second_family_is_refused() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let a = world.process(0, 7)?;
            let b = a.another(10, 17)?;
            a.fault()?;
            b.fault()?;
            let mut links = LinkReserve::new(1)?;
            let mmap = a.mm.mmap_write();
            let (linked, n) = Rule::R15.expect_violations(|| {
                let anon_vma = b.vma.core.anon_vma(&mmap)?;
                let mut family = anon_vma.lock_write();
                Some(family.link(&mut links, &a.vma.core, anon_vma, &mmap))
            });
            drop(mmap);
            drop(links);
            let untouched = a.links() == 1 && b.visited(0, 20) == 1;
            a.unmap();
            b.unmap();

            assert!(linked == Some(false) && n == 1 && untouched);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Links are not moved to a VMA of another family (R15).
    #[test]
    fn damage_by_a_move_to_another_family_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let a = world.process(0, 7)?;
            let b = a.another(10, 17)?;
            a.fault()?;
            b.fault()?;
            let ((), n) = Rule::R15.expect_violations(|| {
                let mmap = a.mm.mmap_write();
                // SAFETY: No link is moved.
                unsafe { a.vma.core.take_links_of(&b.vma.core, &mmap, |_| true) };
            });
            let links = [a.links(), b.links()];
            a.unmap();
            b.unmap();

            assert_eq!(n, 1);
            assert_eq!(links, [1, 1]);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }
}

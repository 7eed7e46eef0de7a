// SPDX-License-Identifier: GPL-2.0

//! Tests of `vma.rs`.

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_vma)]
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
            prepare::{
                anon_vma_prepare,
                Sharing, //
            },
            steps::{
                Correct, //
            },
            testing::{
                at,
                damaged,
                live,
                World, //
            },
        },
        torture::{
            at_run_time::AtRunTime,
            busted::{
                self,
                Numbered, //
            }, //
        }, //
    };

    /// A VMA is found where it is, not where it was (R32).
    #[test]
    fn a_range_changes_in_all_trees() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let a = world.process(0, 9)?;
            a.fault()?;
            let b = a.fork()?;
            b.vma.core.set_range(
                Range {
                    start: 20,
                    last: 29,
                },
                &mut b.mm.mmap_write(),
                (),
            );
            let visited = [
                a.visited(0, 9),
                a.visited(20, 20),
                b.visited(0, 9),
                b.visited(29, 40),
            ];
            for process in [a, b] {
                process.unmap();
            }

            assert_eq!(visited, [1, 1, 0, 1]);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A VMA that moves past the others in its tree, and stays where it was, is noticed (R32).
    #[test]
    fn a_range_changed_in_a_tree_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let _bug = AtRunTime::with::<busted::vma::MovesInTrees>();
            let world = World::<Bare<L, AtRunTime>>::new()?;
            let a = world.process(0, 9)?;
            a.fault()?;
            let (b, c) = (a.copy(10, 19)?, a.copy(20, 29)?);
            let ((), n) = Rule::R32.expect_violations(|| {
                let range = Range {
                    start: 100,
                    last: 109,
                };
                a.vma.core.set_range(range, &mut a.mm.mmap_write(), ());
            });
            let visited = a.visited(100, 109);
            for process in [a, b, c] {
                process.unmap();
            }

            assert_eq!(visited, 0);
            // The check costs a search: it is there in kernels that are to be tested.
            assert_eq!(n, usize::from(cfg!(CONFIG_DEBUG_VM = "y")));
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A VMA and its PTEs move under the lock of the family, so walkers see one step (R36).
    #[test]
    fn a_relocation_is_one_step_for_walkers() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let locked = locked_while_moved::<L, Correct>()?;
            let by_bug = locked_while_moved::<L, busted::vma::MovesRangeFirst>()?;

            assert!(locked == (Some(true), 103));
            assert!(by_bug == (Some(false), 103));
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// An operation holds all its locks together where it changes a chain: `mmap_lock`, the lock of
    /// the family, and `page_table_lock` if `mmap_lock` is held for reading only (R34).
    ///
    /// The order in which they are taken is known to lockdep, which sees each of these operations.
    #[test]
    fn locks_nest() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let a = world.process(0, 3)?;
            a.fault()?;
            let beside = a.another(4, 7)?;
            let mut held = [[None; 2]; 2];
            for (held, window) in held.iter_mut().zip([Window::PrepareTested, Window::Linked]) {
                let (theirs, root) = (a.mm.clone(), a.pin());
                let prepared = at(
                    window,
                    move || (theirs.held(), root.map(|root| root.lock.is_locked())),
                    || {
                        anon_vma_prepare(
                            &beside.vma.core,
                            &beside.mm.mmap_read(),
                            [Some(&a.vma.core), None],
                            Sharing::Singleton,
                        )
                    },
                );
                beside.unmap();
                *held = prepared.map_or([None; 2], |(_, (held, family))| {
                    [Some(held), family.map(|is| [is; 2])]
                });
            }
            let child = a.child()?;
            let (parents, childs, root) = (a.mm.clone(), child.mm.clone(), a.pin());
            let forked = at(
                Window::Linked,
                move || {
                    let [ours, theirs] = [parents.held(), childs.held()];
                    (ours, theirs, root.map(|root| root.lock.is_locked()))
                },
                || a.fork_into(&child, crate::rmap::clone::Reuse::ByRule),
            );
            a.unmap();
            child.unmap();

            let tested = [Some([true, false]), Some([false; 2])];
            let linked = [Some([true, true]), Some([true; 2])];
            assert!(held == [tested, linked]);
            assert!(forked == Ok((Ok(()), ([true, false], [true, false], Some(true)))));
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A lock of another address space opens no chain (R34).
    #[test]
    fn a_foreign_lock_is_refused() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let a = world.faulted()?;
            let other = world.process(0, 7)?;
            let mmap = other.mm.mmap_read();
            let ((anon_vma, links, range), n) = Rule::R34.expect_violations(|| {
                (
                    a.vma.core.anon_vma(&mmap).is_some(),
                    a.vma.core.links(&mmap).count(),
                    a.vma.core.range(&mmap).is_some(),
                )
            });
            drop(mmap);
            a.unmap();

            assert!(!anon_vma && links == 0 && !range);
            assert_eq!(n, 3);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A VMA that walkers can find is given another place (R32).
    #[test]
    fn damage_by_a_late_shift_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let a = world.process(0, 7)?;
            let early = a.vma.core.set_shift(100, &mut a.mm.mmap_write(), ());
            a.fault()?;
            let (late, n) = Rule::R32
                .expect_violations(|| a.vma.core.set_shift(200, &mut a.mm.mmap_write(), ()));
            let address = a.vma.core.address(3);
            a.unmap();

            assert!(early && !late);
            assert_eq!([n, address], [1, 103]);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A range changes, and a search does not find the VMA, because a neighbour has moved in the
    /// tree (R32).
    ///
    /// The neighbour stands first, and its node still has the old end: so the search ends there.
    #[test]
    fn damage_of_a_tree_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let a = world.process(0, 99)?;
            a.fault()?;
            let (b, c) = (a.copy(10, 19)?, a.copy(20, 29)?);
            let whole = Range { start: 0, last: 99 };
            let away = Range {
                start: 1000,
                last: 1009,
            };
            let overwrite = |range| {
                let _mmap = a.mm.mmap_write();
                // SAFETY: `mmap_lock` is held; no walk goes on, and the tree is put right below.
                unsafe { a.vma.core.overwrite_range(range) };
            };
            overwrite(away);
            let moved = Range {
                start: 50,
                last: 59,
            };
            let ((), n) = Rule::R32
                .expect_violations(|| c.vma.core.set_range(moved, &mut c.mm.mmap_write(), ()));
            overwrite(whole);
            let visited = a.visited(50, 59);
            for process in [a, b, c] {
                process.unmap();
            }

            // The check costs a search: it is there in kernels that are to be tested.
            assert_eq!(n, usize::from(VMAS_ARE_CHECKED));
            assert_eq!(visited, 2);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A VMA that has an anon_vma and no link is taken for one without (R33).
    #[test]
    fn damage_of_a_chain_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let a = world.faulted()?;
            let (has_one, n) = Rule::R33.expect_violations(|| {
                damaged(&a.vma.core.chain, ptr::null_mut(), || a.key().is_some())
            });
            a.unmap();

            assert!(!has_one);
            assert_eq!(n, 1);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Moves a VMA. Returns whether the family was locked while the PTEs were moved, and the new
    /// address of page offset 3.
    fn locked_while_moved<L: FamilyLock, B: Numbered>() -> Result<(Option<bool>, usize)> {
        let _steps = AtRunTime::with::<B>();
        let world = World::<Bare<L, AtRunTime>>::new()?;
        let a = world.faulted()?;
        let pin = a.pin().ok_or(EINVAL)?;
        let mut locked = None;
        a.vma.core.relocate(100, &mut a.mm.mmap_write(), (), |_| {
            locked = Some(pin.lock.is_locked());
        });
        a.unmap();
        Ok((locked, a.vma.core.address(3)))
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Tests of `failures.rs`.

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_failures)]
mod suite {
    use super::super::super::Model;
    use super::super::*;
    use crate::{
        kernel_ext::{
            lock::{
                FamilyLock,
                Spin, //
            },
            rwsem::RwSem, //
        },
        rmap::rules::Rule,
        torture::busted::KeepsClonedLinks, //
    };

    /// A child that cannot be completed goes, and its parent has lost nothing (R37).
    #[test]
    fn fork() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let swept = sweep::<Model<L>>("fork", as_it_is(), |w| w.parent.fork().map(drop))?;
            let grandchild = sweep::<Model<L>>("fork", as_it_is(), |w| w.child.fork().map(drop))?;

            assert!(swept);
            assert!(grandchild);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A VMA is not split by halves.
    #[test]
    fn split() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let by_protect = sweep::<Model<L>>("mprotect", as_it_is(), |w| {
                w.child.protect(2, 4, Prot::READ)
            })?;
            let by_unmap = sweep::<Model<L>>("munmap", as_it_is(), |w| w.child.unmap(2, 1))?;

            assert!(by_protect);
            assert!(by_unmap);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A merge that fails has linked nothing (R37).
    #[test]
    fn merge() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let three = sweep::<Model<L>>("merge", as_it_is(), |w| {
                w.parent.protect(20, 4, Prot::WRITE)
            })?;
            // The one before inherits the links of the one behind.
            let inherits = sweep::<Model<L>>("inherit", as_it_is(), inherit)?;
            let bridge = sweep::<Model<L>>(
                "bridge",
                [
                    |w| {
                        w.parent.map(44, 4, Prot::WRITE)?;
                        w.parent.map(52, 4, Prot::WRITE)?;
                        w.parent.write(53, 0, 1)
                    },
                    nothing,
                ],
                |w| w.parent.map(48, 4, Prot::WRITE),
            )?;

            assert!(three);
            assert!(inherits);
            assert!(bridge);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A first write, one to a page that is shared, and new VMAs.
    #[test]
    fn faults() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let first = sweep::<Model<L>>("prepare", as_it_is(), |w| w.child.write(33, 0, 5))?;
            let beside = sweep::<Model<L>>("share", as_it_is(), |w| w.parent.write(33, 0, 5))?;
            let copies = sweep::<Model<L>>("copy", as_it_is(), |w| w.child.write(0, 0, 5))?;
            let map = sweep::<Model<L>>("mmap", as_it_is(), |w| w.parent.map(44, 4, Prot::WRITE))?;
            let grow = sweep::<Model<L>>("grow", as_it_is(), |w| w.parent.grow(1, 8))?;

            assert!(first);
            assert!(beside);
            assert!(copies);
            assert!(map);
            assert!(grow);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// What cannot be moved stays.
    #[test]
    fn moves() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let whole = sweep::<Model<L>>("move", as_it_is(), |w| w.child.remap(0, 8, 44, false))?;
            let part = sweep::<Model<L>>("move a part", as_it_is(), |w| {
                w.child.remap(2, 4, 44, false)
            })?;
            let keep = sweep::<Model<L>>("keep", as_it_is(), |w| w.child.remap(0, 8, 44, true))?;
            let keep_part =
                sweep::<Model<L>>("keep a part", as_it_is(), |w| w.child.remap(2, 4, 44, true))?;
            let back = sweep::<Model<L>>(
                "move back",
                [|w| w.parent.remap(4, 4, 44, false), nothing],
                |w| w.parent.remap(44, 4, 4, false),
            )?;

            assert!(whole);
            assert!(part);
            assert!(keep);
            assert!(keep_part);
            assert!(back);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// To swap and back, and from one place in memory to another.
    #[test]
    fn swap_and_migration() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let out = sweep::<Model<L>>("swap out", as_it_is(), swap_out)?;
            let back = sweep::<Model<L>>("swap in", [nothing, swap_out], |w| {
                w.child.read(0, 0).map(drop)
            })?;
            let unuse = sweep::<Model<L>>("swapoff", [nothing, swap_out], |w| {
                let slot = match w.parent.space().table.lock().get(0) {
                    Pte::Swap(entry) => entry.slot().clone(),
                    _ => return Ok(()),
                };
                walk::unuse(&slot).map(drop)
            })?;
            let migration = sweep::<Model<L>>("migrate", as_it_is(), |w| {
                let page = w.parent.page_at(0).ok_or(EINVAL)?;
                walk::migrate(&page).map(drop)
            })?;

            assert!(out);
            assert!(back);
            assert!(unuse);
            assert!(migration);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// deliberate bug: a merge that fails keeps the links that it has inherited (R37).
    #[test]
    fn half_a_merge_is_noticed() -> Result {
        let (right, n) = Rule::R37.expect_violations(|| {
            sweep_told::<Model<RwSem, KeepsClonedLinks>>(false, "", as_it_is(), inherit)
        });

        assert!(n > 0);
        assert!(!right?);
        Ok(())
    }

    fn nothing<R: Modelled>(_: &World<R>) -> Result {
        Ok(())
    }

    fn as_it_is<R: Modelled>() -> [Action<R>; 2] {
        [nothing; 2]
    }

    /// The VMA without pages takes in the one behind it; or it has no links then, either.
    fn inherit<R: Modelled>(world: &World<R>) -> Result {
        world.parent.protect(36, 4, Prot::WRITE).map_err(|error| {
            let target = world.parent.space().vmas.find(32);
            if target.is_some_and(|vma| vma.core.is_unfaulted()) {
                error
            } else {
                EINVAL
            }
        })
    }

    /// The page that parent and child share at address 0.
    fn swap_out<R: Modelled>(world: &World<R>) -> Result {
        match world.parent.page_at(0) {
            Some(page) => walk::reclaim(&page).map(drop),
            None => Ok(()),
        }
    }
}

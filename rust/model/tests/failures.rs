// SPDX-License-Identifier: GPL-2.0

//! Tests that each operation survives the failure of each of its allocations.
//!
//! After a failure the address spaces are as before, nothing is left over, and the operation
//! succeeds when it is repeated.

use crate::{
    kernel_ext::fail,
    model::{
        mm::Mm,
        space::Prot,
        verify::{
            verify,
            Live, //
        },
        walk,
        Modelled, //
    },
    rmap::{
        anon_vma::Cache,
        prepare::Sharing, //
    },
};
use kernel::{
    macros::kunit_tests,
    prelude::*,
    sync::Arc, //
};

/// Pages of each address space.
const SIZE: usize = 64;

/// A process and its child, with VMAs and pages of each sort.
///
/// ```text
/// first page  0       8     16    20    24    28   32     36     40
/// parent      pages |     | pages.pages.pages |    empty  pages  |
///             write       | write  read write |    write  read
/// child       the same, and some pages of its own
/// ```
struct World<R: Modelled> {
    parent: Mm<R>,
    child: Mm<R>,
}

impl<R: Modelled> World<R> {
    fn new(cache: &Arc<Cache<R>>) -> Result<Self> {
        let parent = Mm::new(cache, SIZE, Sharing::Singleton)?;
        parent.map(0, 8, Prot::WRITE)?;
        parent.map(16, 12, Prot::WRITE)?;
        parent.map(36, 4, Prot::WRITE)?;
        for address in [0, 1, 4, 7, 17, 21, 25, 37] {
            parent.write(address, 0, 100 + address as u64)?;
        }
        parent.protect(36, 4, Prot::READ)?;
        parent.map(32, 4, Prot::WRITE)?;
        parent.protect(20, 4, Prot::READ)?;
        let child = parent.fork()?;
        child.write(1, 0, 201)?;
        parent.write(4, 0, 304)?;
        Ok(Self { parent, child })
    }

    /// Returns word 0 of each page; `None` where no VMA is.
    fn contents(&self) -> Result<KVVec<Option<u64>>> {
        let mut all = KVVec::from_elem(None, 2 * SIZE, GFP_KERNEL)?;
        for (mm, words) in [&self.parent, &self.child].iter().zip(all.chunks_mut(SIZE)) {
            for slot in mm.space().vmas.range(0, usize::MAX) {
                for address in slot.first..=slot.last {
                    if let Some(word) = words.get_mut(address) {
                        *word = Some(mm.read(address, 0)?);
                    }
                }
            }
        }
        Ok(all)
    }

    /// Returns whether the rules hold. With `print` also whether all allocated objects belong to
    /// these address spaces; what is wrong is printed.
    fn is_sound(&self, before: &Live, print: bool) -> Result<bool> {
        let seen = verify(&[&self.parent, &self.child])?;
        if !print {
            return Ok(seen.violations == 0);
        }
        let live = Live::now().since(before);
        let known = Live {
            anon_vmas: seen.anon_vmas,
            links: seen.links,
            // The swap cache has pages that no PTE maps.
            pages: live.pages,
            slots: seen.slots,
        };
        if live != known {
            pr_err!("failures: allocated {live:?}, reachable {known:?}\n");
        }
        Ok(seen.is_clean() && live == known && live.pages >= seen.pages)
    }
}

/// An action on a world.
type Action<R> = fn(&World<R>) -> Result;

/// Does `operation` with its first allocation failing, then with its second, and so on, each time
/// in a new world. The two actions of `ready` prepare it; the contents of its pages are recorded
/// between them.
///
/// Returns whether the world was sound each time. With `print` the kernel log says what was wrong,
/// and how many allocations there are.
fn sweep_and_print<R: Modelled>(
    print: bool,
    name: &str,
    ready: [Action<R>; 2],
    operation: Action<R>,
) -> Result<bool> {
    let cache = Arc::new(Cache::new()?, GFP_KERNEL)?;
    let (mut n, mut right) = (0, true);
    loop {
        let before = Live::now();
        let world = World::new(&cache)?;
        ready[0](&world)?;
        let contents = world.contents()?;
        ready[1](&world)?;
        let (result, hit) = fail::nth(n + 1, || operation(&world));
        let mut fine = world.is_sound(&before, print)?;
        if result.is_err() {
            fine &= hit && result == Err(ENOMEM) && *world.contents()? == *contents;
            fine &= operation(&world).is_ok() && world.is_sound(&before, print)?;
        }
        // Pages may have moved.
        let now = world.contents()?;
        fine &= contents.iter().all(|word| now.contains(word));
        drop(world);
        fine &= Live::now() == before;
        right &= fine;
        if print && !fine {
            pr_err!("failures: {name}: allocation {}: {result:?}\n", n + 1);
        }
        if print && !hit {
            pr_info!("failures: {name}: {n} allocations\n");
        }
        if !hit {
            return Ok(right && n > 0);
        }
        n += 1;
    }
}

/// As [`sweep_and_print`], with `print`.
fn sweep<R: Modelled>(name: &str, ready: [Action<R>; 2], operation: Action<R>) -> Result<bool> {
    sweep_and_print(true, name, ready, operation)
}

#[kunit_tests(shadow_rmap_failures)]
mod suite {
    use super::*;
    use crate::{
        kernel_ext::rwsem::RwSem,
        model::Model,
        rmap::{
            lock::{
                FamilyLock,
                Spin, //
            },
            rules::Rule, //
        },
        torture::{
            at_run_time::AtRunTime,
            busted::merge::KeepsClonedLinks, //
        }, //
    };

    /// A fork that fails removes the child and leaves the parent as it was (R37).
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

    /// A split that fails leaves one VMA.
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

    /// A merge that fails leaves no links behind (R37).
    #[test]
    fn merge() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let three = sweep::<Model<L>>("merge", as_it_is(), |w| {
                w.parent.protect(20, 4, Prot::WRITE)
            })?;
            // The first VMA inherits the links of the second.
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

    /// First writes, a write to a shared page, and new VMAs.
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

    /// A move that fails leaves all pages where they are.
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

    /// Swap and migration.
    #[test]
    fn swap_and_migration() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let out = sweep::<Model<L>>("swap out", as_it_is(), swap_out)?;
            let back = sweep::<Model<L>>("swap in", [nothing, swap_out], |w| {
                w.child.read(0, 0).map(drop)
            })?;
            let unuse = sweep::<Model<L>>("swapoff", [nothing, swap_out], |w| {
                // After a failure the contents have been read, and the page is mapped again.
                let Some(slot) = w.parent.slot_at(0) else {
                    return Ok(());
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

    /// A deliberate bug keeps the inherited links of a merge that fails (R37).
    #[test]
    fn half_a_merge_is_noticed() -> Result {
        let _bug = AtRunTime::with::<KeepsClonedLinks>();
        let (right, n) = Rule::R37.expect_violations(|| {
            sweep_and_print::<Model<RwSem, AtRunTime>>(false, "", as_it_is(), inherit)
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

    /// The VMA without pages is merged with the next one. If that fails it must have no links.
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

    /// Swaps out the page that parent and child share at address 0.
    fn swap_out<R: Modelled>(world: &World<R>) -> Result {
        match world.parent.page_at(0) {
            Some(page) => walk::reclaim(&page).map(drop),
            None => Ok(()),
        }
    }
}

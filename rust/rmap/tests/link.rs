// SPDX-License-Identifier: GPL-2.0

//! Tests of `link.rs`.

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_link)]
mod suite {
    use super::super::super::{
        anon_vma::PageRmap,
        kind::Bare,
        lookup::{
            page_get_anon_vma,
            page_lock_anon_vma, //
        },
        rules::Correct,
        testing::{
            at,
            live,
            Hooked,
            Job,
            Process,
            World, //
        },
    };
    use super::super::*;
    use crate::{
        kernel_ext::{
            fail,
            lock::{
                FamilyLock,
                Spin, //
            },
            rwsem::RwSem,
        },
        torture::busted,
    };
    use core::ops::ControlFlow;
    use kernel::sync::Arc;

    /// A new root, counting itself, with the one VMA in its tree.
    #[test]
    fn prepare_makes_a_root() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let a = world.process(0, 7)?;
            a.fault()?;
            let facts = a.facts();
            let again = a.fault().is_ok() && a.facts() == facts;
            a.unmap();

            assert_eq!(facts, [1, 1, 1, 1]);
            assert!(again);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// The next VMA's anon_vma is shared, unless that VMA has been forked (R27).
    #[test]
    fn prepare_shares_only_a_singleton() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let a = world.process(0, 3)?;
            let b = a.another(4, 7)?;
            a.fault()?;
            b.fault_beside(&a)?;
            let shared = a.key() == b.key() && a.facts() == [1, 1, 2, 2];

            let child = a.fork()?;
            let c = child.another(4, 7)?;
            c.fault_beside(&child)?;
            let apart = c.key() != child.key() && c.facts() == [1, 1, 1, 1];
            for process in [a, b, c, child] {
                process.unmap();
            }

            // A VMA with one link shares.
            assert!(shared);
            // A forked one does not.
            assert!(apart);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Sharing the anon_vma of a VMA that has been forked is noticed (R27).
    #[test]
    fn sharing_a_longer_chain_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L, busted::SharesForked>>::new()?;
            let was = live();
            let a = world.process(0, 3)?;
            a.fault()?;
            let b = a.fork()?;
            let c = b.another(4, 7)?;
            let (faulted, n) = Rule::R27.expect_violations(|| c.fault_beside(&b));
            let shared = c.key() == b.key();
            let links = [b.links(), c.links()];
            for process in [a, b, c] {
                process.unmap();
            }

            faulted?;
            // One anon_vma, and two chains.
            assert!(shared && links == [2, 1]);
            assert_eq!(n, 1);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Each generation is linked to all before it; the root is held by each of them (R16, R23).
    #[test]
    fn fork_links_all_generations() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let a = world.process(0, 7)?;
            a.fault()?;
            let b = a.fork()?;
            let c = b.fork()?;
            let [fa, fb, fc] = [a.facts(), b.facts(), c.facts()];
            let one_root = a.root() == b.root() && b.root() == c.root() && a.root() == a.key();
            let parents = b.parent() == a.key() && c.parent() == b.key();
            let links = [a.links(), b.links(), c.links()];
            for process in [a, b, c] {
                process.unmap();
            }

            // References, children, active VMAs, VMAs in the tree.
            assert_eq!(fa, [3, 2, 1, 3]);
            assert_eq!(fb, [1, 1, 1, 2]);
            assert_eq!(fc, [1, 0, 1, 1]);
            assert!(one_root && parents);
            assert_eq!(links, [1, 2, 3]);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A fork that leaves out the root is noticed: a page of the parent's is not found at the child
    /// (R21, R23).
    #[test]
    fn a_forgotten_link_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L, busted::ForgetsRootLink>>::new()?;
            let was = live();
            let a = world.process(0, 7)?;
            a.fault()?;
            let ((b, own), all) =
                Rule::R21.expect_violations(|| Rule::R23.expect_violations(|| a.fork()));
            let b = b?;
            let visited = a.visited(3, 3);
            a.unmap();
            b.unmap();

            assert_eq!([all, own, visited], [1, 1, 1]);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A page is found at all VMAs that map it, be they forked, copied, or both (R21).
    #[test]
    fn every_vma_that_maps_a_page_is_linked_to_it() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let (a, page) = world.process_with_page()?;
            let b = a.fork()?;
            let (c, d) = (b.copy(0, 3)?, b.fork()?);
            for _ in 0..3 {
                page.add_anon_rmap();
            }
            let mut visited = 0;
            if let Some(anon_vma) = page_lock_anon_vma(&page) {
                let _: ControlFlow<()> = anon_vma.for_each_vma(3, 3, |_| {
                    visited += 1;
                    ControlFlow::Continue(())
                });
            }
            let mapped = page.mapcount();
            for process in [a, b, c, d] {
                page.remove_rmap();
                process.unmap();
            }

            assert_eq!([visited, mapped], [4, 4]);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A chain with the newest link last is noticed at each fork; it is freed all the same, for a
    /// child holds its root (R22).
    #[test]
    fn a_chain_the_wrong_way_round_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L, busted::LinksLast>>::new()?;
            let was = live();
            let a = world.process(0, 7)?;
            a.fault()?;
            let (b, first) = Rule::R22.expect_violations(|| a.fork());
            let b = b?;
            let (c, second) = Rule::R22.expect_violations(|| b.fork());
            let c = c?;
            for process in [a, b, c] {
                process.unmap();
            }

            assert_eq!([first, second], [1, 1]);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A fork of an unfaulted VMA links nothing.
    #[test]
    fn fork_of_an_unfaulted_vma_is_unfaulted() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let a = world.process(0, 7)?;
            let b = a.fork()?;
            let links = a.links() + b.links();
            let unfaulted = b.vma.core.is_unfaulted();

            assert!(unfaulted && links == 0);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Only an ancestor that is idle and has no other child is handed out again (R24).
    #[test]
    fn fork_reuses_an_idle_ancestor() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let a = world.process(0, 7)?;
            a.fault()?;
            let b = a.fork()?;
            let idle = b.key();
            let c = b.fork()?;
            let while_busy = b.fork()?;
            let busy = while_busy.key() != idle;
            while_busy.unmap();
            b.unmap();
            let d = c.fork()?;
            let reused = d.key() == idle;
            // In use again, so not a second time.
            let e = c.fork()?;
            let once = e.key() != idle && e.key() != c.key();
            for process in [a, c, d, e] {
                process.unmap();
            }

            // An ancestor with a VMA is not reused.
            assert!(busy);
            // An idle one is.
            assert!(reused);
            // But only once.
            assert!(once);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A fork that is told what another did follows it, and counts where the rule says otherwise.
    #[test]
    fn fork_follows_what_was_seen() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let a = world.process(0, 7)?;
            a.fault()?;
            let b = a.fork()?;
            let c = b.fork()?;
            let idle = b.key();
            b.unmap();
            let late = stats::LATE_REUSES.sum();
            let none = c.fork_as(Reuse::AsSeen(None))?;
            let not_reused = none.key() != idle && stats::LATE_REUSES.sum() == late + 1;
            none.unmap();
            // On the chain of `c`: its own, the root, the idle one.
            let agreed = c.fork_as(Reuse::AsSeen(Some(2)))?;
            let reused = agreed.key() == idle && stats::LATE_REUSES.sum() == late + 1;
            for process in [a, c, agreed] {
                process.unmap();
            }

            assert!(not_reused && reused);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A fork that counts children and VMAs together reuses an anon_vma that has a VMA, and is
    /// noticed: what two address spaces share outlives neither (R24).
    #[test]
    fn a_busy_ancestor_that_is_reused_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L, busted::ReusesBusy>>::new()?;
            let was = live();
            let a = world.process(0, 7)?;
            a.fault()?;
            let b = a.fork()?;
            let c = b.fork()?;
            let idle = b.key();
            b.unmap();
            // By rule: so that the anon_vma of `c` has a VMA, and no child.
            let d = c.fork()?;
            let reused = d.key() == idle;
            let (e, n) = Rule::R24.expect_violations(|| d.fork());
            let e = e?;
            let busy = e.key() == c.key();
            for process in [a, c, d, e] {
                process.unmap();
            }

            assert!(reused && busy);
            assert_eq!(n, 1);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// However long the line, the number of anon_vmas is bounded when parents exit first (R24).
    #[test]
    fn a_long_line_does_not_grow() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let mut last = world.process(0, 7)?;
            last.fault()?;
            let mut most = 0;
            for _ in 0..100 {
                let next = last.fork()?;
                last.unmap();
                most = most.max(next.links());
                last = next;
            }
            last.unmap();

            // The chain stays short.
            assert!(most <= 4);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A copy shares the anon_vma, and counts as one more active VMA.
    #[test]
    fn copy_shares() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let a = world.process(0, 7)?;
            a.fault()?;
            let b = a.fork()?;
            let c = b.copy(4, 7)?;
            let same = c.key() == b.key() && c.links() == b.links();
            let facts = b.facts();
            for process in [a, b, c] {
                process.unmap();
            }

            assert!(same);
            assert_eq!(facts, [1, 0, 2, 2]);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A copy, or a fork, that fails wherever it may leaves no link, no anon_vma, and no count (R37).
    #[test]
    fn a_failed_clone_leaves_nothing() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let a = world.process(0, 7)?;
            a.fault()?;
            let b = a.fork()?;
            let before = (a.facts(), b.facts());
            let mut clean = true;
            let mut check = |failed: Result<Process<_>>| {
                clean &= failed.is_err() && (a.facts(), b.facts()) == before && live() == was + 2;
            };
            let (copy, copies) = fail::each(|| b.copy(4, 7), &mut check);
            if let Ok(copy) = &copy {
                copy.unmap();
            }
            let (child, forks) = fail::each(|| b.fork(), &mut check);
            if let Ok(child) = &child {
                child.unmap();
            }
            a.unmap();
            b.unmap();
            copy?;
            child?;

            assert!(clean);
            // For each of two links; a fork needs an anon_vma and its link besides.
            assert_eq!([copies, forks], [2, 4]);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A failed copy that has an anon_vma all the same, and no link to it, is noticed (R30, R37).
    #[test]
    fn half_a_clone_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L, busted::LeavesHalfAClone>>::new()?;
            let was = live();
            let a = world.process(0, 7)?;
            a.fault()?;
            let copy = a.another(4, 7)?;
            let clone = || {
                let mmap = a.mm.mmap_write();
                anon_vma_clone(&copy.vma.core, &mmap, &a.vma.core, &mmap, Operation::Copy)
            };
            let (((cloned, failed), published), left) =
                Rule::R37.expect_violations(|| Rule::R30.expect_violations(|| fail::nth(1, clone)));
            // Two active VMAs, of which one is in the tree.
            let facts = a.facts();
            copy.unmap();
            a.unmap();

            assert!(failed && cloned == Err(ENOMEM));
            assert_eq!(facts, [1, 1, 2, 1]);
            assert_eq!([left, published], [1, 1]);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// The root is freed after its family, in whichever order the processes exit (R16, R22).
    #[test]
    fn any_order_of_exit_frees_all() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let mut order = KVec::new();
            for first in 0..3 {
                for second in 0..3 {
                    if first != second {
                        order.push([first, second, 3 - first - second], GFP_KERNEL)?;
                    }
                }
            }
            for exits in &order {
                let a = world.process(0, 7)?;
                a.fault()?;
                let b = a.fork()?;
                let c = b.fork()?;
                let all = [a, b, c];
                for &i in exits {
                    if let Some(process) = all.get(i) {
                        process.unmap();
                    }
                }
            }

            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Of many who prepare one VMA at once one wins, and the others leave nothing behind (R28).
    #[test]
    fn one_prepare_wins() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let mut all = KVec::new();
            for _ in 0..200 {
                all.push(world.process(0, 7)?, GFP_KERNEL)?;
            }
            let all = Arc::new(all, GFP_KERNEL)?;
            let mut jobs = KVec::new();
            for _ in 0..4 {
                let theirs = all.clone();
                let job = Job::start(move || theirs.iter().try_for_each(Process::fault))?;
                jobs.push(job, GFP_KERNEL)?;
            }
            for job in jobs {
                job.join()??;
            }
            let wrong = all.iter().filter(|a| a.facts() != [1, 1, 1, 1]).count();
            all.iter().for_each(Process::unmap);

            assert_eq!(wrong, 0);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A fault that comes while another prepares the VMA wins, and the other leaves nothing behind
    /// (R28).
    #[test]
    fn a_late_prepare_loses() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let (was, races) = (live(), stats::PREPARE_RACES.sum());
            let facts = prepared_twice::<L, Correct>()?;

            assert_eq!(facts, [1, 1, 1, 1]);
            assert_eq!(stats::PREPARE_RACES.sum(), races + 1);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A prepare that does not look again is noticed, by itself and by the family that the VMA has
    /// by now (R15, R28).
    #[test]
    fn a_late_prepare_that_goes_on_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let was = live();
            let ((facts, families), n) = Rule::R28.expect_violations(|| {
                Rule::R15.expect_violations(prepared_twice::<L, busted::TestsOnce>)
            });

            assert!(facts == Ok([1, 1, 1, 1]));
            assert_eq!([n, families], [1, 1]);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A VMA is linked to its first anon_vma before it is seen to have it (R30).
    #[test]
    fn an_anon_vma_is_published_when_it_is_linked() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L, Hooked>>::new()?;
            let a = world.process(0, 7)?;
            let theirs = a.clone();
            let (faulted, seen) = at(
                Window::Linked,
                move || (theirs.vma.core.is_unfaulted(), theirs.links()),
                || a.fault(),
            )?;
            let has_one = !a.vma.core.is_unfaulted();
            a.unmap();

            assert!(faulted.is_ok() && has_one);
            assert!(seen == (true, 1));
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// An anon_vma that is seen at a VMA which is not linked to it yet is noticed (R30).
    #[test]
    fn an_early_publication_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L, Hooked<busted::PublishesFirst>>>::new()?;
            let a = world.process(0, 7)?;
            let theirs = a.clone();
            let (raced, n) = Rule::R30.expect_violations(|| {
                at(
                    Window::Linked,
                    move || (theirs.vma.core.is_unfaulted(), theirs.links()),
                    || a.fault(),
                )
            });
            a.unmap();

            assert!(raced == Ok((Ok(()), (false, 0))));
            assert_eq!(n, 1);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// The anon_vma that a VMA has got stays its own: through more faults, forks and copies (R31).
    #[test]
    fn a_vma_keeps_its_anon_vma() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let a = world.process(0, 7)?;
            a.fault()?;
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

    /// A VMA that has an anon_vma keeps it: another is not published (R31).
    #[test]
    fn a_second_anon_vma_is_refused() -> Result {
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
                    anon_vma.lock_write().publish(&b.vma.core, anon_vma, &mmap);
                }
            });
            let same = b.key() == key;
            a.unmap();
            b.unmap();

            assert!(same && n == 1);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A family's lock links nothing to another family (R15).
    #[test]
    fn a_foreign_family_is_refused() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let a = world.process(0, 7)?;
            let (b, c) = (a.another(10, 17)?, a.another(20, 27)?);
            a.fault()?;
            b.fault()?;
            let mut links = Links::reserve(1)?;
            let (linked, n) = Rule::R15.expect_violations(|| {
                let mmap = a.mm.mmap_write();
                let (ours, theirs) = (a.vma.core.anon_vma(&mmap)?, b.vma.core.anon_vma(&mmap)?);
                let mut family = ours.lock_write();
                Some(family.link(&mut links, &c.vma.core, theirs, &mmap))
            });
            a.unmap();
            b.unmap();

            assert!(linked == Some(false) && n == 1);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// An anon_vma that is only pinned is not linked again (R18).
    #[test]
    fn a_mere_pin_is_refused() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let (a, b) = (world.process(0, 7)?, world.process(0, 7)?);
            a.fault()?;
            let page = PageRmap::new(3);
            a.map(&page);
            let pin = page_get_anon_vma(&page);
            page.remove_rmap();
            a.unmap();
            let mut links = Links::reserve(1)?;
            let (linked, n) = Rule::R18.expect_violations(|| {
                let mmap = b.mm.mmap_write();
                pin.as_ref()
                    .map(|pin| pin.lock_write().link(&mut links, &b.vma.core, pin, &mmap))
            });
            drop(pin);

            assert!(linked == Some(false) && n == 1);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A first fault of a VMA, between whose test and lock another thread's comes first.
    ///
    /// Returns what is known of its anon_vma then.
    fn prepared_twice<L: FamilyLock, B: Rules>() -> Result<[usize; 4]> {
        let world = World::<Bare<L, Hooked<B>>>::new()?;
        let a = world.process(0, 7)?;
        let theirs = a.clone();
        let (first, second) = at(Window::PrepareTested, move || theirs.fault(), || a.fault())?;
        let facts = a.facts();
        a.unmap();
        first.and(second).map(|()| facts)
    }
}

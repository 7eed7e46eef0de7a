// SPDX-License-Identifier: GPL-2.0

//! Tests of `prepare.rs`.

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_prepare)]
mod suite {
    use super::super::*;
    use crate::{
        kernel_ext::rwsem::RwSem,
        rmap::{
            kind::{
                Bare,
                Windows, //
            },
            lock::{
                FamilyLock,
                Spin, //
            },
            lookup::page_lock_anon_vma,
            page::PageRmap,
            steps::{
                Correct, //
            },
            testing::{
                at,
                live,
                wait_for,
                Job,
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
    use kernel::sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        Arc, //
    };

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
            let _bug = AtRunTime::with::<busted::prepare::SharesForked>();
            let world = World::<Bare<L, AtRunTime>>::new()?;
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

    /// Of four threads that prepare one VMA at once one wins, and the others leave nothing behind
    /// (R28).
    ///
    /// All four have seen that the VMA has no anon_vma before one goes on.
    #[test]
    fn one_prepare_wins() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L, Correct, Meeting>>::new()?;
            let (was, races) = (live(), stats::PREPARE_RACES.sum());
            let mut wrong = 0;
            for _ in 0..20 {
                let a = world.process(0, 7)?;
                ARRIVED.store(0, Relaxed);
                let mut jobs = KVec::with_capacity(THREADS, GFP_KERNEL)?;
                for _ in 0..THREADS {
                    let theirs = a.clone();
                    jobs.push(Job::start(move || theirs.fault())?, GFP_KERNEL)?;
                }
                for job in jobs {
                    job.join()??;
                }
                wrong += usize::from(a.facts() != [1, 1, 1, 1]);
                a.unmap();
            }

            assert_eq!(wrong, 0);
            assert_eq!(stats::PREPARE_RACES.sum() - races, 20 * (THREADS - 1));
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
            let facts = prepared_twice::<L, Correct>(false)?;

            assert_eq!(facts, [1, 1, 1, 1]);
            assert_eq!(stats::PREPARE_RACES.sum(), races + 1);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A prepare that does not look again is noticed: by the family that the VMA has by now (R15),
    /// or, if both share the anon_vma of a neighbour, by the second link and the second publication
    /// (R28, R31).
    #[test]
    fn a_late_prepare_that_goes_on_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let was = live();
            let (facts, families) = Rule::R15
                .expect_violations(|| prepared_twice::<L, busted::prepare::TestsOnce>(false));
            let ((shared, published), links) = Rule::R28.expect_violations(|| {
                Rule::R31
                    .expect_violations(|| prepared_twice::<L, busted::prepare::TestsOnce>(true))
            });

            assert!(facts == Ok([1, 1, 1, 1]));
            // The neighbour, and the VMA, which is in the tree twice.
            assert!(shared == Ok([1, 1, 2, 3]));
            assert_eq!([families, links, published], [1, 1, 1]);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A VMA is linked to its first anon_vma before another thread sees that it has one (R21).
    #[test]
    fn an_anon_vma_is_published_when_it_is_linked() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
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

    /// A page of a VMA that has its anon_vma, and no link to it yet, is not found (R21).
    #[test]
    fn an_early_publication_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let _bug = AtRunTime::with::<busted::prepare::PublishesFirst>();
            let world = World::<Bare<L, AtRunTime>>::new()?;
            let a = world.process(0, 7)?;
            let theirs = a.clone();
            let page = Arc::new(PageRmap::new(3), GFP_KERNEL)?;
            let early = page.clone();
            let raced = at(
                Window::Published,
                move || {
                    let seen = (
                        theirs.vma.core.is_unfaulted(),
                        theirs.links(),
                        theirs.map(&early),
                    );
                    let looked =
                        Rule::R18.expect_violations(|| page_lock_anon_vma(&early).is_some());
                    (seen, looked)
                },
                || a.fault(),
            );
            let found = page_lock_anon_vma(&page).is_some();
            page.remove_rmap();
            a.unmap();

            assert!(raced == Ok((Ok(()), ((false, 0, true), (false, 1)))));
            assert!(found);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// The neighbour whose anon_vma is shared has a longer chain (R27).
    #[test]
    fn damage_of_a_neighbour_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let a = world.process(0, 3)?;
            a.fault()?;
            let b = a.another(4, 7)?;
            let theirs = a.clone();
            let (raced, n) = Rule::R27.expect_violations(|| {
                at(
                    Window::PrepareTested,
                    move || theirs.vma.core.nr_links.store(2, Relaxed),
                    || b.fault_beside(&a),
                )
            });
            a.vma.core.nr_links.store(1, Relaxed);
            let shared = a.key() == b.key();
            a.unmap();
            b.unmap();

            assert!(raced == Ok((Ok(()), ())) && shared);
            assert_eq!(n, 1);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A VMA that gets its first link has one already (R28).
    #[test]
    fn damage_of_a_number_of_links_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let a = world.process(0, 7)?;
            a.vma.core.nr_links.store(1, Relaxed);
            let (prepared, n) = Rule::R28.expect_violations(|| a.fault());
            let links = a.links();
            a.unmap();
            let (b, c) = (world.process(0, 3)?, world.process(4, 7)?);
            let beside = b.another(4, 7)?;
            b.fault()?;
            beside.vma.core.nr_links.store(1, Relaxed);
            let (shared, beside_n) = Rule::R28.expect_violations(|| beside.fault_beside(&b));
            for process in [b, beside, c] {
                process.unmap();
            }

            assert!(prepared.is_ok() && shared.is_ok() && links == 2);
            assert_eq!([n, beside_n], [1, 1]);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Prepares a VMA; between the test and the lock another thread does the same. The VMA has a
    /// neighbour whose anon_vma it shares, or not.
    ///
    /// Returns the facts about its anon_vma.
    fn prepared_twice<L: FamilyLock, B: Numbered>(shared: bool) -> Result<[usize; 4]> {
        let _steps = AtRunTime::with::<B>();
        let world = World::<Bare<L, AtRunTime>>::new()?;
        let neighbour = world.process(8, 15)?;
        if shared {
            neighbour.fault()?;
        }
        let a = neighbour.another(0, 7)?;
        let (theirs, beside) = (a.clone(), neighbour.clone());
        let (first, second) = at(
            Window::PrepareTested,
            move || theirs.fault_beside(&beside),
            || a.fault_beside(&neighbour),
        )?;
        let facts = a.facts();
        a.unmap();
        neighbour.unmap();
        first.and(second).map(|()| facts)
    }

    const THREADS: usize = 4;

    /// How many threads have come to the window.
    static ARRIVED: Atomic<usize> = Atomic::new(0);

    /// Windows in which all threads wait for each other before they lock what they prepare.
    struct Meeting;

    impl Windows for Meeting {
        fn window(at: Window) {
            if at == Window::PrepareTested {
                ARRIVED.fetch_add(1, Full);
                let _ = wait_for(|| ARRIVED.load(Relaxed) >= THREADS);
            }
        }
    }
}

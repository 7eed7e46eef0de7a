// SPDX-License-Identifier: GPL-2.0

//! Tests of `fork.rs`.

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_fork)]
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
                at,
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

    /// Each generation is linked to all before it; the root is held by each of them (R16, R23).
    #[test]
    fn fork_links_all_generations() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let a = world.faulted()?;
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

    /// A fork that leaves out the root is noticed: a page of the parent's is not found at the child
    /// (R21, R23).
    #[test]
    fn a_forgotten_link_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let _bug = AtRunTime::with::<busted::fork::ForgetsRootLink>();
            let world = World::<Bare<L, AtRunTime>>::new()?;
            let was = live();
            let a = world.faulted()?;
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

    /// A child that shares the anon_vma of its parent has no link of its own (R23).
    #[test]
    fn a_child_without_an_own_anon_vma_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let _bug = AtRunTime::with::<busted::fork::SharesWithParent>();
            let world = World::<Bare<L, AtRunTime>>::new()?;
            let was = live();
            let a = world.faulted()?;
            let (b, n) = Rule::R23.expect_violations(|| a.fork());
            let b = b?;
            let shared = b.key() == a.key() && b.links() == 1;
            a.unmap();
            b.unmap();

            assert!(shared && n == 1);
            assert_eq!(live(), was);
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
            let _bug = AtRunTime::with::<busted::vma::LinksLast>();
            let world = World::<Bare<L, AtRunTime>>::new()?;
            let was = live();
            let a = world.faulted()?;
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

    /// The first link of a child is not that of its own anon_vma (R22).
    #[test]
    fn damage_of_a_chain_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let a = world.faulted()?;
            let child = a.child()?;
            // The root is its own parent, as the child's anon_vma is its child.
            let (n, own) = forked_and_damaged(&a, &child, &a)?;
            child.vma.core.anon_vma.store(own, Relaxed);
            a.unmap();
            child.unmap();

            assert_eq!(n, [1, 0]);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// The anon_vma of a child is not a child of its parent's (R23).
    #[test]
    fn damage_of_a_family_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let a = world.faulted()?;
            let b = a.fork()?;
            let child = b.child()?;
            let (n, own) = forked_and_damaged(&b, &child, &b)?;
            child.vma.core.anon_vma.store(own, Relaxed);
            for process in [a, b, child] {
                process.unmap();
            }

            // It is not the first link either.
            assert_eq!(n, [1, 1]);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A child has another number of links than its parent and one more (R23).
    #[test]
    fn damage_of_a_number_of_links_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let a = world.faulted()?;
            let child = a.child()?;
            let theirs = child.clone();
            let (forked, n) = Rule::R23.expect_violations(|| {
                at(
                    Window::Forked,
                    move || theirs.vma.core.nr_links.store(1, Relaxed),
                    || a.fork_into(&child, Reuse::ByRule),
                )
            });
            child.vma.core.nr_links.store(2, Relaxed);
            a.unmap();
            child.unmap();

            assert!(forked == Ok((Ok(()), ())));
            assert_eq!(n, 1);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// How often R22 and R23 were violated, and the right anon_vma.
    type Damage<L> = ([usize; 2], *mut AnonVma<Bare<L>>);

    /// Forks `parent` into `child`, whose `->anon_vma` becomes that of `wrong` before it is
    /// checked.
    fn forked_and_damaged<L: FamilyLock>(
        parent: &Process<Bare<L>>,
        child: &Process<Bare<L>>,
        wrong: &Process<Bare<L>>,
    ) -> Result<Damage<L>> {
        let (theirs, wrong) = (child.clone(), wrong.clone());
        let ((forked, parents), firsts) = Rule::R22.expect_violations(|| {
            Rule::R23.expect_violations(|| {
                at(
                    Window::Forked,
                    move || {
                        let wrong = wrong.vma.core.anon_vma_ptr();
                        let own = theirs.vma.core.anon_vma.xchg(wrong, Relaxed);
                        own.expose_provenance()
                    },
                    || parent.fork_into(child, Reuse::ByRule),
                )
            })
        });
        let (forked, own) = forked?;
        forked?;
        Ok(([firsts, parents], ptr::with_exposed_provenance_mut(own)))
    }
}

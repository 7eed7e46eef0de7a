// SPDX-License-Identifier: GPL-2.0

//! Tests of `lookup.rs`: another thread acts between the steps of a lookup.

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_lookup_windows)]
mod suite {
    use super::super::*;
    use crate::{
        kernel_ext::rwsem::RwSem,
        rmap::{
            kind::Bare,
            lock::Spin,
            steps::{
                Correct,
                Flavour, //
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
            busted::{
                self,
                Numbered, //
            }, //
        }, //
    };
    use core::ptr;
    use kernel::{
        prelude::*,
        sync::{
            atomic::Relaxed,
            rcu,
            Arc, //
        },
    };

    /// A page that is unmapped while it is looked up leads nowhere, and what was taken on the way
    /// is given back (R11, R12).
    #[test]
    fn a_page_unmapped_meanwhile_is_not_found() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let raced = [
                unmapped_in_a_lookup(&world, Window::Found, false)?,
                unmapped_in_a_lookup(&world, Window::RootRead, false)?,
                unmapped_in_a_lookup(&world, Window::Found, true)?,
                unmapped_in_a_lookup(&world, Window::Referenced, true)?,
            ];

            assert!(raced == [false; 4]);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// An unconfirmed pin, by now the last, that is dropped before RCU is left is noticed (R11).
    #[test]
    fn an_unconfirmed_put_under_rcu_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let _bug = AtRunTime::with::<busted::lookup::PutsUnderRcu>();
            let world = World::<Bare<L, AtRunTime>>::new()?;
            let was = live();
            let (found, n) = Rule::R11
                .expect_violations(|| unmapped_in_a_lookup(&world, Window::Referenced, true));

            assert!(found == Ok(false));
            assert_eq!(n, 1);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A lookup that does not ask the page again returns an anon_vma without VMAs.
    ///
    /// If that was freed meanwhile, it is in another life (R12). A reference keeps it from that.
    #[test]
    fn a_missing_second_look_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let _bug = AtRunTime::with::<busted::lookup::SkipsSecondCheck>();
            let world = World::<Bare<L, AtRunTime>>::new()?;
            let was = live();
            let (locked, at_lock) =
                Rule::R12.expect_violations(|| unmapped_in_a_lookup(&world, Window::Found, false));
            let (pinned, at_pin) = Rule::R12
                .expect_violations(|| unmapped_in_a_lookup(&world, Window::Referenced, true));

            assert!(locked == Ok(false) && pinned == Ok(true));
            assert_eq!([at_lock, at_pin], [1, 0]);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A lookup whose anon_vma becomes one of another family finds nothing, and leaves neither
    /// family locked (R12, R13).
    #[test]
    fn a_lock_is_undone_on_the_root_that_was_read() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let [memory_came_back, found, unlocked] = recycled_in_a_lookup::<L, Correct>()?;

            assert!(memory_came_back);
            assert!(!found && unlocked);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Without the second look at the page the anon_vma that is locked is not the one that was
    /// found (R12).
    #[test]
    fn a_recycled_anon_vma_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let (result, n) = Rule::R12
                .expect_violations(recycled_in_a_lookup::<L, busted::lookup::SkipsSecondCheck>);
            let [memory_came_back, found, unlocked] = result?;

            assert!(memory_came_back);
            // The lookup is given up.
            assert!(!found && unlocked);
            assert_eq!(n, 1);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// An anon_vma becomes another one while a lookup locks, or pins, it (R12).
    #[test]
    fn damage_of_a_life_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let (locked, at_lock) = Rule::R12.expect_violations(|| {
                changed_in_a_lookup(&world, Window::Locked, |page| {
                    page_lock_anon_vma(page).is_some()
                })
            });
            let (pinned, at_pin) = Rule::R12.expect_violations(|| {
                changed_in_a_lookup(&world, Window::Referenced, |page| {
                    page_get_anon_vma(page).is_some()
                })
            });

            assert!(locked == Ok(false) && pinned == Ok(false));
            assert_eq!([at_lock, at_pin], [1, 1]);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// An anon_vma becomes another one while a lookup waits with a reference (R10).
    #[test]
    fn damage_of_a_pinned_life_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let (locked, n) = Rule::R10.expect_violations(|| {
                changed_in_a_lookup(&world, Window::Pinned, |page| {
                    page_get_anon_vma(page).is_some_and(|pin| wait(pin, page).is_some())
                })
            });

            assert!(locked == Ok(true));
            assert_eq!(n, 1);
            Ok(())
        }
        under::<RwSem>()
    }

    /// The lock that a lookup has taken is not that of the root that the anon_vma has (R13).
    #[test]
    fn damage_of_a_root_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let (a, page) = world.process_with_page()?;
            let other = world.faulted()?;
            let pin = a.pin().ok_or(EINVAL)?;
            let (theirs, foreign) = (a.pin().ok_or(EINVAL)?, other.pin().ok_or(EINVAL)?);
            let root = pin.root.load(Relaxed);
            let (raced, n) = Rule::R13.expect_violations(|| {
                at(
                    Window::Locked,
                    move || {
                        theirs
                            .root
                            .store(ptr::from_ref(&*foreign).cast_mut(), Relaxed)
                    },
                    || page_lock_anon_vma(&page).is_some(),
                )
            });
            pin.root.store(root, Relaxed);
            let unlocked = !pin.lock.is_locked();
            page.remove_rmap();
            a.unmap();
            other.unmap();

            assert!(raced == Ok((false, ())) && unlocked);
            assert_eq!(n, 1);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Does a lookup, for a pin or else for the lock, in which the page is unmapped and its VMA
    /// unlinked. Returns whether it found anything.
    fn unmapped_in_a_lookup<L: FamilyLock, F: Flavour>(
        world: &World<Bare<L, F>>,
        window: Window,
        pin: bool,
    ) -> Result<bool> {
        let (a, page) = world.process_with_page()?;
        let (theirs, process) = (page.clone(), a.clone());
        let act = move || {
            theirs.remove_rmap();
            process.unmap();
        };
        let (found, ()) = if pin {
            at(window, act, || page_get_anon_vma(&page).is_some())?
        } else {
            at(window, act, || {
                // What is found by a deliberate bug stays memory of an anon_vma until it is
                // dropped.
                let rcu = rcu::read_lock();
                let found = page_lock_anon_vma(&page).is_some();
                drop(rcu);
                found
            })?
        };
        Ok(found)
    }

    /// Does a lookup of a mapped page. In `window`, the anon_vma is made to look like another one;
    /// it is repaired afterwards. Returns what `lookup` returned.
    fn changed_in_a_lookup<L: FamilyLock>(
        world: &World<Bare<L>>,
        window: Window,
        lookup: impl FnOnce(&PageRmap<Bare<L>>) -> bool,
    ) -> Result<bool> {
        let (a, page) = world.process_with_page()?;
        let (pin, theirs) = (a.pin().ok_or(EINVAL)?, a.pin().ok_or(EINVAL)?);
        let life = pin.life();
        let raced = at(
            window,
            move || theirs.life.store(life + 2, Relaxed),
            || lookup(&page),
        );
        pin.life.store(life, Relaxed);
        page.remove_rmap();
        a.unmap();
        Ok(raced?.0)
    }

    /// Looks a child's page up. Just after the root was read, the child exits, and the memory of
    /// its anon_vma becomes an anon_vma of another family.
    ///
    /// Returns whether the memory came back, whether the lookup found anything, and whether both
    /// families are unlocked afterwards.
    fn recycled_in_a_lookup<L: FamilyLock, B: Numbered>() -> Result<[bool; 3]> {
        let _steps = AtRunTime::with::<B>();
        let world = World::<Bare<L, AtRunTime>>::new()?;
        let (a, other) = (world.process(0, 7)?, world.process(0, 7)?);
        a.fault()?;
        other.fault()?;
        let b = a.fork()?;
        let page = Arc::new(PageRmap::new(3), GFP_KERNEL)?;
        b.map(&page);
        let freed = b.key();
        let (child, family, theirs) = (b.clone(), other.clone(), page.clone());
        let (found, children) = at(
            Window::RootRead,
            move || {
                theirs.remove_rmap();
                child.unmap();
                forked_into(&family, freed)
            },
            || page_lock_anon_vma(&page).is_some(),
        )?;
        let is_locked = |process: &Process<Bare<L, AtRunTime>>| {
            process.with_anon_vma(|root| root.lock.is_locked())
        };
        let unlocked = [&a, &other].map(is_locked) == [Some(false); 2];
        let children = children?;
        let memory_came_back = children.last().and_then(Process::key) == freed;
        children.iter().for_each(Process::unmap);
        a.unmap();
        other.unmap();
        Ok([memory_came_back, found, unlocked])
    }

    /// Forks `family` until the last child's anon_vma is where the freed one was. Most often that
    /// is the first: the allocator hands out first what was given back last. Gives up after 1000.
    fn forked_into<L: FamilyLock>(
        family: &Process<Bare<L, AtRunTime>>,
        freed: Option<usize>,
    ) -> Result<KVec<Process<Bare<L, AtRunTime>>>> {
        let mut children = KVec::with_capacity(1000, GFP_KERNEL)?;
        while children.len() < children.capacity() {
            let child = family.fork()?;
            let found = child.key() == freed;
            children.push(child, GFP_KERNEL)?;
            if found {
                break;
            }
        }
        Ok(children)
    }
}

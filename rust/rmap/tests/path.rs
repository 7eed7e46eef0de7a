// SPDX-License-Identifier: GPL-2.0

//! Tests of `path.rs`.

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_path)]
mod suite {
    use super::super::{
        tally::Tally,
        *, //
    };
    use crate::{
        kernel_ext::{
            fail,
            random::Random,
            rwsem::RwSem, //
        },
        rmap::{
            anon_vma::AnonVma,
            clone::Reuse,
            kind::{
                Bare,
                Rmap, //
            },
            lock::{
                FamilyLock,
                Spin, //
            },
            lookup::{
                page_get_anon_vma,
                page_lock_anon_vma,
                wait, //
            },
            merge::anon_vma_merge,
            page::PageRmap,
            prepare::Sharing,
            testing::{
                at,
                live,
                map_again,
                wait_for,
                Job,
                Process,
                World, //
            },
            window::Window, //
        },
    };
    use kernel::{
        prelude::*,
        sync::Arc, //
    };

    /// Each way through a lookup makes the checks that its path stands for.
    #[test]
    fn lookups_are_counted_exactly() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let (a, page) = world.process_with_page()?;
            let never = PageRmap::<Bare<L>>::new(4);
            let mut tally = Tally::new();
            tally.passes("fast", &[&LOOKUP_FAST], || page_lock_anon_vma(&page));
            tally.passes("pin", &[&LOOKUP_PIN, &PINNED], || page_get_anon_vma(&page));
            tally.passes("never", &[&LOOKUP_NEVER], || page_lock_anon_vma(&never));
            tally.passes("never, pin", &[&LOOKUP_NEVER], || page_get_anon_vma(&never));
            tally.passes("lock", &[&LOCK_READ], || a.locked(|_| ()));
            let theirs = page.clone();
            tally.passes("late", &[&LOOKUP_LATE, &PAGE_REMOVE], || {
                at(
                    Window::Found,
                    move || theirs.remove_rmap(),
                    || drop(page_lock_anon_vma(&page)),
                )
            });
            tally.passes("unmapped", &[&LOOKUP_UNMAPPED], || {
                page_lock_anon_vma(&page)
            });
            tally.passes("unmapped, pin", &[&LOOKUP_UNMAPPED], || {
                page_get_anon_vma(&page)
            });
            map_again(&page);
            let theirs = page.clone();
            tally.passes("pin, late", &[&LOOKUP_PIN, &PIN_LATE, &PAGE_REMOVE], || {
                at(
                    Window::Referenced,
                    move || theirs.remove_rmap(),
                    || drop(page_get_anon_vma(&page)),
                )
            });
            map_again(&page);
            // Under a spinning lock the lookup begins again.
            let (waited, last) = if L::SLEEPS {
                (&WAITED, [&WAITED_LAST, &FREE_ROOT])
            } else {
                (&LOOKUP_FAST, [&FREE_ROOT, &LOOKUP_UNMAPPED])
            };
            tally.passes("waited", &[&LOOKUP_PIN, &PINNED, waited], || {
                page_get_anon_vma(&page).and_then(|pin| wait(pin, &page))
            });
            let pin = page_get_anon_vma(&page);
            tally.passes("remove", &[&PAGE_REMOVE], || page.remove_rmap());
            tally.passes("unlink", &[&UNLINK, &UNLINK_LINK], || a.unmap());
            tally.passes("last", &last, || pin.and_then(|pin| wait(pin, &page)));

            assert_eq!(tally.wrong, 0);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A lookup that finds the lock taken makes the checks of the first try, of the pin, and of the
    /// wait.
    #[test]
    fn a_busy_lookup_is_counted_exactly() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let (a, page) = world.process_with_page()?;
            let mut tally = Tally::new();
            let mut met = false;
            // The lock of the family is taken for writing, and a wait is counted at its end.
            let paths = [&LOOKUP_BUSY, &PINNED, &WAITED];
            tally.passes("busy", &paths, || {
                let slow = LOOKUP_BUSY.sum();
                let job = a.write_locked(|| {
                    let theirs = page.clone();
                    let job = Job::start(move || drop(page_lock_anon_vma(&theirs)));
                    met = wait_for(|| LOOKUP_BUSY.sum() > slow).is_ok();
                    job
                });
                if let Some(Ok(job)) = job {
                    met &= job.join().is_ok();
                }
            });
            page.remove_rmap();
            a.unmap();

            assert!(met);
            assert_eq!(tally.wrong, 0);
            Ok(())
        }
        under::<RwSem>()
    }

    /// Each operation on VMAs makes the checks that its path stands for.
    #[test]
    fn operations_are_counted_exactly() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let a = world.process(0, 7)?;
            let beside = a.another(8, 15)?;
            let (copy, child, other) = (a.another(4, 7)?, a.child()?, a.child()?);
            let mut tally = Tally::new();
            tally.passes("prepare", &[&PREPARE], || a.fault());
            tally.passes("prepare again", &[], || a.fault());
            tally.passes("prepare, shared", &[&PREPARE_SHARED], || {
                beside.fault_beside(&a)
            });
            tally.passes("copy", &[&CLONE_LINK, &CLONE_COPY], || a.copy_into(&copy));
            tally.passes("fork", &[&CLONE_LINK, &FORK_OWN], || {
                a.fork_into(&child, Reuse::ByRule)
            });
            tally.passes("fork again", &[&CLONE_LINK, &CLONE_LINK, &FORK_OWN], || {
                child.fork_into(&other, Reuse::ByRule)
            });
            tally.passes(
                "unlink, idle",
                &[&UNLINK, &UNLINK_LINK, &UNLINK_LINK],
                || child.unmap(),
            );
            let reusing = other.child()?;
            tally.passes(
                "fork, reuse",
                &[
                    &ALLOC_UNUSED,
                    &CLONE_LINK,
                    &CLONE_LINK,
                    &CLONE_LINK,
                    &FORK_REUSE,
                    &FREE_ROOT,
                ],
                || other.fork_into(&reusing, Reuse::ByRule),
            );
            let failing = other.child()?;
            tally.passes("fork, no memory", &[&ALLOC_UNUSED, &FREE_ROOT], || {
                fail::nth(2, || other.fork_into(&failing, Reuse::ByRule))
            });
            tally.passes("free", &[&ALLOC_UNUSED, &FREE_ROOT], || {
                AnonVma::alloc(&world.cache)
            });
            let link = &UNLINK_LINK;
            let unlinked = [&UNLINK, link, link, link];
            tally.passes("unlink, linked", &unlinked, || other.unmap());
            let unlinked = [&UNLINK, link, link, link, &FREE_CHILD, &FREE_CHILD];
            tally.passes("unlink, last", &unlinked, || reusing.unmap());
            let late = a.another(16, 23)?;
            let theirs = late.clone();
            tally.passes(
                "prepare, late",
                &[&ALLOC_UNUSED, &PREPARE, &FREE_ROOT],
                || {
                    at(
                        Window::PrepareTested,
                        move || theirs.fault(),
                        || late.fault(),
                    )
                },
            );
            tally.passes("merge", &[&TAKE_LINKS, &UNLINK, &UNLINK_LINK], || {
                merge(&a, &copy)
            });
            for process in [a, beside, copy, late] {
                process.unmap();
            }

            assert_eq!(tally.wrong, 0);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Each change of a page makes the checks that its path stands for.
    #[test]
    fn pages_are_counted_exactly() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let a = world.faulted()?;
            let b = a.fork()?;
            let (page, shared) = (PageRmap::new(3), PageRmap::new(4));
            let read_in = PageRmap::new(5);
            let mut tally = Tally::new();
            tally.passes("new", &[&PAGE_NEW], || b.map(&page));
            tally.passes("new, shared", &[&PAGE_NEW], || b.map_as(&shared, false));
            tally.passes("read in", &[&PAGE_READ_IN], || b.read_in(&read_in, &a));
            tally.passes("add", &[&PAGE_ADD], || map_again(&page));
            tally.passes("remove", &[&PAGE_REMOVE], || page.remove_rmap());
            tally.passes("move", &[], || b.move_page(&shared));
            tally.passes("compare", &[], || shared.anon_vma_key());
            page.remove_rmap();
            shared.remove_rmap();
            read_in.remove_rmap();
            a.unmap();
            b.unmap();

            assert_eq!(tally.wrong, 0);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// After a random sequence of operations all checks that were made are counted, and no others.
    #[test]
    fn a_random_sequence_is_counted_exactly() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let was = live();
            let seed = Random::any_seed();
            let mut random = Random::new(seed);
            let mut tally = Tally::new();
            let done = tally.counts_all("random sequence", || sequence(&world, &mut random));
            if tally.wrong > 0 {
                pr_info!("the random sequence of seed {seed}\n");
            }

            assert!(done == Ok(()));
            assert_eq!(tally.wrong, 0);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    fn merge<R: Rmap<Space = ()>>(survivor: &Process<R>, goes: &Process<R>) {
        let mut mmap = survivor.mm.mmap_write();
        anon_vma_merge(&survivor.vma.core, goes.emptied(&mut mmap), Sharing::Any);
    }

    /// A process, and the pages that it maps, each once.
    type Member<R> = (Process<R>, KVec<Arc<PageRmap<R>>>);

    /// Faults, forks, copies, maps, looks up, and unmaps at random; unmaps everything in the end.
    fn sequence<R: Rmap<Space = ()>>(world: &World<R>, random: &mut Random) -> Result {
        let mut members: KVec<Member<R>> = KVec::new();
        members.push((world.process(0, 7)?, KVec::new()), GFP_KERNEL)?;
        for _ in 0..400 {
            let i = random.below(members.len());
            let Some((process, pages)) = members.get_mut(i) else {
                return Err(EINVAL);
            };
            let page = pages.get(random.below(pages.len()));
            let new = match random.below(10) {
                0 => Some(process.fork()?),
                1 => Some(process.copy(4, 7)?),
                2 => Some(process.another(8, 15)?),
                3 => {
                    process.fault()?;
                    None
                }
                4 => {
                    let page = Arc::new(PageRmap::new(random.below(8)), GFP_KERNEL)?;
                    if !process.vma.core.is_unfaulted() {
                        process.map_as(&page, random.chance(1, 2));
                        pages.push(page, GFP_KERNEL)?;
                    }
                    None
                }
                5 => {
                    drop(page.and_then(|page| page_lock_anon_vma(page)));
                    None
                }
                6 => {
                    page.and_then(|page| wait(page_get_anon_vma(page)?, page));
                    None
                }
                7 => {
                    page.map(|page| process.move_page(page));
                    None
                }
                8 => {
                    if let Some(page) = pages.pop() {
                        page.remove_rmap();
                        drop(page_get_anon_vma(&page));
                    }
                    None
                }
                _ => {
                    leave(process, pages);
                    None
                }
            };
            if let Some(new) = new {
                if members.len() < 20 {
                    members.push((new, KVec::new()), GFP_KERNEL)?;
                } else {
                    new.unmap();
                }
            }
        }
        for (process, pages) in &mut members {
            leave(process, pages);
        }
        Ok(())
    }

    /// Unmaps all pages, and the VMA.
    fn leave<R: Rmap<Space = ()>>(process: &Process<R>, pages: &mut KVec<Arc<PageRmap<R>>>) {
        while let Some(page) = pages.pop() {
            page.remove_rmap();
        }
        process.unmap();
    }
}

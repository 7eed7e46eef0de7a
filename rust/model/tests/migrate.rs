// SPDX-License-Identifier: GPL-2.0

//! Tests of `walk/migrate.rs`.

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_migrate)]
mod suite {
    use super::super::super::{
        space::Prot,
        verify::Live,
        Model, //
    };
    use super::super::{
        sample::{
            process,
            PAGES, //
        },
        *, //
    };
    use crate::{
        kernel_ext::{
            fail,
            kthread::KThread,
            rwsem::RwSem, //
        },
        rmap::{
            lock::{
                FamilyLock,
                Spin, //
            },
            testing::{
                at,
                map_again,
                wait_for, //
            },
        },
        torture::{
            at_run_time::AtRunTime,
            busted, //
        }, //
    };
    use kernel::{
        prelude::*,
        sync::atomic::{
            Atomic,
            Relaxed, //
        },
        time::{
            delay::fsleep,
            Delta, //
        },
    };

    /// A page moves to new memory in all PTEs that map it, and writable PTEs stay writable (R18).
    #[test]
    fn a_page_migrates() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let was = Live::now();
            let parent = process::<Model<L>>()?;
            let alone = parent.page_at(1).ok_or(ENOENT)?;
            let moved_alone = migrate(&alone)?;
            parent.write(1, 0, 9)?;
            let writable = moved_alone.frame.read(0) == Some(9) && alone.frame.read(0) == Some(101);

            let child = parent.fork()?;
            let writes = parent.fork()?;
            writes.write(3, 0, 8)?;
            let page = parent.page_at(3).ok_or(ENOENT)?;
            let moved = migrate(&page)?;
            let counts = (page.rmap.mapcount(), moved.rmap.mapcount());
            let same = page.rmap.anon_vma_key() == moved.rmap.anon_vma_key();
            let both = [&parent, &child].into_iter().all(|mm| {
                mm.page_at(3)
                    .is_some_and(|there| Arc::ptr_eq(&there, &moved))
            });
            let gone = migrate(&page).err();
            parent.write(3, 0, 7)?;
            let read = [
                parent.read(3, 0)?,
                child.read(3, 0)?,
                writes.read(3, 0)?,
                child.read(1, 0)?,
            ];
            let in_swap = parent.page_at(5).ok_or(ENOENT)?;
            try_to_unmap(&in_swap)?;
            child.read(5, 0)?;
            let busy = migrate(&in_swap).err();
            parent.read(5, 0)?;
            writes.discard(5, 1)?;
            let moved_again = migrate(&in_swap).is_ok();
            drop((parent, child, writes));
            drop((alone, moved_alone, page, moved, in_swap));

            assert!(writable && counts == (0, 2) && same && both);
            assert_eq!(read, [7, 103, 8, 9]);
            assert!(gone == Some(ENOENT) && busy == Some(EBUSY) && moved_again);
            assert_eq!(Live::now(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A page stays where it is if a walk does not find all PTEs, and if there is no memory.
    #[test]
    fn a_page_that_cannot_move_stays() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let was = Live::now();
            let parent = process::<Model<L>>()?;
            let child = parent.fork()?;
            let page = parent.page_at(3).ok_or(ENOENT)?;
            // One more than there are PTEs.
            map_again(&page.rmap);
            let stays = migrate(&page).err();
            let in_part = try_to_unmap(&page);
            let read = (parent.read(3, 0)?, child.read(3, 0)?);
            page.rmap.remove_rmap();
            let both = [&parent, &child].into_iter().all(|mm| {
                mm.page_at(3)
                    .is_some_and(|there| Arc::ptr_eq(&there, &page))
            });
            let count = page.rmap.mapcount();
            let mut errors = 0;
            let (moved, failed) = fail::each(
                || migrate(&page),
                |failed| errors += usize::from(failed.err() == Some(ENOMEM)),
            );
            let moved = moved.map(drop);
            drop((parent, child, page));

            assert!(stays == Some(EAGAIN) && in_part == Ok(false));
            assert!(read == (103, 103) && both && count == 2);
            assert!(moved == Ok(()) && failed > 0 && errors == failed);
            assert_eq!(Live::now(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Processes may fork and exit between the two walks of a migration: the pinned anon_vma leads
    /// to those that there are then (R18, R23).
    #[test]
    fn forks_and_exits_while_a_page_migrates() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let was = Live::now();
            let parent = Arc::new(process::<Model<L>>()?, GFP_KERNEL)?;
            let page = parent.page_at(3).ok_or(ENOENT)?;
            let theirs = parent.clone();
            let (moved, forked) = at(
                Window::PageUnmapped,
                move || -> Result<_> {
                    let child = theirs.fork()?;
                    let grandchild = child.fork()?;
                    theirs.exit();
                    Ok((child, grandchild))
                },
                || migrate(&page),
            )?;
            let (moved, (child, grandchild)) = (moved?, forked?);
            let read = (child.read(3, 0)?, grandchild.read(3, 0)?);
            let count = moved.rmap.mapcount();
            drop((parent, child, grandchild));
            let left = moved.rmap.mapcount();
            drop((page, moved));

            assert_eq!((read, count, left), ((103, 103), 2, 0));
            assert_eq!(Live::now(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// If all processes that mapped a page exit while it migrates, only the pin keeps the anon_vma,
    /// whose tree is empty (R18).
    #[test]
    fn all_exit_while_a_page_migrates() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let was = Live::now();
            let parent = Arc::new(process::<Model<L>>()?, GFP_KERNEL)?;
            let page = parent.page_at(3).ok_or(ENOENT)?;
            let theirs = parent.clone();
            let (moved, pinned) = at(
                Window::PageUnmapped,
                move || {
                    theirs.exit();
                    Live::now()
                },
                || migrate(&page),
            )?;
            let count = moved.map(|moved| moved.rmap.mapcount());
            drop((page, parent));

            assert!(count == Ok(0) && pinned.anon_vmas == was.anon_vmas + 1);
            assert_eq!(Live::now(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A deliberate bug does not pin the anon_vma: it is freed between the two walks, or used for
    /// another family, while the migration goes on (R18).
    #[test]
    fn an_anon_vma_without_a_pin_is_freed() -> Result {
        fn under<L: FamilyLock>(recycled: bool) -> Result {
            let _bug = AtRunTime::with::<busted::walk::MigratesUnpinned>();
            let was = Live::now();
            let parent = process::<Model<L, AtRunTime>>()?;
            let parent = Arc::new(parent, GFP_KERNEL)?;
            let page = parent.page_at(3).ok_or(ENOENT)?;
            let theirs = parent.clone();
            let (moved, freed) = at(
                Window::PageUnmapped,
                move || -> Result<_> {
                    theirs.exit();
                    let freed = Live::now();
                    if recycled {
                        theirs.map(0, PAGES, Prot::WRITE)?;
                        theirs.write(3, 0, 1)?;
                    }
                    Ok(freed)
                },
                || Rule::R18.expect_violations(|| migrate(&page)),
            )?;
            let (moved, n) = moved;
            let count = moved.map(|moved| moved.rmap.mapcount());
            drop((page, parent));

            assert_eq!(n, 1);
            // With a pin one is left: see `all_exit_while_a_page_migrates`.
            assert!(count == Ok(0) && freed?.anon_vmas == was.anon_vmas);
            assert_eq!(Live::now(), was);
            Ok(())
        }
        for recycled in [false, true] {
            under::<Spin>(recycled)?;
            under::<RwSem>(recycled)?;
        }
        Ok(())
    }

    /// A fault that finds a migration entry waits, and gets the new page.
    #[test]
    fn faults_wait_for_a_migration() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let was = Live::now();
            let parent = Arc::new(process::<Model<L>>()?, GFP_KERNEL)?;
            let page = parent.page_at(3).ok_or(ENOENT)?;
            let read = Arc::new(Atomic::new(0u64), GFP_KERNEL)?;
            let (theirs, said) = (parent.clone(), read.clone());
            let (moved, waits) = at(
                Window::PageUnmapped,
                move || -> Result<_> {
                    let first = said.clone();
                    let thread = KThread::spawn(fmt!("shadow_rmap/fault"), move |_| {
                        let written = theirs.write(3, 1, 5);
                        let word = written.and_then(|()| theirs.read(3, 0));
                        first.store(word.unwrap_or(1), Relaxed);
                    })?;
                    fsleep(Delta::from_millis(20));
                    Ok((thread, said.load(Relaxed) == 0))
                },
                || migrate(&page),
            )?;
            let (moved, (thread, waited)) = (moved?, waits?);
            let done = wait_for(|| read.load(Relaxed) != 0);
            drop(thread);
            let words = (moved.frame.read(1), page.frame.read(1), read.load(Relaxed));
            drop((parent, page, moved));

            assert!(waited && done.is_ok());
            assert_eq!(words, (Some(5), Some(0), 103));
            assert_eq!(Live::now(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }
}

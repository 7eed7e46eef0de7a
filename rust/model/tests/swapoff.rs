// SPDX-License-Identifier: GPL-2.0

//! Tests of `walk/swapoff.rs`.

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_swapoff)]
mod suite {
    use super::super::super::{
        verify::Live,
        Model, //
    };
    use super::super::{
        sample::process,
        *, //
    };
    use crate::{
        kernel_ext::{
            fail,
            kthread::KThread,
            rwsem::RwSem, //
        },
        rmap::lock::{
            FamilyLock,
            Spin, //
        },
        torture::{
            at_run_time::AtRunTime,
            busted, //
        }, //
    };
    use kernel::{
        prelude::*,
        time::{
            delay::fsleep,
            Delta, //
        },
    };

    /// Swapoff finds all users of a slot by the anon_vma that its page was in: also those that came
    /// by a later fork or have moved, and whether the page is in memory or not (R20, R21, R39).
    #[test]
    fn swapoff_finds_all_users() -> Result {
        fn under<L: FamilyLock>() -> Result {
            for out in [try_to_unmap::<Model<L>>, reclaim::<Model<L>>] {
                let was = Live::now();
                let parent = process::<Model<L>>()?;
                let child = parent.fork()?;
                let page = child.page_at(3).ok_or(ENOENT)?;
                let unmapped = out(&page)?;
                drop(page);
                let slot = child.slot_at(3).ok_or(ENOENT)?;
                let grandchild = child.fork()?;
                child.remap(2, 4, 10, false)?;
                parent.write(3, 0, 9)?;
                let brothers = [child.fork()?, grandchild.fork()?];
                drop(grandchild);
                let users = slot.users();
                let found = unuse(&slot);
                let left = (slot.users(), unuse(&slot));
                drop(slot);
                let read = [
                    parent.read(3, 0)?,
                    child.read(11, 0)?,
                    brothers[0].read(11, 0)?,
                    brothers[1].read(3, 0)?,
                ];
                let page = child.page_at(11).ok_or(ENOENT)?;
                let count = (page.rmap.mapcount(), page_referenced(&page));
                let free = page.lock().is_none();
                child.write(11, 0, 8)?;
                let private = (child.read(11, 0)?, brothers[0].read(11, 0)?);
                drop((parent, child, brothers, page));

                assert!(unmapped && users == 3 && found == Ok(3) && left == (0, Ok(0)));
                assert_eq!(read, [9, 103, 103, 103]);
                assert!(count == (3, 3) && free && private == (8, 103));
                assert_eq!(Live::now(), was);
            }
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Swapoff tries again for an entry that is in no page table for a while, and changes nothing
    /// if the page cannot be read in (R39).
    #[test]
    fn swapoff_waits_for_entries_in_flight() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let was = Live::now();
            let mm = process::<Model<L>>()?;
            reclaim(&mm.page_at(3).ok_or(ENOENT)?)?;
            let slot = mm.slot_at(3).ok_or(ENOENT)?;
            let mut errors = 0;
            let (inside, failed) = fail::each(
                || slot.page(),
                |failed| errors += usize::from(failed.err() == Some(ENOMEM)),
            );
            let inside = inside.map(drop);
            let entry = match mm.space().table.lock().get(3) {
                Pte::Swap(entry) => Some(entry.clone()),
                _ => None,
            };
            let thread = KThread::spawn(fmt!("shadow_rmap/entry"), move |_| {
                fsleep(Delta::from_millis(20));
                drop(entry);
            })?;
            let found = unuse(&slot);
            let users = slot.users();
            drop((thread, slot));
            let read = mm.read(3, 0)?;
            drop(mm);

            assert!(inside == Ok(()) && failed > 0 && errors == failed);
            assert!(found == Ok(1) && users == 0 && read == 103);
            assert_eq!(Live::now(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A deliberate bug asks one VMA only: users are left, which is noticed (R39).
    #[test]
    fn swapoff_that_asks_one_vma() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let _bug = AtRunTime::with::<busted::walk::AsksOneVma>();
            let was = Live::now();
            let parent = process::<Model<L, AtRunTime>>()?;
            let child = parent.fork()?;
            reclaim(&parent.page_at(3).ok_or(ENOENT)?)?;
            let slot = child.slot_at(3).ok_or(ENOENT)?;
            let (left, n) = Rule::R39.expect_violations(|| unuse(&slot));
            let users = slot.users();
            drop(slot);
            let read = (parent.read(3, 0)?, child.read(3, 0)?);
            drop((parent, child));

            assert!(left == Err(EBUSY) && n == 1 && users == 1);
            assert_eq!(read, (103, 103));
            assert_eq!(Live::now(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }
}

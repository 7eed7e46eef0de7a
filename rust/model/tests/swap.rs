// SPDX-License-Identifier: GPL-2.0

//! Tests of `swap.rs`.

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_swap)]
mod suite {
    use super::super::super::{
        mm::Mm,
        space::Prot,
        verify::Live,
        walk::{
            reclaim,
            try_to_unmap, //
        },
        Model,
    };
    use super::super::*;
    use crate::{
        kernel_ext::{
            fail,
            rwsem::RwSem, //
        },
        rmap::{
            anon_vma::Cache,
            lock::{
                FamilyLock,
                Spin, //
            },
            prepare::Sharing, //
        },
    };

    /// A slot has as many users as there are PTEs with an entry of it, and is freed with the last
    /// one. Then the page is in no swap cache any more (R3).
    #[test]
    fn users_are_ptes() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let was = Live::now();
            let parent = process::<L>()?;
            let child = parent.fork()?;
            let page = parent.page_at(2).ok_or(ENOENT)?;
            let unmapped = try_to_unmap(&page)?;
            let slot = parent.slot_at(2).ok_or(ENOENT)?;
            let two = slot.users();
            let same = child
                .slot_at(2)
                .is_some_and(|other| Arc::ptr_eq(&other, &slot));
            let grandchild = child.fork()?;
            let three = slot.users();
            child.discard(2, 1)?;
            drop(grandchild);
            let one = slot.users();
            let refused = free_swap(&mut page.lock());
            let has = slot.has(&page.lock());
            let cached = has && slot.page()?.id == page.id;
            drop(slot);
            parent.unmap(2, 1)?;
            let free = page.lock().is_none();
            drop((parent, child, page));

            assert!(unmapped && same);
            assert_eq!([two, three, one], [2, 3, 1]);
            assert!(cached && !refused && free);
            assert_eq!(Live::now(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A reclaimed page is read in once for all its users, with its content. The new page was never
    /// mapped, so the first user chooses its anon_vma (R20).
    #[test]
    fn a_reclaimed_page_is_read_in_once() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let was = Live::now();
            let parent = process::<L>()?;
            let child = parent.fork()?;
            let old = parent.page_at(5).ok_or(ENOENT)?;
            let reclaimed = reclaim(&old)?;
            let outside = old.lock().is_none();
            let old_id = old.id;
            drop(old);
            let slot = parent.slot_at(5).ok_or(ENOENT)?;
            let empty = slot.cached().is_none();
            let page = slot.page()?;
            let again = slot.page()?;
            let fresh = !page.rmap.is_anon() && page.rmap.index() == 5 && page.id != old_id;
            let read = (page.frame.read(0), child.read(5, 0)?);
            let shared = page.rmap.mapcount() == 1 && slot.users() == 1;
            let maps = child.page_at(5).is_some_and(|there| there.id == page.id);
            // A mapped page is not removed.
            let kept = !remove_mapping(&page, &mut page.lock());
            let root = parent.space().vmas.find(5).and_then(|vma| {
                let mmap = parent.core().mmap_read();
                vma.core
                    .anon_vma(&mmap)
                    .map(|anon_vma| anon_vma.root().key())
            });
            let at_root = root.is_some() && page.rmap.anon_vma_key() == root;
            let id = page.id;
            drop((page, slot));
            let last = parent.read(5, 0)?;
            parent.write(5, 0, 9)?;
            let private = (parent.read(5, 0)?, child.read(5, 0)?);
            child.write(5, 0, 8)?;
            let reused = child.page_at(5).map(|page| page.id) == Some(id);
            drop((parent, child));

            assert!(reclaimed && outside && empty && fresh);
            assert!(again.id == id && read == (Some(105), 105) && last == 105);
            assert!(shared && maps && kept && at_root);
            assert!(private == (9, 105) && reused);
            drop(again);
            assert_eq!(Live::now(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// After its last user is gone a slot is not read, and no object is left.
    #[test]
    fn a_slot_without_users_is_not_read() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let was = Live::now();
            let mm = process::<L>()?;
            let reclaimed = reclaim(&mm.page_at(1).ok_or(ENOENT)?)?;
            let slot = mm.slot_at(1).ok_or(ENOENT)?;
            mm.discard(1, 1)?;
            let gone = (slot.users(), slot.page().err(), slot.try_user().is_none());
            let leaves = Leaving::new(&slot)?.is_none();
            drop((slot, mm));

            assert!(reclaimed && gone == (0, Some(EAGAIN), true) && leaves);
            assert_eq!(Live::now(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// The only user of a slot can write to the page again, also after it was reclaimed, and the
    /// page can be unmapped again with its new content.
    #[test]
    fn one_user_writes_again_and_again() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let was = Live::now();
            let mm = process::<L>()?;
            let mut right = true;
            for round in 0..10 {
                let page = mm.page_at(0).ok_or(ENOENT)?;
                right &= if round % 2 == 0 {
                    reclaim(&page)?
                } else {
                    try_to_unmap(&page)?
                };
                drop(page);
                right &= mm.read(0, 0)? == 100 + round;
                mm.write(0, 0, 100 + round + 1)?;
                right &= mm.page_at(0).is_some_and(|page| page.lock().is_none());
            }
            let slots = Live::now().slots;
            drop(mm);

            assert!(right);
            assert_eq!(slots, was.slots);
            assert_eq!(Live::now(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// One thread at a time does `swapoff()` of a slot; a copy of an entry is a user.
    #[test]
    fn entries_are_counted() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let was = Live::now();
            let mm = process::<L>()?;
            try_to_unmap(&mm.page_at(3).ok_or(ENOENT)?)?;
            try_to_unmap(&mm.page_at(4).ok_or(ENOENT)?)?;
            let (slot, other) = (mm.slot_at(3).ok_or(ENOENT)?, mm.slot_at(4).ok_or(ENOENT)?);
            let entry = slot.try_user().ok_or(ENOENT)?;
            let clone = entry.clone();
            let users = clone.users();
            let alike = entry.same(&clone) && entry.is_of(&slot) && !entry.is_of(&other);
            drop((entry, clone));
            let leaving = Leaving::new(&slot)?;
            let others = leaving.as_ref().map(Leaving::others);
            let refused = Leaving::new(&slot).err();
            drop(leaving);
            let again = Leaving::new(&slot).is_ok_and(|leaving| leaving.is_some());
            let left = slot.users();
            drop((slot, other, mm));

            assert!(users == 3 && alike && left == 1);
            assert!(others == Some(1) && refused == Some(EBUSY) && again);
            assert_eq!(Live::now(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Without memory no page is swapped out or in, and none is lost.
    #[test]
    fn without_memory_all_stays() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let was = Live::now();
            let mm = process::<L>()?;
            let page = mm.page_at(6).ok_or(ENOENT)?;
            let mut stays = true;
            let (out, failed_out) = fail::each(
                || reclaim(&page),
                |failed| {
                    stays &= failed.err() == Some(ENOMEM) && page.rmap.mapped();
                },
            );
            drop(page);
            let (back, failed_in) = fail::each(
                || mm.read(6, 0),
                |failed| {
                    stays &= failed.err() == Some(ENOMEM) && mm.slot_at(6).is_some();
                },
            );
            drop(mm);

            assert!(stays && out == Ok(true) && back == Ok(106));
            assert!(failed_out > 0 && failed_in > 0);
            assert_eq!(Live::now(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// An address space whose page at address `a` reads `100 + a`.
    fn process<L: FamilyLock>() -> Result<Mm<Model<L>>> {
        let cache = Arc::new(Cache::new()?, GFP_KERNEL)?;
        let mm = Mm::new(&cache, 8, Sharing::Singleton)?;
        mm.map(0, 8, Prot::WRITE)?;
        for address in 0..8 {
            mm.write(address, 0, 100 + address as u64)?;
        }
        Ok(mm)
    }
}

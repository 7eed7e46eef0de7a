// SPDX-License-Identifier: GPL-2.0

//! Tests of `remap.rs`.

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_remap)]
mod suite {
    use super::super::super::{
        space::Prot,
        verify::verify,
        walk::try_to_unmap,
        Model, //
    };
    use super::super::*;
    use crate::{
        kernel_ext::{
            lock::{
                FamilyLock,
                Spin, //
            },
            rwsem::RwSem, //
        },
        rmap::{
            anon_vma::Cache,
            link::Sharing,
            oracle::Oracle,
            testing::{
                at,
                Hooked, //
            }, //
        },
        torture::busted::{
            MovesBulkUnlocked,
            MovesRangeFirst,
            MovesUnlocked, //
        },
    };

    /// A move that is merged into a VMA before the source holds the family's lock meanwhile (R36).
    #[test]
    fn a_move_to_the_front_is_locked() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let mm = part_is_away::<Model<L>>()?;
            mm.remap(20, 4, 4, false)?;
            let read = (mm.read(3, 0)?, mm.read(4, 0)?, mm.read(7, 0)?);
            let vmas = mm.space().vmas.range(0, usize::MAX).count();

            assert!(read == (3, 4, 7));
            assert_eq!(vmas, 1);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Without the lock, that is noticed (R36).
    #[test]
    fn an_unlocked_move_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let mm = part_is_away::<Model<L, MovesUnlocked>>()?;
            let (moved, n) = Rule::R36.expect_violations(|| mm.remap(20, 4, 4, false));

            assert!(moved.is_ok() && n == 1);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Nor is it enough to lock where few PTEs are moved (R36).
    #[test]
    fn an_unlocked_bulk_move_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let mm = part_is_away::<Model<L, MovesBulkUnlocked>>()?;
            let (part, few) = Rule::R36.expect_violations(|| mm.remap(20, 2, 4, false));
            let (rest, whole) = Rule::R36.expect_violations(|| mm.remap(22, 2, 6, false));
            drop(mm);
            let mm = part_is_away::<Model<L, MovesBulkUnlocked>>()?;
            let (all, many) = Rule::R36.expect_violations(|| mm.remap(20, 4, 4, false));

            assert!(part.is_ok() && rest.is_ok() && all.is_ok());
            assert_eq!([few, whole, many], [0, 1, 1]);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A stack and its pages move down over themselves, and are found at each place (R36).
    #[test]
    fn a_stack_moves_down() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let mm = stack::<Model<L>>()?;
            let child = mm.fork()?;
            mm.shift(20, 3)?;
            let refused = [
                mm.shift(17, 0).err(),
                mm.shift(17, 18).err(),
                mm.shift(24, 1).err(),
                mm.shift(17, 10).err(),
            ];
            let gone = mm.read(25, 0).err();
            let out = try_to_unmap(&mm.page_at(18).ok_or(ENOENT)?);
            let mut right = true;
            for address in 20..26 {
                right &= mm.read(address - 3, 0) == Ok(address as u64);
                right &= child.read(address, 0) == Ok(address as u64);
            }
            mm.write(17, 0, 1)?;
            let clean = verify(&[&mm, &child])?.is_clean();

            assert!(refused == [Some(EINVAL), Some(EINVAL), Some(EFAULT), Some(EEXIST)]);
            assert!(gone == Some(EFAULT) && out == Ok(true) && right && clean);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A walk that comes when the VMA has moved, and the PTEs have not, misses them all (R36).
    #[test]
    fn a_range_that_moves_first_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let mm = Arc::new(stack::<Model<L, Hooked<MovesRangeFirst>>>()?, GFP_KERNEL)?;
            let page = mm.page_at(22).ok_or(ENOENT)?;
            let before = Oracle::WalkCompleteness.reports();
            let (raced, n) = Rule::R36.expect_violations(|| {
                at(
                    Window::RangeMoved,
                    move || try_to_unmap(&page),
                    || mm.shift(20, 3),
                )
            });
            let reports = Oracle::WalkCompleteness.reports() - before;
            let read = mm.read(19, 0);

            assert!(raced == Ok((Ok(()), Ok(false))) && read == Ok(22));
            assert!(n == 1 && reports == 1);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Six pages that read what their addresses are, and a VMA below.
    fn stack<R: Modelled>() -> Result<Mm<R>> {
        let cache = Arc::new(Cache::new()?, GFP_KERNEL)?;
        let mm = Mm::new(&cache, 32, Sharing::Singleton)?;
        mm.map(20, 6, Prot::WRITE)?;
        for address in 20..26 {
            mm.write(address, 0, address as u64)?;
        }
        mm.map(8, 2, Prot::WRITE)?;
        Ok(mm)
    }

    /// Of eight pages the last four have been moved to 20.
    fn part_is_away<R: Modelled>() -> Result<Mm<R>> {
        let cache = Arc::new(Cache::new()?, GFP_KERNEL)?;
        let mm = Mm::new(&cache, 32, Sharing::Singleton)?;
        mm.map(0, 8, Prot::WRITE)?;
        for address in 0..8 {
            mm.write(address, 0, address as u64)?;
        }
        mm.remap(4, 4, 20, false)?;
        Ok(mm)
    }
}

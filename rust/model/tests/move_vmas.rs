// SPDX-License-Identifier: GPL-2.0

//! Tests of `move_vmas.rs`.

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_move_vmas)]
mod suite {
    use super::super::super::{
        attributes::{
            Attributes,
            Change, //
        },
        verify::verify,
        Model, //
    };
    use super::super::*;
    use crate::{
        kernel_ext::{
            fail,
            rwsem::RwSem, //
        },
        rmap::{
            anon_vma::Cache,
            prepare::Sharing, //
        },
    };

    type Space = Mm<Model<RwSem>>;

    const FLAGS: VmFlags = VmFlags::READ.with(VmFlags::WRITE).with(VmFlags::ACCOUNT);
    const RW: Attributes = Attributes::anonymous(FLAGS);

    /// Several VMAs move in one call, and what is between them stays between them (R36, R41).
    #[test]
    fn vmas_keep_their_distance() -> Result {
        let mm = three()?;
        mm.move_to(2, 10, 20, 10, false)?;

        assert!(is(&mm, &[(0, 1), (12, 13), (20, 21), (24, 25), (28, 29)]));
        assert!(mm.read(20, 0)? == 2 && mm.read(24, 0)? == 6 && mm.read(28, 0)? == 10);
        assert!(verify(&[&mm])?.is_clean());
        Ok(())
    }

    /// With `keep` the VMAs stay, without pages; one that moved as a whole is unlinked (R33).
    #[test]
    fn kept_vmas_have_no_pages() -> Result {
        let mm = three()?;
        mm.change_flags(6, 2, sets(VmFlags::LOCKED))?;
        mm.move_to(2, 10, 20, 10, true)?;
        let empty = [2, 6, 10].map(|address| mm.page_at(address).is_none());
        let find = |address| mm.space().vmas.find(address).ok_or(EFAULT);
        let unlinked = [0, 6, 12].map(|address| find(address).map(|v| v.core.is_unfaulted()));
        let locked = [find(6)?.flags(), find(24)?.flags()].map(|f| f.has(VmFlags::LOCKED));

        assert!(empty == [true; 3] && locked == [false, true]);
        assert!(unlinked == [Ok(false), Ok(true), Ok(false)]);
        assert!(mm.read(24, 0)? == 6 && verify(&[&mm])?.is_clean());
        Ok(())
    }

    /// One VMA becomes longer or shorter while it moves; its destination is unmapped first.
    #[test]
    fn a_vma_moves_to_another_length() -> Result {
        let mm = three()?;
        mm.move_to(2, 2, 5, 4, false)?;
        let longer = is(&mm, &[(0, 1), (5, 8), (10, 13)]);
        let there = mm.read(5, 0)?;
        mm.move_to(10, 4, 20, 1, false)?;

        assert!(longer && there == 2 && is(&mm, &[(0, 1), (5, 8), (20, 20)]));
        assert!(mm.read(20, 0)? == 10 && verify(&[&mm])?.is_clean());
        Ok(())
    }

    /// The VMAs before one that is sealed have moved, and no other.
    #[test]
    fn a_move_stops_at_a_sealed_vma() -> Result {
        let mm = three()?;
        mm.change_flags(6, 2, sets(VmFlags::SEALED))?;
        let refused = mm.move_to(2, 10, 20, 10, false).err();

        assert!(refused == Some(EPERM));
        assert!(is(&mm, &[(0, 1), (6, 7), (10, 13), (20, 21)]));
        Ok(())
    }

    /// What cannot be moved is refused, and stays.
    #[test]
    fn bad_moves_are_refused() -> Result {
        let mm = three()?;
        let errors = [
            mm.move_to(2, 4, 4, 4, false),
            mm.move_to(2, 2, 20, 3, true),
            mm.move_to(0, 0, 20, 1, false),
            // Nothing at the beginning, nothing at all, more than one VMA.
            mm.move_to(5, 2, 20, 2, false),
            mm.move_to(20, 2, 26, 2, false),
            mm.move_to(2, 6, 20, 8, false),
        ];
        let errors = errors.map(|result| result.err());

        assert!(errors[..3] == [Some(EINVAL); 3] && errors[3..] == [Some(EFAULT); 3]);
        assert!(is(&mm, &[(0, 3), (6, 7), (10, 13)]));
        Ok(())
    }

    /// Without memory to unmap the source it stays, without pages, and is not accounted for.
    #[test]
    fn a_source_that_stays_is_not_accounted_for() -> Result {
        let mut left = 0;
        for n in 1..100 {
            let mm = three()?;
            let (moved, failed) = fail::nth(n, || mm.move_to(1, 2, 20, 2, false));
            let source = mm.space().vmas.find(1);
            if let (Ok(()), Some(vma)) = (moved, source) {
                left += 1;
                assert!(!vma.flags().has(VmFlags::ACCOUNT) && mm.page_at(2).is_none());
            }
            assert!(verify(&[&mm])?.is_clean());
            if !failed {
                break;
            }
        }
        assert!(left > 0);
        Ok(())
    }

    /// Three VMAs, each with pages of which the first is numbered.
    fn three() -> Result<Space> {
        let cache = Arc::new(Cache::new()?, GFP_KERNEL)?;
        let mm = Mm::new(&cache, 32, Sharing::Singleton)?;
        for (first, pages) in [(0, 4), (6, 2), (10, 4)] {
            mm.map_over(first, pages, RW)?;
        }
        for address in [0, 2, 6, 10] {
            mm.write(address, 0, address as u64)?;
        }
        Ok(mm)
    }

    fn sets(set: VmFlags) -> Change {
        Change {
            set,
            clear: VmFlags::NONE,
            accounts: false,
        }
    }

    /// Returns whether these are the VMAs.
    fn is(mm: &Space, expected: &[(usize, usize)]) -> bool {
        let slots = mm.space().vmas.range(0, usize::MAX);
        slots
            .map(|slot| (slot.first, slot.last))
            .eq(expected.iter().copied())
    }
}

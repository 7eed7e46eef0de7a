// SPDX-License-Identifier: GPL-2.0

//! Tests of `protect.rs`.

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_protect)]
mod suite {
    use super::super::super::{
        attributes::Attributes,
        verify::verify,
        Model, //
    };
    use super::super::*;
    use crate::{
        kernel_ext::rwsem::RwSem,
        rmap::{
            anon_vma::Cache,
            prepare::Sharing, //
        },
    };

    type Space = Mm<Model<RwSem>>;

    const RW: VmFlags = VmFlags::READ.with(VmFlags::WRITE);

    /// A change of a part splits, the change back merges; pages and links stay (R26, R32).
    #[test]
    fn a_change_splits_and_merges() -> Result {
        let mm = new()?;
        mm.map_over(0, 8, Attributes::anonymous(RW))?;
        mm.write(3, 0, 5)?;
        mm.change_flags(2, 4, sets(VmFlags::EXEC))?;
        let split = is(&mm, &[(0, 1), (2, 5), (6, 7)]);
        mm.change_flags(2, 4, clears(VmFlags::EXEC))?;
        let merged = is(&mm, &[(0, 7)]);

        assert!(split && merged && mm.read(3, 0)? == 5);
        assert!(verify(&[&mm])?.is_clean());
        Ok(())
    }

    /// A change goes from VMA to VMA, and stops where nothing is mapped.
    #[test]
    fn a_change_of_several_vmas_stops_at_a_hole() -> Result {
        let mm = new()?;
        mm.map_over(0, 4, Attributes::anonymous(RW))?;
        mm.map_over(4, 4, Attributes::anonymous(VmFlags::READ))?;
        mm.map_over(10, 2, Attributes::anonymous(RW))?;
        let refused = mm.change_flags(2, 10, sets(VmFlags::LOCKED)).err();
        let locked = [1, 2, 5, 10].map(|address| flags(&mm, address).has(VmFlags::LOCKED));

        assert!(refused == Some(ENOMEM) && locked == [false, true, true, false]);
        assert!(is(&mm, &[(0, 1), (2, 3), (4, 7), (10, 11)]));
        Ok(())
    }

    /// What is sealed stays, but for other VMAs of the same call.
    #[test]
    fn a_sealed_vma_stays() -> Result {
        let mm = new()?;
        mm.map_over(0, 8, Attributes::anonymous(RW))?;
        mm.change_flags(4, 2, sets(VmFlags::SEALED))?;
        let refused = [
            mm.change_flags(2, 4, sets(VmFlags::EXEC)),
            mm.unmap(3, 2),
            mm.unmap(4, 1),
            mm.map_over(5, 1, Attributes::anonymous(RW)),
            mm.resize(4, 2, 1),
            mm.move_to(4, 2, 20, 2, false),
        ];
        let refused = refused.map(|result| result.err() == Some(EPERM));
        // The part before it was changed, or split, before it was reached.
        let split = is(&mm, &[(0, 1), (2, 2), (3, 3), (4, 5), (6, 7)]);
        let again = mm.change_flags(0, 8, sets(VmFlags::SEALED));

        assert!(refused == [true; 6] && split && again.is_ok());
        Ok(())
    }

    /// A VMA with a `close` is removed by no merge, but boundaries move.
    #[test]
    fn a_vma_of_the_file_is_not_removed() -> Result {
        let mm = new()?;
        mm.map_over(0, 8, Attributes::of_file(RW, 100, 0))?;
        mm.change_flags(2, 4, sets(VmFlags::EXEC))?;
        mm.change_flags(2, 4, clears(VmFlags::EXEC))?;
        let kept = is(&mm, &[(0, 1), (2, 5), (6, 7)]);
        mm.change_flags(3, 3, sets(VmFlags::EXEC))?;
        mm.change_flags(3, 1, clears(VmFlags::EXEC))?;
        let moved = is(&mm, &[(0, 1), (2, 3), (4, 5), (6, 7)]);
        // Between two of them a new one is one with the first.
        mm.unmap(4, 2)?;
        mm.map_over(4, 2, Attributes::of_file(RW, 104, 4))?;

        assert!(kept && moved && is(&mm, &[(0, 1), (2, 5), (6, 7)]));
        Ok(())
    }

    /// A first fault shares the anon_vma of a neighbour with another protection, and of no other
    /// kind (R27).
    #[test]
    fn neighbours_share_by_their_flags() -> Result {
        let share = |flags, file: bool| -> Result<bool> {
            let mm = new()?;
            mm.map_over(0, 4, Attributes::anonymous(RW))?;
            mm.write(0, 0, 1)?;
            let beside = match file {
                true => Attributes::of_file(RW, 4, 4),
                false => Attributes::anonymous(flags),
            };
            mm.map_over(4, 4, beside)?;
            mm.write(4, 0, 1)?;
            let mmap = mm.core().mmap_read();
            let find = |address| mm.space().vmas.find(address).ok_or(EFAULT);
            let (left, right) = (find(0)?, find(4)?);
            let same = |a, b| core::ptr::eq::<crate::rmap::anon_vma::AnonVma<_>>(a, b);
            let both = left.core.anon_vma(&mmap).zip(right.core.anon_vma(&mmap));
            Ok(both.is_some_and(|(left, right)| same(left, right)))
        };
        assert!(share(RW.with(VmFlags::EXEC), false)?);
        assert!(!share(RW.with(VmFlags::LOCKED), false)? && !share(RW, true)?);
        Ok(())
    }

    fn new() -> Result<Space> {
        let cache = Arc::new(Cache::new()?, GFP_KERNEL)?;
        Mm::new(&cache, 32, Sharing::Singleton)
    }

    fn sets(set: VmFlags) -> Change {
        Change {
            set,
            clear: VmFlags::NONE,
            accounts: false,
        }
    }

    fn clears(clear: VmFlags) -> Change {
        Change {
            set: VmFlags::NONE,
            clear,
            accounts: false,
        }
    }

    fn flags(mm: &Space, address: usize) -> VmFlags {
        let vma = mm.space().vmas.find(address);
        vma.map_or(VmFlags::NONE, |vma| vma.flags())
    }

    /// Returns whether these are the VMAs.
    fn is(mm: &Space, expected: &[(usize, usize)]) -> bool {
        let slots = mm.space().vmas.range(0, usize::MAX);
        slots
            .map(|slot| (slot.first, slot.last))
            .eq(expected.iter().copied())
    }
}

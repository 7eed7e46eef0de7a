// SPDX-License-Identifier: GPL-2.0

//! Tests of `resize.rs`.

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_resize)]
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

    const RW: Attributes = Attributes::anonymous(VmFlags::READ.with(VmFlags::WRITE));

    /// A VMA becomes longer where nothing is in the way, and one with the next where they touch
    /// (R26, R41).
    #[test]
    fn a_vma_grows_to_the_next() -> Result {
        let mm = new()?;
        mm.map_over(0, 4, RW)?;
        mm.map_over(8, 4, RW)?;
        mm.write(3, 0, 3)?;
        let in_the_way = mm.resize(2, 2, 8).err();
        mm.resize(2, 2, 4)?;
        let grown = is(&mm, &[(0, 5), (8, 11)]);
        mm.resize(0, 6, 8)?;

        assert!(in_the_way == Some(ENOMEM) && grown && is(&mm, &[(0, 11)]));
        assert!(mm.read(3, 0)? == 3 && verify(&[&mm])?.is_clean());
        Ok(())
    }

    /// A range becomes shorter, whatever it goes across.
    #[test]
    fn a_range_shrinks() -> Result {
        let mm = new()?;
        mm.map_over(0, 6, RW)?;
        mm.map_over(8, 4, RW)?;
        mm.resize(2, 8, 1)?;
        let shrunk = is(&mm, &[(0, 2), (10, 11)]);
        mm.resize(0, 3, 3)?;

        assert!(shrunk && is(&mm, &[(0, 2), (10, 11)]));
        Ok(())
    }

    /// What cannot be resized is refused, and stays.
    #[test]
    fn bad_ranges_are_refused() -> Result {
        let mm = new()?;
        mm.map_over(0, 4, RW)?;
        let errors = [
            mm.resize(0, 0, 1),
            mm.resize(0, 4, 0),
            mm.resize(0, 4, 100),
            mm.resize(5, 1, 2),
            mm.resize(2, 4, 6),
            // Only the end of a VMA can grow.
            mm.resize(0, 2, 3),
        ];
        let errors = errors.map(|result| result.err());

        assert!(errors[..3] == [Some(EINVAL); 3]);
        assert!(errors[3..] == [Some(EFAULT), Some(EFAULT), Some(ENOMEM)]);
        assert!(is(&mm, &[(0, 3)]));
        Ok(())
    }

    fn new() -> Result<Space> {
        let cache = Arc::new(Cache::new()?, GFP_KERNEL)?;
        Mm::new(&cache, 32, Sharing::Singleton)
    }

    /// Returns whether these are the VMAs.
    fn is(mm: &Space, expected: &[(usize, usize)]) -> bool {
        let slots = mm.space().vmas.range(0, usize::MAX);
        slots
            .map(|slot| (slot.first, slot.last))
            .eq(expected.iter().copied())
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Tests of `mm.rs`.

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_mm)]
mod suite {
    use super::super::super::Model;
    use super::super::*;
    use crate::{
        kernel_ext::rwsem::RwSem,
        rmap::lock::{
            FamilyLock,
            Spin, //
        },
        stats, //
    };

    /// After a fork a process does not read the writes of the other (R3, R20, R21).
    #[test]
    fn memory_is_private() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let pages = stats::PAGES_ALLOCATED.sum() - stats::PAGES_FREED.sum();
            let parent = new::<L>(16)?;
            parent.map(2, 8, Prot::WRITE)?;
            for address in 2..10 {
                parent.write(address, 0, address as u64)?;
            }
            let child = parent.fork()?;
            let shared = parent.page_at(3).map(|page| page.rmap.mapcount());
            child.write(3, 0, 33)?;
            let copied = parent.page_at(3).map(|page| page.rmap.mapcount());
            // The only process that still maps the page keeps it.
            let kept = parent.page_at(3).map(|page| page.id);
            parent.write(3, 0, 34)?;
            let reused = parent.page_at(3).map(|page| page.id);
            let read = (parent.read(3, 0)?, child.read(3, 0)?, child.read(9, 0)?);
            drop(parent);
            let alone = child.read(4, 0)?;
            drop(child);
            let left = stats::PAGES_ALLOCATED.sum() - stats::PAGES_FREED.sum();

            assert!(shared == Some(2) && copied == Some(1));
            assert!(kept.is_some() && kept == reused);
            assert!(read == (34, 33, 9) && alone == 4);
            assert_eq!(left, pages);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Addresses without a VMA can be neither read nor written, and unmapped pages are gone.
    #[test]
    fn faults_outside_are_refused() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let mm = new::<L>(16)?;
            let nothing = (mm.read(1, 0).err(), mm.write(1, 0, 1).err());
            mm.map(0, 8, Prot::WRITE)?;
            let twice = mm.map(7, 2, Prot::WRITE).err();
            let outside = mm.map(15, 2, Prot::WRITE).err();
            mm.write(4, 0, 44)?;
            mm.protect(4, 1, Prot::READ)?;
            let read_only = (mm.write(4, 0, 1).err(), mm.read(4, 0)?, vmas(&mm));
            mm.protect(4, 1, Prot::WRITE)?;
            let merged = vmas(&mm);
            mm.unmap(3, 2)?;
            let gone = (mm.read(4, 0).err(), mm.read(5, 0)?, vmas(&mm));
            mm.map(3, 2, Prot::WRITE)?;
            let fresh = (mm.read(4, 0)?, vmas(&mm));

            assert!(nothing == (Some(EFAULT), Some(EFAULT)));
            assert!(twice == Some(EEXIST) && outside == Some(EINVAL));
            assert!(read_only == (Some(EACCES), 44, 3) && merged == 1);
            assert!(gone == (Some(EFAULT), 0, 2) && fresh == (0, 1));
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A move takes the pages along, and leaves no pages behind (R33, R36).
    #[test]
    fn pages_move_along() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let mm = new::<L>(32)?;
            mm.map(0, 8, Prot::WRITE)?;
            for address in 0..8 {
                mm.write(address, 1, 100 + address as u64)?;
            }
            let child = mm.fork()?;
            mm.remap(2, 4, 20, false)?;
            let moved = (mm.read(20, 1)?, mm.read(23, 1)?, mm.read(2, 1).err());
            mm.remap(20, 4, 2, true)?;
            let back = (mm.read(2, 1)?, mm.read(20, 1)?, vmas(&mm));
            mm.write(20, 1, 7)?;
            let overlap = mm.remap(0, 4, 2, false).err();
            let others = child.read(3, 1)?;
            mm.grow(20, 4)?;
            mm.write(27, 0, 5)?;
            let grown = (vmas(&mm), mm.read(27, 0)?);

            assert!(moved == (102, 105, Some(EFAULT)));
            assert!(back.0 == 102 && back.1 == 0);
            assert!(overlap == Some(EINVAL) && others == 103);
            assert!(grown.1 == 5 && grown.0 == back.2);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    fn new<L: FamilyLock>(size: usize) -> Result<Mm<Model<L>>> {
        let cache = Arc::new(Cache::new()?, GFP_KERNEL)?;
        Mm::new(&cache, size, Sharing::Singleton)
    }

    fn vmas<R: Modelled>(mm: &Mm<R>) -> usize {
        mm.space().vmas.range(0, usize::MAX).count()
    }
}

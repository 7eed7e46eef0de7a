// SPDX-License-Identifier: GPL-2.0

//! Tests of `fault.rs`.

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_fault)]
mod suite {
    use super::super::super::{
        space::Prot,
        verify::verify,
        walk::Migration,
        Model, //
    };
    use super::super::*;
    use crate::{
        kernel_ext::rwsem::RwSem,
        rmap::{
            anon_vma::Cache,
            lock::{
                FamilyLock,
                Spin, //
            },
        },
    };

    /// A fault without `mmap_lock` maps a new page if the VMA has its anon_vma already, and refuses
    /// all other cases (R31).
    #[test]
    fn a_fault_under_the_vma_lock() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let mm = new::<L>()?;
            let first = mm.write_under_vma_lock(1, 0, 1);
            mm.write(0, 0, 5)?;
            let second = [(1, 1), (1, 2), (0, 6)]
                .map(|(address, value)| mm.write_under_vma_lock(address, 0, value));
            let read = (mm.read(0, 0)?, mm.read(1, 0)?, mm.read(2, 0)?);
            let mmap = mm.core().mmap_read();
            let beside = mm.write_under_vma_lock(2, 0, 3);
            drop(mmap);
            let mmap = mm.core().mmap_write();
            let excluded = mm.write_under_vma_lock(2, 0, 4);
            drop(mmap);
            let child = mm.fork()?;
            let shared = mm.write_under_vma_lock(2, 0, 5);
            let outside = mm.write_under_vma_lock(9, 0, 1);
            mm.protect(0, 4, Prot::READ)?;
            let refused = mm.write_under_vma_lock(3, 0, 1);
            let clean = verify(&[&mm, &child])?.is_clean();

            assert!(second == [Ok(()); 3] && read == (6, 2, 0) && beside == Ok(()));
            let left = [first, excluded, shared, outside, refused];
            assert!(left == [Err(EAGAIN); 5]);
            assert!(clean && child.read(2, 0) == Ok(3));
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A fault does not wait for a migration that is over and has left its entry behind.
    #[test]
    fn a_page_that_does_not_arrive() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let mm = new::<L>()?;
            let to = Migration::new()?;
            let pte = Pte::Migration {
                to: to.clone(),
                writable: true,
            };
            mm.write(1, 0, 1)?;
            let page = mm.page_at(1).ok_or(ENOENT)?;
            let there = mapping::unmap(&mut mm.space().table.lock(), 1, &page, pte);
            drop(there);
            to.complete();
            let lost = (mm.read(1, 0), mm.write(1, 0, 1));
            mm.discard(1, 1)?;
            let found = mm.read(1, 0);

            assert!(lost == (Err(EAGAIN), Err(EAGAIN)) && found == Ok(0));
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    fn new<L: FamilyLock>() -> Result<Mm<Model<L>>> {
        let cache = Arc::new(Cache::new()?, GFP_KERNEL)?;
        let mm = Mm::new(&cache, 16, Sharing::Singleton)?;
        mm.map(0, 4, Prot::WRITE)?;
        Ok(mm)
    }
}

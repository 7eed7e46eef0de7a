// SPDX-License-Identifier: GPL-2.0

//! Tests of `mapping.rs`: what would break the reverse map's promise about PTEs is refused.

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_mapping)]
mod suite {
    use super::super::super::{
        mm::Mm,
        space::Prot,
        walk::reclaim,
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
            lookup::page_lock_anon_vma,
            rules::Rule,
            unlink::unlink_anon_vmas, //
        },
    };
    use kernel::prelude::*;

    /// A VMA that is not linked to a page's anon_vma does not map the page: neither by a copy of a
    /// PTE nor in place of an entry (R21).
    #[test]
    fn a_vma_without_a_link_maps_nothing() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let [mm, other] = two::<L>()?;
            let page = mm.page_at(0).ok_or(ENOENT)?;
            let vma = other.space().vmas.find(4).ok_or(ENOENT)?;
            let mmap = other.core().mmap_write();
            // The stranger has pages of its own from 4 on.
            let copy = |address| {
                let mut from = mm.space().table.lock();
                let mut to = other.space().table.lock_nested();
                copy_pte(&mut from, &mut to, (&vma, address), &mmap);
            };
            let ((), copied) = Rule::R21.expect_violations(|| copy(0));
            let mapped = page.rmap.mapcount();
            let out = reclaim(&page)?;
            // An entry is copied, but no page is mapped in its place.
            copy(0);
            let locked = page.lock();
            let again = |page| {
                let mut ptes = other.space().table.lock();
                map_again(&mut ptes, (&vma, 0), (page, &locked), false, &mmap).is_some()
            };
            let (again, refused) = Rule::R21.expect_violations(|| again(&page));
            drop((locked, mmap));

            assert!(out && !again);
            assert_eq!((copied, mapped, refused), (1, 1, 1));
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A page is mapped under its own lock, and not under that of another page (R34).
    #[test]
    fn the_lock_of_another_page_does_not_do() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let [mm, _] = two::<L>()?;
            let vma = mm.space().vmas.find(1).ok_or(ENOENT)?;
            let (new, other) = (Page::new(1)?, Page::new(1)?);
            let mmap = mm.core().mmap_read();
            let locked = other.lock();
            let map = |page| {
                let mut ptes = mm.space().table.lock();
                map_new(&mut ptes, (&vma, 1), (page, &locked), true, true, &mmap).is_some()
            };
            let (mapped, refused) = Rule::R34.expect_violations(|| map(&new));

            assert!(!mapped && !new.rmap.mapped());
            assert_eq!(refused, 1);
            assert!(map(&other) && other.rmap.mapped());
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A VMA that is unlinked, or dropped with links, maps no page: a lookup finds nothing (R33).
    #[test]
    fn a_vma_that_goes_maps_nothing() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let [mm, other] = two::<L>()?;
            let pages = [mm.page_at(0), other.page_at(4)].map(|page| page.ok_or(ENOENT));
            let [unlinked, dropped] = pages;
            let (unlinked, dropped) = (unlinked?, dropped?);
            let vma = mm.space().vmas.find(0).ok_or(ENOENT)?;
            unlink_anon_vmas(emptied(&vma, &mut mm.core().mmap_write()));
            let ((), n) = Rule::R33.expect_violations(|| other.space().vmas.clear());

            assert_eq!(
                (n, unlinked.rmap.mapped(), dropped.rmap.mapped()),
                (1, false, false)
            );
            assert!(page_lock_anon_vma(&unlinked.rmap).is_none());
            assert!(page_lock_anon_vma(&dropped.rmap).is_none());
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// PTEs are moved to a VMA that is linked to all that they need, and to empty addresses, and
    /// stay otherwise (R21).
    #[test]
    fn ptes_stay_where_they_may_be() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let [mm, _] = two::<L>()?;
            mm.map(8, 4, Prot::WRITE)?;
            mm.write(1, 0, 101)?;
            let [from, to] = [0, 8].map(|first| mm.space().vmas.find(first).ok_or(ENOENT));
            let (from, to) = (from?, to?);
            let mmap = mm.core().mmap_write();
            let ((), unlinked) =
                Rule::R21.expect_violations(|| move_ptes((&from, 0), (&to, 8), 1, &mmap));
            // The destination is not empty, and then not in the range.
            move_ptes((&from, 0), (&from, 1), 1, &mmap);
            move_ptes((&from, 0), (&from, 4), 1, &mmap);
            drop(mmap);

            assert_eq!(unlinked, 1);
            assert!(mm.read(0, 0) == Ok(100) && mm.read(1, 0) == Ok(101));
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A process with a page at 0 of a VMA of four, and an unrelated one with a page at 4 of eight.
    fn two<L: FamilyLock>() -> Result<[Mm<Model<L>>; 2]> {
        let cache = Arc::new(Cache::new()?, GFP_KERNEL)?;
        let mm = Mm::new(&cache, 16, Sharing::Singleton)?;
        mm.map(0, 4, Prot::WRITE)?;
        mm.write(0, 0, 100)?;
        let other = Mm::new(&cache, 16, Sharing::Singleton)?;
        other.map(0, 8, Prot::WRITE)?;
        other.write(4, 0, 204)?;
        Ok([mm, other])
    }
}

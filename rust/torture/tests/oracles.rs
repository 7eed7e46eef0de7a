// SPDX-License-Identifier: GPL-2.0

//! Tests that each oracle reports the harm that it is for. Those of the watchdog (WD), of the
//! kernel's reports (KA), and of leaks (RL) are in `tests/run.rs`, because they need a torture.

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_oracles)]
mod suite {
    use super::super::{
        at_run_time::AtRunTime,
        busted, //
    };
    use crate::{
        kernel_ext::rwsem::RwSem,
        model::{
            mm::Mm,
            space::Prot,
            walk::{
                page_referenced,
                reclaim,
                try_to_unmap,
                unuse, //
            },
            Model,
            Modelled, //
        },
        rmap::{
            anon_vma::Cache,
            lookup::page_lock_anon_vma,
            oracle::Oracle,
            prepare::Sharing,
            rules::Rule,
            testing::{
                at,
                map_again, //
            },
            window::Window, //
        },
    };
    use kernel::{
        prelude::*,
        sync::Arc, //
    };

    /// TS: a VMA keeps its anon_vma after that was freed.
    #[test]
    fn type_stability() -> Result {
        let _bug = AtRunTime::with::<busted::vma::KeepsAnonVma>();
        let mm = process::<Model<RwSem, AtRunTime>>(Sharing::Singleton)?;
        let before = Oracle::TypeStability.reports();
        // All pages move away, and are unmapped there.
        mm.remap(0, 8, 8, true)?;
        mm.unmap(8, 8)?;
        let ((written, no_page), freed) =
            Rule::R33.expect_violations(|| Rule::R20.expect_violations(|| mm.write(0, 0, 1)));
        let reports = Oracle::TypeStability.reports() - before;

        assert!(written == Ok(()) && reports == 1);
        assert_eq!((freed, no_page), (1, 1));
        Ok(())
    }

    /// LI: a lookup takes the lock of an anon_vma that was freed after it was found.
    #[test]
    fn lock_identity() -> Result {
        let _bug = AtRunTime::with::<busted::lookup::SkipsSecondCheck>();
        let mm = process::<Model<RwSem, AtRunTime>>(Sharing::Singleton)?;
        let mm = Arc::new(mm, GFP_KERNEL)?;
        let page = mm.page_at(0).ok_or(ENOENT)?;
        let theirs = mm.clone();
        let before = Oracle::LockIdentity.reports();
        let (looked, n) = Rule::R12.expect_violations(|| {
            at(
                Window::Found,
                move || theirs.exit(),
                || page_lock_anon_vma(&page.rmap).is_some(),
            )
        });
        let reports = Oracle::LockIdentity.reports() - before;

        assert!(looked == Ok((false, ())));
        assert_eq!((n, reports), (1, 1));
        Ok(())
    }

    /// WC: swapoff does not find the second user of a slot.
    #[test]
    fn walk_completeness() -> Result {
        let _bug = AtRunTime::with::<busted::walk::AsksOneVma>();
        let parent = process::<Model<RwSem, AtRunTime>>(Sharing::Singleton)?;
        let child = parent.fork()?;
        reclaim(&parent.page_at(0).ok_or(ENOENT)?)?;
        let slot = child.slot_at(0).ok_or(ENOENT)?;
        let before = Oracle::WalkCompleteness.reports();
        let (left, n) = Rule::R39.expect_violations(|| unuse(&slot));
        let reports = Oracle::WalkCompleteness.reports() - before;

        assert!(left == Err(EBUSY));
        assert_eq!((n, reports), (1, 1));
        Ok(())
    }

    /// BW: a walk comes to a VMA twice.
    #[test]
    fn bounded_walk() -> Result {
        let _bug = AtRunTime::with::<busted::merge::LinksTwice>();
        let parent = process::<Model<RwSem, AtRunTime>>(Sharing::Any)?;
        let child = parent.fork()?;
        child.write(4, 0, 2)?;
        child.unmap(0, 4)?;
        child.protect(4, 4, Prot::READ)?;
        child.map(0, 4, Prot::WRITE)?;
        child.write(0, 0, 3)?;
        child.protect(4, 4, Prot::WRITE)?;
        let page = child.page_at(0).ok_or(ENOENT)?;
        // One more than there are PTEs, so the walk goes on.
        map_again(&page.rmap);
        let before = Oracle::BoundedWalk.reports();
        page_referenced(&page);
        let reports = Oracle::BoundedWalk.reports() - before;
        page.rmap.remove_rmap();

        assert_eq!(reports, 1);
        Ok(())
    }

    /// MC: a PTE is counted twice when it is unmapped.
    #[test]
    fn mapcount() -> Result {
        let _bug = AtRunTime::with::<busted::walk::UnmapsTwice>();
        let mm = process::<Model<RwSem, AtRunTime>>(Sharing::Singleton)?;
        let page = mm.page_at(0).ok_or(ENOENT)?;
        let before = Oracle::Mapcount.reports();
        let (unmapped, n) = Rule::R3.expect_violations(|| try_to_unmap(&page));
        let reports = Oracle::Mapcount.reports() - before;

        assert!(unmapped == Ok(true));
        assert_eq!((n, reports), (1, 1));
        Ok(())
    }

    /// LD: a family is changed under the lock of another one.
    #[test]
    fn lock_discipline() -> Result {
        let one = process::<Model<RwSem>>(Sharing::Singleton)?;
        let other = Mm::new(&one.core().shared_cache(), 16, Sharing::Singleton)?;
        other.map(0, 8, Prot::WRITE)?;
        other.write(0, 0, 1)?;
        let (a, b) = (one.core().mmap_write(), other.core().mmap_write_nested());
        let before = Oracle::LockDiscipline.reports();
        let vma = one.space().vma_at(0).ok_or(ENOENT)?;
        let stranger = other.space().vma_at(0).ok_or(ENOENT)?;
        let own = vma.core.anon_vma(&a).ok_or(ENOENT)?;
        let foreign = stranger.core.anon_vma(&b).ok_or(ENOENT)?;
        let family = own.lock_write();
        let ((own, foreign), n) =
            Rule::R15.expect_violations(|| (family.protects(own), family.protects(foreign)));
        drop(family);
        let reports = Oracle::LockDiscipline.reports() - before;

        assert!(own && !foreign);
        assert_eq!((n, reports), (1, 1));
        Ok(())
    }

    /// TD: the newest link of a child is not the first one.
    #[test]
    fn topology() -> Result {
        let _bug = AtRunTime::with::<busted::vma::LinksLast>();
        let parent = process::<Model<RwSem, AtRunTime>>(Sharing::Singleton)?;
        let before = Oracle::Topology.reports();
        let (child, n) = Rule::R22.expect_violations(|| parent.fork().map(drop));
        let reports = Oracle::Topology.reports() - before;

        assert!(child == Ok(()));
        assert_eq!((n, reports), (1, 1));
        Ok(())
    }

    /// TG: a reader finds a page's pointer without its tag.
    #[test]
    fn tag() -> Result {
        let _bug = AtRunTime::with::<busted::page::StoresTwice>();
        let parent = process::<Model<RwSem, AtRunTime>>(Sharing::Singleton)?;
        let child = parent.fork()?;
        drop(parent);
        let page = child.page_at(0).ok_or(ENOENT)?;
        let before = Oracle::Tag.reports();
        // The child alone maps the page by now, and takes it over.
        let looked = at(
            Window::MappingStored,
            move || Rule::R1.expect_violations(|| page_lock_anon_vma(&page.rmap).is_some()),
            || child.write(0, 0, 2),
        );
        let reports = Oracle::Tag.reports() - before;

        assert!(looked == Ok((Ok(()), (false, 1))));
        assert_eq!(reports, 1);
        Ok(())
    }

    /// An address space with eight pages, and room for as many.
    fn process<R: Modelled>(sharing: Sharing) -> Result<Mm<R>> {
        let cache = Arc::new(Cache::new()?, GFP_KERNEL)?;
        let mm = Mm::new(&cache, 16, sharing)?;
        mm.map(0, 8, Prot::WRITE)?;
        for address in 0..8 {
            mm.write(address, 0, 1)?;
        }
        Ok(mm)
    }
}

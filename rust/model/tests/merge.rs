// SPDX-License-Identifier: GPL-2.0

//! Tests of `merge.rs`.

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_merge_model)]
mod suite {
    use super::super::super::{
        space::Prot,
        verify::verify,
        walk::try_to_unmap,
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
            oracle::Oracle,
            rules::Rule,
            testing::{
                at, //
            },
            window::Window, //
        },
        torture::{
            at_run_time::AtRunTime,
            busted::{
                merge::{
                    CopiesBackwards,
                    MergesUnlocked,
                    MovesWithoutLinks,
                    ShiftsWithoutLinks, //
                },
                Numbered, //
            }, //
        },
    };

    /// Pages are found in their new VMA, whichever way a boundary shifts, and after a move (R21).
    #[test]
    fn what_a_merge_takes_in_is_found() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let lost = [
                shifted::<Model<L>>(false)?,
                shifted::<Model<L>>(true)?,
                moved_beside::<Model<L>>(false)?,
                moved_beside::<Model<L>>(true)?,
            ];

            assert!(lost == [(0, 0); 4]);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// No walk finds pages whose new VMA does not inherit the links: deliberate bugs (R21).
    #[test]
    fn what_is_taken_in_without_links_is_lost() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let (lost, n) = Rule::R21.expect_violations(|| -> Result<_> {
                Ok([
                    shifted_by::<L, ShiftsWithoutLinks>(false)?,
                    shifted_by::<L, ShiftsWithoutLinks>(true)?,
                    shifted_by::<L, CopiesBackwards>(true)?,
                    moved_beside_by::<L, MovesWithoutLinks>(false)?,
                    moved_beside_by::<L, MovesWithoutLinks>(true)?,
                ])
            });
            let lost = lost?;
            // This bug does harm only if the lower of two VMAs shrinks.
            let other = shifted_by::<L, CopiesBackwards>(false)?;

            assert!(lost.iter().all(|&(walks, found)| walks == 1 && found > 0));
            assert!(n > 0 && other == (0, 0));
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// While a VMA takes in a part of its neighbour, and inherits links, no fault without
    /// `mmap_lock` comes in (R31).
    #[test]
    fn a_merge_keeps_faults_out() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let mm = Arc::new(shifts::<Model<L>>()?, GFP_KERNEL)?;
            let theirs = mm.clone();
            let before = mm.write_under_vma_lock(13, 0, 9);
            let (merged, fault) = at(
                Window::Linked,
                move || theirs.core().try_vma_read().is_some(),
                || shift(&mm, true),
            )?;
            let after = mm.write_under_vma_lock(13, 0, 9);

            assert!(merged == Ok(()) && !fault);
            assert!(before == Err(EAGAIN) && after == Ok(()));
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A deliberate bug lets a fault in after the VMA has got its anon_vma, and before it has got
    /// the links: no walk finds the page (R31).
    #[test]
    fn a_fault_in_a_merge_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let _bug = AtRunTime::with::<MergesUnlocked>();
            let mm = shifts::<Model<L, AtRunTime>>()?;
            let mm = Arc::new(mm, GFP_KERNEL)?;
            let theirs = mm.clone();
            let before = Oracle::WalkCompleteness.reports();
            let raced = at(
                Window::Published,
                move || -> Result<bool> {
                    theirs.write_under_vma_lock(13, 0, 9)?;
                    try_to_unmap(&theirs.page_at(13).ok_or(ENOENT)?)
                },
                || shift(&mm, true),
            );
            let reports = Oracle::WalkCompleteness.reports() - before;
            // The merge has made the links in the end.
            let found = try_to_unmap(&mm.page_at(13).ok_or(ENOENT)?);

            assert!(raced == Ok((Ok(()), Ok(false))) && found == Ok(true));
            assert_eq!(reports, 1);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// By the rules of 2010 a VMA may share the anon_vma of one that has more links. A part of the
    /// latter is not merged with it, because it would lack links (R25).
    #[test]
    fn a_part_stays_with_its_links() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let cache = Arc::new(Cache::new()?, GFP_KERNEL)?;
            let parent = Mm::<Model<L>>::new(&cache, 32, Sharing::Any)?;
            parent.map(0, 8, Prot::WRITE)?;
            for address in 0..8 {
                parent.write(address, 0, 1)?;
            }
            let child = parent.fork()?;
            child.protect(0, 8, Prot::READ)?;
            child.map(8, 4, Prot::WRITE)?;
            child.write(8, 0, 1)?;
            child.protect(4, 4, Prot::WRITE)?;
            let vmas = child.space().vmas.range(0, usize::MAX).count();
            let clean = verify(&[&parent, &child])?.is_clean();
            let out = try_to_unmap(&parent.page_at(5).ok_or(ENOENT)?);
            let read = (parent.read(5, 0)?, child.read(5, 0)?);
            child.protect(8, 4, Prot::READ)?;
            child.protect(4, 4, Prot::READ)?;
            let again = verify(&[&parent, &child])?.is_clean();

            assert!(clean && again && out == Ok(true) && read == (1, 1));
            assert_eq!(vmas, 3);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Read-only pages between two writable VMAs without pages.
    ///
    /// ```text
    /// 0       4               12      16
    /// | empty |     pages     | empty |
    /// ```
    fn shifts<R: Modelled>() -> Result<Mm<R>> {
        let cache = Arc::new(Cache::new()?, GFP_KERNEL)?;
        let mm = Mm::new(&cache, 32, Sharing::Singleton)?;
        mm.map(4, 8, Prot::WRITE)?;
        for address in 4..12 {
            mm.write(address, 0, 1)?;
        }
        mm.protect(4, 8, Prot::READ)?;
        mm.map(0, 4, Prot::WRITE)?;
        mm.map(12, 4, Prot::WRITE)?;
        Ok(mm)
    }

    /// Lets the upper half join the VMA above, or the lower half the VMA below.
    fn shift<R: Modelled>(mm: &Mm<R>, up: bool) -> Result {
        mm.protect(if up { 8 } else { 4 }, 4, Prot::WRITE)
    }

    /// Returns how many walks do not find a page that has changed its VMA like that, and how many
    /// violations the verifier finds.
    fn shifted<R: Modelled>(up: bool) -> Result<(u32, usize)> {
        let mm = shifts::<R>()?;
        shift(&mm, up)?;
        lost(&mm, if up { 8 } else { 5 }, &[&mm])
    }

    /// The same with the steps `B`.
    fn shifted_by<L: FamilyLock, B: Numbered>(up: bool) -> Result<(u32, usize)> {
        let _bug = AtRunTime::with::<B>();
        shifted::<Model<L, AtRunTime>>(up)
    }

    /// The same for a page that was moved to beside a VMA without pages.
    fn moved_beside<R: Modelled>(keep: bool) -> Result<(u32, usize)> {
        let cache = Arc::new(Cache::new()?, GFP_KERNEL)?;
        let mm = Mm::<R>::new(&cache, 32, Sharing::Singleton)?;
        mm.map(0, 4, Prot::WRITE)?;
        mm.write(1, 0, 1)?;
        // The child keeps the anon_vma allocated.
        let child = mm.fork()?;
        mm.remap(0, 4, 20, false)?;
        mm.map(4, 4, Prot::WRITE)?;
        mm.remap(20, 4, 0, keep)?;
        lost(&mm, 1, &[&mm, &child])
    }

    /// The same with the steps `B`.
    fn moved_beside_by<L: FamilyLock, B: Numbered>(keep: bool) -> Result<(u32, usize)> {
        let _bug = AtRunTime::with::<B>();
        moved_beside::<Model<L, AtRunTime>>(keep)
    }

    fn lost<R: Modelled>(mm: &Mm<R>, address: usize, all: &[&Mm<R>]) -> Result<(u32, usize)> {
        let before = Oracle::WalkCompleteness.reports();
        let page = mm.page_at(address).ok_or(ENOENT)?;
        let found = verify(all)?.violations;
        try_to_unmap(&page)?;
        Ok((Oracle::WalkCompleteness.reports() - before, found))
    }
}

// SPDX-License-Identifier: GPL-2.0

//! An engine that leaves out links, below the correct steps of a model: no VMA maps a page without a link to
//! its anon_vma (R21).

#![allow(unsafe_code, reason = "a step that is wrong on purpose")]

use super::super::{
    mapping::Layout,
    mm::Mm,
    space::{
        Prot,
        Vma, //
    },
    steps::ModelFlavour,
    Model,
    Modelled, //
};
use crate::{
    kernel_ext::{
        interval_tree::Range,
        rwsem::RwSem, //
    },
    rmap::{
        anon_vma::{
            AnonVma,
            Cache, //
        },
        chain::LinkReserve,
        clone::{
            anon_vma_clone,
            Operation, //
        },
        family::FamilyWrite,
        kind::Rmap,
        mm::MmapWrite,
        prepare::Sharing,
        rules::Rule,
        steps::{
            Correct,
            Flavour,
            Steps, //
        },
        vma, //
    },
};
use kernel::{
    macros::kunit_tests,
    prelude::*,
    sync::Arc, //
};

/// A split or move does not link the copy to the root. All else is correct.
struct ForgetsRoot;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Rmap> Steps<R> for ForgetsRoot {
    fn clone_link(
        &self,
        family: &mut FamilyWrite<'_, R>,
        links: &mut LinkReserve<R>,
        dst: &vma::Vma<R>,
        anon_vma: &AnonVma<R>,
        dst_mmap: &MmapWrite<'_, R>,
        operation: Operation,
    ) -> bool {
        let forgotten = operation == Operation::Copy && anon_vma.is_root();
        !forgotten && Correct.clone_link(family, links, dst, anon_vma, dst_mmap, operation)
    }
}

impl Flavour for ForgetsRoot {
    type Steps<R: Rmap> = Self;

    fn steps<R: Rmap>() -> &'static Self {
        &Self
    }
}

impl ModelFlavour for ForgetsRoot {
    type ModelSteps<R: Modelled> = Correct;

    fn model_steps<R: Modelled>() -> &'static Correct {
        &Correct
    }
}

type Forgetful = Mm<Model<RwSem, ForgetsRoot>>;

/// Returns a process with eight pages, which it has written to, and its child, which shares them.
fn parent_and_child() -> Result<(Forgetful, Forgetful)> {
    let cache = Arc::new(Cache::new()?, GFP_KERNEL)?;
    let parent = Mm::new(&cache, 16, Sharing::Singleton)?;
    parent.map(0, 8, Prot::WRITE)?;
    for address in 0..8 {
        parent.write(address, 0, address as u64)?;
    }
    let child = parent.fork()?;
    Ok((parent, child))
}

/// Runs `f`. Returns what it returns, and how often R21 and R33 were broken.
fn broken<T>(f: impl FnOnce() -> T) -> (T, [usize; 2]) {
    let ((result, r33), r21) = Rule::R21.expect_violations(|| Rule::R33.expect_violations(f));
    (result, [r21, r33])
}

/// Returns at which addresses a page is mapped, and the number of VMAs.
fn mapped(mm: &Forgetful) -> ([bool; 8], usize) {
    let pages = core::array::from_fn(|address| mm.page_at(address).is_some());
    (pages, mm.space().vmas.range(0, usize::MAX).count())
}

#[kunit_tests(shadow_rmap_forgotten)]
mod suite {
    use super::*;

    /// A split fails, and unmaps the pages of the part.
    #[test]
    fn a_split_without_all_links_fails() -> Result {
        let (parent, child) = parent_and_child()?;
        let (split, n) = broken(|| child.protect(4, 4, Prot::READ));
        let left = mapped(&child);
        let read = (parent.read(3, 0)?, child.read(5, 0)?);

        assert_eq!(split, Err(EFAULT));
        assert_eq!(n, [2, 1]);
        // The part is the lower one.
        let pages = [false, false, false, false, true, true, true, true];
        assert_eq!(left, (pages, 1));
        assert_eq!(read, (3, 5));
        Ok(())
    }

    /// A VMA with fewer links takes in no addresses of its neighbour, which keeps its pages.
    #[test]
    fn a_shift_without_all_links_is_refused() -> Result {
        let (parent, child) = parent_and_child()?;
        child.discard(6, 2)?;
        let (split, _) = broken(|| split_blindly(&child));
        split?;
        let (shift, n) = broken(|| child.protect(4, 2, Prot::READ));
        let left = mapped(&child);
        let read = parent.read(5, 0)?;

        assert_eq!(shift, Err(EFAULT));
        assert_eq!(n, [3, 1]);
        // The split that is tried then fails.
        let pages = [false, false, false, false, true, true, false, false];
        assert_eq!(left, (pages, 2));
        assert_eq!(read, 5);
        Ok(())
    }

    /// Splits two pages off, which are not mapped, and looks at no links.
    fn split_blindly(child: &Forgetful) -> Result {
        let mut mmap = child.core().mmap_write();
        let whole = child.space().vmas.find(0).ok_or(EINVAL)?;
        let (first, range) = (whole.addresses(&mmap).0, whole.range(&mmap));
        let attributes = Prot::READ;
        let part = Vma::new(child.core(), (6, 7), range.start + (6 - first), attributes)?;
        let store = child.space().reserve_store(6, 7, &part)?;
        anon_vma_clone(&part.core, &mmap, &whole.core, &mmap, Operation::Copy)?;
        store.commit();
        let rest = Range {
            start: range.start,
            last: range.last - 2,
        };
        whole.core.set_range(rest, &mut mmap, Layout::kept());
        Ok(())
    }
}

// SPDX-License-Identifier: GPL-2.0

//! VMAs that become one.
//!
//! C: `vma_merge_existing_range()`, `vma_merge_new_range()` and `vma_expand()` of
//! [`mm/vma.c`](srctree/mm/vma.c).
//!
//! ```text
//!            prev       wanted      next
//!         |--------|**************|--------|
//!
//!  both   |--------------------------------|   prev is extended, next and what was there go
//!  left   |-----------------------|            prev is extended; what was there shrinks, or goes
//!  right           |-----------------------|   next is extended; what was there shrinks, or goes
//! ```

use super::{
    mm::Mm,
    space::{
        Prot,
        Vma, //
    },
    Modelled, //
};
use crate::{
    kernel_ext::interval_tree::Range,
    rmap::{
        self,
        link::Sharing,
        merge::{
            anon_vma_merge,
            are_compatible,
            dup_anon_vma,
            is_mergeable_anon_vma,
            publish_before_links,
            undo_dup, //
        },
        mm::MmapWrite,
        rules::Rules, //
    },
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// `struct vma_merge_struct`: addresses that are to be mapped in a certain way.
pub(crate) struct Request<'a, R: Modelled> {
    addresses: (usize, usize),
    pgoff: usize,
    prot: Prot,
    /// Whose pages are, or will be, there.
    anon: Option<&'a Arc<Vma<R>>>,
    /// The VMA that covers the addresses now, and perhaps more.
    middle: Option<&'a Arc<Vma<R>>>,
    /// The VMA that is being moved there.
    copied_from: Option<&'a Arc<Vma<R>>>,
    /// A VMA that must not be merged with.
    not: Option<&'a Arc<Vma<R>>>,
}

impl<'a, R: Modelled> Request<'a, R> {
    /// The `addresses` (first and last) are to have page offsets from `pgoff` on; nothing is there
    /// now.
    pub(crate) fn new(addresses: (usize, usize), pgoff: usize, prot: Prot) -> Self {
        Self {
            addresses,
            pgoff,
            prot,
            anon: None,
            middle: None,
            copied_from: None,
            not: None,
        }
    }

    /// They are a part of `vma`, or all of it.
    pub(crate) fn of_existing(self, vma: &'a Arc<Vma<R>>) -> Self {
        Self {
            anon: Some(vma),
            middle: Some(vma),
            ..self
        }
    }

    /// `vma` grows there.
    pub(crate) fn with_pages_of(self, vma: &'a Arc<Vma<R>>) -> Self {
        Self {
            anon: Some(vma),
            ..self
        }
    }

    /// `vma` is moved there.
    pub(crate) fn of_copy(self, vma: &'a Arc<Vma<R>>) -> Self {
        Self {
            anon: Some(vma),
            copied_from: Some(vma),
            ..self
        }
    }

    /// Not with `vma`.
    pub(crate) fn not_with(self, vma: &'a Arc<Vma<R>>) -> Self {
        Self {
            not: Some(vma),
            ..self
        }
    }
}

/// The first and the last address of something.
type Addresses = (usize, usize);

/// The survivor of a merge, and what it takes in.
struct Plan<R: Modelled> {
    target: Arc<Vma<R>>,
    /// The addresses that it will cover, and its first page offset then.
    addresses: Addresses,
    pgoff: usize,
    /// The VMAs whose links it inherits if it has none: the first that has some.
    heirs_of: [Option<Arc<Vma<R>>>; 2],
    /// The VMAs that it covers entirely.
    gone: [Option<Arc<Vma<R>>>; 2],
    /// A VMA that keeps a part, and its addresses then.
    shrunk: Option<(Arc<Vma<R>>, Addresses)>,
}

/// Merges what is wanted with its neighbours, where that is possible: returns the VMA that covers
/// it then, `None` where it is not.  Sleeps.
///
/// # Errors
///
/// `ENOMEM`; then nothing has changed.
pub(super) fn try_merge<R: Modelled>(
    mm: &Arc<rmap::mm::Mm<R>>,
    request: Request<'_, R>,
    mmap: &mut MmapWrite<'_, R>,
) -> Result<Option<Arc<Vma<R>>>> {
    match plan(mm, &request, mmap) {
        Some(plan) => carry_out(mm, plan, mmap).map(Some),
        None => Ok(None),
    }
}

/// Decides who is merged with whom.
fn plan<R: Modelled>(
    mm: &rmap::mm::Mm<R>,
    request: &Request<'_, R>,
    mmap: &MmapWrite<'_, R>,
) -> Option<Plan<R>> {
    let (first, last) = request.addresses;
    let middle = request.middle.map(|vma| (vma, vma.addresses(mmap)));
    // Only the edges of a VMA can be merged with something else.
    let left_side = middle.is_none_or(|(_, (start, _))| start == first);
    let right_side = middle.is_none_or(|(_, (_, end))| end == last);

    let forked = request.copied_from.or(request.middle).map(|vma| &vma.core);
    let mergeable = |vma: &Arc<Vma<R>>, at_pgoff: usize, pgoff: usize| {
        vma.prot() == request.prot
            && at_pgoff == pgoff
            && request.not.is_none_or(|not| !Arc::ptr_eq(vma, not))
            && is_mergeable_anon_vma(
                &vma.core,
                request.anon.map(|anon| &anon.core),
                forked,
                mmap,
                mm.space().sharing,
            )
    };
    let [prev, next] = Mm::neighbours(mm, (first, last), mmap);
    let prev = prev.filter(|prev| {
        left_side && mergeable(prev, prev.range(mmap).last.wrapping_add(1), request.pgoff)
    });
    let next = next.filter(|next| {
        let behind = request.pgoff + (last - first) + 1;
        right_side
            && mergeable(next, next.range(mmap).start, behind)
            && prev
                .as_ref()
                .is_none_or(|prev| are_compatible(&prev.core, &next.core, mmap))
    });

    let whole = middle.filter(|_| left_side && right_side);
    let gone = whole.map(|(vma, _)| vma.clone());
    let part = middle.filter(|_| !(left_side && right_side));
    // What is moved takes its links along, but for a deliberate bug.
    let source = match request.copied_from {
        Some(_) if !R::Rules::copies_on_move() => None,
        Some(copied) => Some(copied.clone()),
        None => request.middle.cloned(),
    };
    let plan = match (prev, next) {
        (Some(prev), Some(next)) => Some(Plan {
            addresses: (prev.addresses(mmap).0, next.addresses(mmap).1),
            pgoff: prev.range(mmap).start,
            heirs_of: [Some(next.clone()), source],
            gone: [gone, Some(next)],
            shrunk: None,
            target: prev,
        }),
        (Some(prev), None) => Some(Plan {
            addresses: (prev.addresses(mmap).0, last),
            pgoff: prev.range(mmap).start,
            heirs_of: [source, None],
            gone: [gone, None],
            shrunk: part.map(|(vma, (_, end))| (vma.clone(), (last + 1, end))),
            target: prev,
        }),
        (None, Some(next)) => Some(Plan {
            addresses: (first, next.addresses(mmap).1),
            pgoff: request.pgoff,
            heirs_of: [source, None],
            gone: [gone, None],
            shrunk: part.map(|(vma, (start, _))| (vma.clone(), (start, first - 1))),
            target: next,
        }),
        (None, None) => None,
    }?;
    // A VMA that goes gives its links away; one that only gives pages away does not, and by the
    // rules of 2010 may have more of them (R25).
    let giver = request.copied_from.or(part.map(|(vma, _)| vma));
    let whole = mm.space().sharing == Sharing::Singleton
        || giver.is_none_or(|giver| plan.heir().core.is_linked_to_all_of(&giver.core, mmap));
    whole.then_some(plan)
}

impl<R: Modelled> Plan<R> {
    /// The VMA whose links the survivor will have: its own, or those of the first that has some.
    fn heir(&self) -> &Vma<R> {
        if !self.target.core.is_unfaulted() {
            return &self.target;
        }
        let mut sources = self.heirs_of.iter().flatten();
        sources
            .find(|vma| !vma.core.is_unfaulted())
            .unwrap_or(&self.target)
    }
}

/// `commit_merge()`: after the last step that can fail come only those that cannot.
fn carry_out<R: Modelled>(
    mm: &rmap::mm::Mm<R>,
    plan: Plan<R>,
    mmap: &mut MmapWrite<'_, R>,
) -> Result<Arc<Vma<R>>> {
    let target = plan.target;
    let (first, last) = plan.addresses;
    // Until 2023 the arguments were the wrong way round where the lower of two VMAs shrinks.
    let backwards = !R::Rules::copies_forward()
        && matches!(plan.shrunk, Some((_, (start, _))) if start < first);
    let copies = R::Rules::copies_on_shift() || plan.shrunk.is_none();
    let mut inherited = None;
    for source in plan.heirs_of.iter().flatten().filter(|_| copies) {
        let (to, from) = if backwards {
            (source, &target)
        } else {
            (&target, source)
        };
        if !R::Rules::merge_locks_first() {
            publish_before_links(&to.core, &from.core, mmap);
        }
        if dup_anon_vma(&to.core, &from.core, mmap, mm.space().sharing)? {
            inherited = Some(to);
        }
    }
    let store = match mm.space().reserve_store(first, last, &target) {
        Ok(store) => store,
        Err(error) => {
            if let Some(heir) = inherited {
                undo_dup(&heir.core, mmap);
            }
            return Err(error);
        }
    };

    let range = Range {
        start: plan.pgoff,
        last: plan.pgoff + (last - first),
    };
    match plan.shrunk {
        Some((vma, (start, end))) => {
            let now = vma.range(mmap);
            let skipped = start - vma.addresses(mmap).0;
            let rest = Range {
                start: now.start + skipped,
                last: now.start + skipped + (end - start),
            };
            // One lock for both: no walker finds the boundary at two places, or at none.
            target.core.set_ranges(range, &vma.core, rest, mmap);
        }
        None => target.core.set_range(range, mmap),
    }
    store.commit();
    for gone in plan.gone.iter().flatten() {
        anon_vma_merge(&target.core, &gone.core, mmap, mm.space().sharing);
    }
    Ok(target)
}

#[cfg(shadow_rmap_kunit)]
#[kunit_tests(shadow_rmap_merge_model)]
mod tests {
    use super::super::{
        verify::verify,
        walk::try_to_unmap,
        Model, //
    };
    use super::*;
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
            oracle::Oracle,
            rules::{
                Rule,
                Window, //
            },
            testing::{
                at,
                Hooked, //
            },
        },
        torture::busted::{
            CopiesBackwards,
            MergesUnlocked,
            MovesWithoutLinks,
            ShiftsWithoutLinks, //
        },
    };

    /// Pages that change their VMA are found there, whichever way a boundary shifts, and so are those
    /// that are moved there (R21).
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

    /// Those whose new VMA does not inherit the links are found by nobody (R21).
    #[test]
    fn what_is_taken_in_without_links_is_lost() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let (lost, n) = Rule::R21.expect_violations(|| -> Result<_> {
                Ok([
                    shifted::<Model<L, ShiftsWithoutLinks>>(false)?,
                    shifted::<Model<L, ShiftsWithoutLinks>>(true)?,
                    shifted::<Model<L, CopiesBackwards>>(true)?,
                    moved_beside::<Model<L, MovesWithoutLinks>>(false)?,
                    moved_beside::<Model<L, MovesWithoutLinks>>(true)?,
                ])
            });
            let lost = lost?;
            // The wrong way round matters where the lower of two VMAs shrinks.
            let other = shifted::<Model<L, CopiesBackwards>>(false)?;

            assert!(lost.iter().all(|&(walks, found)| walks == 1 && found > 0));
            assert!(n > 0 && other == (0, 0));
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// While a VMA takes in a part of its neighbour, and inherits links, no fault comes in that does
    /// without `mmap_lock` (R31).
    #[test]
    fn a_merge_keeps_faults_out() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let mm = Arc::new(shifts::<Model<L, Hooked>>()?, GFP_KERNEL)?;
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

    /// Where one comes in after the VMA has got its anon_vma, and before it has got the links, its
    /// page is found by nobody (see R31).
    #[test]
    fn a_fault_in_a_merge_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let mm = shifts::<Model<L, Hooked<MergesUnlocked>>>()?;
            let mm = Arc::new(mm, GFP_KERNEL)?;
            let theirs = mm.clone();
            let before = Oracle::WalkCompleteness.reports();
            let (raced, n) = Rule::R30.expect_violations(|| {
                at(
                    Window::Published,
                    move || -> Result<bool> {
                        theirs.write_under_vma_lock(13, 0, 9)?;
                        try_to_unmap(&theirs.page_at(13).ok_or(ENOENT)?)
                    },
                    || shift(&mm, true),
                )
            });
            let reports = Oracle::WalkCompleteness.reports() - before;
            // There was memory for the links, in the end.
            let found = try_to_unmap(&mm.page_at(13).ok_or(ENOENT)?);

            assert!(raced == Ok((Ok(()), Ok(false))) && found == Ok(true));
            assert!(n == 1 && reports == 1);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// By the rules of 2010 a VMA may share the anon_vma of one that has more links.  A part of that
    /// is not merged with it: where it goes the links are missing (R25).
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

    /// Pages that may not be written to, between two VMAs that may, and that nobody has written to.
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

    /// The upper half joins the VMA above, or the lower half that below.
    fn shift<R: Modelled>(mm: &Mm<R>, up: bool) -> Result {
        mm.protect(if up { 8 } else { 4 }, 4, Prot::WRITE)
    }

    /// How many walks do not find a page that has changed its VMA like that, and how much is wrong
    /// at rest.
    fn shifted<R: Modelled>(up: bool) -> Result<(u32, usize)> {
        let mm = shifts::<R>()?;
        shift(&mm, up)?;
        lost(&mm, if up { 8 } else { 5 }, &[&mm])
    }

    /// The same, of one that was moved to beside a VMA that nobody has written to.
    fn moved_beside<R: Modelled>(keep: bool) -> Result<(u32, usize)> {
        let cache = Arc::new(Cache::new()?, GFP_KERNEL)?;
        let mm = Mm::<R>::new(&cache, 32, Sharing::Singleton)?;
        mm.map(0, 4, Prot::WRITE)?;
        mm.write(1, 0, 1)?;
        // It keeps the anon_vma, which might be gone otherwise.
        let child = mm.fork()?;
        mm.remap(0, 4, 20, false)?;
        mm.map(4, 4, Prot::WRITE)?;
        mm.remap(20, 4, 0, keep)?;
        lost(&mm, 1, &[&mm, &child])
    }

    fn lost<R: Modelled>(mm: &Mm<R>, address: usize, all: &[&Mm<R>]) -> Result<(u32, usize)> {
        let before = Oracle::WalkCompleteness.reports();
        let page = mm.page_at(address).ok_or(ENOENT)?;
        let found = verify(all)?.violations;
        try_to_unmap(&page)?;
        Ok((Oracle::WalkCompleteness.reports() - before, found))
    }
}

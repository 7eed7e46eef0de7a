// SPDX-License-Identifier: GPL-2.0

//! Merging VMAs.
//!
//! C: `vma_merge_existing_range()`, `vma_merge_new_range()` and `vma_expand()` of
//! [`mm/vma.c`](srctree/mm/vma.c).
//!
//! ```text
//!            prev       wanted      next
//!         |--------|**************|--------|
//!
//!  both   |--------------------------------|   prev grows; next and the VMA between go
//!  left   |-----------------------|            prev grows; a VMA between shrinks or goes
//!  right           |-----------------------|   next grows; a VMA between shrinks or goes
//! ```

use super::{
    attributes::Attributes,
    mapping::{
        self,
        Layout, //
    },
    mm::Mm,
    space::Vma,
    steps::ModelSteps,
    Modelled, //
};
use crate::{
    kernel_ext::interval_tree::Range,
    rmap::{
        self,
        merge::{
            are_compatible,
            dup_anon_vma,
            is_mergeable_anon_vma,
            undo_dup, //
        },
        mm::MmapWrite,
        prepare::Sharing,
        rules::Rule, //
    },
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// `struct vma_merge_struct`: addresses to be merged with their neighbours.
pub(crate) struct Request<'a, R: Modelled> {
    addresses: (usize, usize),
    pgoff: usize,
    attributes: Attributes,
    /// The VMA whose pages are, or will be, at these addresses.
    anon: Option<&'a Arc<Vma<R>>>,
    /// The VMA that covers at least these addresses now.
    middle: Option<&'a Arc<Vma<R>>>,
    /// The VMA that is being moved to these addresses.
    copied_from: Option<&'a Arc<Vma<R>>>,
    /// A VMA that must not be merged with.
    not: Option<&'a Arc<Vma<R>>>,
}

impl<'a, R: Modelled> Request<'a, R> {
    /// A request for `addresses` (first and last) that no VMA covers yet, with page offsets from
    /// `pgoff` on.
    pub(crate) fn new(
        addresses: (usize, usize),
        pgoff: usize,
        attributes: impl Into<Attributes>,
    ) -> Self {
        Self {
            addresses,
            pgoff,
            attributes: attributes.into(),
            anon: None,
            middle: None,
            copied_from: None,
            not: None,
        }
    }

    /// Says that `vma` covers the addresses.
    pub(crate) fn of_existing(self, vma: &'a Arc<Vma<R>>) -> Self {
        Self {
            anon: Some(vma),
            middle: Some(vma),
            ..self
        }
    }

    /// Says that `vma` grows by the addresses.
    pub(crate) fn with_pages_of(self, vma: &'a Arc<Vma<R>>) -> Self {
        Self {
            anon: Some(vma),
            ..self
        }
    }

    /// Says that `vma` is moved to the addresses.
    pub(crate) fn of_copy(self, vma: &'a Arc<Vma<R>>) -> Self {
        Self {
            anon: Some(vma),
            copied_from: Some(vma),
            ..self
        }
    }

    /// Excludes a merge with `vma`.
    pub(crate) fn not_with(self, vma: &'a Arc<Vma<R>>) -> Self {
        Self {
            not: Some(vma),
            ..self
        }
    }
}

/// A first and a last address.
type Addresses = (usize, usize);

/// A merge: the VMA that stays, and the VMAs that it replaces.
pub(crate) struct Plan<R: Modelled> {
    /// The VMA that stays.
    pub(crate) target: Arc<Vma<R>>,
    /// The addresses that it will cover.
    pub(crate) addresses: Addresses,
    /// Its first page offset then.
    pgoff: usize,
    /// If it has no links it inherits those of the first of these VMAs that has some. The last one
    /// is the VMA that is split or moved.
    sources: [Option<Arc<Vma<R>>>; 2],
    /// Whether the last of `sources` is being moved to the addresses.
    pub(crate) is_move: bool,
    /// The VMAs that it replaces entirely.
    gone: [Option<Arc<Vma<R>>>; 2],
    /// A VMA that keeps a part of its addresses, and these.
    pub(crate) shrunk: Option<(Arc<Vma<R>>, Addresses)>,
}

/// Merges the addresses of `request` with their neighbours, if that is possible. Returns the VMA
/// that covers them then, `None` if it is not possible. Sleeps.
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

/// [`try_merge`] for addresses that can have a VMA of their own: without memory the merge is left
/// out. Sleeps.
///
/// # Errors
///
/// Those of [`try_merge`] but `ENOMEM`.
pub(super) fn merge_or_not<R: Modelled>(
    mm: &Arc<rmap::mm::Mm<R>>,
    request: Request<'_, R>,
    mmap: &mut MmapWrite<'_, R>,
) -> Result<Option<Arc<Vma<R>>>> {
    match try_merge(mm, request, mmap) {
        Err(error) if error == ENOMEM => Ok(None),
        done => done,
    }
}

/// Decides which VMAs are merged.
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
        vma.attributes() == request.attributes
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
    if whole.is_some_and(|(vma, _)| !vma.attributes().may_go()) {
        return None;
    }
    // If the VMA behind must stay, the one before takes the addresses alone.
    let next = next.filter(|next| prev.is_none() || next.attributes().may_go());
    let gone = whole.map(|(vma, _)| vma.clone());
    let part = middle.filter(|_| !(left_side && right_side));
    // A VMA that is moved takes its links along.
    let is_move = request.copied_from.is_some();
    let source = request.copied_from.or(request.middle).cloned();
    let plan = match (prev, next) {
        (Some(prev), Some(next)) => Some(Plan {
            addresses: (prev.addresses(mmap).0, next.addresses(mmap).1),
            pgoff: prev.range(mmap).start,
            sources: [Some(next.clone()), source],
            is_move,
            gone: [gone, Some(next)],
            shrunk: None,
            target: prev,
        }),
        (Some(prev), None) => Some(Plan {
            addresses: (prev.addresses(mmap).0, last),
            pgoff: prev.range(mmap).start,
            sources: [None, source],
            is_move,
            gone: [gone, None],
            shrunk: part.map(|(vma, (_, end))| (vma.clone(), (last + 1, end))),
            target: prev,
        }),
        (None, Some(next)) => Some(Plan {
            addresses: (first, next.addresses(mmap).1),
            pgoff: request.pgoff,
            sources: [None, source],
            is_move,
            gone: [gone, None],
            shrunk: part.map(|(vma, (start, _))| (vma.clone(), (start, first - 1))),
            target: next,
        }),
        (None, None) => None,
    }?;
    // A VMA that is removed gives its links away. One that only gives pages away does not, and by
    // the rules of 2010 it may have more links than the one that takes the pages (R25). By today's rules
    // it never has (R26), but its PTEs change hands.
    let giver = request.copied_from.or(part.map(|(vma, _)| vma));
    let whole = giver.is_none_or(|giver| {
        plan.owner_of_links()
            .core
            .is_linked_to_all_of(&giver.core, mmap)
    });
    let permitted =
        whole || (mm.space().sharing == Sharing::Singleton && R::model_steps().may_map(false));
    permitted.then_some(plan)
}

impl<R: Modelled> Plan<R> {
    /// Returns the VMAs whose links the target may inherit, in order.
    pub(crate) fn sources(&self) -> [Option<&Arc<Vma<R>>>; 2] {
        self.sources.each_ref().map(Option::as_ref)
    }

    /// Returns the VMA whose links the target will have: itself, or the first source that has some.
    fn owner_of_links(&self) -> &Vma<R> {
        if !self.target.core.is_unfaulted() {
            return &self.target;
        }
        let mut sources = self.sources.iter().flatten();
        sources
            .find(|vma| !vma.core.is_unfaulted())
            .unwrap_or(&self.target)
    }
}

/// Lets the target of `plan` inherit the links of the first of `sources` that has some, if it has
/// none itself. Returns the VMA that inherited.
///
/// # Errors
///
/// `ENOMEM`; then nothing has changed.
pub(crate) fn inherit<R: Modelled>(
    plan: &Plan<R>,
    sources: [Option<&Arc<Vma<R>>>; 2],
    mmap: &mut MmapWrite<'_, R>,
) -> Result<Option<Arc<Vma<R>>>> {
    let sharing = plan.target.core.mm().space().sharing;
    let mut inherited = None;
    for source in sources.into_iter().flatten() {
        if dup_anon_vma(&plan.target.core, &source.core, mmap, sharing)? {
            inherited = Some(plan.target.clone());
        }
    }
    Ok(inherited)
}

/// `commit_merge()`: all steps that can fail come first.
fn carry_out<R: Modelled>(
    mm: &rmap::mm::Mm<R>,
    plan: Plan<R>,
    mmap: &mut MmapWrite<'_, R>,
) -> Result<Arc<Vma<R>>> {
    let inherited = R::model_steps().inherit(&plan, mmap)?;
    Rule::R21.step();
    let target = plan.target;
    let (first, last) = plan.addresses;
    let store = match mm.space().reserve_store(first, last, &target) {
        Ok(store) => store,
        Err(error) => {
            if let Some(vma) = inherited {
                undo_dup(&vma.core, mapping::emptied(&vma, mmap));
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
            // Under one lock: no walk finds the boundary at two places, or at none.
            let kept = Layout::kept();
            target.core.set_ranges(range, &vma.core, rest, mmap, kept);
        }
        None => target.core.set_range(range, mmap, Layout::kept()),
    }
    store.commit();
    for gone in plan.gone.iter().flatten() {
        mapping::merge(&target, gone, mmap);
    }
    Ok(target)
}

#[cfg(shadow_rmap_kunit)]
#[path = "tests/merge.rs"]
mod tests;

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
    prim::interval_tree::Range,
    rmap::{
        self,
        merge::{
            anon_vma_merge,
            are_compatible,
            dup_anon_vma,
            is_mergeable_anon_vma,
            undo_dup, //
        },
        mm::MmapWrite,
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
    let source = request.copied_from.or(request.middle).cloned();
    match (prev, next) {
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
    }
}

/// `commit_merge()`: after the last step that can fail come only those that cannot.
fn carry_out<R: Modelled>(
    mm: &rmap::mm::Mm<R>,
    plan: Plan<R>,
    mmap: &mut MmapWrite<'_, R>,
) -> Result<Arc<Vma<R>>> {
    let target = plan.target;
    let mut inherited = false;
    for source in plan.heirs_of.iter().flatten() {
        inherited |= dup_anon_vma(&target.core, &source.core, mmap)?;
    }
    let (first, last) = plan.addresses;
    let store = match mm.space().vmas.reserve_store(first, last, target.clone()) {
        Ok(store) => store,
        Err(error) => {
            if inherited {
                undo_dup(&target.core, mmap);
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

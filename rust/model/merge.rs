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
#[path = "tests/merge.rs"]
mod tests;

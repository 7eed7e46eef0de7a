// SPDX-License-Identifier: GPL-2.0

//! Every lock of an address space at once, and what that is good for: a notifier that joins while
//! everybody is at work.
//!
//! C: `mm_take_all_locks()` of [`mm/vma.c`](srctree/mm/vma.c), and
//! [`mm/mmu_notifier.c`](srctree/mm/mmu_notifier.c).
//!
//! Who changes PTEs tells the notifiers of that address space before and after.  A notifier that
//! joins in between would be told of the end of something that it did not see begin.  A walker
//! holds the lock of a family, but neither `mmap_lock` nor any other lock that one could take for
//! an address space: so who joins takes `mmap_lock` and the lock of every family that a VMA of the
//! address space is linked to.  The page lock is none of them, and does not keep an anon_vma alive
//! either.
//!
//! Each root is taken once, in one pass; a system-wide mutex lets one thread do so at a time, so
//! that no two wait for each other, each with locks that the other wants (R38).

use super::{
    may_allocate,
    mm::Mm,
    Modelled, //
};
use crate::{
    kernel_ext::{
        fail,
        lock::FamilyLock,
        mutex::StaticMutexGuard, //
        sort::sort_by_key,
    },
    rmap::{
        anon_vma::{
            AnonVma,
            FamilyWrite, //
        },
        mm::MmapWrite,
        oracle::Oracle,
        rules::{
            Rule,
            Rules, //
        },
    },
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        Arc, //
    },
};

/// How many spinning locks may be taken at once: each disables preemption once more, and the kernel
/// counts to 255.
const MOST_SPINNING: usize = 128;

/// Every lock of an address space is held: no walker, no fault, nothing else changes its PTEs.
///
/// The locks are released before the turn is over.
pub(crate) struct AllLocks<'a, R: Modelled> {
    roots: KVVec<FamilyWrite<'a, R>>,
    _turn: StaticMutexGuard,
}

impl<'a, R: Modelled> AllLocks<'a, R> {
    /// `mm_take_all_locks()`: `mmap` is the lock of `mm`.  Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `E2BIG` for more families than spinning locks can be taken at once.  Nothing is
    /// locked then.
    pub(crate) fn take(mm: &Mm<R>, mmap: &'a MmapWrite<'_, R>) -> Result<Self> {
        let mut roots = roots_of(mm, mmap)?;
        sort_by_key(&mut roots, |root| root.key());
        let changes = roots.iter().zip(roots.iter().skip(1));
        let families = changes.filter(|(a, b)| a.key() != b.key()).count() + 1;
        if !R::Lock::SLEEPS && families > MOST_SPINNING {
            return Err(E2BIG);
        }
        may_allocate::<R>()?;
        let mut locked = KVVec::with_capacity(roots.len(), GFP_KERNEL)?;
        let turn = StaticMutexGuard::lock();
        let mut before = None;
        for root in roots {
            if R::Rules::take_root_once() && before == Some(root.key()) {
                continue;
            }
            // Taking it a second time would wait for ourselves, for ever.
            if !Oracle::LockDiscipline.check(Rule::R38, before != Some(root.key())) {
                continue;
            }
            before = Some(root.key());
            locked.push(root.lock_write_under(mmap), GFP_KERNEL)?;
        }
        Ok(Self {
            roots: locked,
            _turn: turn,
        })
    }

    /// How many families are locked.
    pub(crate) fn families(&self) -> usize {
        self.roots.len()
    }
}

/// The root of each link of each VMA: as often as there are links to its family.
fn roots_of<'a, R: Modelled>(
    mm: &Mm<R>,
    mmap: &'a MmapWrite<'_, R>,
) -> Result<KVVec<&'a AnonVma<R>>> {
    let mut roots = KVVec::new();
    for slot in mm.space().vmas.range(0, usize::MAX) {
        slot.vma.core.for_each_link(mmap, |anon_vma| {
            may_allocate::<R>()?;
            Ok(roots.push(anon_vma.root(), GFP_KERNEL)?)
        })?;
    }
    Ok(roots)
}

/// `struct mmu_notifier`: wants to know when PTEs of an address space change.
///
/// It counts: for each change it is told of the beginning, and then of the end.
pub(crate) struct Notifier {
    /// Changes that have begun and not ended.
    changing: Atomic<i32>,
    /// Changes that have ended.
    changes: Atomic<usize>,
}

impl Notifier {
    /// One that has been told of nothing.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> Result<Arc<Self>> {
        fail::allocation()?;
        Ok(Arc::new(
            Self {
                changing: Atomic::new(0),
                changes: Atomic::new(0),
            },
            GFP_KERNEL,
        )?)
    }

    /// `invalidate_range_start()`.
    pub(super) fn start(&self) {
        self.changing.fetch_add(1, Full);
    }

    /// `invalidate_range_end()`: of a change whose beginning it was told of (R38).
    pub(super) fn end(&self) {
        let before = self.changing.fetch_sub(1, Full);
        if Rule::R38.check(before > 0) {
            self.changes.fetch_add(1, Relaxed);
        } else {
            // An end without a beginning: what comes after it is whole again.
            self.changing.fetch_add(1, Full);
        }
    }

    /// How many changes it has seen from beginning to end.
    pub(crate) fn changes(&self) -> usize {
        self.changes.load(Relaxed)
    }

    /// Whether a change is under way.
    pub(crate) fn is_changing(&self) -> bool {
        self.changing.load(Relaxed) != 0
    }
}

impl<R: Modelled> Mm<R> {
    /// `mmu_notifier_register()`: from here on `notifier` is told of each change of PTEs from its
    /// beginning.  Sleeps.
    ///
    /// # Errors
    ///
    /// As [`AllLocks::take`]; then it has not joined.
    pub(crate) fn register_notifier(&self, notifier: Arc<Notifier>) -> Result {
        let mmap = self.core().mmap_write();
        may_allocate::<R>()?;
        let room = KVec::with_capacity(self.space().notifiers() + 1, GFP_KERNEL)?;
        let locks = AllLocks::take(self, &mmap)?;
        let old = self.space().join(notifier, room, &locks);
        drop(locks);
        old.map(drop)
    }
}

#[cfg(shadow_rmap_kunit)]
#[path = "tests/take_all.rs"]
mod tests;

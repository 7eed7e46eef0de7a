// SPDX-License-Identifier: GPL-2.0

//! Every lock of an address space at once, which a notifier needs to be registered while other
//! threads work.
//!
//! C: `mm_take_all_locks()` of [`mm/vma.c`](srctree/mm/vma.c), and
//! [`mm/mmu_notifier.c`](srctree/mm/mmu_notifier.c).
//!
//! A change of PTEs calls the notifiers of the address space before and after. A notifier that is
//! registered in between would be called at the end of a change without having been called at its
//! beginning. A walker holds the lock of a family, and no lock of the address space. So registering
//! a notifier takes `mmap_lock`, and the lock of every family to which a VMA of the address space
//! is linked. Page locks are not taken: their holders need these locks as well to change PTEs.
//!
//! Each root is locked once. A system-wide mutex lets one thread at a time do so: two threads could
//! wait for each other's locks otherwise (R38).

use super::{
    may_allocate,
    mm::Mm,
    space::Vma,
    steps::ModelSteps,
    Modelled, //
};
use crate::{
    kernel_ext::{
        fail,
        mutex::StaticMutexGuard, //
        sort::sort_by_key,
    },
    rmap::{
        anon_vma::AnonVma,
        family::FamilyWrite,
        lock::FamilyLock,
        mm::MmapWrite,
        rules::Rule, //
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

/// The most spinning locks that are taken at once: each disables preemption once more, and the
/// kernel counts to 255.
const MOST_SPINNING: usize = 128;

/// Every lock of an address space is held: no other thread changes its PTEs.
///
/// The locks are released before the system-wide mutex.
pub(crate) struct AllLocks<'a, R: Modelled> {
    roots: KVVec<FamilyWrite<'a, R>>,
    _turn: StaticMutexGuard,
}

impl<'a, R: Modelled> AllLocks<'a, R> {
    /// `mm_take_all_locks()`: `vmas` are all VMAs of the address space whose lock `mmap` is, see
    /// [`vmas_of`]. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `E2BIG` if there are more families than spinning locks that can be taken at once.
    /// Then nothing is locked.
    pub(crate) fn take(vmas: &'a [Arc<Vma<R>>], mmap: &'a MmapWrite<'_, R>) -> Result<Self> {
        let mut roots = roots_of(vmas, mmap)?;
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
            if !R::model_steps().takes_root(before, root) {
                continue;
            }
            Rule::R38.step();
            before = Some(root.key());
            locked.push(root.lock_write_under(mmap), GFP_KERNEL)?;
        }
        Ok(Self {
            roots: locked,
            _turn: turn,
        })
    }

    /// Returns how many families are locked.
    pub(crate) fn families(&self) -> usize {
        self.roots.len()
    }
}

/// Returns the VMAs of an address space, in order. The caller holds `mmap_lock`. Sleeps.
///
/// # Errors
///
/// `ENOMEM`.
pub(crate) fn vmas_of<R: Modelled>(mm: &Mm<R>) -> Result<KVVec<Arc<Vma<R>>>> {
    let mut vmas = KVVec::new();
    for slot in mm.space().vmas.range(0, usize::MAX) {
        may_allocate::<R>()?;
        vmas.push(slot.vma, GFP_KERNEL)?;
    }
    Ok(vmas)
}

/// Collects the root of each link of each VMA: each root as often as there are links to its family.
fn roots_of<'a, R: Modelled>(
    vmas: &'a [Arc<Vma<R>>],
    mmap: &'a MmapWrite<'_, R>,
) -> Result<KVVec<&'a AnonVma<R>>> {
    let mut roots = KVVec::new();
    for vma in vmas {
        for anon_vma in vma.core.links(mmap) {
            may_allocate::<R>()?;
            roots.push(anon_vma.root(), GFP_KERNEL)?;
        }
    }
    Ok(roots)
}

/// `struct mmu_notifier`: counts the changes of PTEs of an address space.
///
/// It is called at the beginning and at the end of each change.
pub(crate) struct Notifier {
    /// Changes that have begun and not ended.
    changing: Atomic<i32>,
    /// Changes that have ended.
    changes: Atomic<usize>,
}

impl Notifier {
    /// Makes a notifier that has not been called.
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

    /// `invalidate_range_end()`: must follow a call of [`start`](Self::start) for the same change
    /// (R38).
    pub(super) fn end(&self) {
        let before = self.changing.fetch_sub(1, Full);
        if Rule::R38.check(before > 0) {
            self.changes.fetch_add(1, Relaxed);
        } else {
            // Does not count the end of a change whose beginning was missed.
            self.changing.fetch_add(1, Full);
        }
    }

    /// Returns how many changes it has seen from beginning to end.
    pub(crate) fn changes(&self) -> usize {
        self.changes.load(Relaxed)
    }

    /// Returns whether a change is under way.
    pub(crate) fn is_changing(&self) -> bool {
        self.changing.load(Relaxed) != 0
    }
}

impl<R: Modelled> Mm<R> {
    /// `mmu_notifier_register()`: calls `notifier` at each change of PTEs from now on. Sleeps.
    ///
    /// # Errors
    ///
    /// As [`AllLocks::take`]; then it is not registered.
    pub(crate) fn register_notifier(&self, notifier: Arc<Notifier>) -> Result {
        let mmap = self.core().mmap_write();
        may_allocate::<R>()?;
        let room = KVec::with_capacity(self.space().notifiers() + 1, GFP_KERNEL)?;
        let vmas = vmas_of(self)?;
        let locks = AllLocks::take(&vmas, &mmap)?;
        let old = self.space().join(notifier, room, &locks);
        drop(locks);
        old.map(drop)
    }
}

#[cfg(shadow_rmap_kunit)]
#[path = "tests/take_all.rs"]
mod tests;

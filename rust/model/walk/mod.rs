// SPDX-License-Identifier: GPL-2.0

//! From a page to all page tables that map it.
//!
//! | module | contents | C |
//! |---|---|---|
//! | [`unmap`] | taking a page out of all PTEs | `try_to_unmap()` |
//! | [`migrate`] | moving a page to new memory | [`mm/migrate.c`](srctree/mm/migrate.c) |
//! | [`swapoff`] | mapping a page again in all PTEs | [`mm/swapfile.c`](srctree/mm/swapfile.c) |
//!
//! C: `rmap_walk_anon()`, `folio_referenced()` of [`mm/rmap.c`](srctree/mm/rmap.c).
//!
//! A walk visits the VMAs in the anon_vma's tree that cover the page's offset, with the family's
//! lock held, and looks into the page table of each, with its lock held (R34). Many of these VMAs
//! do not map the page: they have written to a copy, have not faulted, or have discarded it. Only
//! the PTE says so (R35).
//!
//! Nothing sleeps under the locks, and nothing is allocated: entries for PTEs are made before. The
//! walker has references of its own on what it takes out of PTEs, so no reference that it drops is
//! the last.
//!
//! No PTE can escape from a walk that takes out what it finds, with the page locked. A fork puts
//! the child's VMA behind its parent's in each tree that both are in, and copies PTEs under the
//! locks of both page tables. A move takes the family's lock if it moves PTEs to before the walk
//! (R36). A fault maps a page again only with the page locked. If a PTE is left all the same, a VMA
//! was not linked (R21), or PTEs moved without the lock.

pub(crate) mod migrate;
pub(crate) mod swapoff;
pub(crate) mod unmap;

pub(crate) use migrate::{
    migrate,
    Migration, //
};
pub(crate) use swapoff::unuse;
pub(crate) use unmap::{
    reclaim,
    try_to_unmap, //
};

use super::{
    mapping,
    page::{
        Page,
        PageGuard, //
    },
    space::Vma,
    steps::ModelSteps,
    table::{
        Pte,
        Ptes, //
    },
    Modelled, //
};
use crate::{
    rmap::{
        family::LockedAnonVma,
        lookup::page_lock_anon_vma,
        mm::MmapLocked,
        oracle::Oracle,
        rules::Rule,
        walk::Visited,
        window::Window, //
    },
    stats, //
};
use core::ops::ControlFlow;
use kernel::sync::Arc;

/// The result of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Walk {
    /// The number of VMAs that were visited.
    pub(crate) visited: usize,
    /// The number of PTEs that the walk acted on.
    pub(crate) found: usize,
    /// Whether no VMA was visited twice. A walk through a tree that is a ring ends all the same,
    /// and is counted in `stats`.
    pub(crate) bounded: bool,
}

impl Walk {
    /// A walk that visited no VMA.
    const NONE: Self = Self {
        visited: 0,
        found: 0,
        bounded: true,
    };
}

/// Notices that a sequence repeats itself, before it has gone around three times: by Brent's
/// method, which remembers one member, and replaces it whenever twice as many have passed.
struct Ring {
    remembered: usize,
    passed: usize,
    limit: usize,
}

impl Ring {
    fn new() -> Self {
        Self {
            remembered: 0,
            passed: 0,
            limit: 1,
        }
    }

    /// Returns whether `key`, which is not 0, is the member that is remembered.
    fn closes(&mut self, key: usize) -> bool {
        if key == self.remembered {
            return true;
        }
        self.passed += 1;
        if self.passed == self.limit {
            self.remembered = key;
            self.passed = 0;
            self.limit *= 2;
        }
        false
    }
}

/// A PTE that a walk has found, with its page table locked: `struct page_vma_mapped_walk`.
struct Found<'a, 'v, R: Modelled> {
    ptes: Ptes<'a, R>,
    vma: &'a Visited<'v, R>,
    address: usize,
}

impl<R: Modelled> Found<'_, '_, R> {
    fn pte(&self) -> &Pte<R> {
        self.ptes.get(self.address)
    }

    /// Returns whether the PTE may be written to.
    fn writable(&self) -> bool {
        match self.pte() {
            Pte::Present { writable, .. } | Pte::Migration { writable, .. } => *writable,
            Pte::None | Pte::Swap(_) => false,
        }
    }

    /// Replaces the PTE, which maps `page`, by an entry.
    fn unmap(&mut self, page: &Page<R>, entry: Pte<R>) {
        let there = mapping::unmap(&mut self.ptes, self.address, page, entry);
        // Never the last reference: the walker has one.
        R::model_steps().dispose(there);
    }

    /// Maps a locked page where an entry stands for it.
    fn map_again(&mut self, page: (&Arc<Page<R>>, &PageGuard<'_, R>), writable: bool) {
        let there = mapping::map_again_in_walk(&mut self.ptes, self.vma, page, writable);
        // Never the last reference: the walker has one on what the entry leads to.
        if let Some(there) = there {
            R::model_steps().dispose(there);
        }
    }
}

/// `rmap_walk_anon()`: calls `act` with each PTE for the page offset `index` that is `wanted`.
/// `act` runs under a page table's lock, and must not sleep.
fn walk_locked<R: Modelled>(
    anon_vma: LockedAnonVma<'_, R>,
    index: usize,
    wanted: impl Fn(&Pte<R>) -> bool,
    mut act: impl FnMut(&mut Found<'_, '_, R>) -> ControlFlow<()>,
) -> Walk {
    stats::WALKS.inc();
    let mut walk = Walk::NONE;
    let mut ring = Ring::new();
    // `walk` says how it ended.
    let _ = anon_vma.for_each_vma(index, index, |vma| {
        if ring.closes(vma.key()) {
            walk.bounded = false;
            return ControlFlow::Break(());
        }
        walk.visited += 1;
        Rule::R35.step();
        let space = vma.mm().space();
        let flow = space.invalidate(|| {
            let ptes = space.table.lock();
            let address = vma.address(index);
            if !R::model_steps().acts_on(wanted(ptes.get(address))) {
                return ControlFlow::Continue(());
            }
            walk.found += 1;
            act(&mut Found { ptes, vma, address })
        });
        R::window(Window::BetweenVmas);
        flow
    });
    if !walk.bounded {
        stats::UNBOUNDED_WALKS.inc();
        Oracle::BoundedWalk.report(None);
    }
    walk
}

/// `rmap_walk()`: calls `act` with each PTE that maps `page`.
///
/// The caller has a reference on the page (R4). Sleeps or spins; `act` must not sleep.
fn rmap_walk<R: Modelled>(
    page: &Page<R>,
    act: impl FnMut(&mut Found<'_, '_, R>) -> ControlFlow<()>,
) -> Walk {
    match page_lock_anon_vma(&page.rmap) {
        Some(anon_vma) => walk_locked(anon_vma, page.rmap.index(), |pte| pte.maps(page), act),
        None => Walk::NONE,
    }
}

/// `folio_referenced()`: returns how many PTEs map `page`.
///
/// There are no accessed bits here: each PTE counts. The caller has a reference on the page. Sleeps
/// or spins.
pub(crate) fn page_referenced<R: Modelled>(page: &Page<R>) -> usize {
    // So many are to be found, unless other threads map or unmap it.
    let mut left = page.rmap.mapcount();
    let walk = rmap_walk(page, |_| {
        left -= 1;
        if left > 0 {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    });
    walk.found
}

/// `page_mapped_in_vma()`: returns the address at which `vma` maps `page`, if it does. Any context.
pub(crate) fn page_mapped_in_vma<R: Modelled>(
    page: &Page<R>,
    vma: &Vma<R>,
    mmap: &impl MmapLocked<R>,
) -> Option<usize> {
    let (index, range) = (page.rmap.index(), vma.range(mmap));
    if index < range.start || index > range.last {
        return None;
    }
    let address = vma.core.address(index);
    let ptes = vma.core.mm().space().table.lock();
    ptes.get(address).maps(page).then_some(address)
}

#[cfg(shadow_rmap_kunit)]
#[path = "../tests/sample.rs"]
mod sample;

#[cfg(shadow_rmap_kunit)]
#[path = "../tests/walk.rs"]
mod tests;

#[cfg(shadow_rmap_kunit)]
#[path = "../tests/migrate.rs"]
mod migrate_tests;

#[cfg(shadow_rmap_kunit)]
#[path = "../tests/swapoff.rs"]
mod swapoff_tests;

#[cfg(shadow_rmap_kunit)]
#[path = "../tests/walk_race.rs"]
mod race_tests;

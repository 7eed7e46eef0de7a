// SPDX-License-Identifier: GPL-2.0

//! From a page to all page tables that map it: reference counting, unmapping, migration, swapoff.
//!
//! C: `rmap_walk_anon()`, `folio_referenced()`, `try_to_unmap()` and `try_to_migrate()` of
//! [`mm/rmap.c`](srctree/mm/rmap.c); [`mm/migrate.c`](srctree/mm/migrate.c); `try_to_unuse()` of
//! [`mm/swapfile.c`](srctree/mm/swapfile.c).
//!
//! A walk goes through the VMAs that the anon_vma's tree has for the page's offset, with the
//! family's lock held, and looks into the page table of each, with that locked (R34).  Many of them
//! do not map the page: they have written to a copy of their own, have not faulted, or discarded it.
//! The PTE alone says which (R35).
//!
//! Nothing sleeps under the locks, and nothing is allocated: what a walk puts into PTEs was made
//! before, and of what it takes out the walker has a reference of its own, so that none is the last.
//!
//! A fork under way is no way past a walk: the child's VMA stands behind its parent's in each tree
//! that both are in, and PTEs are copied from the one to the other under the locks of both page
//! tables.  Nor is a move (R36), and faults map in by the page lock what was there before.  So a walk
//! that takes out what it finds, with the page locked, leaves no PTE behind, whatever goes on
//! meanwhile; where it does, a VMA was not linked to what it maps (R21), or something moved that
//! must not.

use super::{
    may_allocate,
    page::{
        Page,
        PageGuard, //
    },
    space::Vma,
    swap::{
        free_swap,
        remove_mapping,
        Entry,
        Leaving,
        Room,
        Slot, //
    },
    table::{
        Pte,
        Ptes, //
    },
    Modelled, //
};
use crate::{
    kernel_ext::typesafe::Pinned,
    rmap::{
        anon_vma::{
            AnonVma,
            LockedAnonVma, //
        },
        lookup::{
            page_get_anon_vma,
            page_lock_anon_vma, //
        },
        mm::MmapLocked,
        oracle::Oracle,
        rules::{
            Rule,
            Rules,
            Window, //
        },
    },
    stats, //
};
use core::{
    marker::PhantomData,
    ops::ControlFlow, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Relaxed,
            Release, //
        },
        Arc,
        Completion, //
    },
    time::{
        delay::fsleep,
        Delta, //
    },
};

/// How a walk went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Walk {
    /// VMAs whose page table was looked into.
    pub(crate) visited: usize,
    /// PTEs that were found.
    pub(crate) found: usize,
    /// Whether no VMA came twice.  A walk through a tree that is a ring ends all the same, and is
    /// counted in `stats`.
    pub(crate) bounded: bool,
    /// Whether it has taken something else for what it looks for, and ended there: by a deliberate
    /// bug only (R35).
    astray: bool,
}

impl Walk {
    /// One that did not come far.
    const NONE: Self = Self {
        visited: 0,
        found: 0,
        bounded: true,
        astray: false,
    };

    /// Whether it came to all VMAs, as far as it was to.
    fn is_whole(&self) -> bool {
        self.bounded && !self.astray
    }
}

/// Notices that a sequence repeats itself, before it has gone around three times: by Brent's method,
/// which remembers one member, and a later one whenever twice as many have passed.
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

    /// Whether `key`, which is not 0, has been here before, as far as is remembered.
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

/// A PTE that a walk has found; its page table is locked: `struct page_vma_mapped_walk`.
struct Found<'a, R: Modelled> {
    ptes: Ptes<'a, R>,
    address: usize,
    /// Whether it is what the walk looks for: always, but for a deliberate bug.
    right: bool,
    /// What was there if it was not.
    stray: &'a mut Option<Pte<R>>,
}

impl<R: Modelled> Found<'_, R> {
    fn pte(&self) -> &Pte<R> {
        self.ptes.get(self.address)
    }

    /// Whether it may be written to.
    fn writable(&self) -> bool {
        match self.pte() {
            Pte::Present { writable, .. } | Pte::Migration { writable, .. } => *writable,
            Pte::None | Pte::Swap(_) => false,
        }
    }

    /// Puts `pte` there.  The walk may go on where that was right.
    fn replace(&mut self, pte: Pte<R>) -> ControlFlow<()> {
        let unmaps = pte.page().is_none();
        let there = self.ptes.set(self.address, pte);
        if self.right {
            // Never the last reference on what the walk looks for: the walker has one.
            drop(there);
            return ControlFlow::Continue(());
        }
        // What was there is mapped no more, and counted still; and what was not there is not, as soon
        // as the walker has counted it.
        if unmaps || there.page().is_some() {
            Oracle::Mapcount.report(Some(Rule::R35));
        }
        *self.stray = Some(there);
        ControlFlow::Break(())
    }
}

/// `rmap_walk_anon()`: calls `act` with each PTE for the page offset `index` that is `wanted`.  Under
/// a spinning lock `act` must not sleep; under any it holds a page table's lock, and must not.
fn walk_locked<R: Modelled>(
    anon_vma: LockedAnonVma<'_, R>,
    index: usize,
    wanted: impl Fn(&Pte<R>) -> bool,
    mut act: impl FnMut(&mut Found<'_, R>) -> ControlFlow<()>,
) -> Walk {
    stats::WALKS.inc();
    let mut walk = Walk::NONE;
    let mut ring = Ring::new();
    let mut stray = None;
    // That it was ended early is no news to whoever ended it.
    let _ = anon_vma.for_each_vma(index, index, |vma| {
        if ring.closes(vma.key()) {
            walk.bounded = false;
            return ControlFlow::Break(());
        }
        walk.visited += 1;
        let space = vma.mm().space();
        let flow = space.invalidate(|| {
            let ptes = space.table.lock();
            let address = vma.address(index);
            let right = wanted(ptes.get(address));
            if !right && R::Rules::walk_asks_pte() {
                return ControlFlow::Continue(());
            }
            walk.found += 1;
            Rule::R35.check(right);
            act(&mut Found {
                ptes,
                address,
                right,
                stray: &mut stray,
            })
        });
        R::Rules::window(Window::BetweenVmas);
        flow
    });
    walk.astray = stray.is_some();
    if !walk.bounded {
        stats::UNBOUNDED_WALKS.inc();
        Oracle::BoundedWalk.report(None);
    }
    drop(anon_vma);
    // It may be the last reference of something, which goes without a lock.
    drop(stray);
    walk
}

/// `rmap_walk()`: calls `act` with each PTE that maps `page`.
///
/// The caller has a reference on the page (R4).  Sleeps, or spins; `act` must not sleep.
fn rmap_walk<R: Modelled>(
    page: &Page<R>,
    act: impl FnMut(&mut Found<'_, R>) -> ControlFlow<()>,
) -> Walk {
    match page_lock_anon_vma(&page.rmap) {
        Some(anon_vma) => walk_locked(anon_vma, page.rmap.index(), |pte| pte.maps(page), act),
        None => Walk::NONE,
    }
}

/// `folio_referenced()`: how many PTEs map `page`.
///
/// There are no accessed bits here: a PTE that maps it counts.  The caller has a reference on the
/// page.  Sleeps, or spins.
pub(crate) fn page_referenced<R: Modelled>(page: &Page<R>) -> usize {
    // So many are to be found, unless somebody maps or unmaps it.
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

/// `page_mapped_in_vma()`: at which address `vma` maps `page`, if it does.  Any context.
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

/// `try_to_unmap()`: replaces each PTE that maps `page` by an entry of the page's swap slot.
///
/// Returns whether no PTE is left.  The page is in the swap cache then, until it is
/// [reclaimed](reclaim) or nobody uses the slot any more.  Sleeps.
///
/// # Errors
///
/// `ENOMEM`.
pub(crate) fn try_to_unmap<R: Modelled>(page: &Arc<Page<R>>) -> Result<bool> {
    let room = Room::new()?;
    Ok(unmap_locked(page, &mut page.lock(), room))
}

/// `shrink_folio_list()`, of one page: unmaps it, and writes it to swap, so that its memory goes with
/// the last reference.  Returns whether that was possible.  Sleeps.
///
/// # Errors
///
/// `ENOMEM`.
pub(crate) fn reclaim<R: Modelled>(page: &Arc<Page<R>>) -> Result<bool> {
    let room = Room::new()?;
    let mut locked = page.lock();
    Ok(unmap_locked(page, &mut locked, room) && remove_mapping(page, &mut locked))
}

/// The part of an unmapping that is done with the page locked.
fn unmap_locked<R: Modelled>(
    page: &Arc<Page<R>>,
    locked: &mut PageGuard<'_, R>,
    room: Room<R>,
) -> bool {
    let slot = match &**locked {
        Some(slot) => slot.clone(),
        None => match page_get_anon_vma(&page.rmap) {
            Some(pin) => room.add(page, locked, pin),
            // Nobody maps it.
            None => return is_out(page, &Walk::NONE),
        },
    };
    let walk = rmap_walk(page, |found| {
        let flow = found.replace(Pte::Swap(Entry::new(&slot, locked)));
        R::Rules::window(Window::PteCleared);
        page.rmap.remove_rmap();
        if !R::Rules::unmap_counts_once() {
            page.rmap.remove_rmap();
        }
        if page.rmap.mapped() {
            flow
        } else {
            ControlFlow::Break(())
        }
    });
    // Whoever mapped it may have unmapped it before we came.
    free_swap(locked);
    is_out(page, &walk)
}

/// Whether nobody maps a locked page, after a walk that was to take it out of all page tables.
///
/// Where somebody does the walk has not found that (R21): nobody maps it anew while it is locked,
/// but by a copy of a PTE that the walk has not come to yet.
fn is_out<R: Modelled>(page: &Page<R>, walk: &Walk) -> bool {
    let out = !page.rmap.mapped();
    if !out && walk.is_whole() {
        Oracle::WalkCompleteness.report(Some(Rule::R21));
    }
    out
}

/// The new place of a page that is being moved, for those who wait for it: a migration entry.
///
/// A PTE that has one when it is over is never changed again: where that is (by a deliberate bug
/// only) the page is lost to whoever wants it.
#[pin_data]
pub(crate) struct Migration<R: Modelled> {
    #[pin]
    done: Completion,
    /// 1 when it is over.
    over: Atomic<i32>,
    /// How many PTEs have it.
    pub(super) ptes: Atomic<usize>,
    _kind: PhantomData<fn() -> R>,
}

impl<R: Modelled> Migration<R> {
    pub(super) fn new() -> Result<Arc<Self>> {
        may_allocate::<R>()?;
        Arc::pin_init(
            pin_init!(Self {
                done <- Completion::new(),
                over: Atomic::new(0),
                ptes: Atomic::new(0),
                _kind: PhantomData,
            }),
            GFP_KERNEL,
        )
    }

    /// `migration_entry_wait()`: returns when the PTEs lead to a page again, be it the old or the
    /// new.  Sleeps.
    pub(crate) fn wait(&self) {
        self.done.wait_for_completion();
    }

    /// Whether PTEs lead to a page again, so that none has it any more.  Any context.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Acquire) != 0
    }

    /// It is over.  Any context.
    pub(super) fn complete(&self) {
        self.over.store(1, Release);
        self.done.complete_all();
    }
}

/// How the second walk of a migration comes back to where the first one was.
enum WayBack<R: Modelled> {
    /// By a reference, so that it is there (R18).
    Pinned(Pinned<AnonVma<R>>),
    /// By what the old page still has for a pointer, and the life that the anon_vma was in: for a
    /// deliberate bug.
    Unpinned(u32),
}

impl<R: Modelled> WayBack<R> {
    /// To the anon_vma of `page`, if somebody maps that.  Sleeps, or spins.
    fn new(page: &Page<R>) -> Option<Self> {
        if R::Rules::pins_to_migrate() {
            page_get_anon_vma(&page.rmap).map(Self::Pinned)
        } else {
            page_lock_anon_vma(&page.rmap).map(|anon_vma| Self::Unpinned(anon_vma.life()))
        }
    }

    /// The anon_vma of `page`, which need not be mapped any more, if it is there.  Sleeps, or spins.
    fn lock<'a>(&'a self, page: &'a Page<R>) -> Option<LockedAnonVma<'a, R>> {
        match self {
            Self::Pinned(pin) => Some(pin.lock_read()),
            Self::Unpinned(life) => AnonVma::lock_unpinned(&page.rmap, *life),
        }
    }
}

/// `migrate_folio()`: moves `page` to new memory, which all who map it map from then on.  Returns
/// that.  Sleeps.
///
/// # Errors
///
/// `ENOENT` where nobody maps it; `EBUSY` where it is in the swap cache; `EAGAIN` where it could not
/// be taken out of all page tables, then it is in them as before; `ENOMEM`.
pub(crate) fn migrate<R: Modelled>(page: &Arc<Page<R>>) -> Result<Arc<Page<R>>> {
    let to = Migration::new()?;
    let new = Page::new(page.rmap.index())?;
    let mut locked = page.lock();
    if !free_swap(&mut locked) {
        return Err(EBUSY);
    }
    // Nobody knows it yet.  Who finds it in a PTE waits until all have it: one who counts what maps
    // it must not take it for his alone before.
    let new_locked = new.try_lock().ok_or(EBUSY)?;
    // While no PTE maps the page it leads nowhere: the anon_vma is pinned before that (R18).
    let back = WayBack::new(page).ok_or(ENOENT)?;
    let walk = rmap_walk(page, |found| {
        let writable = found.writable();
        let flow = found.replace(Pte::Migration {
            to: to.clone(),
            writable,
        });
        R::Rules::window(Window::PteCleared);
        page.rmap.remove_rmap();
        flow
    });
    R::Rules::window(Window::PageUnmapped);
    let moved = is_out(page, &walk);
    let now = if moved { &new } else { page };
    if moved {
        // It is in no PTE and locked: nobody writes to it, or changes where it leads.
        new.frame.copy_from(&page.frame);
        new.rmap.take_mapping_of(&page.rmap);
        stats::MIGRATIONS.inc();
    }
    if let Some(anon_vma) = back.lock(page) {
        remove_migration_ptes(anon_vma, &to, now);
    }
    // As for pages: a fork copies an entry to where the walk comes later, and nobody makes new ones.
    if walk.is_whole() && to.ptes.load(Relaxed) > 0 {
        Oracle::WalkCompleteness.report(Some(Rule::R21));
    }
    to.complete();
    drop(new_locked);
    drop(locked);
    // It may be the last reference.
    drop(back);
    if moved {
        Ok(new)
    } else {
        Err(EAGAIN)
    }
}

/// `remove_migration_ptes()`: has `page` wherever something waits for `to`.
///
/// Not by a lookup: until the first PTE maps it, `page` leads nowhere (R4).
fn remove_migration_ptes<R: Modelled>(
    anon_vma: LockedAnonVma<'_, R>,
    to: &Arc<Migration<R>>,
    page: &Arc<Page<R>>,
) {
    let waits =
        |pte: &Pte<R>| matches!(pte, Pte::Migration { to: there, .. } if Arc::ptr_eq(there, to));
    walk_locked(anon_vma, page.rmap.index(), waits, |found| {
        page.rmap.add_anon_rmap();
        let writable = found.writable();
        found.replace(Pte::Present {
            page: page.clone(),
            writable,
        })
    });
}

/// For how many milliseconds [`unuse`] waits for entries that somebody has taken out of a PTE, and is
/// about to drop.
const PATIENCE: usize = 10_000;

/// `try_to_unuse()`, of one slot: has the page back wherever there is an entry of it.  Returns how
/// many PTEs that were.  Sleeps.
///
/// # Errors
///
/// `EBUSY` where another does the same already, or where users were left that cannot be found;
/// `ENOMEM`.
pub(crate) fn unuse<R: Modelled>(slot: &Arc<Slot<R>>) -> Result<usize> {
    let Some(leaving) = Leaving::new(slot)? else {
        return Ok(0);
    };
    let mut found = 0;
    for _ in 0..PATIENCE {
        // A first entry takes the page lock, so where there is one still the walk has not found it,
        // and another will not.
        let (n, left) = slot.with_page(|page, _| (unuse_page(slot, page), slot.ptes()))?;
        found += n;
        if left > 0 || leaving.others() == 0 {
            break;
        }
        // No PTE has an entry, but a thread that is unmapping or faulting has: as in C, all there is
        // to do is to come again.
        fsleep(Delta::from_millis(1));
    }
    if Oracle::WalkCompleteness.check(Rule::R39, leaving.others() == 0) {
        Ok(found)
    } else {
        Err(EBUSY)
    }
}

/// `unuse_vma()` and what it calls, for all users that the slot's anon_vma leads to.
///
/// The page is locked.  If it is new, it is not given to the `->anon_vma` of one of its users, which
/// the others need not be linked to (R20), but led to where it was: see [`swap`](super::swap) for why
/// all are linked there (R21).
fn unuse_page<R: Modelled>(slot: &Arc<Slot<R>>, page: &Arc<Page<R>>) -> usize {
    let anon_vma = slot.anon_vma().lock_read();
    if !page.rmap.was_anon() {
        page.rmap.lead_to(&anon_vma);
    }
    let uses = |pte: &Pte<R>| matches!(pte, Pte::Swap(entry) if entry.is_of(slot));
    let walk = walk_locked(anon_vma, slot.index(), uses, |found| {
        page.rmap.add_anon_rmap();
        let flow = found.replace(Pte::Present {
            page: page.clone(),
            // A write asks who else has it.
            writable: false,
        });
        if R::Rules::unuse_walks() {
            flow
        } else {
            ControlFlow::Break(())
        }
    });
    walk.found
}

#[cfg(shadow_rmap_kunit)]
#[path = "tests/walk.rs"]
mod tests;

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
#[kunit_tests(shadow_rmap_walk)]
mod tests {
    use super::super::{
        mm::Mm,
        space::Prot,
        verify::verify,
        Model, //
    };
    use super::*;
    use crate::{
        kernel_ext::{
            fail,
            kthread::{
                KThread,
                Stop, //
            },
            lock::{
                FamilyLock,
                Spin, //
            },
            random::Random,
            rwsem::RwSem, //
        },
        rmap::{
            anon_vma::Cache,
            link::Sharing,
            oracle,
            rules,
            testing::{
                at,
                wait_for,
                Hooked, //
            }, //
        },
        torture::busted,
    };
    use kernel::{
        new_mutex,
        sync::{
            atomic::{
                Atomic,
                Relaxed, //
            },
            Mutex, //
        },
    };

    /// A sequence without repetition is none however long; one that repeats itself is found out
    /// soon, wherever it begins to.
    #[test]
    fn rings_are_noticed() -> Result {
        let mut ring = Ring::new();
        let straight = (1..100_000).all(|key| !ring.closes(key));
        let mut soon = true;
        for before in 0..40 {
            for length in 1..40 {
                let mut ring = Ring::new();
                let steps = (0..)
                    .map(|i| {
                        if i < before {
                            i
                        } else {
                            before + (i - before) % length
                        }
                    })
                    .position(|i| ring.closes(i + 1));
                soon &= steps.is_some_and(|steps| {
                    steps >= before + length && steps <= 3 * (before + length)
                });
            }
        }

        assert!(straight && soon);
        Ok(())
    }

    /// A walk that comes to a VMA twice, because a merge has linked it twice, ends all the same, and
    /// tells (R25).
    #[test]
    fn a_walk_that_comes_twice_tells() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let was = live();
            let before = Oracle::BoundedWalk.reports();
            let cache = Arc::new(Cache::new()?, GFP_KERNEL)?;
            let parent = Mm::<Model<L, busted::LinksTwice>>::new(&cache, 8, Sharing::Any)?;
            parent.map(0, 8, Prot::WRITE)?;
            parent.write(4, 0, 1)?;
            let child = parent.fork()?;
            child.write(4, 0, 2)?;
            // What is new shares the anon_vma of what was forked, and is what survives.
            child.unmap(0, 4)?;
            child.protect(4, 4, Prot::READ)?;
            child.map(0, 4, Prot::WRITE)?;
            child.write(0, 0, 3)?;
            child.protect(4, 4, Prot::WRITE)?;
            let page = child.page_at(0).ok_or(ENOENT)?;
            // No PTE says so: the walk goes on.
            page.rmap.add_anon_rmap();
            let found = page_referenced(&page);
            page.rmap.remove_rmap();
            let told = Oracle::BoundedWalk.reports() - before;
            drop((parent, child, page));

            assert_eq!((found, told), (1, 1));
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Who maps a page is counted, whoever else covers its offset (R35).
    #[test]
    fn who_maps_it_is_counted() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let was = live();
            let parent = process::<Model<L>>()?;
            let [writes, discards, unmaps, moves] = [
                parent.fork()?,
                parent.fork()?,
                parent.fork()?,
                parent.fork()?,
            ];
            let page = parent.page_at(3).ok_or(ENOENT)?;
            let all = page_referenced(&page);
            writes.write(3, 0, 9)?;
            discards.discard(3, 1)?;
            unmaps.unmap(3, 1)?;
            moves.remap(2, 2, 12, false)?;
            let walk = rmap_walk(&page, |_| ControlFlow::Continue(()));
            let left = page_referenced(&page);
            let other = page_referenced(&*parent.page_at(4).ok_or(ENOENT)?);
            let own = page_referenced(&*writes.page_at(3).ok_or(ENOENT)?);
            let places = [
                place(&parent, 3, &page),
                place(&writes, 3, &page),
                place(&discards, 3, &page),
                place(&moves, 13, &page),
                place(&moves, 4, &page),
            ];
            drop(parent);
            let one = page_referenced(&page);
            drop((writes, discards, unmaps, moves));
            let gone = rmap_walk(&page, |_| ControlFlow::Continue(()));
            drop(page);

            assert_eq!((all, left, other, own, one), (5, 2, 5, 1, 1));
            assert!(walk.found == 2 && walk.visited == 4 && walk.bounded);
            assert_eq!(places, [Some(3), None, None, Some(13), None]);
            assert_eq!(gone, Walk::NONE);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A page is unmapped from all who map it, and from nobody else, and comes back to each as it
    /// was (R3, R21, R35).
    #[test]
    fn a_page_leaves_and_comes_back() -> Result {
        fn under<L: FamilyLock>() -> Result {
            for out in [try_to_unmap::<Model<L>>, reclaim::<Model<L>>] {
                let was = live();
                let parent = process::<Model<L>>()?;
                let child = parent.fork()?;
                let writes = child.fork()?;
                writes.write(3, 0, 9)?;
                let discards = child.fork()?;
                discards.discard(3, 1)?;
                let grandchild = child.fork()?;
                let page = child.page_at(3).ok_or(ENOENT)?;
                let before = page.rmap.mapcount();
                let unmapped = out(&page)?;
                let after = page.rmap.mapcount();
                let none = out(&page)?;
                drop(page);
                let untouched = (writes.read(3, 0)?, discards.read(3, 0)?);
                grandchild.write(3, 0, 8)?;
                let late = child.fork()?;
                let private = (parent.read(3, 0)?, late.read(3, 0)?, grandchild.read(3, 0)?);
                late.write(3, 0, 7)?;
                let back = (child.read(3, 0)?, late.read(3, 0)?);
                let shared = [&parent, &child]
                    .map(|mm| mm.page_at(3).map(|page| (page.id, page.rmap.mapcount())));
                drop((parent, child, writes, discards, grandchild, late));

                assert!(before == 3 && unmapped && after == 0 && none);
                assert_eq!(untouched, (9, 0));
                assert_eq!(private, (103, 103, 8));
                assert_eq!(back, (103, 7));
                assert!(shared[0].is_some_and(|(_, n)| n == 2) && shared[0] == shared[1]);
                assert_eq!(live(), was);
            }
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A walker that does not ask the page table takes another's page away, and is found out (R35).
    #[test]
    fn a_walker_that_does_not_ask() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let was = live();
            let parent = process::<Model<L, busted::TrustsVmas>>()?;
            let child = parent.fork()?;
            parent.write(3, 0, 9)?;
            let page = child.page_at(3).ok_or(ENOENT)?;
            // Its VMA comes first.
            let (unmapped, n) = Rule::R35.expect_violations(|| try_to_unmap(&page));
            let robbed = parent.read(3, 0)?;
            let mapped = child.page_at(3).is_some();
            // What was counted twice goes below zero.
            let ((), miscounted) = Rule::R3.expect_violations(|| drop((parent, child)));
            drop(page);

            assert!(unmapped == Ok(true) && n == 1);
            assert!(robbed == 103 && mapped && miscounted > 0);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A PTE that is counted twice leaves the count below zero, and is found out (R3).
    #[test]
    fn an_unmapping_that_counts_twice() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let was = live();
            let mm = process::<Model<L, busted::UnmapsTwice>>()?;
            let page = mm.page_at(3).ok_or(ENOENT)?;
            let (unmapped, n) = Rule::R3.expect_violations(|| try_to_unmap(&page));
            let count = page.rmap.mapcount();
            drop((mm, page));

            assert!(unmapped == Ok(true) && n == 1 && count == -1);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A page moves to new memory for all who map it, and whoever might write to it still may (R18).
    #[test]
    fn a_page_migrates() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let was = live();
            let parent = process::<Model<L>>()?;
            let alone = parent.page_at(1).ok_or(ENOENT)?;
            let moved_alone = migrate(&alone)?;
            parent.write(1, 0, 9)?;
            let writable = moved_alone.frame.read(0) == Some(9) && alone.frame.read(0) == Some(101);

            let child = parent.fork()?;
            let writes = parent.fork()?;
            writes.write(3, 0, 8)?;
            let page = parent.page_at(3).ok_or(ENOENT)?;
            let moved = migrate(&page)?;
            let counts = (page.rmap.mapcount(), moved.rmap.mapcount());
            let same = page.rmap.anon_vma_key() == moved.rmap.anon_vma_key();
            let both = [&parent, &child].into_iter().all(|mm| {
                mm.page_at(3)
                    .is_some_and(|there| Arc::ptr_eq(&there, &moved))
            });
            let gone = migrate(&page).err();
            parent.write(3, 0, 7)?;
            let read = [
                parent.read(3, 0)?,
                child.read(3, 0)?,
                writes.read(3, 0)?,
                child.read(1, 0)?,
            ];
            let in_swap = parent.page_at(5).ok_or(ENOENT)?;
            try_to_unmap(&in_swap)?;
            child.read(5, 0)?;
            let busy = migrate(&in_swap).err();
            parent.read(5, 0)?;
            writes.discard(5, 1)?;
            let moved_again = migrate(&in_swap).is_ok();
            drop((parent, child, writes));
            drop((alone, moved_alone, page, moved, in_swap));

            assert!(writable && counts == (0, 2) && same && both);
            assert_eq!(read, [7, 103, 8, 9]);
            assert!(gone == Some(ENOENT) && busy == Some(EBUSY) && moved_again);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Where somebody maps it whom no walk finds, a page stays where it is, for all; and so it does
    /// without memory.
    #[test]
    fn a_page_that_cannot_move_stays() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let was = live();
            let parent = process::<Model<L>>()?;
            let child = parent.fork()?;
            let page = parent.page_at(3).ok_or(ENOENT)?;
            // No PTE says so.
            page.rmap.add_anon_rmap();
            let stays = migrate(&page).err();
            let in_part = try_to_unmap(&page);
            let read = (parent.read(3, 0)?, child.read(3, 0)?);
            page.rmap.remove_rmap();
            let both = [&parent, &child].into_iter().all(|mm| {
                mm.page_at(3)
                    .is_some_and(|there| Arc::ptr_eq(&there, &page))
            });
            let count = page.rmap.mapcount();
            let mut errors = 0;
            let (moved, failed) = fail::each(
                || migrate(&page),
                |failed| errors += usize::from(failed.err() == Some(ENOMEM)),
            );
            let moved = moved.map(drop);
            drop((parent, child, page));

            assert!(stays == Some(EAGAIN) && in_part == Ok(false));
            assert!(read == (103, 103) && both && count == 2);
            assert!(moved == Ok(()) && failed > 0 && errors == failed);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Between the two walks of a migration processes may fork and exit: the pinned anon_vma leads
    /// to those who are there then (R18, R23).
    #[test]
    fn forks_and_exits_while_a_page_migrates() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let was = live();
            let parent = Arc::new(process::<Model<L, Hooked>>()?, GFP_KERNEL)?;
            let page = parent.page_at(3).ok_or(ENOENT)?;
            let theirs = parent.clone();
            let (moved, forked) = at(
                Window::PageUnmapped,
                move || -> Result<_> {
                    let child = theirs.fork()?;
                    let grandchild = child.fork()?;
                    theirs.exit();
                    Ok((child, grandchild))
                },
                || migrate(&page),
            )?;
            let (moved, (child, grandchild)) = (moved?, forked?);
            let read = (child.read(3, 0)?, grandchild.read(3, 0)?);
            let count = moved.rmap.mapcount();
            drop((parent, child, grandchild));
            let left = moved.rmap.mapcount();
            drop((page, moved));

            assert_eq!((read, count, left), ((103, 103), 2, 0));
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// When all who mapped a page exit while it migrates, the pin is what is left of its anon_vma,
    /// and leads to nobody (R18).
    #[test]
    fn all_exit_while_a_page_migrates() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let was = live();
            let parent = Arc::new(process::<Model<L, Hooked>>()?, GFP_KERNEL)?;
            let page = parent.page_at(3).ok_or(ENOENT)?;
            let theirs = parent.clone();
            let (moved, pinned) = at(
                Window::PageUnmapped,
                move || {
                    theirs.exit();
                    live()
                },
                || migrate(&page),
            )?;
            let count = moved.map(|moved| moved.rmap.mapcount());
            drop((page, parent));

            assert!(count == Ok(0) && pinned[0] == was[0].wrapping_add(1));
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Without a pin the anon_vma may be gone for the second walk, or be another, which is noticed
    /// before that is walked (R18).
    #[test]
    fn an_anon_vma_that_is_gone_is_noticed() -> Result {
        fn under<L: FamilyLock>(recycled: bool) -> Result {
            let was = live();
            let parent = process::<Model<L, Hooked<busted::MigratesUnpinned>>>()?;
            let parent = Arc::new(parent, GFP_KERNEL)?;
            let page = parent.page_at(3).ok_or(ENOENT)?;
            let theirs = parent.clone();
            let (raced, n) = Rule::R18.expect_violations(|| {
                at(
                    Window::PageUnmapped,
                    move || {
                        theirs.exit();
                        if !recycled {
                            return Ok(());
                        }
                        theirs.map(0, PAGES, Prot::WRITE)?;
                        theirs.write(3, 0, 1)
                    },
                    || migrate(&page),
                )
            });
            let (moved, acted) = raced?;
            let count = moved.map(|moved| moved.rmap.mapcount());
            drop((page, parent));

            assert!(count == Ok(0) && acted == Ok(()));
            assert_eq!(n, 1);
            assert_eq!(live(), was);
            Ok(())
        }
        for recycled in [false, true] {
            under::<Spin>(recycled)?;
            under::<RwSem>(recycled)?;
        }
        Ok(())
    }

    /// Who finds a page on its way waits, and then has the new one.
    #[test]
    fn faults_wait_for_a_migration() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let was = live();
            let parent = Arc::new(process::<Model<L, Hooked>>()?, GFP_KERNEL)?;
            let page = parent.page_at(3).ok_or(ENOENT)?;
            let read = Arc::new(Atomic::new(0u64), GFP_KERNEL)?;
            let (theirs, said) = (parent.clone(), read.clone());
            let (moved, waits) = at(
                Window::PageUnmapped,
                move || -> Result<_> {
                    let first = said.clone();
                    let thread = KThread::spawn(fmt!("shadow_rmap/fault"), move |_| {
                        let written = theirs.write(3, 1, 5);
                        let word = written.and_then(|()| theirs.read(3, 0));
                        first.store(word.unwrap_or(1), Relaxed);
                    })?;
                    fsleep(Delta::from_millis(20));
                    Ok((thread, said.load(Relaxed) == 0))
                },
                || migrate(&page),
            )?;
            let (moved, (thread, waited)) = (moved?, waits?);
            let done = wait_for(|| read.load(Relaxed) != 0);
            drop(thread);
            let words = (moved.frame.read(1), page.frame.read(1), read.load(Relaxed));
            drop((parent, page, moved));

            assert!(waited && done.is_ok());
            assert_eq!(words, (Some(5), Some(0), 103));
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Swapoff finds all users of a slot by the anon_vma that its page was in: also those who came
    /// by fork later, or have moved, and whether the page is in memory or not (R20, R21, R39).
    #[test]
    fn swapoff_finds_all_users() -> Result {
        fn under<L: FamilyLock>() -> Result {
            for out in [try_to_unmap::<Model<L>>, reclaim::<Model<L>>] {
                let was = live();
                let parent = process::<Model<L>>()?;
                let child = parent.fork()?;
                let page = child.page_at(3).ok_or(ENOENT)?;
                let unmapped = out(&page)?;
                drop(page);
                let slot = child.slot_at(3).ok_or(ENOENT)?;
                let grandchild = child.fork()?;
                child.remap(2, 4, 10, false)?;
                parent.write(3, 0, 9)?;
                let brothers = [child.fork()?, grandchild.fork()?];
                drop(grandchild);
                let users = slot.users();
                let found = unuse(&slot);
                let left = (slot.users(), unuse(&slot));
                drop(slot);
                let read = [
                    parent.read(3, 0)?,
                    child.read(11, 0)?,
                    brothers[0].read(11, 0)?,
                    brothers[1].read(3, 0)?,
                ];
                let page = child.page_at(11).ok_or(ENOENT)?;
                let count = (page.rmap.mapcount(), page_referenced(&page));
                let free = page.lock().is_none();
                child.write(11, 0, 8)?;
                let private = (child.read(11, 0)?, brothers[0].read(11, 0)?);
                drop((parent, child, brothers, page));

                assert!(unmapped && users == 3 && found == Ok(3) && left == (0, Ok(0)));
                assert_eq!(read, [9, 103, 103, 103]);
                assert!(count == (3, 3) && free && private == (8, 103));
                assert_eq!(live(), was);
            }
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Swapoff comes again for an entry that is in nobody's page table for a while, and leaves all
    /// as it was where the page cannot be read in (R39).
    #[test]
    fn swapoff_waits_for_entries_in_flight() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let was = live();
            let mm = process::<Model<L>>()?;
            reclaim(&mm.page_at(3).ok_or(ENOENT)?)?;
            let slot = mm.slot_at(3).ok_or(ENOENT)?;
            let mut errors = 0;
            let (inside, failed) = fail::each(
                || slot.page(),
                |failed| errors += usize::from(failed.err() == Some(ENOMEM)),
            );
            let inside = inside.map(drop);
            let entry = match mm.space().table.lock().get(3) {
                Pte::Swap(entry) => Some(entry.clone()),
                _ => None,
            };
            let thread = KThread::spawn(fmt!("shadow_rmap/entry"), move |_| {
                fsleep(Delta::from_millis(20));
                drop(entry);
            })?;
            let found = unuse(&slot);
            let users = slot.users();
            drop((thread, slot));
            let read = mm.read(3, 0)?;
            drop(mm);

            assert!(inside == Ok(()) && failed > 0 && errors == failed);
            assert!(found == Ok(1) && users == 0 && read == 103);
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A swapoff that asks one VMA only leaves users behind, and is found out (R39).
    #[test]
    fn swapoff_that_asks_one_vma() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let was = live();
            let parent = process::<Model<L, busted::AsksOneVma>>()?;
            let child = parent.fork()?;
            reclaim(&parent.page_at(3).ok_or(ENOENT)?)?;
            let slot = child.slot_at(3).ok_or(ENOENT)?;
            let (left, n) = Rule::R39.expect_violations(|| unuse(&slot));
            let users = slot.users();
            drop(slot);
            let read = (parent.read(3, 0)?, child.read(3, 0)?);
            drop((parent, child));

            assert!(left == Err(EBUSY) && n == 1 && users == 1);
            assert_eq!(read, (103, 103));
            assert_eq!(live(), was);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Walkers of all kinds race with reads, writes, forks, merges, moves and exits: nobody reads what
    /// he has not written, no rule is broken, no walk goes astray or misses anything, and nothing is
    /// left (R3, R18, R21, R35, R39).
    #[test]
    fn walkers_race_with_all() -> Result {
        fn under<L: FamilyLock>(sharing: Sharing) -> Result {
            let (was, violations) = (live(), rules::violations());
            let reports = oracle::reports();
            let astray = stats::UNBOUNDED_WALKS.sum();
            let race = Arc::pin_init(Race::<Model<L>>::new(), GFP_KERNEL)?;
            if let (Some(process), mm) = (race.processes.first(), sharing_process(sharing)?) {
                let written = core::array::from_fn(|address| 100 + address as u64);
                *process.lock() = Some((Arc::new(mm, GFP_KERNEL)?, written));
            }
            let mut threads = KVec::new();
            for seed in 0..6 {
                let race = race.clone();
                let thread = KThread::spawn(fmt!("shadow_rmap/race{seed}"), move |stop| {
                    race.run(stop, seed)
                })?;
                threads.push(thread, GFP_KERNEL)?;
            }
            fsleep(Delta::from_millis(400));
            let done = wait_for(|| race.done.iter().all(|n| n.load(Relaxed) > 0));
            drop(threads);
            let mut left = KVec::new();
            for process in &race.processes {
                if let Some(process) = process.lock().take() {
                    left.push(process, GFP_KERNEL)?;
                }
            }
            let mut mms = KVec::new();
            for (mm, _) in &left {
                mms.push(&**mm, GFP_KERNEL)?;
            }
            let clean = verify(&mms)?.is_clean();
            drop(mms);
            let mut right = true;
            for (mm, written) in &left {
                for (address, word) in written.iter().enumerate() {
                    right &= mm.read(address, 0) == Ok(*word);
                }
            }
            drop(left);
            let wrong = race.wrong.load(Relaxed);
            drop(race);

            assert!(right && wrong == 0 && clean);
            // Each of them has come to something.
            assert!(done.is_ok());
            assert_eq!(rules::violations(), violations);
            assert_eq!(oracle::reports(), reports);
            assert_eq!(stats::UNBOUNDED_WALKS.sum(), astray);
            assert_eq!(live(), was);
            Ok(())
        }
        for sharing in [Sharing::Singleton, Sharing::Any] {
            under::<Spin>(sharing)?;
            under::<RwSem>(sharing)?;
        }
        Ok(())
    }

    const PAGES: usize = 8;

    /// An address space, and what was written to word 0 of each of its pages.
    type Process<R> = Option<(Arc<Mm<R>>, [u64; PAGES])>;

    /// What the threads of a race share.
    #[pin_data]
    struct Race<R: Modelled> {
        #[pin]
        processes: [Mutex<Process<R>>; 4],
        wrong: Atomic<i32>,
        /// How often what a thread can do has been done.
        done: [Atomic<i32>; 12],
    }

    impl<R: Modelled> Race<R> {
        fn new() -> impl PinInit<Self> {
            pin_init!(Self {
            processes <- pin_init::pin_init_array_from_fn(
                                |_| new_mutex!(None, "shadow_rmap::race"),
                            ),
                            wrong: Atomic::new(0),
                            done: [const { Atomic::new(0) }; 12],
                        })
        }

        fn run(&self, stop: &Stop, seed: u64) {
            let mut random = Random::new(seed);
            while !stop.requested() {
                let deed = random.below(self.done.len());
                let process = self.processes.get(random.below(self.processes.len()));
                let (Some(process), Some(done)) = (process, self.done.get(deed)) else {
                    continue;
                };
                let address = random.below(PAGES);
                match self.act(deed, process, address, &mut random) {
                    Ok(n) => done.add(n, Relaxed),
                    Err(error) if error == ENOENT || error == EBUSY || error == EAGAIN => {}
                    Err(_) => self.wrong.add(1, Relaxed),
                };
            }
        }

        /// Does something, and returns how often.
        fn act(
            &self,
            deed: usize,
            process: &Mutex<Process<R>>,
            address: usize,
            random: &mut Random,
        ) -> Result<i32> {
            let mut there = process.lock();
            let (mm, written) = (*there).as_mut().ok_or(ENOENT)?;
            let expected = written.get_mut(address).ok_or(ENOENT)?;
            match deed {
                0 => {
                    let right = mm.read(address, 0)? == *expected;
                    self.wrong.add((!right).into(), Relaxed);
                    return Ok(1);
                }
                1 => {
                    let word = random.u64();
                    mm.write(address, 0, word)?;
                    *expected = word;
                    return Ok(1);
                }
                2 => {
                    let child = (Arc::new(mm.fork()?, GFP_KERNEL)?, *written);
                    drop(there);
                    let other = self.processes.get(random.below(self.processes.len()));
                    let gone = other.and_then(|other| other.lock().replace(child));
                    drop(gone);
                    return Ok(1);
                }
                3 => {
                    mm.discard(address, 1)?;
                    *expected = 0;
                    return Ok(1);
                }
                4 => {
                    // To where it comes after its place in each tree, and back to before it.
                    mm.remap(address, 1, PAGES + address, false)?;
                    mm.remap(PAGES + address, 1, address, false)?;
                    return Ok(1);
                }
                5 => {
                    // In two VMAs or three, and in one again.
                    let pages = 1 + random.below(PAGES - address);
                    mm.protect(address, pages, Prot::READ)?;
                    mm.protect(0, PAGES, Prot::WRITE)?;
                    return Ok(1);
                }
                _ => {}
            }
            // The rest acts on a page while its owners go on.
            let mm = mm.clone();
            drop(there);
            if deed == 6 {
                return self.fault(&mm, address, random);
            }
            if deed == 7 {
                let slot = mm.slot_at(address).ok_or(ENOENT)?;
                return unuse(&slot).map(|n| (n > 0).into());
            }
            let page = mm.page_at(address).ok_or(ENOENT)?;
            match deed {
                8 => try_to_unmap(&page).map(i32::from),
                9 => reclaim(&page).map(i32::from),
                10 => migrate(&page).map(|_| 1),
                _ => Ok((page_referenced(&page) > 0).into()),
            }
        }

        /// Reads and writes beside others: word 1 says which page it is of, if anything.
        fn fault(&self, mm: &Mm<R>, address: usize, random: &mut Random) -> Result<i32> {
            let own = 1 + address as u64;
            let done = match random.below(4) {
                0 => mm.write_under_vma_lock(address, 1, own),
                1 => mm.write(address, 1, own),
                _ => mm.read(address, 1).map(|word| {
                    let right = word == 0 || word == own;
                    self.wrong.add((!right).into(), Relaxed);
                }),
            };
            match done {
                Ok(()) => Ok(1),
                // It has moved for a moment, or must not be written to for a moment.
                Err(error) if error == EFAULT || error == EACCES => Ok(0),
                Err(error) => Err(error),
            }
        }
    }

    /// An address space whose page at address `a` reads `100 + a`, with room behind.
    fn process<R: Modelled>() -> Result<Mm<R>> {
        sharing_process(Sharing::Singleton)
    }

    /// The same, where VMAs may share what `sharing` says.
    fn sharing_process<R: Modelled>(sharing: Sharing) -> Result<Mm<R>> {
        let cache = Arc::new(Cache::new()?, GFP_KERNEL)?;
        let mm = Mm::new(&cache, 2 * PAGES, sharing)?;
        mm.map(0, PAGES, Prot::WRITE)?;
        for address in 0..PAGES {
            mm.write(address, 0, 100 + address as u64)?;
        }
        Ok(mm)
    }

    /// Where the VMA at `address` maps `page`.
    fn place<R: Modelled>(mm: &Mm<R>, address: usize, page: &Page<R>) -> Option<usize> {
        let mmap = mm.core().mmap_read();
        let vma = mm.space().vmas.find(address)?;
        page_mapped_in_vma(page, &vma, &mmap)
    }

    /// anon_vmas, links, pages and slots that there are.
    fn live() -> [usize; 4] {
        [
            (&stats::ANON_VMA_ALLOCS, &stats::ANON_VMA_FREES),
            (&stats::CHAIN_ALLOCS, &stats::CHAIN_FREES),
            (&stats::PAGES_ALLOCATED, &stats::PAGES_FREED),
            (&stats::SLOTS_ALLOCATED, &stats::SLOTS_FREED),
        ]
        .map(|(born, dead)| born.sum().wrapping_sub(dead.sum()))
    }
}

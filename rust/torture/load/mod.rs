// SPDX-License-Identifier: GPL-2.0

//! The load of a torture: what its threads do to a forest of address spaces.
//!
//! | module | contents |
//! |---|---|
//! | `mix` | loads: how often each action is done |
//! | `world` | the address spaces and pages |
//! | `scenes` | actions of several steps |
//!
//! *Processes* are created, read, write, split, merge, move and unmap, fork, and exit, most often
//! parents before their children. *Walkers* take a page, as reclaim does: a page of a process, or a
//! page on which they still have a reference although its process may have exited. One more thread
//! gives freed memory of the allocator back to the system, and lets other users fill it.
//!
//! There are few processes and few pages, so that the threads meet.

mod mix;
mod scenes;
mod world;

pub(crate) use mix::Mix;
pub(super) use mix::MIXES;
pub(super) use scenes::reuse_freed_memory;
pub(super) use world::{
    Own,
    World, //
};

use crate::{
    kernel_ext::random::Random,
    model::{
        page::Page,
        space::Prot,
        take_all::Notifier,
        walk::{
            migrate,
            page_referenced,
            reclaim,
            try_to_unmap,
            unuse, //
        },
        Modelled, //
    },
    rmap::{
        family::LockedAnonVma,
        lookup::{
            page_get_anon_vma,
            page_lock_anon_vma,
            wait, //
        }, //
    },
};
use core::ops::ControlFlow;
use kernel::{
    prelude::*,
    sync::Arc, //
};
use scenes::{
    crowd,
    lineage,
    merge_with_new,
    move_beside,
    remember,
    shift_boundary,
    shift_down,
    short_life,
    swap_back,
    take_over, //
};

/// The number of addresses of a process, in pages.
const SIZE: usize = 32;

/// The size of the lower half, where processes map pages. Pages move from there as far up.
const HOME: usize = SIZE / 2;

/// The most processes at a time, without those that belong to one thread.
const PROCESSES: usize = 6;

/// The number of writes of a new process.
const WRITES: usize = 4;

/// The most pages that are remembered after their processes may have exited.
const REMEMBERED: usize = 12;

macro_rules! actions {
    ($($(#[$about:meta])* $action:ident $name:literal;)*) => {
        /// An action of a worker.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Action {
            $($(#[$about])* $action,)*
        }

        /// The names of all actions, in order.
        pub(super) const ACTIONS: &[&str] = &[$($name),*];
    };
}

actions! {
    /// Reads a word.
    Read "read";
    /// Writes a word.
    Write "write";
    /// Writes a word without `mmap_lock`, if that is possible.
    WriteFast "write_vma_lock";
    /// Replaces a process by a new one.
    Create "create";
    /// Creates a process, which writes and exits while others look its page up.
    ShortLife "short_life";
    /// Creates many such processes at once, so that whole slabs become empty.
    Crowd "crowd";
    /// Replaces a process by another's child.
    Fork "fork";
    /// Replaces a process by its own child; the parent exits first.
    ForkAndExit "fork_and_exit";
    /// Lets a child write to a page that only it still maps.
    TakeOver "take_over";
    /// Lets two processes read a page back from swap, the child first.
    SwapBack "swap_back";
    /// Makes a line of processes, each of which exits when it has a child.
    Lineage "lineage";
    /// Lets a process exit.
    Exit "exit";
    /// Discards a page.
    Discard "discard";
    /// Maps addresses.
    Map "map";
    /// Unmaps addresses.
    Unmap "unmap";
    /// Changes the protection of addresses: splits and merges.
    Protect "protect";
    /// Lets a VMA grow.
    Grow "grow";
    /// Moves pages from the lower half to the upper half.
    MoveAway "move_away";
    /// Moves pages back.
    MoveBack "move_back";
    /// Moves pages, and leaves a VMA without pages behind.
    MoveAndKeep "move_and_keep";
    /// Moves a VMA back to beside a VMA without pages.
    MoveBeside "move_beside";
    /// Shifts the boundary between a VMA with pages and one without.
    ShiftBoundary "shift_boundary";
    /// Merges a VMA of a forked process with a new one.
    MergeWithNew "merge_with_new";
    /// Moves a VMA and its pages to lower addresses, as exec does with the stack.
    ShiftDown "shift_down";
    /// Counts the PTEs that map a page.
    Reference "referenced";
    /// Locks a page's anon_vma, and walks its VMAs.
    Lookup "lookup";
    /// Locks a page's anon_vma as if the lock had been busy, and walks its VMAs.
    LookupSlowly "lookup_slowly";
    /// Pins a page's anon_vma, and keeps it for a while.
    Pin "pin";
    /// Takes a page out of all page tables.
    TryToUnmap "try_to_unmap";
    /// Takes a page out of all page tables, and writes it to swap.
    Reclaim "reclaim";
    /// Moves a page to new memory.
    Migrate "migrate";
    /// Frees a slot of swap, as swapoff does.
    Unuse "unuse";
    /// Registers a notifier.
    Notify "notify";
}

impl Action {
    /// Returns whether it begins with a page, and takes no lock of a process.
    fn is_walk(self) -> bool {
        matches!(
            self,
            Action::Reference
                | Action::Lookup
                | Action::LookupSlowly
                | Action::Pin
                | Action::TryToUnmap
                | Action::Reclaim
                | Action::Migrate
        )
    }
}

/// Chooses one, two or four pages in the lower half, aligned to their number.
fn block(random: &mut Random) -> (usize, usize) {
    let pages = 1 << random.below(3);
    (random.below(HOME / pages) * pages, pages)
}

/// Chooses a protection.
fn prot(random: &mut Random) -> Prot {
    if random.chance(2, 3) {
        Prot::WRITE
    } else {
        Prot::READ
    }
}

/// The number of pages that a thread looks up in one action.
const LOOKUPS: usize = 8;

/// Does an action, and returns the number of its operations: calls of the model, or lookups.
/// Sleeps.
///
/// # Errors
///
/// Those of the operation. Many fail, because a page or a process is not there, or busy.
pub(in super::super) fn act<R: Modelled>(
    world: &World<R>,
    action: Action,
    own: &mut Own<R>,
    random: &mut Random,
) -> Result<usize> {
    let address = random.below(SIZE);
    let (first, pages) = block(random);
    let one = |()| 1;
    match action {
        Action::Read => world.process(random)?.read(address, 0).map(|_| 1),
        Action::Write => {
            let mm = world.process(random)?;
            mm.write(world.address(random), 0, 1).map(one)
        }
        Action::WriteFast => {
            let mm = world.process(random)?;
            let address = world.address(random);
            mm.write_under_vma_lock(address, 0, 1)?;
            remember(world, random, &mm, address);
            Ok(1)
        }
        Action::Create => {
            let mm = world.create(random)?;
            world.put(random, Some(mm));
            Ok(WRITES + 2)
        }
        Action::ShortLife => short_life(world, random),
        Action::Crowd => crowd(world, random),
        Action::Fork => {
            let child = Arc::new(world.process(random)?.fork()?, GFP_KERNEL)?;
            world.put(random, Some(child));
            Ok(1)
        }
        Action::ForkAndExit => {
            let parent = world.process(random)?;
            let child = Arc::new(parent.fork()?, GFP_KERNEL)?;
            parent.exit();
            world.put(random, Some(child));
            Ok(2)
        }
        Action::TakeOver => take_over(world, random),
        Action::SwapBack => swap_back(world, random),
        Action::Lineage => lineage(world, random),
        Action::Exit => {
            world.put(random, None);
            Ok(1)
        }
        Action::Discard => world.process(random)?.discard(address, 1).map(one),
        Action::Map => {
            let prot = prot(random);
            world.process(random)?.map(first, pages, prot).map(one)
        }
        Action::Unmap => world.process(random)?.unmap(first, pages).map(one),
        Action::Protect => {
            let prot = prot(random);
            world.process(random)?.protect(first, pages, prot).map(one)
        }
        Action::Grow => world.process(random)?.grow(address, 1).map(one),
        Action::MoveAway => {
            let mm = world.process(random)?;
            mm.remap(first, pages, first + HOME, false).map(one)
        }
        Action::MoveBack => {
            let mm = world.process(random)?;
            mm.remap(first + HOME, pages, first, false).map(one)
        }
        Action::MoveAndKeep => {
            let mm = world.process(random)?;
            let (from, to) = if random.chance(1, 2) {
                (first, first + HOME)
            } else {
                (first + HOME, first)
            };
            mm.remap(from, pages, to, true)?;
            mm.write(from, 0, 1)?;
            Ok(2)
        }
        Action::MoveBeside => move_beside(world, random),
        Action::ShiftBoundary => shift_boundary(world, random),
        Action::MergeWithNew => merge_with_new(world, random),
        Action::ShiftDown => shift_down(world, random),
        Action::Reference => {
            page_referenced(&*world.page(random)?);
            Ok(1)
        }
        Action::Lookup => {
            let mut made = 0;
            for _ in 0..LOOKUPS {
                let Ok(page) = world.page(random) else {
                    continue;
                };
                look_up(&page);
                made += 1;
            }
            Ok(made)
        }
        Action::LookupSlowly => {
            let page = world.page(random)?;
            let locked = page_get_anon_vma(&page.rmap).and_then(|pin| wait(pin, &page.rmap));
            walk(&page, locked);
            Ok(1)
        }
        Action::Pin => {
            let pin = page_get_anon_vma(&world.page(random)?.rmap);
            let before = core::mem::replace(&mut own.pin, pin);
            drop(before);
            Ok(1)
        }
        Action::TryToUnmap => try_to_unmap(&world.page(random)?).map(|_| 1),
        Action::Reclaim => reclaim(&world.page(random)?).map(|_| 1),
        Action::Migrate => {
            let new = migrate(&world.page(random)?)?;
            world.remember(random, new);
            Ok(1)
        }
        Action::Unuse => {
            let slot = world.process(random)?.slot_at(address).ok_or(ENOENT)?;
            unuse(&slot).map(|_| 1)
        }
        Action::Notify => {
            let mm = world.process(random)?;
            mm.register_notifier(Notifier::new()?).map(one)
        }
    }
}

/// Locks a page's anon_vma, and walks its VMAs.
fn look_up<R: Modelled>(page: &Page<R>) {
    walk(page, page_lock_anon_vma(&page.rmap));
}

/// Walks the VMAs of a page's anon_vma, if it is locked.
fn walk<R: Modelled>(page: &Page<R>, locked: Option<LockedAnonVma<'_, R>>) {
    let index = page.rmap.index();
    if let Some(anon_vma) = locked {
        let _: ControlFlow<()> = anon_vma.for_each_vma(index, index, |_| ControlFlow::Continue(()));
    }
}

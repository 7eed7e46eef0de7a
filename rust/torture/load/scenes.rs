// SPDX-License-Identifier: GPL-2.0

//! Actions of several steps, each of which leads to the situation that a rule is about.

use super::{
    World,
    HOME, //
};
use crate::{
    kernel_ext::{
        frame::Frame,
        random::Random, //
    },
    model::{
        mm::Mm,
        space::Prot,
        walk::reclaim,
        Modelled, //
    },
    rmap::{
        anon_vma::AnonVma,
        oracle::Oracle,
        prepare::Sharing,
        rules::Rule, //
    },
    torture::pressure, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::Relaxed,
        Arc, //
    },
};

/// Makes a process with one page, which stays remembered, and lets it exit.
pub(super) fn short_life<R: Modelled>(world: &World<R>, random: &mut Random) -> Result<usize> {
    let mm = Mm::new(&world.cache, 4, Sharing::Singleton)?;
    mm.map(0, 4, Prot::WRITE)?;
    mm.write(1, 0, 1)?;
    remember(world, random, &mm, 1);
    if random.chance(1, 3) {
        // A thread that looks the page up now waits for the lock, with a reference.
        let mmap = mm.core().mmap_read();
        if let Some(vma) = mm.space().vma_at(1) {
            let family = vma.core.anon_vma(&mmap).map(AnonVma::lock_write);
            pressure::linger(random);
            drop(family);
        }
    } else if random.chance(1, 2) {
        // A family for a moment, before both exit.
        let child = mm.fork()?;
        pressure::linger(random);
        drop(mm);
        child.write(1, 0, 2)?;
        return Ok(6);
    }
    pressure::linger(random);
    Ok(3)
}

/// The number of processes whose anon_vmas fill more than one slab.
const CROWD: usize = 40;

/// Makes processes of one page each, all of which exit at once, and gives the memory of their
/// anon_vmas back to the system.
pub(super) fn crowd<R: Modelled>(world: &World<R>, random: &mut Random) -> Result<usize> {
    let mut all = KVec::with_capacity(CROWD, GFP_KERNEL)?;
    for _ in 0..CROWD {
        let mm = Mm::new(&world.cache, 1, Sharing::Singleton)?;
        mm.map(0, 1, Prot::WRITE)?;
        mm.write(0, 0, 1)?;
        remember(world, random, &mm, 0);
        all.push(mm, GFP_KERNEL)?;
    }
    pressure::linger(random);
    drop(all);
    world.cache.shrink();
    Ok(CROWD * 3)
}

/// Lets a child write to a page that only it maps, since its parent has exited: the page moves to
/// the child's anon_vma.
pub(super) fn take_over<R: Modelled>(world: &World<R>, random: &mut Random) -> Result<usize> {
    let parent = world.process(random)?;
    let address = random.below(8);
    parent.write(address, 0, 1)?;
    let child = Arc::new(parent.fork()?, GFP_KERNEL)?;
    parent.exit();
    remember(world, random, &child, address);
    child.write(address, 0, 2)?;
    world.put(random, Some(child));
    Ok(4)
}

/// Writes a page that two processes share to swap, and lets both read it back: the page leads to
/// where both are linked, whichever is first.
pub(super) fn swap_back<R: Modelled>(world: &World<R>, random: &mut Random) -> Result<usize> {
    let parent = world.process(random)?;
    let address = random.below(8);
    parent.write(address, 0, 1)?;
    let child = Arc::new(parent.fork()?, GFP_KERNEL)?;
    if let Some(page) = parent.page_at(address) {
        reclaim(&page)?;
    }
    child.read(address, 0)?;
    parent.read(address, 0)?;
    remember(world, random, &parent, address);
    world.put(random, Some(child));
    Ok(5)
}

/// The number of generations of a line.
const GENERATIONS: usize = 16;

/// The most links that a line may add to a chain: the last two processes' own anon_vmas, and as
/// many of processes whose children have not all exited yet.
const LONGER: usize = 4;

/// Makes a line of processes. The anon_vmas of ancestors that have exited are reused, so chains do
/// not grow with the number of generations (R24).
pub(super) fn lineage<R: Modelled>(world: &World<R>, random: &mut Random) -> Result<usize> {
    let mut last = world.process(random)?.fork()?;
    let before = longest_chain(&last);
    for _ in 0..GENERATIONS {
        let next = last.fork()?;
        last = next;
    }
    Oracle::Topology.check(Rule::R24, longest_chain(&last) <= before + LONGER);
    if random.chance(1, 2) {
        world.put(random, Some(Arc::new(last, GFP_KERNEL)?));
    }
    Ok(2 * GENERATIONS + 1)
}

/// Returns the length of the longest chain of an address space.
fn longest_chain<R: Modelled>(mm: &Mm<R>) -> usize {
    let _mmap = mm.core().mmap_read();
    mm.space()
        .vmas()
        .map(|vma| vma.core.nr_links())
        .max()
        .unwrap_or(0)
}

/// Chooses two parts of the same length beside each other, in the lower half. Returns their first
/// addresses, the lower one first, and the length.
fn two_parts(random: &mut Random) -> (usize, usize, usize) {
    let pages = 2 << random.below(2);
    let first = random.below(HOME / (2 * pages)) * 2 * pages;
    (first, first + pages, pages)
}

/// As [`two_parts`], in either order.
fn two_sides(random: &mut Random) -> (usize, usize, usize) {
    let (lower, upper, pages) = two_parts(random);
    if random.chance(1, 2) {
        (lower, upper, pages)
    } else {
        (upper, lower, pages)
    }
}

/// Remembers the page at `address` of `mm`, if there is one.
pub(super) fn remember<R: Modelled>(
    world: &World<R>,
    random: &mut Random,
    mm: &Mm<R>,
    address: usize,
) {
    if let Some(page) = mm.page_at(address) {
        world.remember(random, page);
    }
}

/// Moves pages away, maps a VMA without pages beside their old place, and moves them back: both
/// become one VMA.
pub(super) fn move_beside<R: Modelled>(world: &World<R>, random: &mut Random) -> Result<usize> {
    let mm = world.process(random)?;
    let (stays, moves, pages) = two_sides(random);
    mm.write(moves, 0, 1)?;
    mm.remap(moves, pages, moves + HOME, false)?;
    if random.chance(1, 2) {
        mm.unmap(stays, pages)?;
        mm.map(stays, pages, Prot::WRITE)?;
    }
    remember(world, random, &mm, moves + HOME);
    mm.remap(moves + HOME, pages, moves, random.chance(1, 4))?;
    Ok(5)
}

/// Moves a VMA and its pages down, to where no VMA is.
pub(super) fn shift_down<R: Modelled>(world: &World<R>, random: &mut Random) -> Result<usize> {
    let mm = world.process(random)?;
    let (lower, upper, pages) = two_parts(random);
    mm.write(upper, 0, 1)?;
    mm.unmap(lower, pages)?;
    remember(world, random, &mm, upper);
    mm.shift(upper, pages / 2)?;
    Ok(3)
}

/// Lets a part of a VMA with pages join the VMA beside it, which has none.
pub(super) fn shift_boundary<R: Modelled>(world: &World<R>, random: &mut Random) -> Result<usize> {
    let mm = world.process(random)?;
    let (empty, written, pages) = two_sides(random);
    // The part that shifts is beside the boundary.
    let part = if empty < written {
        written
    } else {
        written + pages / 2
    };
    world.hot.store(empty, Relaxed);
    mm.unmap(empty.min(written), 2 * pages)?;
    mm.map(written, pages, Prot::WRITE)?;
    mm.write(part, 0, 1)?;
    mm.protect(written, pages, Prot::READ)?;
    mm.map(empty, pages, Prot::WRITE)?;
    remember(world, random, &mm, part);
    mm.protect(part, pages / 2, Prot::WRITE)?;
    Ok(6)
}

/// Merges a VMA of a forked process with a new one, which shares its anon_vma if it may.
pub(super) fn merge_with_new<R: Modelled>(world: &World<R>, random: &mut Random) -> Result<usize> {
    let mm = world.process(random)?;
    let (new, old, pages) = two_sides(random);
    remember(world, random, &mm, old);
    mm.unmap(new, pages)?;
    mm.protect(old, pages, Prot::READ)?;
    mm.map(new, pages, Prot::WRITE)?;
    mm.write(new, 0, 1)?;
    mm.protect(old, pages, Prot::WRITE)?;
    Ok(5)
}

/// The number of pages that are filled at a time.
const FILLED: usize = 48;

/// Gives the allocator's empty slabs back to the system, and lets other users fill freed memory.
/// Sleeps.
///
/// # Errors
///
/// `ENOMEM`.
pub(in super::super) fn reuse_freed_memory<R: Modelled>(
    world: &World<R>,
    random: &mut Random,
) -> Result {
    world.cache.share()?;
    if random.chance(1, 4) {
        world.cache.shrink();
    }
    let mut frames = KVec::with_capacity(FILLED, GFP_KERNEL)?;
    for _ in 0..FILLED {
        let frame = Frame::new()?;
        for word in 0..Frame::WORDS {
            frame.write(word, 0xa5a5_a5a5_a5a5_a5a5);
        }
        frames.push(frame, GFP_KERNEL)?;
    }
    Ok(())
}

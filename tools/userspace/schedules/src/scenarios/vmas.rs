// SPDX-License-Identifier: GPL-2.0

//! Merges, splits and moves against walks and faults.

use super::{World, join, start};
use crate::{
    execution::at_rest,
    model::{Modelled, space::Prot, walk::try_to_unmap},
};
use kernel::{Result, error::code::EFAULT};

/// T1 lets a part of a VMA with pages join the empty VMA beside it, T2 writes to the empty one, T3
/// takes the page of that write out of all page tables (R21, R31).
pub(super) fn merge<R: Modelled>(world: &World<R>) -> Result {
    let mm = world.process(4, 0)?;
    mm.unmap(0, 4)?;
    mm.map(2, 2, Prot::WRITE)?;
    mm.write(2, 0, 1)?;
    mm.protect(2, 2, Prot::READ)?;
    mm.map(0, 2, Prot::WRITE)?;
    let (merges, writes, walks) = (mm.clone(), mm.clone(), mm.clone());
    let threads = [
        start(world, move |_| merges.protect(2, 1, Prot::WRITE)),
        start(world, move |_| writes.write_under_vma_lock(1, 0, 1)),
        start(world, move |_| {
            try_to_unmap(&walks.page_at(1).ok_or(EFAULT)?).map(drop)
        }),
    ];
    join(threads);
    at_rest(&[&mm])
}

/// T1 splits a VMA and merges it again, T2 takes a page out of all page tables, T3 reads it again
/// (R32).
pub(super) fn split<R: Modelled>(world: &World<R>) -> Result {
    let mm = world.process(4, 4)?;
    let page = mm.page_at(2).ok_or(EFAULT)?;
    let (splits, reads) = (mm.clone(), mm.clone());
    let threads = [
        start(world, move |_| {
            splits.protect(0, 2, Prot::READ)?;
            splits.protect(0, 2, Prot::WRITE)
        }),
        start(world, move |_| try_to_unmap(&page).map(drop)),
        start(world, move |_| reads.read(2, 0).map(drop)),
    ];
    join(threads);
    at_rest(&[&mm])
}

/// Moves the last `pages` pages of a VMA away; T1 moves the first `moved` of them back, where they
/// merge with the VMA, T2 takes one of these pages out of all page tables.
fn moves<R: Modelled>(world: &World<R>, pages: usize, moved: usize) -> Result {
    const AWAY: usize = 9;
    let mm = world.process(2 + pages, 2 + pages)?;
    mm.remap(2, pages, AWAY, false)?;
    let page = mm.page_at(AWAY).ok_or(EFAULT)?;
    let theirs = mm.clone();
    let threads = [
        start(world, move |_| theirs.remap(AWAY, moved, 2, false)),
        start(world, move |_| try_to_unmap(&page).map(drop)),
    ];
    join(threads);
    at_rest(&[&mm])
}

/// Some of the pages of a VMA move (R36).
pub(super) fn move_back<R: Modelled>(world: &World<R>) -> Result {
    moves(world, 2, 1)
}

/// All pages of a VMA move (R36).
pub(super) fn move_all<R: Modelled>(world: &World<R>) -> Result {
    moves(world, 2, 2)
}

/// T1 moves a VMA and its pages down, T2 takes one of them out of all page tables (R36).
pub(super) fn shift<R: Modelled>(world: &World<R>) -> Result {
    let mm = world.process(6, 0)?;
    mm.unmap(0, 4)?;
    mm.write(4, 0, 1)?;
    let page = mm.page_at(4).ok_or(EFAULT)?;
    let moves = mm.clone();
    let threads = [
        start(world, move |_| moves.shift(4, 2)),
        start(world, move |_| try_to_unmap(&page).map(drop)),
    ];
    join(threads);
    at_rest(&[&mm])
}

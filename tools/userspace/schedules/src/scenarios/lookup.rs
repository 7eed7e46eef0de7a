// SPDX-License-Identifier: GPL-2.0

//! From a page to its anon_vma, while the page is unmapped.

use super::{World, join, look_up, start};
use crate::{
    execution::at_rest,
    model::{
        Modelled,
        mm::Mm,
        page::Page,
        walk::{migrate as move_page, try_to_unmap},
    },
    rmap::lookup::{page_get_anon_vma, wait},
};
use kernel::{
    Result,
    alloc::flags::GFP_KERNEL,
    error::code::EFAULT,
    mock::schedule::{self, Grain, thread::JoinHandle},
    sync::Arc,
};

/// A thread that looks a page up.
fn reads<R: Modelled>(world: &World<R>, page: Arc<Page<R>>) -> JoinHandle<()> {
    start(world, move |_| {
        look_up(&page);
        Ok(())
    })
}

/// A thread that pins a page's anon_vma.
fn holds<R: Modelled>(world: &World<R>, page: Arc<Page<R>>) -> JoinHandle<()> {
    start(world, move |_| {
        drop(page_get_anon_vma(&page.rmap));
        Ok(())
    })
}

/// A thread that lets a process exit, and makes another one.
fn exits<R: Modelled>(world: &World<R>, mm: Arc<Mm<R>>) -> JoinHandle<()> {
    start(world, move |world| {
        drop(mm);
        let next = world.process(2, 1)?;
        at_rest(&[&next])
    })
}

/// T1 looks a page up. T2 lets its process exit, and makes another one: the new anon_vma gets the
/// memory (R5, R12).
pub(super) fn recycle<R: Modelled>(world: &World<R>) -> Result {
    let mm = world.process(2, 1)?;
    let page = mm.page_at(0).ok_or(EFAULT)?;
    let reader = reads(world, page);
    let exit = exits(world, mm);
    join([reader, exit]);
    Ok(())
}

/// T1 looks a page up. T2 lets its process exit, and gives the memory of its anon_vma back, which
/// another type of objects may have used (R5, R8, R9).
pub(super) fn give_back<R: Modelled>(world: &World<R>) -> Result {
    let mm = world.process(2, 1)?;
    let page = mm.page_at(0).ok_or(EFAULT)?;
    let reader = reads(world, page);
    let exit = start(world, move |world| {
        drop(mm);
        world.0.share()?;
        world.give_back();
        Ok(())
    });
    join([reader, exit]);
    Ok(())
}

/// T1 and T2 look a page up, T3 lets the process exit. The second trylock fails where T3 waits behind
/// the first lookup (R10).
pub(super) fn readers<R: Modelled>(world: &World<R>) -> Result {
    let mm = world.process(2, 1)?;
    let page = mm.page_at(0).ok_or(EFAULT)?;
    let pages = [page.clone(), page];
    let [first, second] = pages.map(|page| reads(world, page));
    let exit = exits(world, mm);
    join([first, second, exit]);
    Ok(())
}

/// T1 looks a page up as if the lock had been busy, T2 pins its anon_vma, T3 lets the process exit
/// (R10, R11, R17).
pub(super) fn pin<R: Modelled>(world: &World<R>) -> Result {
    let mm = world.process(2, 1)?;
    let page = mm.page_at(0).ok_or(EFAULT)?;
    let (waits, pins) = (page.clone(), page);
    let reader = start(world, move |_| {
        let locked = page_get_anon_vma(&waits.rmap).and_then(|pin| wait(pin, &waits.rmap));
        drop(locked);
        Ok(())
    });
    let holder = holds(world, pins);
    let exit = start(world, move |_| {
        drop(mm);
        Ok(())
    });
    join([reader, holder, exit]);
    Ok(())
}

/// The parent has exited. T1 looks a page of the child's own anon_vma up, T2 pins it, T3 lets the
/// child exit, and makes another process (R16).
pub(super) fn child<R: Modelled>(world: &World<R>) -> Result {
    let parent = world.process(2, 1)?;
    let child = Arc::new(parent.fork()?, GFP_KERNEL)?;
    child.write(0, 0, 2)?;
    drop(parent);
    let page = child.page_at(0).ok_or(EFAULT)?;
    let (looks, pins) = (page.clone(), page);
    let reader = reads(world, looks);
    let holder = holds(world, pins);
    let exit = exits(world, child);
    join([reader, holder, exit]);
    Ok(())
}

/// T1 moves a page to new memory. T2 lets its process exit, and makes another one (R18).
pub(super) fn migrate<R: Modelled>(world: &World<R>) -> Result {
    let mm = world.process(2, 1)?;
    let page = mm.page_at(0).ok_or(EFAULT)?;
    let mover = start(world, move |_| move_page(&page).map(drop));
    let exit = exits(world, mm);
    join([mover, exit]);
    Ok(())
}

/// A page is in the swap cache, and one of two processes maps it. T1 discards it there, T2 lets the
/// other process map it. At last it is taken out of all page tables (R2).
pub(super) fn swap_in<R: Modelled>(world: &World<R>) -> Result {
    let parent = world.process(2, 1)?;
    let child = Arc::new(parent.fork()?, GFP_KERNEL)?;
    let page = parent.page_at(0).ok_or(EFAULT)?;
    try_to_unmap(&page)?;
    drop(page);
    parent.read(0, 0)?;
    let (zaps, maps) = (parent.clone(), child.clone());
    let discards = start(world, move |_| zaps.discard(0, 1));
    let faults = start(world, move |_| maps.read(0, 0).map(drop));
    join([discards, faults]);
    if let Some(page) = child.page_at(0) {
        try_to_unmap(&page)?;
    }
    at_rest(&[&parent, &child])
}

/// The parent of a page's process has exited. T1 lets the child write to the page, which moves to
/// the child's anon_vma; T2 looks it up (R1, R19).
pub(super) fn take_over<R: Modelled>(world: &World<R>) -> Result {
    let parent = world.process(2, 1)?;
    let child = Arc::new(parent.fork()?, GFP_KERNEL)?;
    drop(parent);
    let page = child.page_at(0).ok_or(EFAULT)?;
    let writes = child.clone();
    let writer = start(world, move |_| writes.write(0, 0, 2));
    let reader = reads(world, page);
    join([writer, reader]);
    at_rest(&[&child])
}

/// As [`recycle`], with as little as it needs: so that all schedules can be tried.
pub(super) fn small_recycle<R: Modelled>(world: &World<R>) -> Result {
    let mm = world.process(1, 1)?;
    let page = mm.page_at(0).ok_or(EFAULT)?;
    let exit = start(world, move |world| {
        drop(mm);
        world.process(1, 1).map(drop)
    });
    look_up(&page);
    join([exit]);
    Ok(())
}

/// As [`give_back`], with as little as it needs.
pub(super) fn small_give_back<R: Modelled>(world: &World<R>) -> Result {
    let mm = world.process(1, 1)?;
    let page = mm.page_at(0).ok_or(EFAULT)?;
    let exit = start(world, move |world| {
        drop(mm);
        world.give_back();
        Ok(())
    });
    look_up(&page);
    join([exit]);
    Ok(())
}

/// As [`child`], with as little as it needs: one thread pins the anon_vma.
pub(super) fn small_child<R: Modelled>(world: &World<R>) -> Result {
    let parent = world.process(1, 1)?;
    let child = parent.fork()?;
    child.write(0, 0, 2)?;
    drop(parent);
    let page = child.page_at(0).ok_or(EFAULT)?;
    let exit = start(world, move |_| {
        drop(child);
        Ok(())
    });
    let pin = page_get_anon_vma(&page.rmap);
    schedule::point(Grain::Window);
    drop(pin);
    join([exit]);
    Ok(())
}

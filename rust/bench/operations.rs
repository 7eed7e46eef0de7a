// SPDX-License-Identifier: GPL-2.0

//! The operations that are timed: each is written twice, for the shadow and for the host, on
//! families of the same shape.
//!
//! No page is mapped in a page table, and no process is forked: only the reverse map is timed.

use super::measure::{
    compare,
    Times, //
};
use crate::{
    host::bench as host,
    kernel_ext::interval_tree::Range,
    rmap::{
        anon_vma::{
            Cache,
            PageRmap, //
        },
        chain::Vma,
        kind::Live,
        link::{
            anon_vma_fork,
            anon_vma_prepare,
            unlink_anon_vmas,
            Reuse,
            Sharing, //
        },
        lookup::page_lock_anon_vma,
        mm::{
            Mm,
            MmapWrite, //
        },
    },
};
use core::ops::ControlFlow;
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// The page offsets that each VMA covers.
const RANGE: Range = Range {
    start: 0x100,
    last: 0x10f,
};

/// The page offset of the page that is looked up.
const INDEX: usize = RANGE.start + 8;

/// Creates an address space of the shadow.
fn shadow_mm() -> Result<Arc<Mm>> {
    let cache = Arc::new(Cache::<Live>::new()?, GFP_KERNEL)?;
    Arc::pin_init(Mm::new(cache, ()), GFP_KERNEL)
}

/// Creates a VMA of the shadow without links.
fn shadow_vma(mm: &Arc<Mm>) -> Result<Pin<KBox<Vma>>> {
    KBox::pin_init(Vma::new(mm.clone(), RANGE, 0), GFP_KERNEL)
}

/// Forks `parent` in the shadow.
fn shadow_fork(child: &Vma, parent: &Vma, mmap: &MmapWrite<'_>) -> Result {
    anon_vma_fork(child, mmap, parent, mmap, Reuse::ByRule)
}

/// Checks that both VMAs have equally many links, so that both sides do the same work.
///
/// # Errors
///
/// `EINVAL` if not.
fn same_links(shadow: usize, host: usize) -> Result {
    if shadow == host {
        return Ok(());
    }
    pr_err!("bench: a VMA of the shadow has {shadow} links, the host's has {host}\n");
    Err(EINVAL)
}

/// Times the lookup of a mapped page's anon_vma, with lock and unlock.
pub(super) fn lookup(functions: &host::Functions, rounds: usize) -> Result<Times> {
    on_family(functions, 1, |page, host_page| {
        compare(
            rounds,
            || page_lock_anon_vma(page).map(|_| 1).ok_or(ENOENT),
            || host_page.lock_anon_vma().map(|_| 1).ok_or(ENOENT),
        )
    })
}

/// Times a lookup and a walk over the `vmas` VMAs that may map the page.
pub(super) fn walk(functions: &host::Functions, rounds: usize, vmas: usize) -> Result<Times> {
    on_family(functions, vmas, |page, host_page| {
        compare(
            rounds,
            || {
                let anon_vma = page_lock_anon_vma(page).ok_or(ENOENT)?;
                let mut n = 0;
                let _ = anon_vma.for_each_vma(INDEX, INDEX, |_| {
                    n += 1;
                    ControlFlow::<()>::Continue(())
                });
                Ok(n)
            },
            || {
                let anon_vma = host_page.lock_anon_vma().ok_or(ENOENT)?;
                let mut n = 0;
                anon_vma.for_each_link(INDEX, INDEX, || n += 1);
                Ok(n)
            },
        )
    })
}

/// Calls `f` with a page of the shadow and one of the host. The root of a family of `vmas` VMAs,
/// which are a process and its children, maps each.
fn on_family(
    functions: &host::Functions,
    vmas: usize,
    f: impl FnOnce(&PageRmap, &host::Page<'_>) -> Result<Times>,
) -> Result<Times> {
    let space = host::Space::new(functions)?;
    let mut host_root = host::Vma::first(&space, RANGE)?;
    host_root.prepare()?;
    let mut host_children = KVec::with_capacity(vmas, GFP_KERNEL)?;

    let mm = shadow_mm()?;
    let root = shadow_vma(&mm)?;
    let mut children = KVec::with_capacity(vmas, GFP_KERNEL)?;
    let mut mmap = mm.mmap_write();
    let result = (|| {
        anon_vma_prepare(&root, &mmap, [None, None], Sharing::Singleton)?;
        for _ in 1..vmas {
            let mut child = host::Vma::new(&space, RANGE)?;
            child.fork_from(&mut host_root)?;
            host_children.push(child, GFP_KERNEL)?;
            children.push(shadow_vma(&mm)?, GFP_KERNEL)?;
            if let Some(child) = children.last() {
                shadow_fork(child, &root, &mmap)?;
            }
        }
        let page = PageRmap::new(INDEX);
        if !root.add_new_anon_rmap(&page, true, &mmap) {
            return Err(EINVAL);
        }
        let times = f(&page, &host::Page::new(&host_root, INDEX)?);
        page.remove_rmap();
        times
    })();
    for child in &children {
        unlink_anon_vmas(child, &mut mmap);
    }
    unlink_anon_vmas(&root, &mut mmap);
    result
}

/// Times a prepare and the unlink.
///
/// The host's function also looks for neighbours to share with. So the shadow's side does that as
/// well, in the host's address space.
pub(super) fn prepare(functions: &host::Functions, rounds: usize) -> Result<Times> {
    let space = host::Space::new(functions)?;
    let mut host_vma = host::Vma::first(&space, RANGE)?;
    let mm = shadow_mm()?;
    let vma = shadow_vma(&mm)?;
    let mut mmap = mm.mmap_write();
    compare(
        rounds,
        || {
            let seen = space.neighbours(RANGE);
            anon_vma_prepare(&vma, &mmap, [None, None], Sharing::Singleton)?;
            unlink_anon_vmas(&vma, &mut mmap);
            Ok(seen)
        },
        || {
            host_vma.prepare()?;
            host_vma.unlink();
            // The address space has one VMA.
            Ok(1)
        },
    )
}

/// Times a fork of the youngest of `depth` generations, and the unlink of the child.
pub(super) fn fork(functions: &host::Functions, rounds: usize, depth: usize) -> Result<Times> {
    let space = host::Space::new(functions)?;
    let mut host_line = KVec::with_capacity(depth, GFP_KERNEL)?;
    let mut host_parent = host::Vma::first(&space, RANGE)?;
    let mut host_child = host::Vma::new(&space, RANGE)?;

    let mm = shadow_mm()?;
    let mut line = KVec::with_capacity(depth, GFP_KERNEL)?;
    let mut parent = shadow_vma(&mm)?;
    let child = shadow_vma(&mm)?;
    let mut mmap = mm.mmap_write();
    let result = (|| {
        host_parent.prepare()?;
        anon_vma_prepare(&parent, &mmap, [None, None], Sharing::Singleton)?;
        for _ in 1..depth {
            let mut next = host::Vma::new(&space, RANGE)?;
            next.fork_from(&mut host_parent)?;
            host_line.push(core::mem::replace(&mut host_parent, next), GFP_KERNEL)?;

            line.push(
                core::mem::replace(&mut parent, shadow_vma(&mm)?),
                GFP_KERNEL,
            )?;
            if let Some(before) = line.last() {
                shadow_fork(&parent, before, &mmap)?;
            }
        }
        same_links(parent.links(&mmap), host_parent.links())?;
        compare(
            rounds,
            || {
                shadow_fork(&child, &parent, &mmap)?;
                unlink_anon_vmas(&child, &mut mmap);
                Ok(1)
            },
            || {
                host_child.fork_from(&mut host_parent)?;
                host_child.unlink();
                Ok(1)
            },
        )
    })();
    for vma in &line {
        unlink_anon_vmas(vma, &mut mmap);
    }
    unlink_anon_vmas(&parent, &mut mmap);
    result
}

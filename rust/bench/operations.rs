// SPDX-License-Identifier: GPL-2.0

//! The operations that are timed: each is written twice, for the shadow and for the host, on
//! families of the same shape.
//!
//! No page is mapped in a page table, and no process is forked: only the reverse map is timed.

use super::{
    measure::{
        compare,
        Times, //
    },
    shadow, //
};
use crate::{
    host::bench as host,
    kernel_ext::interval_tree::Range,
    rmap::{
        lookup::page_lock_anon_vma,
        mm::MmapWrite,
        page::PageRmap,
        prepare::{
            anon_vma_prepare,
            Sharing, //
        },
        vma::Vma, //
    },
};
use core::ops::ControlFlow;
use kernel::prelude::*;

/// The page offsets that each VMA covers.
pub(super) const RANGE: Range = Range {
    start: 0x100,
    last: 0x10f,
};

/// The page offset of the page that is looked up.
const INDEX: usize = RANGE.start + 8;

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

    let mm = shadow::mm()?;
    let root = shadow::vma(&mm)?;
    let mut children = KVec::with_capacity(vmas, GFP_KERNEL)?;
    let mut mmap = mm.mmap_write();
    let result = (|| {
        anon_vma_prepare(&root, &mmap, [None, None], Sharing::Singleton)?;
        for _ in 1..vmas {
            let mut child = host::Vma::new(&space, RANGE)?;
            child.fork_from(&mut host_root)?;
            host_children.push(child, GFP_KERNEL)?;
            children.push(shadow::vma(&mm)?, GFP_KERNEL)?;
            if let Some(child) = children.last() {
                shadow::fork(child, &root, &mmap)?;
            }
        }
        let host_page = host::Page::new(&host_root, INDEX)?;
        shadow::with_page(&root, INDEX, &mmap, |page| f(page, &host_page))
    })();
    for child in &children {
        shadow::unlink(child, &mut mmap);
    }
    shadow::unlink(&root, &mut mmap);
    result
}

/// Times a prepare and the unlink.
///
/// The host's function also looks for neighbours to share with. So the shadow's side does that as
/// well, in the host's address space.
pub(super) fn prepare(functions: &host::Functions, rounds: usize) -> Result<Times> {
    let space = host::Space::new(functions)?;
    let mut host_vma = host::Vma::first(&space, RANGE)?;
    let mm = shadow::mm()?;
    let vma = shadow::vma(&mm)?;
    let mut mmap = mm.mmap_write();
    compare(
        rounds,
        || {
            let seen = space.neighbours(RANGE);
            anon_vma_prepare(&vma, &mmap, [None, None], Sharing::Singleton)?;
            shadow::unlink(&vma, &mut mmap);
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
    on_line(
        functions,
        depth,
        |parent, child, mmap, host_parent, host_child| {
            compare(
                rounds,
                || {
                    shadow::fork(child, parent, mmap)?;
                    shadow::unlink(child, mmap);
                    Ok(1)
                },
                || {
                    host_child.fork_from(host_parent)?;
                    host_child.unlink();
                    Ok(1)
                },
            )
        },
    )
}

/// Times what a split does to the links of a VMA that has `links`, and the unlink of the copy.
pub(super) fn split(functions: &host::Functions, rounds: usize, links: usize) -> Result<Times> {
    on_line(
        functions,
        links,
        |source, copy, mmap, host_source, host_copy| {
            shadow::split(copy, source, mmap)?;
            host_copy.split_from(host_source)?;
            same_links(copy.nr_links(), host_copy.links())?;
            shadow::unlink(copy, mmap);
            host_copy.unlink();
            compare(
                rounds,
                || {
                    shadow::split(copy, source, mmap)?;
                    shadow::unlink(copy, mmap);
                    Ok(1)
                },
                || {
                    host_copy.split_from(host_source)?;
                    host_copy.unlink();
                    Ok(1)
                },
            )
        },
    )
}

/// Calls `f` with the VMA of the youngest of `depth` generations, which has as many links, and a
/// VMA without links: those of the shadow, with the lock of both, and those of the host.
fn on_line(
    functions: &host::Functions,
    depth: usize,
    f: impl for<'h> FnOnce(
        &Vma,
        &Vma,
        &mut MmapWrite<'_>,
        &mut host::Vma<'h>,
        &mut host::Vma<'h>,
    ) -> Result<Times>,
) -> Result<Times> {
    let space = host::Space::new(functions)?;
    let mut host_line = KVec::with_capacity(depth, GFP_KERNEL)?;
    let mut host_youngest = host::Vma::first(&space, RANGE)?;
    let mut host_other = host::Vma::new(&space, RANGE)?;

    let mm = shadow::mm()?;
    let mut line = KVec::with_capacity(depth, GFP_KERNEL)?;
    let mut youngest = shadow::vma(&mm)?;
    let other = shadow::vma(&mm)?;
    let mut mmap = mm.mmap_write();
    let result = (|| {
        host_youngest.prepare()?;
        anon_vma_prepare(&youngest, &mmap, [None, None], Sharing::Singleton)?;
        for _ in 1..depth {
            let mut next = host::Vma::new(&space, RANGE)?;
            next.fork_from(&mut host_youngest)?;
            host_line.push(core::mem::replace(&mut host_youngest, next), GFP_KERNEL)?;

            line.push(
                core::mem::replace(&mut youngest, shadow::vma(&mm)?),
                GFP_KERNEL,
            )?;
            if let Some(before) = line.last() {
                shadow::fork(&youngest, before, &mmap)?;
            }
        }
        same_links(youngest.nr_links(), host_youngest.links())?;
        f(
            &youngest,
            &other,
            &mut mmap,
            &mut host_youngest,
            &mut host_other,
        )
    })();
    shadow::unlink(&other, &mut mmap);
    for vma in &line {
        shadow::unlink(vma, &mut mmap);
    }
    shadow::unlink(&youngest, &mut mmap);
    result
}

/// Times the first PTE of a new page, and its removal.
pub(super) fn page_new(functions: &host::Functions, rounds: usize) -> Result<Times> {
    on_page(functions, |vma, mmap, _, host_page| {
        compare(
            rounds,
            || shadow::with_page(vma, INDEX, mmap, |_| Ok(1)),
            || {
                host_page.map_anew();
                Ok(1)
            },
        )
    })
}

/// Times one more PTE of a page, and its removal.
pub(super) fn page_add(functions: &host::Functions, rounds: usize) -> Result<Times> {
    on_page(functions, |_, _, page, host_page| {
        compare(
            rounds,
            || {
                shadow::add_and_remove(page);
                Ok(1)
            },
            || {
                host_page.add_and_remove();
                Ok(1)
            },
        )
    })
}

/// Times one more PTE of a page, its removal, and then the move of the page to the anon_vma of the
/// VMA that alone maps it again: as after a fork, the exit of the child, and a write of the parent.
///
/// The host's move alone is one store, which takes less time than the call of any check.
pub(super) fn page_move(functions: &host::Functions, rounds: usize) -> Result<Times> {
    on_page(functions, |vma, mmap, page, host_page| {
        compare(
            rounds,
            || {
                shadow::add_and_remove(page);
                Ok(shadow::relocate(vma, page, mmap).into())
            },
            || {
                host_page.add_and_remove();
                host_page.relocate();
                Ok(1)
            },
        )
    })
}

/// Calls `f` with a VMA of the shadow that has an anon_vma of its own, its lock, a page that it
/// maps, and such a page of the host.
fn on_page(
    functions: &host::Functions,
    f: impl FnOnce(&Vma, &MmapWrite<'_>, &PageRmap, &mut host::Page<'_>) -> Result<Times>,
) -> Result<Times> {
    let space = host::Space::new(functions)?;
    let mut host_vma = host::Vma::first(&space, RANGE)?;
    host_vma.prepare()?;
    let mut host_page = host::Page::new(&host_vma, INDEX)?;

    let mm = shadow::mm()?;
    let vma = shadow::vma(&mm)?;
    let mut mmap = mm.mmap_write();
    let result = anon_vma_prepare(&vma, &mmap, [None, None], Sharing::Singleton).and_then(|()| {
        shadow::with_page(&vma, INDEX, &mmap, |page| {
            f(&vma, &mmap, page, &mut host_page)
        })
    });
    shadow::unlink(&vma, &mut mmap);
    result
}

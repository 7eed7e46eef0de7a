// SPDX-License-Identifier: GPL-2.0

//! Takes the graphs of the shadow and of the host, of address spaces that are locked.

use super::{
    file::{
        OpenFile,
        Registry, //
    },
    live::{
        LiveMm,
        LivePage, //
    },
    sync::{
        self,
        Pass,
        Seen, //
    },
};
use crate::{
    host::{
        self,
        mm::AllMmaps, //
    },
    kernel_ext::{
        gather::gather,
        sort::sort_by_key, //
    },
    rmap::{
        anon_vma::AnonVma,
        lookup::page_lock_anon_vma, //
    },
    snapshot::{
        build::{
            AnonVmaFacts,
            Builder, //
        },
        Comm,
        Graph,
        MmNode,
        Source,
        VmaNode, //
    },
};
use core::{
    cell::Cell,
    ops::ControlFlow, //
};
use kernel::{
    alloc::AllocError,
    prelude::*,
    sync::{
        atomic::Relaxed,
        Arc, //
    },
};

/// The two graphs, with the same VMAs in the same order.
pub(crate) struct Pair {
    /// The shadow's.
    pub(crate) shadow: Graph,
    /// The host's.
    pub(crate) host: Graph,
}

/// Takes both graphs of all mappings of `files`. Sleeps.
///
/// # Errors
///
/// `ENOMEM`; `EINTR` if the caller is being killed; `EAGAIN` if a VMA has been closed meanwhile.
pub(crate) fn take(registry: &Registry, files: &[Arc<OpenFile>]) -> Result<Pair> {
    let mut mmaps = AllMmaps::begin(&registry.check_lock);
    let mms = lock_all(&mut mmaps, files)?;

    let mut passes = KVVec::with_capacity(mms.len(), GFP_KERNEL)?;
    for mm in &mms {
        if host::mm::is_being_killed() {
            return Err(EINTR);
        }
        mm.changed_around.store(false, Relaxed);
        let pass = sync::begin(mm.vmas()?, &mut mm.core.mmap_write())?;
        passes.push(pass, GFP_KERNEL)?;
    }
    for (mm, pass) in mms.iter().zip(passes.iter_mut()) {
        sync::finish(pass, &mm.core.mmap_write())?;
        mm.forget_unmapped();
    }
    let shadow = shadow_graph(&mms, &passes)?;
    let host = host_graph(&mms, &passes, &mmaps)?;
    drop(mmaps);
    Ok(Pair { shadow, host })
}

/// Locks all address spaces of `files`, and returns them in order of their numbers.
///
/// A fork may add an address space until its parent is locked, so this repeats until all are
/// locked.
fn lock_all(mmaps: &mut AllMmaps<'_>, files: &[Arc<OpenFile>]) -> Result<KVVec<Arc<LiveMm>>> {
    loop {
        let mut mms: KVVec<Arc<LiveMm>> = KVVec::new();
        let mut all_held = true;
        for file in files {
            for mm in file.mms()? {
                if !mmaps.holds(&mm.host) {
                    // This waits for a fork of `mm`; the next round finds the new address space.
                    mmaps.lock(mm.host.clone())?;
                    all_held = false;
                }
                mms.push(mm, GFP_KERNEL)?;
            }
        }
        if all_held {
            sort_by_key(&mut mms, |mm| mm.id);
            for mm in &mms {
                for vma in mm.vmas()? {
                    vma.host.read(|vma| mmaps.start_write(vma));
                }
            }
            return Ok(mms);
        }
    }
}

/// Starts a graph with its address spaces and VMAs. These are the same in both graphs; `key`
/// returns the keys of the VMAs, which are not.
fn skeleton(
    source: Source,
    mms: &[Arc<LiveMm>],
    passes: &[Pass],
    key: impl Fn(&Seen) -> Option<usize>,
) -> Result<Builder> {
    let mut builder = Builder::new(source);
    let mut owners: KVVec<(usize, i32, Comm)> = KVVec::with_capacity(mms.len(), GFP_KERNEL)?;
    for mm in mms {
        owners.push((mm.key(), 0, [0; 16]), GFP_KERNEL)?;
    }
    sort_by_key(&mut owners, |owner| owner.0);
    host::mm::for_each_process(|key, pid, comm| {
        if let Ok(i) = owners.binary_search_by_key(&key, |owner| owner.0) {
            if let Some(owner) = owners.get_mut(i) {
                *owner = (key, pid, comm);
            }
        }
    });
    for (mm, pass) in mms.iter().zip(passes) {
        let owner = owners
            .binary_search_by_key(&mm.key(), |owner| owner.0)
            .ok()
            .and_then(|i| owners.get(i));
        let node = builder.mm(MmNode {
            id: mm.id,
            pid: owner.map_or(0, |owner| owner.1),
            comm: owner.map_or([0; 16], |owner| owner.2),
        })?;
        let mmap = mm.core.mmap_read();
        for seen in &pass.vmas {
            let range = match source {
                Source::Shadow => seen.vma.core.range(&mmap),
                Source::Host => Some(seen.range),
            };
            builder.vma(
                key(seen).ok_or(EAGAIN)?,
                VmaNode {
                    id: seen.vma.id(),
                    mm: node,
                    start: seen.addresses.0,
                    end: seen.addresses.1,
                    pgoff: range.map_or(0, |range| range.start),
                    anon_vma: None,
                    chain: KVVec::new(),
                    reused: seen.vma.reused.map(|(rule, host)| match source {
                        Source::Shadow => rule,
                        Source::Host => host,
                    }),

                    tainted: seen.vma.core.is_untracked(),
                },
            )?;
        }
    }
    Ok(builder)
}

/// Returns all VMAs in the order of the graphs.
fn all(passes: &[Pass]) -> Result<KVVec<&Seen>> {
    let n = passes.iter().map(|pass| pass.vmas.len()).sum();
    let mut all = KVVec::with_capacity(n, GFP_KERNEL)?;
    for seen in passes.iter().flat_map(|pass| pass.vmas.iter()) {
        all.push(seen, GFP_KERNEL)?;
    }
    Ok(all)
}

/// Takes the graph of the shadow.
fn shadow_graph(mms: &[Arc<LiveMm>], passes: &[Pass]) -> Result<Graph> {
    let mut builder = skeleton(Source::Shadow, mms, passes, |seen| Some(seen.vma.key()))?;
    let mut index = 0;
    for (mm, pass) in mms.iter().zip(passes) {
        let mmap = mm.core.mmap_read();
        for seen in &pass.vmas {
            for anon_vma in seen.vma.core.links(&mmap) {
                add_anon_vma(&mut builder, anon_vma.root())?;
                add_anon_vma(&mut builder, anon_vma)?;
                builder.chain_entry(index, anon_vma.key())?;
            }
            if let Some(anon_vma) = seen.vma.core.anon_vma(&mmap) {
                builder.active(index, anon_vma.key());
            }
            index += 1;
        }
    }
    let all = all(passes)?;
    let mut pages: KVVec<&LivePage> = KVVec::new();
    for (i, seen) in all.iter().enumerate() {
        for (_, page) in &seen.pages {
            builder.mapped(
                i,
                page.key,
                page.rmap.anon_vma_key().unwrap_or(0),
                page.rmap.index(),
                page.rmap.mapcount().into(),
            )?;
            if builder.pages() > pages.len() {
                pages.push(page, GFP_KERNEL)?;
            }
        }
    }
    for page in pages {
        walk(&mut builder, page, &all)?;
    }
    Ok(builder.finish())
}

/// Adds an anon_vma with its tree, unless the graph has it.
fn add_anon_vma(builder: &mut Builder, anon_vma: &AnonVma) -> Result {
    if builder.knows(anon_vma.key()) {
        return Ok(());
    }
    let facts = Cell::new(None);
    let tree = gather(
        || anon_vma.lock_read(),
        |locked| {
            let mut n = 0;
            let _: ControlFlow<()> = locked.for_each_vma(0, usize::MAX, |_| {
                n += 1;
                ControlFlow::Continue(())
            });
            n
        },
        |locked, all| {
            facts.set(Some(AnonVmaFacts {
                root: locked.root().key(),
                parent: locked.parent_key(),
                refcount: locked.refcount().into(),
                num_children: locked.num_children(),
                num_active_vmas: locked.num_active_vmas(),
            }));
            until_error(|f| {
                locked.for_each_vma(0, usize::MAX, |vma| {
                    f(all.push(vma.key(), GFP_KERNEL).map_err(Into::into))
                })
            })
            .map_err(|_: Error| AllocError)
        },
    )?;
    builder.anon_vma(anon_vma.key(), facts.take().ok_or(ENOMEM)?)?;
    for vma in tree {
        builder.tree_entry(anon_vma.key(), vma)?;
    }
    Ok(())
}

/// Walks from the page to all VMAs that may map it, as reclaim does, and adds those that do.
fn walk(builder: &mut Builder, page: &LivePage, all: &[&Seen]) -> Result {
    let Some(anon_vma) = page_lock_anon_vma(&page.rmap) else {
        return Ok(());
    };
    let at = page.rmap.index();
    until_error(|f| {
        anon_vma.for_each_vma(at, at, |vma| {
            // A linked VMA may map the page; its page table says whether it does (R35).
            let maps = builder
                .vma_index(vma.key())
                .and_then(|i| all.get(i))
                .and_then(|seen| seen.page(at))
                .is_some_and(|there| there.key == page.key);
            f(if maps {
                builder.found(page.key, vma.key())
            } else {
                Ok(())
            })
        })
    })
}

/// Runs a walk whose visitor passes each result to `f`; returns the first error.
fn until_error(
    walk: impl FnOnce(&dyn Fn(Result) -> ControlFlow<Error>) -> ControlFlow<Error>,
) -> Result {
    let visit = |result: Result| match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    };
    match walk(&visit) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// Takes the graph of the host.
fn host_graph(mms: &[Arc<LiveMm>], passes: &[Pass], mmaps: &AllMmaps<'_>) -> Result<Graph> {
    let mut builder = skeleton(Source::Host, mms, passes, |seen| {
        seen.vma.host.read(|host| host.key())
    })?;
    let all = all(passes)?;
    for (i, seen) in all.iter().enumerate() {
        seen.vma
            .host
            .read(|host| host::graph::add_links(&mut builder, mmaps, host, i))
            .ok_or(EAGAIN)??;
    }
    for (i, seen) in all.iter().enumerate() {
        for page in &seen.host_pages {
            builder.mapped(i, page.key, page.mapping, page.index, page.mapcount)?;
        }
    }
    builder.walk_all(|vma, at, key| {
        all.get(vma)
            .and_then(|seen| seen.host_page(at))
            .is_some_and(|page| page.key == key)
    })?;
    Ok(builder.finish())
}

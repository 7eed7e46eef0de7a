// SPDX-License-Identifier: GPL-2.0

//! Takes the graphs of the shadow and of the host, of address spaces that are locked.

use super::{
    file::OpenFile,
    live::{
        LiveMm,
        LivePage,
        Place, //
    },
    mergeable::Found,
    pair::Pair,
    registry::Registry,
    seen::Seen,
    steady,
    swapped,
    sync,
    taken::{
        lock_all,
        owners,
        Listed,
        Taken, //
    }, //
};
use crate::{
    host::{
        self,
        mm::AllMmaps,
        vma::HostVma, //
    },
    kernel_ext::{
        gather::gather,
        gfp::GFP_BOUNDED,
        sched::resched_each, //
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
    prelude::*,
    sync::{
        atomic::Relaxed,
        Arc, //
    },
};

/// Whether parts of the host besides its reverse map hold references on its anon_vmas: KSM one for
/// each page that it has merged, migration and reclaim while they work.
const OTHERS_HOLD: bool = cfg!(any(CONFIG_KSM, CONFIG_MIGRATION, CONFIG_SWAP));

/// Takes both graphs of all mappings of `files`. Sleeps.
///
/// # Errors
///
/// `ENOMEM`; `EINTR` if the caller is being killed; `EAGAIN` if new address spaces do not end,
/// or migration does not.
pub(crate) fn take(registry: &Registry, files: &[Arc<OpenFile>]) -> Result<Pair> {
    let mut mmaps = AllMmaps::begin(&registry.check_lock)?;
    let mms = lock_all(&mut mmaps, files)?;
    let mut listed = KVVec::with_capacity(mms.len(), GFP_BOUNDED)?;
    let mut found = Found::new();
    for mm in &mms {
        let here = Listed::new(&mmaps, mm)?;
        if mm.file.is_mergeable() {
            found.add_all(here.vmas(), mm)?;
        }
        listed.push(here, GFP_BOUNDED)?;
    }
    // The locks are released when both graphs are copied.
    found.with(|| take_locked(&mmaps, &mms, listed, files))
}

/// As [`take`], with all address spaces `mms` locked, and their VMAs.
fn take_locked<'a>(
    mmaps: &'a AllMmaps<'_>,
    mms: &'a [Arc<LiveMm>],
    listed: KVVec<Listed<'a>>,
    files: &[Arc<OpenFile>],
) -> Result<Pair> {
    let mut all = KVVec::with_capacity(mms.len(), GFP_BOUNDED)?;
    let mut has_all_vmas = files.iter().all(|file| file.has_all_vmas());
    let mut has_all_pages = true;
    for (mm, listed) in mms.iter().zip(listed) {
        let taken = Taken::new(mm, listed)?;
        has_all_vmas &= taken.has_all_vmas;
        has_all_pages &= taken.pass.vmas.iter().all(|seen| !seen.beyond);
        // The process may have ended.
        if !taken.pass.vmas.is_empty() || !taken.unknown.is_empty() {
            all.push(taken, GFP_BOUNDED)?;
        }
    }
    steady::look_until_same(&mut all)?;
    for taken in all.iter_mut() {
        sync::finish(&mut taken.pass, &taken.mm.core.mmap_write())?;
    }
    swapped::settle(&mut all, mmaps)?;
    all.iter().for_each(|taken| taken.mm.note_whole_look());
    let owners = owners(&all)?;
    let shadow = shadow_graph(&all, &owners)?;
    let mut host = host_graph(&all, &owners, mmaps)?;
    host.incomplete = !has_all_vmas;
    let mut untracked = None;
    if has_all_vmas && has_all_pages {
        let mut counts = KVVec::with_capacity(files.len(), GFP_BOUNDED)?;
        for file in files {
            counts.push(file.untracked.load(Relaxed), GFP_BOUNDED)?;
        }
        untracked = Some(counts);
    }
    Ok(Pair {
        shadow,
        host,
        untracked,
    })
}

/// Returns a VMA without links at `place`.
fn vma_at(id: u64, mm: usize, place: Place) -> VmaNode {
    let (start, end) = place.addresses;
    VmaNode::new(id, mm, start..end, place.pgoff)
}

/// Returns the shadow's VMAs in the order of the graphs, each with its address space.
fn all_vmas<'a>(all: &'a [Taken<'_>]) -> Result<KVVec<(usize, &'a Seen)>> {
    let n = all.iter().map(|taken| taken.pass.vmas.len()).sum();
    let mut vmas = KVVec::with_capacity(n, GFP_BOUNDED)?;
    for (mm, taken) in all.iter().enumerate() {
        for seen in resched_each(&taken.pass.vmas) {
            vmas.push((mm, seen), GFP_BOUNDED)?;
        }
    }
    Ok(vmas)
}

/// Takes the graph of the shadow.
fn shadow_graph(all: &[Taken<'_>], owners: &[MmNode]) -> Result<Graph> {
    let mut builder = Builder::new(Source::Shadow);
    let vmas = all_vmas(all)?;
    for &owner in owners {
        builder.mm(owner)?;
    }
    for (mm, taken) in all.iter().enumerate() {
        let mmap = taken.mm.core.mmap_read();
        for seen in resched_each(&taken.pass.vmas) {
            let (vma, place) = (&seen.vma, seen.vma.place.get());
            let untracked = vma.core.is_untracked();
            let range = vma.core.range(&mmap).filter(|_| untracked);
            let node = VmaNode {
                reused: vma.reused.map(|(rule, _)| rule),
                wrongly_merged: vma.wrongly_merged.load(Relaxed),
                tainted: untracked,
                tree_offset: range.map_or(place.pgoff, |range| range.start),
                ..vma_at(vma.id(), mm, place)
            };
            builder.vma(vma.key(), node)?;
        }
    }
    let mut index = 0;
    for taken in all {
        let mmap = taken.mm.core.mmap_read();
        for seen in resched_each(&taken.pass.vmas) {
            let vma = &seen.vma.core;
            for anon_vma in vma.links(&mmap) {
                add_anon_vma(&mut builder, anon_vma.root())?;
                add_anon_vma(&mut builder, anon_vma)?;
                builder.chain_entry(index, anon_vma.key())?;
            }
            if let Some(anon_vma) = vma.anon_vma(&mmap) {
                builder.active(index, anon_vma.key());
            }
            index += 1;
        }
    }
    let mut pages: KVVec<&Arc<LivePage>> = KVVec::new();
    for (i, (_, seen)) in resched_each(&vmas).enumerate() {
        for (_, page) in resched_each(&seen.pages) {
            builder.mapped(
                i,
                page.key(),
                page.rmap.anon_vma_key().unwrap_or(0),
                page.rmap.index(),
                page.rmap.mapcount().into(),
            )?;
            if builder.pages() > pages.len() {
                pages.push(page, GFP_BOUNDED)?;
            }
        }
    }
    for page in resched_each(pages) {
        walk(&mut builder, page, &vmas)?;
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
        |locked| locked.number_of_vmas(),
        |locked, all| {
            facts.set(Some(AnonVmaFacts {
                root: locked.root().key(),
                parent: locked.parent_key(),
                refcount: locked.refcount().into(),
                num_children: locked.num_children(),
                num_active_vmas: locked.num_active_vmas(),
            }));
            locked.push_each(all, |vma| vma.key())
        },
    )?;
    builder.anon_vma(anon_vma.key(), facts.take().ok_or(ENOMEM)?)?;
    for vma in resched_each(tree) {
        builder.tree_entry(anon_vma.key(), vma)?;
    }
    Ok(())
}

/// Walks from the page to all VMAs that may map it, as reclaim does, and adds those that do.
fn walk(builder: &mut Builder, page: &Arc<LivePage>, all: &[(usize, &Seen)]) -> Result {
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
                .and_then(|(_, seen)| seen.page(at))
                .is_some_and(|there| Arc::ptr_eq(there, page));
            f(if maps {
                builder.found(page.key(), vma.key())
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

/// Takes the graph of the host: its VMAs in the shadow's order, then those that the shadow does not
/// have.
fn host_graph(all: &[Taken<'_>], owners: &[MmNode], mmaps: &AllMmaps<'_>) -> Result<Graph> {
    let mut builder = Builder::new(Source::Host);
    let vmas = all_vmas(all)?;
    let mut hosts: KVVec<Option<HostVma<'_>>> = KVVec::with_capacity(vmas.len(), GFP_BOUNDED)?;
    for &owner in owners {
        builder.mm(owner)?;
    }
    let known = all.iter().flat_map(|taken| &taken.hosts);
    for (&(mm, seen), &host) in resched_each(vmas.iter().zip(known)) {
        let place = host.map_or_else(|| seen.vma.place.get(), Place::of);
        let node = VmaNode {
            absent: host.is_none(),
            reused: seen.vma.reused.map(|(_, host)| host),
            tainted: seen.vma.core.is_untracked(),
            ..vma_at(seen.vma.id(), mm, place)
        };
        builder.vma(host.map_or(seen.vma.key(), HostVma::key), node)?;
        hosts.push(host, GFP_BOUNDED)?;
    }
    for (taken, &owner) in all.iter().zip(owners) {
        for &host in resched_each(&taken.unknown) {
            // VMAs come in order of their address spaces, so this one comes again.
            let mm = builder.mm(owner)?;
            builder.vma(host.key(), vma_at(0, mm, Place::of(host)))?;
            hosts.push(Some(host), GFP_BOUNDED)?;
        }
    }
    for (i, host) in resched_each(&hosts).enumerate() {
        if let &Some(host) = host {
            host::graph::add_links(&mut builder, mmaps, host, i)?;
        }
    }
    for (i, (_, seen)) in resched_each(&vmas).enumerate() {
        for page in resched_each(&seen.host_pages) {
            builder.mapped(i, page.key, page.mapping, page.index, page.mapcount)?;
        }
    }
    builder.walk_all(|vma, at, key| {
        vmas.get(vma)
            .and_then(|(_, seen)| seen.host_page(at))
            .is_some_and(|page| page.key == key)
    })?;
    let mut graph = builder.finish();
    graph.held = OTHERS_HOLD;
    Ok(graph)
}

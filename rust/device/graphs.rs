// SPDX-License-Identifier: GPL-2.0

//! Takes the graphs of the shadow and of the host, of address spaces that are locked.

use super::{
    file::{
        OpenFile,
        Registry, //
    },
    live::{
        LiveMm,
        LivePage,
        LiveVma,
        Place, //
    },
    sync::{
        self,
        Pass,
        Seen, //
    },
    vm_ops, //
};
use crate::{
    host::{
        self,
        mm::AllMmaps,
        vma::HostVma, //
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
        compare::compare,
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
    /// `OpenFile::untracked` of each file, if the shadow has all VMAs now.
    untracked: Option<KVVec<usize>>,
}

impl Pair {
    /// Has the VMAs compared again that were not, if the shadow has everything that there is, and is equal to
    /// the host: the VMAs that it did not have, and the memory that it lacked, are of the past.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn retry_untracked(&mut self, files: &[Arc<OpenFile>]) -> Result {
        let Some(untracked) = self.untracked.take() else {
            return Ok(());
        };
        let mut tainted = KVVec::with_capacity(self.shadow.vmas.len(), GFP_KERNEL)?;
        for vma in &self.shadow.vmas {
            tainted.push(vma.tainted, GFP_KERNEL)?;
        }
        if !tainted.contains(&true) {
            return Ok(());
        }
        self.taint(&[]);
        if compare(&self.shadow, &self.host, &mut |_| {})?.differences > 0 {
            self.taint(&tainted);
            return Ok(());
        }
        for (file, untracked) in files.iter().zip(untracked) {
            file.set_complete_at(untracked);
        }
        Ok(())
    }

    /// Sets in both graphs which VMAs are not compared: by default none.
    fn taint(&mut self, tainted: &[bool]) {
        for graph in [&mut self.shadow, &mut self.host] {
            for (i, vma) in graph.vmas.iter_mut().enumerate() {
                vma.tainted = tainted.get(i).is_some_and(|&tainted| tainted);
            }
        }
    }
}

/// Takes both graphs of all mappings of `files`. Sleeps.
///
/// # Errors
///
/// `ENOMEM`; `EINTR` if the caller is being killed.
pub(crate) fn take(registry: &Registry, files: &[Arc<OpenFile>]) -> Result<Pair> {
    let mut mmaps = AllMmaps::begin(&registry.check_lock);
    let mms = lock_all(&mut mmaps, files)?;

    let mut all = KVVec::with_capacity(mms.len(), GFP_KERNEL)?;
    for mm in &mms {
        all.push(Taken::new(&mmaps, mm)?, GFP_KERNEL)?;
    }
    for taken in all.iter_mut() {
        sync::finish(&mut taken.pass, &taken.mm.core.mmap_write())?;
        taken.mm.forget_unmapped();
    }
    let owners = owners(&all)?;
    let shadow = shadow_graph(&all, &owners)?;
    let host = host_graph(&all, &owners, &mmaps)?;
    let mut untracked = None;
    if files.iter().all(|file| file.has_all_vmas()) {
        let mut counts = KVVec::with_capacity(files.len(), GFP_KERNEL)?;
        for file in files {
            counts.push(file.untracked.load(Relaxed), GFP_KERNEL)?;
        }
        untracked = Some(counts);
    }
    drop(all);
    drop(mmaps);
    Ok(Pair {
        shadow,
        host,
        untracked,
    })
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
            return Ok(mms);
        }
    }
}

/// An address space while its graphs are taken.
struct Taken<'a> {
    mm: &'a LiveMm,
    /// The shadow's VMAs.
    pass: Pass,
    /// The host's VMAs, in order of their keys.
    listed: KVVec<HostVma<'a>>,
    /// Those of them that the shadow does not have, in order of address.
    unknown: KVVec<HostVma<'a>>,
}

impl<'a> Taken<'a> {
    /// Lists the host's VMAs, and brings the shadow's up to date, but for new pages.
    fn new(mmaps: &'a AllMmaps<'_>, mm: &'a LiveMm) -> Result<Self> {
        if host::mm::is_being_killed() {
            return Err(EINTR);
        }
        mm.changed_around.store(false, Relaxed);
        let mut listed = vm_ops::shadowed_vmas(mmaps, mm)?;
        for &host in &listed {
            mmaps.start_write(host);
        }
        let vmas = mm.vmas()?;
        if mm.file.is_complete() {
            vmas.iter().for_each(|vma| vma.core.set_tracked());
        }
        let mut keys = KVVec::with_capacity(vmas.len(), GFP_KERNEL)?;
        for key in vmas.iter().filter_map(|vma| vma.host.key()) {
            keys.push(key, GFP_KERNEL)?;
        }
        sort_by_key(&mut keys, |&key| key);
        let mut unknown = KVVec::new();
        for &host in &listed {
            if keys.binary_search(&host.key()).is_err() {
                unknown.push(host, GFP_KERNEL)?;
            }
        }
        sort_by_key(&mut listed, |host| host.key());
        for vma in &vmas {
            let key = vma.host.key();
            if key.is_some_and(|key| find(&listed, key).is_none()) {
                // The host has removed it without a callback, so it may be gone.
                vma.host.clear();
            }
        }
        Ok(Self {
            mm,
            pass: sync::begin(vmas, &mut mm.core.mmap_write())?,
            listed,
            unknown,
        })
    }

    /// Returns the host's VMA that belongs to `vma`, if the host has it.
    fn host_of(&self, vma: &LiveVma) -> Option<HostVma<'a>> {
        find(&self.listed, vma.host.key()?)
    }
}

/// Returns the VMA with this key, of a list in order of the keys.
fn find<'a>(listed: &[HostVma<'a>], key: usize) -> Option<HostVma<'a>> {
    let i = listed.binary_search_by_key(&key, |host| host.key()).ok()?;
    listed.get(i).copied()
}

/// Returns the processes of the address spaces, in the same order.
fn owners(all: &[Taken<'_>]) -> Result<KVVec<MmNode>> {
    let mut owners: KVVec<(usize, i32, Comm)> = KVVec::with_capacity(all.len(), GFP_KERNEL)?;
    for taken in all {
        owners.push((taken.mm.key(), 0, [0; 16]), GFP_KERNEL)?;
    }
    sort_by_key(&mut owners, |owner| owner.0);
    host::mm::for_each_process(|key, pid, comm| {
        if let Ok(i) = owners.binary_search_by_key(&key, |owner| owner.0) {
            if let Some(owner) = owners.get_mut(i) {
                *owner = (key, pid, comm);
            }
        }
    });
    let mut nodes = KVVec::with_capacity(all.len(), GFP_KERNEL)?;
    for taken in all {
        let owner = owners
            .binary_search_by_key(&taken.mm.key(), |owner| owner.0)
            .ok()
            .and_then(|i| owners.get(i));
        let node = MmNode {
            id: taken.mm.id,
            pid: owner.map_or(0, |owner| owner.1),
            comm: owner.map_or([0; 16], |owner| owner.2),
        };
        nodes.push(node, GFP_KERNEL)?;
    }
    Ok(nodes)
}

/// Returns a VMA without links at `place`.
fn vma_at(id: u64, mm: usize, place: Place) -> VmaNode {
    VmaNode {
        id,
        mm,
        start: place.addresses.0,
        end: place.addresses.1,
        pgoff: place.pgoff,
        anon_vma: None,
        chain: KVVec::new(),
        absent: false,
        reused: None,
        tainted: false,
    }
}

/// Returns the shadow's VMAs in the order of the graphs, each with its address space.
fn all_vmas<'a>(all: &'a [Taken<'_>]) -> Result<KVVec<(usize, &'a Seen)>> {
    let n = all.iter().map(|taken| taken.pass.vmas.len()).sum();
    let mut vmas = KVVec::with_capacity(n, GFP_KERNEL)?;
    for (mm, taken) in all.iter().enumerate() {
        for seen in &taken.pass.vmas {
            vmas.push((mm, seen), GFP_KERNEL)?;
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
    for &(mm, seen) in &vmas {
        let node = VmaNode {
            reused: seen.vma.reused.map(|(rule, _)| rule),
            tainted: seen.vma.core.is_untracked(),
            ..vma_at(seen.vma.id(), mm, seen.vma.place.get())
        };
        builder.vma(seen.vma.key(), node)?;
    }
    for (index, &(_, seen)) in vmas.iter().enumerate() {
        let vma = &seen.vma.core;
        let mmap = seen.vma.mm.core.mmap_read();
        for anon_vma in vma.links(&mmap) {
            add_anon_vma(&mut builder, anon_vma.root())?;
            add_anon_vma(&mut builder, anon_vma)?;
            builder.chain_entry(index, anon_vma.key())?;
        }
        if let Some(anon_vma) = vma.anon_vma(&mmap) {
            builder.active(index, anon_vma.key());
        }
    }
    let mut pages: KVVec<&LivePage> = KVVec::new();
    for (i, (_, seen)) in vmas.iter().enumerate() {
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
fn walk(builder: &mut Builder, page: &LivePage, all: &[(usize, &Seen)]) -> Result {
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

/// Takes the graph of the host: its VMAs in the shadow's order, then those that the shadow does not have.
fn host_graph(all: &[Taken<'_>], owners: &[MmNode], mmaps: &AllMmaps<'_>) -> Result<Graph> {
    let mut builder = Builder::new(Source::Host);
    let vmas = all_vmas(all)?;
    let mut hosts: KVVec<Option<HostVma<'_>>> = KVVec::with_capacity(vmas.len(), GFP_KERNEL)?;
    for &owner in owners {
        builder.mm(owner)?;
    }
    for &(mm, seen) in &vmas {
        let host = all.get(mm).and_then(|taken| taken.host_of(&seen.vma));
        let place = host.map_or_else(|| seen.vma.place.get(), Place::of);
        let node = VmaNode {
            absent: host.is_none(),
            reused: seen.vma.reused.map(|(_, host)| host),
            tainted: seen.vma.core.is_untracked(),
            ..vma_at(seen.vma.id(), mm, place)
        };
        builder.vma(host.map_or(seen.vma.key(), HostVma::key), node)?;
        hosts.push(host, GFP_KERNEL)?;
    }
    for (taken, &owner) in all.iter().zip(owners) {
        for &host in &taken.unknown {
            // VMAs come in order of their address spaces, so this one comes again.
            let mm = builder.mm(owner)?;
            builder.vma(host.key(), vma_at(0, mm, Place::of(host)))?;
            hosts.push(Some(host), GFP_KERNEL)?;
        }
    }
    for (i, host) in hosts.iter().enumerate() {
        if let &Some(host) = host {
            host::graph::add_links(&mut builder, mmaps, host, i)?;
        }
    }
    for (i, (_, seen)) in vmas.iter().enumerate() {
        for page in &seen.host_pages {
            builder.mapped(i, page.key, page.mapping, page.index, page.mapcount)?;
        }
    }
    builder.walk_all(|vma, at, key| {
        vmas.get(vma)
            .and_then(|(_, seen)| seen.host_page(at))
            .is_some_and(|page| page.key == key)
    })?;
    Ok(builder.finish())
}

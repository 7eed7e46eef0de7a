// SPDX-License-Identifier: GPL-2.0

//! Address spaces that are locked for a check: what the shadow and the host have there.

use super::{
    file::OpenFile,
    live::LiveMm,
    mergeable,
    sync::{
        self,
        Cause,
        Pass, //
    },
    vm_ops, //
};
use crate::{
    host::{
        self,
        mm::{
            AllMmaps,
            LockedMm, //
        },
        vma::HostVma, //
    },
    kernel_ext::{
        gfp::GFP_BOUNDED,
        sched::resched_each,
        sort::sort_by_key, //
    },
    snapshot::{
        Comm,
        MmNode, //
    }, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::Relaxed,
        Arc, //
    },
};

/// Rounds after which a check gives up: in each one it waits for one lock, or finds new address
/// spaces.
const ROUNDS: usize = 1000;

/// Locks all address spaces of `files`, and returns them in order of their numbers.
///
/// A fork may add an address space until its parent is locked, so this repeats until all are
/// locked. What is not busy is locked first: it makes no new address spaces, and leaves the CPU to
/// what is. A process that has the file open, but not mapped, is not locked, and may fork children
/// that map the file for ever.
///
/// # Errors
///
/// `ENOMEM`; `EINTR` if the caller is being killed; `EAGAIN` if there are new address spaces in
/// each round.
pub(super) fn lock_all(
    mmaps: &mut AllMmaps<'_>,
    files: &[Arc<OpenFile>],
) -> Result<KVVec<Arc<LiveMm>>> {
    for _ in 0..ROUNDS {
        let mut mms: KVVec<Arc<LiveMm>> = KVVec::new();
        let (mut all_held, mut busy) = (true, None);
        for file in files {
            for mm in file.mms()? {
                if !mmaps.holds(&mm.host) {
                    all_held = false;
                    match mmaps.lock(mm.host.clone(), false) {
                        Err(error) if error == EAGAIN => busy = busy.or(Some(mm.clone())),
                        locked => locked?,
                    }
                }
                mms.push(mm, GFP_BOUNDED)?;
            }
        }
        if all_held {
            sort_by_key(&mut mms, |mm| mm.id);
            return Ok(mms);
        }
        // Another file may have the same address space, and its lock may have been free by then.
        if let Some(mm) = busy.filter(|mm| !mmaps.holds(&mm.host)) {
            // This waits for a fork of `mm`; the next round finds the new address space.
            mmaps.lock(mm.host.clone(), true)?;
        }
    }
    Err(EAGAIN)
}

/// The host's VMAs of an address space, each with its lock held for writing: a fault or an
/// `madvise()` may do without the `mmap_lock`.
pub(super) struct Listed<'a> {
    /// The address space, which is locked.
    here: LockedMm<'a>,
    vmas: KVVec<HostVma<'a>>,
    /// The number of VMAs of the file that the shadow does not have.
    skipped: usize,
}

impl<'a> Listed<'a> {
    /// Lists and locks the VMAs. Sleeps.
    ///
    /// The pages of one address space are not looked at before the VMAs of all are locked: another
    /// process may map or unmap them meanwhile, and the mapcount would be that of another moment.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EINTR` if this thread is being killed.
    pub(super) fn new(mmaps: &'a AllMmaps<'_>, mm: &LiveMm) -> Result<Self> {
        let mut skipped = 0;
        let here = mmaps.locked(&mm.host)?;
        let vmas = vm_ops::shadowed_vmas(here, mm, || skipped += 1)?;
        for &host in resched_each(&vmas) {
            mmaps.start_write(host)?;
        }
        Ok(Self {
            here,
            vmas,
            skipped,
        })
    }

    /// Returns the VMAs, in order of address.
    pub(super) fn vmas(&self) -> &[HostVma<'a>] {
        &self.vmas
    }
}

/// An address space while its graphs are taken.
pub(super) struct Taken<'a> {
    pub(super) mm: &'a LiveMm,
    /// The host's address space, which is locked.
    pub(super) here: LockedMm<'a>,
    /// The shadow's VMAs.
    pub(super) pass: Pass,
    /// The host's VMA of each of the shadow's, unless the host has removed it.
    pub(super) hosts: KVVec<Option<HostVma<'a>>>,
    /// Those of them that the shadow does not have, in order of address.
    pub(super) unknown: KVVec<HostVma<'a>>,
    /// Whether the shadow has all VMAs, as far as only the host's list tells.
    pub(super) has_all_vmas: bool,
}

impl<'a> Taken<'a> {
    /// Brings the shadow's VMAs up to date, but for new pages.
    pub(super) fn new(mm: &'a LiveMm, listed: Listed<'a>) -> Result<Self> {
        if host::mm::is_being_killed() {
            return Err(EINTR);
        }
        mm.changed_around.store(false, Relaxed);
        let (here, mut listed, skipped) = (listed.here, listed.vmas, listed.skipped);
        let mut mmap = mm.core.mmap_write();
        if mm.file.is_mergeable() {
            mergeable::follow(mm, here, &mut mmap, mergeable::Prepare::All, Cause::Check)?;
            mm.note_look();
            // The check holds all locks for writing: no process forks now.
            mm.closed_early.store(false, Relaxed);
        }
        let vmas = mm.vmas()?;
        if mm.file.is_complete() {
            vmas.iter().for_each(|vma| vma.core.set_tracked());
        }
        let mut keys = KVVec::with_capacity(vmas.len(), GFP_BOUNDED)?;
        for (i, vma) in resched_each(&vmas).enumerate() {
            keys.push((vma.host.key(), i), GFP_BOUNDED)?;
        }
        sort_by_key(&mut keys, |key| key.0);
        let mut unknown = KVVec::new();
        for &host in resched_each(&listed) {
            if keys
                .binary_search_by_key(&Some(host.key()), |key| key.0)
                .is_err()
            {
                unknown.push(host, GFP_BOUNDED)?;
            }
        }
        sort_by_key(&mut listed, |host| host.key());
        let mut hosts = KVVec::from_elem(None, vmas.len(), GFP_BOUNDED)?;
        for &(key, i) in resched_each(&keys) {
            let Some(vma) = vmas.get(i) else {
                continue;
            };
            // Another VMA may be in the same memory.
            let found = key
                .and_then(|key| find(&listed, key))
                .filter(|host| host.private_number() == vma.number());
            if key.is_some() && found.is_none() {
                // No thread is in the midst of unmapping it, so the host has not called `close`.
                vma.host.clear();
                mm.file.numbers.count_unclosed();
            }
            if let Some(host) = hosts.get_mut(i) {
                *host = found;
            }
        }
        let pass = sync::begin(vmas, here, Cause::Check, &mut mmap)?;
        for (seen, host) in resched_each(pass.vmas.iter().zip(&hosts)) {
            if let Some(host) = host.filter(|_| seen.vma.core.is_untracked()) {
                // A part may have been split off that the shadow had no memory for. If it is gone,
                // the family can be compared again.
                seen.vma.set_place(seen.vma.place_before_unlink(host));
            }
        }
        Ok(Self {
            mm,
            here,
            pass,
            hosts,
            unknown,
            has_all_vmas: !mm.file.is_mergeable() || skipped == 0,
        })
    }
}

/// Returns the VMA with this key, of a list in order of the keys.
fn find<'a>(listed: &[HostVma<'a>], key: usize) -> Option<HostVma<'a>> {
    let i = listed.binary_search_by_key(&key, |host| host.key()).ok()?;
    listed.get(i).copied()
}

/// Returns the processes of the address spaces, in the same order.
pub(super) fn owners(all: &[Taken<'_>]) -> Result<KVVec<MmNode>> {
    let mut owners: KVVec<(usize, i32, Comm)> = KVVec::with_capacity(all.len(), GFP_BOUNDED)?;
    for taken in all {
        owners.push((taken.mm.key(), 0, [0; 16]), GFP_BOUNDED)?;
    }
    sort_by_key(&mut owners, |owner| owner.0);
    host::mm::for_each_process(|key, pid, comm| {
        if let Ok(i) = owners.binary_search_by_key(&key, |owner| owner.0) {
            if let Some(owner) = owners.get_mut(i) {
                *owner = (key, pid, comm);
            }
        }
    });
    let mut nodes = KVVec::with_capacity(all.len(), GFP_BOUNDED)?;
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
        nodes.push(node, GFP_BOUNDED)?;
    }
    Ok(nodes)
}

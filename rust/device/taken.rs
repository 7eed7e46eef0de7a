// SPDX-License-Identifier: GPL-2.0

//! Address spaces that are locked for a check: what the shadow and the host have there.

use super::{
    file::OpenFile,
    live::{
        LiveMm,
        LiveVma, //
    },
    mergeable,
    sync::{
        self,
        Pass, //
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

/// Locks all address spaces of `files`, and returns them in order of their numbers.
///
/// A fork may add an address space until its parent is locked, so this repeats until all are
/// locked.
pub(super) fn lock_all(
    mmaps: &mut AllMmaps<'_>,
    files: &[Arc<OpenFile>],
) -> Result<KVVec<Arc<LiveMm>>> {
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
pub(super) struct Taken<'a> {
    pub(super) mm: &'a LiveMm,
    /// The shadow's VMAs.
    pub(super) pass: Pass,
    /// The host's VMAs, in order of their keys.
    listed: KVVec<HostVma<'a>>,
    /// Those of them that the shadow does not have, in order of address.
    pub(super) unknown: KVVec<HostVma<'a>>,
    /// Whether the shadow has all VMAs, as far as only the host's list tells.
    pub(super) has_all_vmas: bool,
}

impl<'a> Taken<'a> {
    /// Lists the host's VMAs, and brings the shadow's up to date, but for new pages.
    pub(super) fn new(mmaps: &'a AllMmaps<'_>, mm: &'a LiveMm) -> Result<Self> {
        if host::mm::is_being_killed() {
            return Err(EINTR);
        }
        mm.changed_around.store(false, Relaxed);
        let mut skipped = 0;
        let mut listed = vm_ops::shadowed_vmas(mmaps.locked(&mm.host)?, mm, || skipped += 1)?;
        for &host in resched_each(&listed) {
            mmaps.start_write(host);
        }
        let mut mmap = mm.core.mmap_write();
        if mm.file.is_mergeable() {
            mergeable::follow(mm, &mut mmap, mergeable::Prepare::All)?;
            mm.note_look();
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
        for &host in resched_each(&listed) {
            if keys.binary_search(&host.key()).is_err() {
                unknown.push(host, GFP_KERNEL)?;
            }
        }
        sort_by_key(&mut listed, |host| host.key());
        for vma in resched_each(&vmas) {
            let key = vma.host.key();
            if key.is_some_and(|key| find(&listed, key).is_none()) {
                // The host has removed it without a callback, so it may be gone.
                vma.host.clear();
            }
        }
        Ok(Self {
            mm,
            pass: sync::begin(vmas, &mut mmap)?,
            listed,
            unknown,
            has_all_vmas: !mm.file.is_mergeable() || skipped == 0,
        })
    }

    /// Returns the host's VMA that belongs to `vma`, if the host has it.
    pub(super) fn host_of(&self, vma: &LiveVma) -> Option<HostVma<'a>> {
        find(&self.listed, vma.host.key()?)
    }
}

/// Returns the VMA with this key, of a list in order of the keys.
fn find<'a>(listed: &[HostVma<'a>], key: usize) -> Option<HostVma<'a>> {
    let i = listed.binary_search_by_key(&key, |host| host.key()).ok()?;
    listed.get(i).copied()
}

/// Returns the processes of the address spaces, in the same order.
pub(super) fn owners(all: &[Taken<'_>]) -> Result<KVVec<MmNode>> {
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

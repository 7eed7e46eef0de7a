// SPDX-License-Identifier: GPL-2.0

//! An address space with live mappings.

use super::{
    next_id,
    unmapped::UnmappedPages,
    vmas::Vmas,
    LiveVma, //
};
use crate::{
    device::{
        file::OpenFile,
        vm_ops, //
    },
    host::{
        self,
        vma::HostVma, //
    },
    kernel_ext::gfp::GFP_BOUNDED,
    rmap, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        ArcBorrow,
        Mutex, //
    },
};

/// An address space with live mappings of one open file.
#[pin_data]
pub(crate) struct LiveMm {
    /// Its number in output.
    pub(crate) id: u64,
    /// The shadow's `mm_struct`: its locks.
    pub(crate) core: Arc<rmap::mm::Mm>,
    /// The host's `mm_struct`.
    pub(crate) host: ARef<kernel::mm::Mm>,
    /// The file that is mapped.
    pub(crate) file: Arc<OpenFile>,
    /// Whether links have changed in another address space while this `mmap_lock` was held for writing,
    /// perhaps by a fork that has not called `open` yet.
    pub(crate) changed_around: Atomic<bool>,
    /// Whether the shadow may have closed VMAs before the host has unlinked them.
    pub(crate) closed_early: Atomic<bool>,
    /// Whether a VMA was closed after the last user of the address space had gone.
    pub(crate) has_ended: Atomic<bool>,
    /// How often its present fork has waited for other address spaces.
    pub(crate) pauses_at_fork: Atomic<usize>,
    /// Whether the host has moved pages since the last look at all VMAs: one may have lost its links.
    pub(crate) has_moved: Atomic<bool>,
    /// Whether the VMAs that have lost their links by these moves are known.
    pub(crate) knows_lost: Atomic<bool>,
    /// Whether a fault since the last look at all VMAs has seen several users of the address space.
    pub(crate) had_threads: Atomic<bool>,
    /// Whether a VMA may have got, since the last look at all VMAs, links that only that look finds.
    pub(crate) has_unseen_links: Atomic<bool>,
    /// The fingerprint of the host's address space when the shadow had all of its changes; 0 if the
    /// driver was called since.
    looked_at: Atomic<usize>,
    /// The number of its VMAs in the shadow.
    pub(super) nr_vmas: Atomic<usize>,
    /// How many more VMAs the host had at the last look at all of them, wrapping around: those of others.
    /// The largest number if there was no look.
    others: Atomic<usize>,
    /// How often a look at all VMAs may yet be left out, though that number has changed.
    looks_left: Atomic<usize>,
    /// The child of its last fork, if the shadow had no memory for the first VMA of that, or a limit was
    /// reached. While this is held, no other child is in the same memory.
    #[pin]
    refused_child: Mutex<Option<ARef<kernel::mm::Mm>>>,
    #[pin]
    pub(super) vmas: Vmas,
    /// The pages that were unmapped since the last update. When `mremap()` moves a VMA beside a
    /// compatible one, the host lets that one grow and opens no new VMA; the pages then appear
    /// there.
    #[pin]
    pub(crate) unmapped: UnmappedPages,
}

impl LiveMm {
    /// Returns whether the VMA that the host copies now is the first that it copies to the address
    /// space `child`. Sleeps.
    pub(crate) fn begins_to_fork(&self, child: usize) -> bool {
        let refused = self.refused_child.lock();
        let is_refused = refused
            .as_ref()
            .is_some_and(|mm| mm.as_raw().addr() == child);
        drop(refused);
        !is_refused && self.file.mm(child).is_none()
    }

    /// Sets the child of which the shadow does not have the first VMA. Sleeps.
    pub(crate) fn set_refused_child(&self, child: Option<ARef<kernel::mm::Mm>>) {
        let before = core::mem::replace(&mut *self.refused_child.lock(), child);
        drop(before);
    }

    /// Creates the shadow of the address space of `vma`, without VMAs. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(file: ArcBorrow<'_, OpenFile>, vma: HostVma<'_>) -> Result<Arc<Self>> {
        let core = Arc::pin_init(
            rmap::mm::Mm::new(file.registry.cache.clone(), ()),
            GFP_BOUNDED,
        )?;
        Arc::pin_init(
            pin_init!(Self {
                id: next_id(),
                core,
                host: vma.mm(),
                file: file.into(),
                changed_around: Atomic::new(false),
                closed_early: Atomic::new(false),
                has_ended: Atomic::new(false),
                pauses_at_fork: Atomic::new(0),
                has_moved: Atomic::new(false),
                knows_lost: Atomic::new(false),
                had_threads: Atomic::new(false),
                has_unseen_links: Atomic::new(false),
                looked_at: Atomic::new(0),
                nr_vmas: Atomic::new(0),
                others: Atomic::new(usize::MAX),
                looks_left: Atomic::new(0),
                refused_child <- new_mutex!(None, "shadow_rmap::refused_child"),
                vmas <- Vmas::new(),
                unmapped <- UnmappedPages::new(),
            }),
            GFP_BOUNDED,
        )
    }

    /// Returns the key that identifies this address space.
    pub(crate) fn key(&self) -> usize {
        self.host.as_raw().addr()
    }

    /// Returns the number of users of the host's address space; 0 once the mappings are being
    /// removed.
    pub(crate) fn users(&self) -> i32 {
        host::mm::users(&self.host)
    }

    /// Returns whether any thread holds the host's `mmap_lock` now.
    pub(crate) fn is_locked_by_host(&self) -> bool {
        host::mm::is_locked(&self.host)
    }

    /// Returns whether the host's `mmap_lock` is held for writing now, as it is during a fork.
    pub(crate) fn may_fork_now(&self) -> bool {
        host::mm::is_write_locked(&self.host)
    }

    /// Returns whether the host's VMAs are probably the same as at the last look at all of them. The
    /// process has not ended.
    pub(crate) fn seems_unchanged(&self) -> bool {
        host::mm::fingerprint(&self.host) == Some(self.looked_at.load(Relaxed))
    }

    /// Notes that the shadow has all changes of the VMAs. The caller holds the host's `mmap_lock`.
    pub(crate) fn note_look(&self) {
        let now = host::mm::fingerprint(&self.host).unwrap_or(0);
        self.looked_at.store(now, Relaxed);
    }

    /// Notes that the driver was called because of a change of the VMAs.
    pub(crate) fn note_call(&self) {
        self.looked_at.store(0, Relaxed);
    }

    /// Returns the VMA with this number, if it is of this address space.
    pub(crate) fn vma(&self, number: usize) -> Option<Arc<LiveVma>> {
        let vma = self.file.numbers.get(number);
        vma.filter(|vma| core::ptr::eq(&*vma.mm, self))
    }

    /// Returns the shadow's VMA of `host`, which may be a VMA of any driver.
    pub(crate) fn vma_of(&self, host: HostVma<'_>) -> Option<Arc<LiveVma>> {
        if !vm_ops::is_of(host, &self.file) {
            return None;
        }
        self.vma(host.private_number())
    }

    /// Returns the number of VMAs.
    pub(crate) fn nr_vmas(&self) -> usize {
        self.nr_vmas.load(Relaxed)
    }

    /// Notes how many other VMAs the host has. The shadow has all that are its own.
    pub(crate) fn note_others(&self) {
        self.others.store(self.nr_others(), Relaxed);
        self.looks_left.store(self.nr_vmas() / 2, Relaxed);
    }

    /// Returns whether the number of VMAs has changed since then in a way of which no event tells.
    pub(crate) fn has_other_vmas(&self) -> bool {
        self.others.load(Relaxed) != self.nr_others()
    }

    /// Returns whether an event may leave a look at all VMAs out. After half as many such events as there
    /// were VMAs it may not: the look then costs each of them little, and finds the VMAs that are gone.
    pub(crate) fn leaves_look_out(&self) -> bool {
        let left = self.looks_left.load(Relaxed);
        self.looks_left.store(left.saturating_sub(1), Relaxed);
        left > 0
    }

    fn nr_others(&self) -> usize {
        host::mm::map_count(&self.host).wrapping_sub(self.nr_vmas())
    }

    /// Notes that the host moves pages.
    pub(crate) fn note_move(&self) {
        self.has_moved.store(true, Relaxed);
        self.knows_lost.store(false, Relaxed);
    }

    /// Notes that the host has unlinked by now what the shadow may have closed before that. A fork of
    /// another process may have decided in between. The caller holds the host's `mmap_lock` for writing.
    pub(crate) fn note_early_closes(&self) {
        if self.closed_early.load(Relaxed) {
            self.closed_early.store(false, Relaxed);
            self.file.note_change(&[self.key()]);
        }
    }

    /// Notes whether a fault sees other users of the address space.
    pub(crate) fn note_threads(&self) {
        if self.users() > 1 {
            self.had_threads.store(true, Relaxed);
        }
    }

    /// Notes that all VMAs were looked at, with their pages, and forgets those that are mapped no
    /// more. The caller holds the host's `mmap_lock`. Sleeps.
    pub(crate) fn note_whole_look(&self) {
        self.has_moved.store(false, Relaxed);
        self.had_threads.store(false, Relaxed);
        self.has_unseen_links.store(false, Relaxed);
        self.unmapped.forget();
    }
}

// SPDX-License-Identifier: GPL-2.0

//! A VMA of a live mapping.

use super::{
    next_id,
    page::{
        clear,
        take_range,
        MappedPages,
        PageTree, //
    },
    place::{
        Place,
        PlaceCell, //
    },
    LiveMm,
    LivePage,
    PageRoom, //
};
use crate::{
    device::vm_ops::Opening,
    host::{
        cell::HostVmaCell,
        mm::LockedMm,
        vma::HostVma, //
    },
    kernel_ext::{
        gather::gather,
        gfp::GFP_BOUNDED,
        sched::{
            cond_resched,
            resched_each, //
        }, //
    },
    rmap::{
        self,
        mm::MmapLocked, //
    },
    snapshot::Reused, //
};
use kernel::{
    alloc::AllocError,
    new_mutex,
    prelude::*,
    rbtree::RBTree,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Mutex, //
    },
};

/// The number of notes of links so far.
static NOTES: Atomic<u64> = Atomic::new(0);

/// A live VMA.
///
/// Fields are dropped from top to bottom: the pages go before the links by which they are found
/// (R21).
#[pin_data]
pub(crate) struct LiveVma {
    /// Its page table: the anonymous pages that it maps.
    #[pin]
    pages: Mutex<MappedPages>,
    /// The shadow's `vm_area_struct`.
    #[pin]
    pub(crate) core: rmap::vma::Vma,
    /// The host's VMA.
    #[pin]
    pub(crate) host: HostVmaCell,
    /// Its address space.
    pub(crate) mm: Arc<LiveMm>,
    /// First address in the host at the last look, in bytes.
    pub(crate) start: Atomic<usize>,
    /// Where it is, as it follows from the events; see `device/layout.rs`.
    pub(crate) place: PlaceCell,
    /// The key of the host's anon_vma at the last update of the links; 0 for none. Type-safe memory
    /// comes again: see [`has_lost_links`](Self::has_lost_links).
    host_key: Atomic<usize>,
    /// Whether the host's VMA had one link then, to a root.
    host_alone: Atomic<bool>,
    /// When that update was: the later, the larger.
    noted_at: Atomic<u64>,
    /// Whether it may map pages of zeroes. The host gives it an anon_vma without a callback when one
    /// of these is written to.
    pub(crate) may_have_zero_pages: Atomic<bool>,
    /// Whether a look has seen that it has lost its links, and none has given it others since.
    pub(crate) is_lost: Atomic<bool>,
    /// Whether its pages have been moved, so that it may lose its links or have lost them.
    pub(crate) may_lose: Atomic<bool>,
    /// Whether the host has made it for pages that it is about to move, from a VMA that the shadow
    /// knows.
    pub(crate) awaits_move: Atomic<bool>,
    /// Whether it had no links at the begin of the present look at all mergeable VMAs.
    pub(crate) was_unfaulted: Atomic<bool>,
    /// Which anon_vma was reused when it was forked, by the rule and by the host; `None` if that is
    /// not known, or it was not forked.
    pub(crate) reused: Option<(Reused, Reused)>,
    /// The number of a VMA that the host has merged into this one against the rules (R26); 0 for
    /// none.
    pub(crate) wrongly_merged: Atomic<u64>,
    /// Number of pages that it adds to the count of the file.
    pub(crate) charged: Atomic<usize>,
}

impl LiveVma {
    /// Creates a VMA that is in no tree and has no links. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(
        mm: &Arc<LiveMm>,
        opening: &Opening<'_>,
        reused: Option<(Reused, Reused)>,
    ) -> Result<Arc<Self>> {
        let (id, host) = (next_id(), opening.host());
        // The module is for 64-bit machines.
        let cell = opening.cell(id as usize);
        let (first, place) = (host.start(), Place::of(host));
        let core = rmap::vma::Vma::new(mm.core.clone(), host.range(), 0, id);
        Arc::pin_init(
            pin_init!(Self {
                pages <- new_mutex!(MappedPages::new(), "shadow_rmap::pages"),
                core <- core,
                host <- cell,
                mm: mm.clone(),
                start: Atomic::new(first),
                place: PlaceCell::new(place),
                host_key: Atomic::new(0),
                host_alone: Atomic::new(false),
                noted_at: Atomic::new(0),
                may_have_zero_pages: Atomic::new(false),
                is_lost: Atomic::new(false),
                may_lose: Atomic::new(false),
                awaits_move: Atomic::new(false),
                was_unfaulted: Atomic::new(true),
                reused,
                wrongly_merged: Atomic::new(0),
                charged: Atomic::new(0),
            }),
            GFP_BOUNDED,
        )
    }

    /// Returns its number in output.
    pub(crate) fn id(&self) -> u64 {
        self.core.id()
    }

    /// Returns its number as the host's VMA and the open file keep it.
    pub(crate) fn number(&self) -> usize {
        self.id() as usize
    }

    /// Notes that the links now correspond to those that the host's VMA has.
    pub(crate) fn note_links(&self, host: HostVma<'_>) {
        self.mm.note_host_key(self, || {
            let key = host.anon_vma_key();
            self.host_key.store(key, Relaxed);
            key
        });
        self.host_alone.store(host.has_root_alone(), Relaxed);
        self.is_lost.store(false, Relaxed);
        self.noted_at.store(NOTES.fetch_add(1, Relaxed), Relaxed);
    }

    /// Returns the key of the host's anon_vma; 0 for none, or if the host's VMA is gone. Sleeps.
    pub(crate) fn key_in_host(&self, here: LockedMm<'_>) -> usize {
        self.host
            .read(here, |host| host.anon_vma_key())
            .unwrap_or(0)
    }

    /// Returns the key of the host's anon_vma at the last [`note_links`](Self::note_links), 0 for
    /// none, and when that was.
    pub(crate) fn noted(&self) -> (usize, u64) {
        (self.host_key.load(Relaxed), self.noted_at.load(Relaxed))
    }

    /// Returns whether `host`, which had another anon_vma or none, seems to have the one that this VMA
    /// has in the shadow. It then has as many links.
    pub(crate) fn had_anon_vma_of(&self, host: HostVma<'_>) -> bool {
        let key = self.host_key.load(Relaxed);
        let fewer = host.has_root_alone() && !self.host_alone.load(Relaxed);
        key != 0 && host.anon_vma_key() == key && !fewer
    }

    /// Returns whether the host has unlinked the VMA since [`note_links`](Self::note_links), and
    /// has perhaps prepared it again.
    ///
    /// A VMA that is prepared has one link, to a root. If its anon_vma is at the same address as
    /// before, then either it is the same anon_vma; or the old one was freed, so that no VMA is
    /// linked to it any more. In the second case a VMA that had one link to a root has the same
    /// structure as before, and nothing is to be done, unless its page offsets were others: a VMA
    /// that is unlinked gets those of a new mapping.
    pub(crate) fn has_lost_links(&self, host: HostVma<'_>) -> bool {
        if self.core.is_unfaulted() {
            return false;
        }
        let key = host.anon_vma_key();
        // Links that it has inherited late may have been noted when the host had taken them away: that
        // takes a move.
        (key == 0 && self.mm.has_moved.load(Relaxed))
            || key != self.host_key.load(Relaxed)
            || (host.has_root_alone() && !self.host_alone.load(Relaxed))
            || (Place::of(host).shift() == 0 && self.place.get().shift() != 0)
            // It was seen without them before it was prepared again in the same memory.
            || self.is_lost.load(Relaxed)
    }

    /// Returns where `host` is. If it has lost its links, and has got the page offsets of a new
    /// mapping with that, they are those of before.
    pub(crate) fn place_before_unlink(&self, host: HostVma<'_>) -> Place {
        let now = Place::of(host);
        match now.shift() == 0 && self.has_lost_links(host) {
            true => self.place.get().between(now.addresses),
            false => now,
        }
    }

    /// Sets where it is, as it follows from the events. Sleeps.
    pub(crate) fn set_place(&self, place: Place) {
        self.mm.set_place(self, place);
    }

    /// Returns whether this VMA is where `host` is.
    pub(crate) fn is_in_place(&self, host: HostVma<'_>) -> bool {
        self.place.get() == Place::of(host)
    }

    /// Returns whether place and links of this VMA are known to be those of `host`: it is where
    /// `host` is, has not lost its links, and has an anon_vma if `host` has one.
    pub(crate) fn is_settled(&self, host: HostVma<'_>) -> bool {
        self.is_in_place(host)
            && !self.has_lost_links(host)
            && self.core.is_unfaulted() == (host.anon_vma_key() == 0)
    }

    /// Returns the key that identifies this VMA in the reverse map.
    pub(crate) fn key(&self) -> usize {
        self.core.key()
    }

    /// Returns the key of its anon_vma in the shadow.
    pub(crate) fn own_key(&self, mmap: &impl MmapLocked) -> Option<usize> {
        self.core.anon_vma(mmap).map(|own| own.key())
    }

    /// Returns whether the host has forked it, or merged another one into it, against the rules (R24, R26).
    pub(crate) fn was_made_against_rules(&self) -> bool {
        let forked = self.reused.is_some_and(|(rule, host)| rule != host);
        let merged = self.wrongly_merged.load(Relaxed) > 0;
        (forked || merged) && !self.core.is_untracked()
    }

    /// Returns the pages that it maps at the page offsets `first..=last`, in order. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn pages_in(
        &self,
        first: usize,
        last: usize,
    ) -> Result<KVVec<(usize, Arc<LivePage>)>> {
        let each = |pages: &mut PageTree, f: &mut dyn FnMut(usize, &Arc<LivePage>) -> Result| {
            let mut cursor = pages.cursor_lower_bound_mut(&(first, 0));
            while let Some(here) = cursor {
                cond_resched();
                let (&(at, _), page) = here.current();
                if at > last {
                    break;
                }
                f(at, page)?;
                cursor = here.move_next();
            }
            Ok(())
        };
        gather(
            || self.pages.lock(),
            |pages| {
                let mut n = 0;
                // The visitor only counts, and does not fail.
                let _ = each(pages, &mut |_, _| {
                    n += 1;
                    Ok(())
                });
                n
            },
            |pages, all| {
                each(pages, &mut |at, page| {
                    Ok(all.push((at, page.clone()), GFP_BOUNDED)?)
                })
                .map_err(|_: Error| AllocError)
            },
        )
    }

    /// Maps `page` at page offset `at`, where no page is mapped, using the memory `room`. Sleeps;
    /// allocates nothing.
    pub(super) fn map_page(&self, room: PageRoom, at: usize, page: Arc<LivePage>) {
        self.map_pages(core::iter::once((room, (at, page))));
    }

    /// Returns whether it maps `page` at page offset `at`. Sleeps.
    pub(super) fn maps(&self, at: usize, page: &Arc<LivePage>) -> bool {
        let mut pages = self.pages.lock();
        // One page is mapped at an offset.
        let here = pages.cursor_lower_bound_mut(&(at, 0));
        here.is_some_and(|here| here.current().0 .0 == at && Arc::ptr_eq(here.current().1, page))
    }

    /// Unmaps `page` from page offset `at`. Sleeps; allocates nothing.
    pub(crate) fn unmap_page(&self, at: usize, page: &Arc<LivePage>) {
        let node = {
            let mut pages = self.pages.lock();
            // One page is mapped at an offset.
            let here = pages.cursor_lower_bound_mut(&(at, 0));
            here.filter(|here| here.current().0 .0 == at && Arc::ptr_eq(here.current().1, page))
                .map(|here| here.remove_current().1)
        };
        if let Some(node) = node {
            page.rmap.remove_rmap();
            self.mm
                .unmapped
                .keep(node.into_reservation(), at, page.clone());
        }
    }

    /// Moves the pages at the page offsets `first..=last` to `part`, which has none, after a split.
    /// No PTE changes. Sleeps; allocates nothing.
    ///
    /// `all` is the number of pages of the whole VMA: the smaller part is moved node by node.
    pub(super) fn split_pages(&self, part: &Self, first: usize, last: usize, all: usize) {
        let mut from = core::mem::take(&mut **self.pages.lock());
        let mut to = RBTree::new();
        if 2 * (last - first + 1) <= all {
            take_range(&mut from, &mut to, first, last);
        } else {
            core::mem::swap(&mut from, &mut to);
            if let Some(before) = first.checked_sub(1) {
                take_range(&mut to, &mut from, 0, before);
            }
            if let Some(after) = last.checked_add(1) {
                take_range(&mut to, &mut from, after, usize::MAX);
            }
        }
        **self.pages.lock() = from;
        let replaced = core::mem::replace(&mut **part.pages.lock(), to);
        resched_each(replaced.values()).for_each(|page| page.rmap.remove_rmap());
    }

    /// Maps pages at their page offsets, as [`map_page`](Self::map_page). Sleeps; allocates
    /// nothing.
    pub(super) fn map_pages(&self, all: impl Iterator<Item = (PageRoom, (usize, Arc<LivePage>))>) {
        let mut pages = self.pages.lock();
        for (room, (at, page)) in all {
            let replaced = pages.insert(room.into_node((at, page.key()), page));
            if let Some(node) = replaced {
                node.to_key_value().1.rmap.remove_rmap();
            }
        }
    }

    /// Unmaps all pages. Sleeps; allocates nothing.
    pub(super) fn clear_pages(&self) {
        let mut pages = core::mem::take(&mut **self.pages.lock());
        for page in resched_each(pages.values()) {
            page.rmap.remove_rmap();
        }
        // At the end of an address space no page is moved.
        match self.mm.users() {
            0 => clear(&mut pages),
            _ => self.mm.unmapped.keep_all(&mut pages),
        }
    }
}

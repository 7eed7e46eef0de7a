// SPDX-License-Identifier: GPL-2.0

//! The shadow's objects for a live mapping: address spaces, VMAs, pages.

use super::file::OpenFile;
use crate::{
    host::vma::{
        HostPage,
        HostVma,
        HostVmaCell, //
    },
    kernel_ext::gather::gather,
    rmap::{
        self,
        anon_vma::PageRmap,
        mm::MmapLocked, //
    },
    stats,
};
use kernel::{
    alloc::AllocError,
    new_mutex,
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNode,
        RBTreeNodeReservation, //
    },
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

/// The numbers that people know address spaces and VMAs by; never used twice.
static NEXT_ID: Atomic<u64> = Atomic::new(1);

fn next_id() -> u64 {
    NEXT_ID.fetch_add(1, Relaxed)
}

/// The VMAs of an address space in order of address; the number keeps two apart that seem to start
/// at the same place because the host has moved one of them without telling.
type VmaTree = RBTree<(usize, u64), Arc<LiveVma>>;

/// Pages, by page offset and by the host's page.
type PageTree = RBTree<(usize, usize), Arc<LivePage>>;

/// A place in a [`PageTree`].
pub(crate) type PageNode = RBTreeNode<(usize, usize), Arc<LivePage>>;

/// Room for a [`PageNode`].
pub(crate) type PageRoom = RBTreeNodeReservation<(usize, usize), Arc<LivePage>>;

/// An address space with live mappings of one open file.
#[pin_data]
pub(crate) struct LiveMm {
    /// Its number, for people.
    pub(crate) id: u64,
    /// Its locks.
    pub(crate) core: Arc<rmap::mm::Mm>,
    /// The host's.
    pub(crate) host: ARef<kernel::mm::Mm>,
    /// The file that is mapped.
    pub(crate) file: Arc<OpenFile>,
    #[pin]
    vmas: Mutex<VmaTree>,
    /// The pages that were unmapped since the last look: where a move ends beside a VMA that goes on
    /// in the same way, the host lets that VMA grow instead of opening a new one, and they turn up
    /// there. Never more than were known at the last look.
    #[pin]
    limbo: Mutex<PageTree>,
}

impl LiveMm {
    /// The shadow of the address space of `vma`, without VMAs. Sleeps.
    pub(crate) fn new(file: ArcBorrow<'_, OpenFile>, vma: HostVma<'_>) -> Result<Arc<Self>> {
        let core = Arc::pin_init(
            rmap::mm::Mm::new(file.registry.cache.clone(), ()),
            GFP_KERNEL,
        )?;
        Arc::pin_init(
            pin_init!(Self {
                id: next_id(),
                core,
                host: vma.mm(),
                file: file.into(),
                vmas <- new_mutex!(RBTree::new(), "shadow_rmap::vmas"),
                limbo <- new_mutex!(RBTree::new(), "shadow_rmap::limbo"),
            }),
            GFP_KERNEL,
        )
    }

    /// What makes it this address space and no other.
    pub(crate) fn key(&self) -> usize {
        self.host.as_raw().addr()
    }

    /// Adds a VMA. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; then nothing has changed.
    pub(crate) fn insert(&self, vma: &Arc<LiveVma>) -> Result {
        let node = RBTreeNodeReservation::new(GFP_KERNEL)?;
        let key = (vma.start.load(Relaxed), vma.id());
        self.vmas.lock().insert(node.into_node(key, vma.clone()));
        Ok(())
    }

    /// Takes a VMA out; whether it was the last. Sleeps.
    pub(crate) fn remove(&self, vma: &LiveVma) -> bool {
        let mut vmas = self.vmas.lock();
        let removed = vmas.remove(&(vma.start.load(Relaxed), vma.id()));
        let last = vmas.is_empty();
        drop(vmas);
        // Its memory may be freed now, without the lock.
        drop(removed);
        last
    }

    /// The VMA starts elsewhere now. Sleeps; allocates nothing.
    pub(crate) fn moved(&self, vma: &Arc<LiveVma>, start: usize) {
        let mut vmas = self.vmas.lock();
        if let Some(node) = vmas.remove_node(&(vma.start.load(Relaxed), vma.id())) {
            vma.start.store(start, Relaxed);
            let node = node
                .into_reservation()
                .into_node((start, vma.id()), vma.clone());
            vmas.insert(node);
        }
    }

    /// All VMAs, in order of address. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn vmas(&self) -> Result<KVVec<Arc<LiveVma>>> {
        gather(
            || self.vmas.lock(),
            |vmas| vmas.values().count(),
            |vmas, all| {
                vmas.values()
                    .try_for_each(|vma| all.push(vma.clone(), GFP_KERNEL))
            },
        )
    }

    /// Those of its VMAs that the shadow has not linked to anything. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn unfaulted(&self) -> Result<KVVec<Arc<LiveVma>>> {
        gather(
            || self.vmas.lock(),
            |vmas| vmas.values().filter(|vma| vma.core.is_unfaulted()).count(),
            |vmas, all| {
                vmas.values()
                    .filter(|vma| vma.core.is_unfaulted())
                    .take(all.capacity())
                    .try_for_each(|vma| all.push(vma.clone(), GFP_KERNEL))
            },
        )
    }

    /// The page that was unmapped from offset `at`, if it was the host's page `key`. Sleeps.
    pub(crate) fn in_limbo(&self, at: usize, key: usize) -> Option<Arc<LivePage>> {
        self.limbo.lock().get(&(at, key)).cloned()
    }

    /// Forgets the pages that were unmapped: none of them has turned up. Sleeps.
    pub(crate) fn clear_limbo(&self) {
        let limbo = core::mem::take(&mut *self.limbo.lock());
        drop(limbo);
    }

    /// Keeps an unmapped page for a while. Sleeps; allocates nothing.
    fn keep(&self, page: PageNode) {
        let replaced = self.limbo.lock().insert(page);
        drop(replaced);
    }
}

/// A live VMA.
#[pin_data]
pub(crate) struct LiveVma {
    /// What the reverse map knows of it.
    #[pin]
    pub(crate) core: rmap::chain::Vma,
    /// The host's VMA.
    #[pin]
    pub(crate) host: HostVmaCell,
    /// Its address space.
    pub(crate) mm: Arc<LiveMm>,
    /// Its first address in bytes, as the tree of its address space knows it.
    pub(crate) start: Atomic<usize>,
    /// The key of the host's anon_vma that it was last brought in line with; 0 for none.
    pub(crate) host_key: Atomic<usize>,
    /// Pages that count against the file's limit for it.
    pub(crate) charged: Atomic<usize>,
    /// The anonymous pages that it maps, by page offset: its page table.
    #[pin]
    pages: Mutex<PageTree>,
}

impl LiveVma {
    /// A VMA that is in no tree and has no links. Sleeps.
    pub(crate) fn new(
        mm: &Arc<LiveMm>,
        host: HostVma<'_>,
        cell: impl PinInit<HostVmaCell>,
    ) -> Result<Arc<Self>> {
        let id = next_id();
        let first = host.start();
        let core = rmap::chain::Vma::new(mm.core.clone(), host.range(), id);
        Arc::pin_init(
            pin_init!(Self {
                core <- core,
                host <- cell,
                mm: mm.clone(),
                start: Atomic::new(first),
                host_key: Atomic::new(0),
                charged: Atomic::new(0),
                pages <- new_mutex!(RBTree::new(), "shadow_rmap::pages"),
            }),
            GFP_KERNEL,
        )
    }

    /// Its number, for people.
    pub(crate) fn id(&self) -> u64 {
        self.core.id()
    }

    /// The shadow's links are now in line with what the host has.
    pub(crate) fn in_line_with(&self, host: HostVma<'_>) {
        self.host_key.store(host.anon_vma_key(), Relaxed);
    }

    /// What makes it this VMA and no other, as the walkers see it.
    pub(crate) fn key(&self) -> usize {
        self.core.key()
    }

    /// The pages that it maps at offsets `first..=last`, in order. Sleeps.
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
                // Counting cannot fail.
                let _ = each(pages, &mut |_, _| {
                    n += 1;
                    Ok(())
                });
                n
            },
            |pages, all| {
                each(pages, &mut |at, page| {
                    Ok(all.push((at, page.clone()), GFP_KERNEL)?)
                })
                .map_err(|_: Error| AllocError)
            },
        )
    }

    /// Maps `page` at offset `at`, where no page is, in `room`. Sleeps; allocates nothing.
    pub(crate) fn map_page(&self, room: PageRoom, at: usize, page: Arc<LivePage>) {
        let node = room.into_node((at, page.key), page);
        let replaced = self.pages.lock().insert(node);
        drop(replaced);
    }

    /// Unmaps `page` from offset `at`. Sleeps; allocates nothing.
    pub(crate) fn unmap_page(&self, at: usize, page: &LivePage) {
        let node = self.pages.lock().remove_node(&(at, page.key));
        if let Some(node) = node {
            page.rmap.remove_rmap();
            self.mm.keep(node);
        }
    }

    /// Hands the pages at offsets `first..=last` over to `part`, which has none: the VMA has been
    /// split. No PTE changes. Sleeps; allocates nothing.
    ///
    /// The smaller share of the two is moved: `all` is how many offsets there are.
    pub(crate) fn split_pages(&self, part: &Self, first: usize, last: usize, all: usize) {
        let mut from = core::mem::take(&mut *self.pages.lock());
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
        *self.pages.lock() = from;
        *part.pages.lock() = to;
    }

    /// Unmaps all pages. Sleeps; allocates nothing.
    pub(crate) fn clear_pages(&self) {
        let mut pages = core::mem::take(&mut *self.pages.lock());
        let mut cursor = pages.cursor_front_mut();
        while let Some(here) = cursor {
            here.current().1.rmap.remove_rmap();
            let (rest, node) = here.remove_current();
            self.mm.keep(node);
            cursor = rest;
        }
    }
}

/// Moves the pages at offsets `first..=last` from one tree to another.
fn take_range(from: &mut PageTree, to: &mut PageTree, first: usize, last: usize) {
    let mut cursor = from.cursor_lower_bound_mut(&(first, 0));
    while let Some(here) = cursor {
        if here.current().0 .0 > last {
            break;
        }
        let (rest, node) = here.remove_current();
        to.insert(node);
        // The cursor goes back where there is nothing behind it.
        cursor = rest.filter(|rest| rest.current().0 .0 >= first);
    }
}

/// An anonymous page of a live mapping.
pub(crate) struct LivePage {
    /// What the reverse map keeps in it.
    pub(crate) rmap: PageRmap,
    /// The host's page, for comparing only.
    pub(crate) key: usize,
    /// Where the host's page led when it was last looked at.
    pub(crate) host_mapping: Atomic<usize>,
}

impl LivePage {
    /// A page seen for the first time: a fault in `vma` made it.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(seen: &HostPage, vma: &LiveVma, mmap: &impl MmapLocked) -> Result<Arc<Self>> {
        // Where there is no memory for it, the page is dropped, and that is counted.
        stats::PAGES_ALLOCATED.inc();
        let page = Arc::new(
            Self {
                rmap: PageRmap::new(seen.at),
                key: seen.key,
                host_mapping: Atomic::new(seen.mapping),
            },
            GFP_KERNEL,
        )?;
        // Faults of live mappings make pages of their own.
        vma.core.add_new_anon_rmap(&page.rmap, true, mmap);
        Ok(page)
    }
}

impl Drop for LivePage {
    fn drop(&mut self) {
        stats::PAGES_FREED.inc();
    }
}

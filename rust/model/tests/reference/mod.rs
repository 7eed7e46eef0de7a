// SPDX-License-Identifier: GPL-2.0

//! A second, simple implementation of the model: lists and numbers, no locks, no pointers, and no
//! count that can be computed.
//!
//! | module | contents | mirrors |
//! |---|---|---|
//! | `area` | the VMAs of an address space: split, merge, move | `mm/vma.c` |
//! | `mmap` | map, unmap, protect, grow, move, fork, exit | `mm/mremap.c`, `kernel/fork.c` |
//! | `memory` | read, write, swap, migrate | `mm/memory.c`, `__anon_vma_prepare()` |
//!
//! The behaviour is that of 7.3; with [`Area`]s of an address space that is `shared`, that of April
//! 2010 (R25). `sequences` compares the model with it after each step. It shares no code with the
//! model.

mod area;
mod memory;
mod mmap;

pub(super) use area::{
    Area,
    Space, //
};

use core::mem;
use kernel::prelude::*;

/// A number of an anon_vma, page or slot; never used twice.
pub(super) type Id = usize;

/// How many words of a page are compared.
pub(super) const WORDS: usize = 4;

/// The content of a PTE.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pte {
    /// Nothing.
    None,
    /// A page.
    Page {
        /// Its number.
        id: Id,
        /// Whether a write needs no fault.
        writable: bool,
    },
    /// A page in this slot of swap.
    Swap(Id),
}

/// How often each of the events happened that a sequence is to reach.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reached {
    /// VMAs that grew by a merge.
    pub(super) merges: usize,
    /// VMAs that inherited another VMA's links in a merge.
    pub(super) inherited: usize,
    /// Links that a merge moved to the VMA that stays (R25).
    pub(super) moved_links: usize,
    /// Merges that were refused, because a part would have left links behind (R25).
    pub(super) refused: usize,
    /// First faults that shared a neighbour's anon_vma (R27).
    pub(super) shared: usize,
    /// Forks that reused an anon_vma (R24).
    pub(super) reused: usize,
    /// Pages that were copied at a write.
    pub(super) copied: usize,
    /// Pages that went to the only VMA that still mapped them (R19).
    pub(super) taken: usize,
    /// Pages that were read from swap and did not go to the VMA's own anon_vma (R20).
    pub(super) to_other: usize,
    /// VMAs that moved over themselves (R36).
    pub(super) shifted: usize,
}

impl Reached {
    /// Returns how often the rarest event happened.
    pub(super) fn least(&self) -> usize {
        let all = [
            self.merges,
            self.inherited,
            self.moved_links,
            self.refused,
            self.shared,
            self.reused,
            self.copied,
            self.taken,
            self.to_other,
            self.shifted,
        ];
        all.into_iter().min().unwrap_or(0)
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.merges += other.merges;
        self.inherited += other.inherited;
        self.moved_links += other.moved_links;
        self.refused += other.refused;
        self.shared += other.shared;
        self.reused += other.reused;
        self.copied += other.copied;
        self.taken += other.taken;
        self.to_other += other.to_other;
        self.shifted += other.shifted;
    }
}

/// An anon_vma and its relatives.
struct Family {
    id: Id,
    parent: Id,
    root: Id,
}

/// The counts of an anon_vma.
#[derive(Clone, Copy)]
pub(super) struct Tally {
    /// Its number.
    pub(super) id: Id,
    /// Its parent; itself if it is a root.
    pub(super) parent: Id,
    /// Its root; itself if it is one.
    pub(super) root: Id,
    /// References.
    pub(super) refcount: usize,
    /// Linked anon_vmas whose parent it is; a linked root counts itself.
    pub(super) children: usize,
    /// VMAs whose `->anon_vma` it is.
    pub(super) active: usize,
    /// Whether a VMA is linked to it.
    linked: bool,
}

impl Tally {
    /// Returns whether a fork may reuse it (R24).
    fn is_reusable(&self) -> bool {
        self.active == 0 && self.children <= 1
    }
}

/// An anonymous page.
pub(super) struct Page {
    /// Its number.
    pub(super) id: Id,
    /// The anon_vma that it leads to.
    pub(super) anon: Id,
    /// Its offset.
    pub(super) index: usize,
    /// Its content.
    pub(super) words: [u64; WORDS],
}

/// A slot of swap. Its users are the PTEs that name it; without users it is gone.
pub(super) struct Slot {
    /// Its number.
    pub(super) id: Id,
    /// The anon_vma that the page led to when it was unmapped.
    anon: Id,
    index: usize,
    /// The page, while the swap cache has it.
    page: Option<Id>,
    /// The content of the page when its memory was last freed.
    words: [u64; WORDS],
}

/// All address spaces, anon_vmas, pages and slots.
pub(super) struct Reference {
    size: usize,
    next: Id,
    /// The address spaces, by number.
    pub(super) spaces: KVVec<Option<Space>>,
    /// In order of their ids. Those that are not needed any more go at the end of each step.
    families: KVVec<Family>,
    /// In order of their ids. Those that are neither mapped nor in the swap cache go as well.
    pub(super) pages: KVVec<Page>,
    /// Those without users go as well.
    pub(super) slots: KVVec<Slot>,
    reached: Reached,
}

impl Reference {
    /// No address spaces; each new one will have `size` pages.
    pub(super) fn new(size: usize) -> Self {
        Self {
            size,
            next: 1,
            spaces: KVVec::new(),
            families: KVVec::new(),
            pages: KVVec::new(),
            slots: KVVec::new(),
            reached: Reached::default(),
        }
    }

    /// Returns which events happened.
    pub(super) fn reached(&self) -> Reached {
        let mut all = self.reached;
        for space in self.spaces.iter().flatten() {
            all.add(&space.reached);
        }
        all
    }

    fn id(&mut self) -> Id {
        self.next += 1;
        self.next
    }

    fn space(&self, mm: usize) -> Result<&Space> {
        self.spaces
            .get(mm)
            .and_then(|space| space.as_ref())
            .ok_or(ESRCH)
    }

    fn space_mut(&mut self, mm: usize) -> Result<&mut Space> {
        self.spaces
            .get_mut(mm)
            .and_then(|space| space.as_mut())
            .ok_or(ESRCH)
    }

    fn each_area(&self) -> impl Iterator<Item = &Area> {
        let spaces = self.spaces.iter().flatten();
        spaces.flat_map(|space| space.areas.iter())
    }

    /// Computes the counts of each anon_vma from the VMAs and slots, in order of their ids.
    pub(super) fn tallies(&self) -> Result<KVVec<Tally>> {
        let mut all = KVVec::with_capacity(self.families.len(), GFP_KERNEL)?;
        for &Family { id, parent, root } in &self.families {
            let tally = Tally {
                id,
                parent,
                root,
                refcount: 0,
                children: 0,
                active: 0,
                linked: false,
            };
            all.push(tally, GFP_KERNEL)?;
        }
        for area in self.each_area() {
            for &id in &area.chain {
                entry(&mut all, id)?.linked = true;
            }
            if let Some(id) = area.active {
                entry(&mut all, id)?.active += 1;
            }
        }
        for slot in &self.slots {
            entry(&mut all, slot.anon)?.refcount += 1;
        }
        for i in 0..all.len() {
            let Some(&Tally {
                linked: true,
                id,
                parent,
                root,
                ..
            }) = all.get(i)
            else {
                continue;
            };
            // Its tree holds a reference on it, and it holds one on its root.
            entry(&mut all, id)?.refcount += 1;
            entry(&mut all, parent)?.children += 1;
            if root != id {
                entry(&mut all, root)?.refcount += 1;
            }
        }
        Ok(all)
    }

    /// Returns how many PTEs map each page, in order of their ids.
    pub(super) fn mapcounts(&self) -> Result<KVVec<(Id, usize)>> {
        let mut all = KVVec::with_capacity(self.pages.len(), GFP_KERNEL)?;
        for page in &self.pages {
            all.push((page.id, 0), GFP_KERNEL)?;
        }
        for space in self.spaces.iter().flatten() {
            for pte in &space.ptes {
                if let &Pte::Page { id, .. } = pte {
                    let at = all.binary_search_by_key(&id, |&(id, _)| id);
                    let count = at.ok().and_then(|at| all.get_mut(at)).ok_or(EINVAL)?;
                    count.1 += 1;
                }
            }
        }
        Ok(all)
    }

    /// Returns how many PTEs name a slot.
    pub(super) fn users(&self, slot: Id) -> usize {
        let ptes = self.spaces.iter().flatten().flat_map(|space| &space.ptes);
        ptes.filter(|&&pte| pte == Pte::Swap(slot)).count()
    }

    /// Returns the slot for which a page is in the swap cache.
    fn slot_of(&self, page: Id) -> Option<Id> {
        let slot = self.slots.iter().find(|slot| slot.page == Some(page))?;
        (self.users(slot.id) > 0).then_some(slot.id)
    }

    /// Removes what has no users any more; called at the end of each step.
    pub(super) fn sweep(&mut self) -> Result {
        let mut slots = mem::take(&mut self.slots);
        slots.retain(|slot| self.users(slot.id) > 0);
        self.slots = slots;
        let tallies = self.tallies()?;
        // A root stays as long as its family: each child holds a reference on it (R16).
        let kept = |id| {
            let mut linked = tallies.iter().filter(|tally| tally.linked);
            linked.any(|tally| tally.id == id || tally.root == id)
        };
        self.families.retain(|family| kept(family.id));
        let counts = self.mapcounts()?;
        let mapped = |id| counts.iter().any(|&(page, n)| page == id && n > 0);
        let cached = |id| self.slots.iter().any(|slot| slot.page == Some(id));
        self.pages.retain(|page| mapped(page.id) || cached(page.id));
        Ok(())
    }

    /// Returns a page.
    pub(super) fn page(&self, id: Id) -> Option<&Page> {
        let at = self.pages.binary_search_by_key(&id, |page| page.id).ok()?;
        self.pages.get(at)
    }

    fn page_mut(&mut self, id: Id) -> Result<&mut Page> {
        let at = self.pages.binary_search_by_key(&id, |page| page.id);
        at.ok().and_then(|at| self.pages.get_mut(at)).ok_or(EINVAL)
    }

    /// Returns the last of `pages` pages.
    fn last_of(&self, first: usize, pages: usize) -> Result<usize> {
        match first.checked_add(pages) {
            Some(end) if pages > 0 && end <= self.size => Ok(end - 1),
            _ => Err(EINVAL),
        }
    }
}

fn is_page(pte: Pte, page: Id) -> bool {
    matches!(pte, Pte::Page { id, .. } if id == page)
}

fn entry(tallies: &mut [Tally], id: Id) -> Result<&mut Tally> {
    let at = tallies.binary_search_by_key(&id, |tally| tally.id);
    at.ok().and_then(|at| tallies.get_mut(at)).ok_or(EINVAL)
}

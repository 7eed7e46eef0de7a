// SPDX-License-Identifier: GPL-2.0

//! The page tables and the swap: one map of entries for all processes.
//!
//! C source of the roles that this plays: `mm/memory.c`, `move_ptes()` of `mm/mremap.c`. What an
//! entry's change does to the page is the host's own code.

use std::collections::BTreeMap;

use crate::ffi::{Folio, Library, Mm, Vma};

/// What a page table holds for one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A page.
    Page(Folio),
    /// A number of [`Tables::slots`].
    Swap(u64),
}

/// A place of the swap: how many entries name it, and the page that was read from it again.
#[derive(Default)]
struct Slot {
    entries: usize,
    cached: Option<Folio>,
}

/// The entries of each process.
pub(crate) struct Tables {
    library: Library,
    entries: BTreeMap<(Mm, u64), Entry>,
    /// How many entries have a page, and whether the swap has it as well.
    uses: BTreeMap<Folio, usize>,
    slots: BTreeMap<u64, Slot>,
    next_slot: u64,
}

impl Tables {
    pub(crate) fn new(library: Library) -> Self {
        Self {
            library,
            entries: BTreeMap::new(),
            uses: BTreeMap::new(),
            slots: BTreeMap::new(),
            next_slot: 0,
        }
    }

    pub(crate) fn entry(&self, mm: Mm, address: u64) -> Option<Entry> {
        self.entries.get(&(mm, address)).copied()
    }

    /// Returns the entries of a process in the order of their addresses.
    pub(crate) fn of(&self, mm: Mm) -> impl Iterator<Item = (u64, Entry)> + '_ {
        self.entries
            .range((mm, 0)..=(mm, u64::MAX))
            .map(|(&(_, address), &entry)| (address, entry))
    }

    /// Takes back one use of a page, and frees a page that has no more.
    fn put(&mut self, folio: Folio) {
        let uses = self.uses.get_mut(&folio).expect("a page that is used");
        *uses -= 1;
        if *uses == 0 {
            self.uses.remove(&folio);
            self.library.folio_free(folio);
        }
    }

    fn put_slot(&mut self, number: u64) {
        let slot = self.slots.get_mut(&number).expect("a slot that is used");
        slot.entries -= 1;
        if slot.entries == 0 {
            let cached = slot.cached;
            self.slots.remove(&number);
            if let Some(folio) = cached {
                self.put(folio);
            }
        }
    }

    /// Maps a new page of this process alone.
    pub(crate) fn map_new(&mut self, vma: Vma, address: u64) {
        let folio = self.library.folio_new();
        self.library.folio_map_new(folio, vma, address, true);
        self.replace(vma, address, folio);
    }

    /// Puts a page into an entry, whatever was there.
    fn replace(&mut self, vma: Vma, address: u64, folio: Folio) {
        *self.uses.entry(folio).or_default() += 1;
        let mm = self.library.vma_mm(vma);
        match self.entries.insert((mm, address), Entry::Page(folio)) {
            Some(Entry::Page(old)) => {
                self.library.folio_unmap(old, vma);
                self.put(old);
            }
            Some(Entry::Swap(slot)) => self.put_slot(slot),
            None => (),
        }
    }

    /// Removes the entries of a range.
    pub(crate) fn zap(&mut self, vma: Vma, start: u64, end: u64) {
        let mm = self.library.vma_mm(vma);
        let gone: Vec<u64> = self
            .entries
            .range((mm, start)..(mm, end))
            .map(|(k, _)| k.1)
            .collect();
        for address in gone {
            match self.entries.remove(&(mm, address)) {
                Some(Entry::Page(folio)) => {
                    self.library.folio_unmap(folio, vma);
                    self.put(folio);
                }
                Some(Entry::Swap(slot)) => self.put_slot(slot),
                None => (),
            }
        }
    }

    /// Copies the entries of a VMA at a fork; returns 0 or a negative errno.
    pub(crate) fn copy(&mut self, to: Vma, from: Vma) -> i32 {
        let range = self.library.vma(from);
        let (source, target) = (self.library.vma_mm(from), self.library.vma_mm(to));
        let copied: Vec<_> = self
            .entries
            .range((source, range.start)..(source, range.end))
            .map(|(key, entry)| (key.1, *entry))
            .collect();
        for (address, entry) in copied {
            match entry {
                Entry::Page(folio) => {
                    let error = self.library.folio_dup(folio, to, from);
                    if error != 0 {
                        return error;
                    }
                    *self.uses.entry(folio).or_default() += 1;
                }
                Entry::Swap(slot) => self.slots.entry(slot).or_default().entries += 1,
            }
            self.entries.insert((target, address), entry);
        }
        0
    }

    /// Moves entries to other addresses; returns how many bytes were looked through.
    pub(crate) fn move_entries(&mut self, mm: Mm, from: u64, to: u64, len: u64) -> u64 {
        let moved: Vec<u64> = self
            .entries
            .range((mm, from)..(mm, from + len))
            .map(|(key, _)| key.1)
            .collect();
        let moved: Vec<_> = moved
            .into_iter()
            .filter_map(|address| Some((address, self.entries.remove(&(mm, address))?)))
            .collect();
        for (address, entry) in moved {
            self.entries.insert((mm, address - from + to), entry);
        }
        len
    }

    /// Takes a page away from every process that has it, as reclaim does; finds them by the host's
    /// own walk. Returns how many entries there were.
    pub(crate) fn swap_out(&mut self, folio: Folio) -> usize {
        let mut slots = self.slots.iter();
        // A page that was read from the swap and is still there goes back to its place.
        let old = slots.find(|(_, slot)| slot.cached == Some(folio));
        let slot = old.map_or(self.next_slot, |(&number, _)| number);
        self.next_slot = self.next_slot.max(slot + 1);
        let mut entries = 0;
        for (mm, address) in self.library.walk(folio) {
            if self.entry(mm, address) != Some(Entry::Page(folio)) {
                continue;
            }
            let Some(vma) = self.library.vma_at_or_after(mm, address) else {
                continue;
            };
            self.library.folio_unmap(folio, vma);
            self.entries.insert((mm, address), Entry::Swap(slot));
            self.slots.entry(slot).or_default().entries += 1;
            self.put(folio);
            entries += 1;
        }
        if let Some(slot) = self.slots.get_mut(&slot) {
            if slot.cached.take().is_some() {
                self.put(folio);
            }
        }
        entries
    }

    /// Reads a page from the swap: a new one, which others may share, or the one that is there.
    pub(crate) fn swap_in(&mut self, vma: Vma, address: u64, number: u64) {
        let slot = self.slots.get_mut(&number).expect("a slot that is used");
        if let Some(folio) = slot.cached {
            self.library.folio_map(folio, vma, address);
            self.replace(vma, address, folio);
            return;
        }
        let folio = self.library.folio_new();
        let alone = slot.entries == 1;
        if !alone {
            slot.cached = Some(folio);
            *self.uses.entry(folio).or_default() += 1;
        }
        self.library.folio_map_new(folio, vma, address, alone);
        self.replace(vma, address, folio);
    }

    /// Returns whether the swap has a page as well, so that a write must copy it.
    pub(crate) fn in_swap(&self, folio: Folio) -> bool {
        self.slots.values().any(|slot| slot.cached == Some(folio))
    }
}

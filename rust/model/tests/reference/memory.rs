// SPDX-License-Identifier: GPL-2.0

//! Reading and writing memory, swap, migration.

use super::{
    area::Area,
    is_page,
    Family,
    Id,
    Page,
    Pte,
    Reference,
    Slot,
    WORDS, //
};
use kernel::prelude::*;

impl Reference {
    /// Reads a word.
    pub(in super::super) fn read(&mut self, mm: usize, address: usize, word: usize) -> Result<u64> {
        let space = self.space(mm)?;
        space.at(address).ok_or(EFAULT)?;
        let id = match space.pte(address) {
            Pte::None => return Ok(0),
            Pte::Page { id, .. } => id,
            Pte::Swap(slot) => self.swap_in(mm, address, slot)?,
        };
        let page = self.page(id).ok_or(EINVAL)?;
        page.words.get(word).copied().ok_or(EINVAL)
    }

    /// Writes a word: `handle_mm_fault()`.
    pub(in super::super) fn write(
        &mut self,
        mm: usize,
        address: usize,
        word: usize,
        value: u64,
    ) -> Result {
        let space = self.space(mm)?;
        let index = space.at(address).ok_or(EFAULT)?;
        if !space.area(index)?.write {
            return Err(EACCES);
        }
        let id = match space.pte(address) {
            Pte::None => self.new_page(mm, index, address, [0; WORDS])?,
            Pte::Page { id, writable: true } => id,
            Pte::Page { id, .. } => self.write_shared(mm, address, id)?,
            Pte::Swap(slot) => {
                let id = self.swap_in(mm, address, slot)?;
                self.write_shared(mm, address, id)?
            }
        };
        let writable = true;
        self.space_mut(mm)?
            .set_pte(address, Pte::Page { id, writable });
        let place = self.page_mut(id)?.words.get_mut(word).ok_or(EINVAL)?;
        *place = value;
        Ok(())
    }

    /// `do_wp_page()`: returns the page to write to.
    fn write_shared(&mut self, mm: usize, address: usize, id: Id) -> Result<Id> {
        let space = self.space(mm)?;
        let index = space.at(address).ok_or(EFAULT)?;
        if self.mapcount(id) == 1 && self.slot_of(id).is_none() {
            // No other VMA maps it any more (R19).
            let active = self.space(mm)?.area(index)?.active.ok_or(EINVAL)?;
            self.page_mut(id)?.anon = active;
            self.reached.taken += 1;
            Ok(id)
        } else {
            self.reached.copied += 1;
            let words = self.page(id).ok_or(EINVAL)?.words;
            self.new_page(mm, index, address, words)
        }
    }

    /// `do_swap_page()`: returns the page.
    fn swap_in(&mut self, mm: usize, address: usize, slot: Id) -> Result<Id> {
        let space = self.space(mm)?;
        let area = space.area(space.at(address).ok_or(EFAULT)?)?;
        let active = area.active.ok_or(EINVAL)?;
        // All users of the slot must be linked to the page's anon_vma (R20): they are linked to the
        // root, and as in April 2010 only to the anon_vma of the slot (R39).
        let anon = if self.users(slot) == 1 {
            active
        } else if space.shared {
            let there = self.slots.iter().find(|there| there.id == slot);
            there.ok_or(EINVAL)?.anon
        } else {
            let family = self.families.iter().find(|family| family.id == active);
            family.ok_or(EINVAL)?.root
        };
        let id = self.cached(slot, anon)?;
        let alone = self.page(id).ok_or(EINVAL)?.anon == active;
        self.reached.to_other += usize::from(!alone);
        let writable = false;
        self.space_mut(mm)?
            .set_pte(address, Pte::Page { id, writable });
        Ok(id)
    }

    /// Returns the page of a slot. If it is not in memory, it is read, and leads to `anon`.
    fn cached(&mut self, slot: Id, anon: Id) -> Result<Id> {
        let next = self.id();
        let slot = self.slots.iter_mut().find(|there| there.id == slot);
        let slot = slot.ok_or(EINVAL)?;
        if let Some(page) = slot.page {
            return Ok(page);
        }
        slot.page = Some(next);
        let page = Page {
            id: next,
            anon,
            index: slot.index,
            words: slot.words,
        };
        self.pages.push(page, GFP_KERNEL)?;
        Ok(next)
    }

    fn replace(&mut self, from: impl Fn(Pte) -> bool, to: impl Fn(Pte) -> Pte) {
        let spaces = self.spaces.iter_mut().flatten();
        for pte in spaces.flat_map(|space| space.ptes.iter_mut()) {
            if from(*pte) {
                *pte = to(*pte);
            }
        }
    }

    /// `shrink_folio_list()` of the page at an address: returns whether there was one. It stays in
    /// the swap cache unless its memory is `freed`.
    pub(in super::super) fn swap_out(
        &mut self,
        mm: usize,
        address: usize,
        freed: bool,
    ) -> Result<bool> {
        let Pte::Page { id, .. } = self.space(mm)?.pte(address) else {
            return Ok(false);
        };
        let slot = match self.slot_of(id) {
            Some(slot) => slot,
            None => {
                let slot = self.id();
                let page = self.page(id).ok_or(EINVAL)?;
                let new = Slot {
                    id: slot,
                    anon: page.anon,
                    index: page.index,
                    page: Some(id),
                    words: [0; WORDS],
                };
                self.slots.push(new, GFP_KERNEL)?;
                slot
            }
        };
        self.replace(|pte| is_page(pte, id), |_| Pte::Swap(slot));
        if freed {
            let words = self.page(id).ok_or(EINVAL)?.words;
            let slot = self.slots.iter_mut().find(|there| there.id == slot);
            let slot = slot.ok_or(EINVAL)?;
            slot.page = None;
            slot.words = words;
        }
        Ok(true)
    }

    /// `try_to_unuse()` of the slot at an address: returns how many PTEs map the page again.
    pub(in super::super) fn unuse(&mut self, mm: usize, address: usize) -> Result<usize> {
        let Pte::Swap(slot) = self.space(mm)?.pte(address) else {
            return Ok(0);
        };
        let there = self.slots.iter().find(|there| there.id == slot);
        let id = self.cached(slot, there.ok_or(EINVAL)?.anon)?;
        let users = self.users(slot);
        let writable = false;
        self.replace(|pte| pte == Pte::Swap(slot), |_| Pte::Page { id, writable });
        Ok(users)
    }

    /// `migrate_folio()` of the page at an address: returns whether there was one.
    pub(in super::super) fn migrate(&mut self, mm: usize, address: usize) -> Result<bool> {
        let Pte::Page { id: old, .. } = self.space(mm)?.pte(address) else {
            return Ok(false);
        };
        if self.slot_of(old).is_some() {
            return Err(EBUSY);
        }
        let id = self.id();
        let &Page {
            anon, index, words, ..
        } = self.page(old).ok_or(EINVAL)?;
        let page = Page {
            id,
            anon,
            index,
            words,
        };
        self.pages.push(page, GFP_KERNEL)?;
        self.replace(
            |pte| is_page(pte, old),
            |pte| match pte {
                Pte::Page { writable, .. } => Pte::Page { id, writable },
                other => other,
            },
        );
        Ok(true)
    }

    fn mapcount(&self, page: Id) -> usize {
        let ptes = self.spaces.iter().flatten().flat_map(|space| &space.ptes);
        ptes.filter(|&&pte| is_page(pte, page)).count()
    }

    /// Makes a page that only this VMA maps (R20).
    fn new_page(
        &mut self,
        mm: usize,
        index: usize,
        address: usize,
        words: [u64; WORDS],
    ) -> Result<Id> {
        let anon = self.prepare(mm, index)?;
        let offset = self.space(mm)?.area(index)?.offset(address);
        let id = self.id();
        let page = Page {
            id,
            anon,
            index: offset,
            words,
        };
        self.pages.push(page, GFP_KERNEL)?;
        Ok(id)
    }

    /// `__anon_vma_prepare()`: returns the VMA's anon_vma. A VMA without one gets that of the next
    /// VMA or of the one before, or a new one.
    fn prepare(&mut self, mm: usize, index: usize) -> Result<Id> {
        let space = self.space(mm)?;
        let area = space.area(index)?;
        if let Some(active) = area.active {
            return Ok(active);
        }
        let may_share = |other: &Area| {
            let active = other.active?;
            let mut families = self.families.iter();
            let family = families.find(|family| family.id == active)?;
            let may = if space.shared {
                family.parent == family.root
            } else {
                !other.is_fork_child()
            };
            may.then_some(active)
        };
        let joins = |a: &Area, b: &Area| a.last + 1 == b.first && a.offset(a.last) + 1 == b.pgoff;
        let next = space.areas.get(index + 1).filter(|next| joins(area, next));
        let prev = index
            .checked_sub(1)
            .and_then(|index| space.areas.get(index));
        let prev = prev.filter(|prev| joins(prev, area));
        let shared = next.and_then(may_share).or(prev.and_then(may_share));
        let active = match shared {
            Some(shared) => {
                self.reached.shared += 1;
                shared
            }
            None => {
                let id = self.id();
                let (parent, root) = (id, id);
                self.families
                    .push(Family { id, parent, root }, GFP_KERNEL)?;
                id
            }
        };
        let area = self.space_mut(mm)?.area_mut(index)?;
        area.active = Some(active);
        area.chain.push(active, GFP_KERNEL)?;
        Ok(active)
    }
}

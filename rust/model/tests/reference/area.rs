// SPDX-License-Identifier: GPL-2.0

//! The VMAs of one address space, and how they are split and merged.

use super::{
    Id,
    Pte,
    Reached, //
};
use kernel::prelude::*;

/// A VMA.
pub(in super::super) struct Area {
    /// Its first address.
    pub(in super::super) first: usize,
    /// Its last address.
    pub(in super::super) last: usize,
    /// The page offset of its first address.
    pub(in super::super) pgoff: usize,
    /// Whether it may be written to.
    pub(in super::super) write: bool,
    /// Its `->anon_vma`.
    pub(in super::super) active: Option<Id>,
    /// The anon_vmas that it is linked to, in order.
    pub(in super::super) chain: KVVec<Id>,
}

impl Area {
    pub(super) fn new(range: (usize, usize), pgoff: usize, write: bool) -> Self {
        Self {
            first: range.0,
            last: range.1,
            pgoff,
            write,
            active: None,
            chain: KVVec::new(),
        }
    }

    pub(super) fn pages(&self) -> usize {
        self.last - self.first + 1
    }

    /// Returns the page offset of an address in it.
    pub(super) fn offset(&self, address: usize) -> usize {
        self.pgoff + (address - self.first)
    }

    /// `vma_is_fork_child()`: returns whether it may map pages of its parent.
    pub(super) fn is_fork_child(&self) -> bool {
        self.active.is_some() && self.chain.len() != 1
    }

    /// `anon_vma_clone()` of a copy: the chain is in reverse order.
    pub(super) fn clone_from(&mut self, source: &Self) -> Result {
        self.active = source.active;
        self.chain = reversed(&source.chain)?;
        Ok(())
    }
}

pub(super) fn reversed(chain: &[Id]) -> Result<KVVec<Id>> {
    let mut all = KVVec::with_capacity(chain.len(), GFP_KERNEL)?;
    for &id in chain.iter().rev() {
        all.push(id, GFP_KERNEL)?;
    }
    Ok(all)
}

/// An address space.
pub(in super::super) struct Space {
    /// Its VMAs, in order of their addresses.
    pub(in super::super) areas: KVVec<Area>,
    /// The PTE of each address.
    pub(in super::super) ptes: KVVec<Pte>,
    /// Whether a VMA may share any neighbour's anon_vma, as in April 2010 (R25).
    pub(super) shared: bool,
    pub(super) reached: Reached,
}

impl Space {
    /// Returns the index of the VMA that covers an address.
    pub(super) fn at(&self, address: usize) -> Option<usize> {
        self.areas
            .iter()
            .position(|area| area.first <= address && address <= area.last)
    }

    pub(super) fn area(&self, index: usize) -> Result<&Area> {
        self.areas.get(index).ok_or(EFAULT)
    }

    pub(super) fn area_mut(&mut self, index: usize) -> Result<&mut Area> {
        self.areas.get_mut(index).ok_or(EFAULT)
    }

    pub(super) fn pte(&self, address: usize) -> Pte {
        self.ptes.get(address).copied().unwrap_or(Pte::None)
    }

    pub(super) fn set_pte(&mut self, address: usize, pte: Pte) {
        if let Some(there) = self.ptes.get_mut(address) {
            *there = pte;
        }
    }

    pub(super) fn overlaps(&self, first: usize, last: usize) -> bool {
        self.areas
            .iter()
            .any(|area| area.first <= last && first <= area.last)
    }

    pub(super) fn insert(&mut self, area: Area) -> Result {
        let at = self.areas.iter().filter(|a| a.first < area.first).count();
        self.areas.reserve(1, GFP_KERNEL)?;
        self.areas
            .insert_within_capacity(at, area)
            .map_err(|_| EINVAL)
    }

    /// `__split_vma()`: `address` becomes the first of the upper half. The lower half is the clone
    /// if `new_below`, otherwise the upper.
    fn split(&mut self, index: usize, address: usize, new_below: bool) -> Result {
        let old = self.area_mut(index)?;
        let offset = old.offset(address);
        let mut new = if new_below {
            Area::new((old.first, address - 1), old.pgoff, old.write)
        } else {
            Area::new((address, old.last), offset, old.write)
        };
        new.clone_from(old)?;
        if new_below {
            old.first = address;
            old.pgoff = offset;
        } else {
            old.last = address - 1;
        }
        self.insert(new)
    }

    /// Clears the PTEs of these addresses.
    pub(super) fn zap(&mut self, first: usize, last: usize) {
        for pte in self.ptes.iter_mut().take(last + 1).skip(first) {
            *pte = Pte::None;
        }
    }

    /// `do_vmi_munmap()`.
    pub(super) fn unmap(&mut self, first: usize, last: usize) -> Result {
        for (address, new_below) in [(Some(first), true), (last.checked_add(1), false)] {
            let Some(address) = address else { continue };
            if let Some(index) = self.at(address) {
                if self.area(index)?.first < address {
                    self.split(index, address, new_below)?;
                }
            }
        }
        self.areas
            .retain(|area| area.last < first || last < area.first);
        self.zap(first, last);
        Ok(())
    }
}

/// Addresses that may be merged with their neighbours: `struct vma_merge_struct`.
pub(super) struct Merge {
    pub(super) first: usize,
    pub(super) last: usize,
    pub(super) pgoff: usize,
    pub(super) write: bool,
    pub(super) active: Option<Id>,
    /// Whether the VMA that is modified or copied is a fork child.
    pub(super) fork_child: bool,
    /// The first address of a VMA that it must not be merged with.
    pub(super) except: Option<usize>,
}

impl Merge {
    /// `is_mergeable_vma()` and `is_mergeable_anon_vma()`.
    fn suits(&self, target: &Area, shared: bool) -> bool {
        let anon = match (target.active, self.active) {
            (None, _) | (_, None) if shared => true,
            (None, Some(_)) => !self.fork_child,
            (Some(_), None) => !target.is_fork_child(),
            (target, source) => target == source,
        };
        anon && target.write == self.write && self.except != Some(target.first)
    }

    /// `can_vma_merge_left()`.
    fn left(&self, space: &Space) -> Option<usize> {
        let index = space.at(self.first.checked_sub(1)?)?;
        let prev = space.areas.get(index)?;
        let adjacent = prev.last + 1 == self.first && prev.pgoff + prev.pages() == self.pgoff;
        (adjacent && self.suits(prev, space.shared)).then_some(index)
    }

    /// `can_vma_merge_right()`: VMAs on both sides must suit each other as well.
    fn right(&self, space: &Space, left: Option<usize>) -> Option<usize> {
        let index = space.at(self.last + 1)?;
        let next = space.areas.get(index)?;
        let adjacent =
            next.first == self.last + 1 && self.pgoff + (self.last + 1 - self.first) == next.pgoff;
        let prev = left.and_then(|left| space.areas.get(left)?.active);
        let agree = prev.is_none() || next.active.is_none() || prev == next.active;
        (adjacent && agree && self.suits(next, space.shared)).then_some(index)
    }
}

impl Space {
    /// Makes these PTEs read-only.
    pub(super) fn wrprotect(&mut self, first: usize, last: usize) {
        for pte in self.ptes.iter_mut().take(last + 1).skip(first) {
            if let Pte::Page { writable, .. } = pte {
                *writable = false;
            }
        }
    }

    /// `vma_merge_new_range()`: nothing is there yet. `copied` is an address of the VMA whose copy
    /// it is. Returns whether it was merged.
    pub(super) fn merge_new(&mut self, wanted: &Merge, copied: Option<usize>) -> Result<bool> {
        let left = wanted.left(self);
        let right = wanted.right(self, left);
        let (target, first, last) = match (left, right) {
            (Some(prev), Some(next)) => (prev, self.area(prev)?.first, self.area(next)?.last),
            (Some(prev), None) => (prev, self.area(prev)?.first, wanted.last),
            (None, Some(next)) => (next, wanted.first, self.area(next)?.last),
            (None, None) => return Ok(false),
        };
        let source = copied.and_then(|address| self.at(address));
        let sources = [left.and(right), source];
        if !self.keeps_links(target, sources, source)? {
            return Ok(false);
        }
        for source in sources.into_iter().flatten() {
            self.dup(target, source)?;
        }
        self.extend(target, first, last)?;
        Ok(true)
    }

    /// `vma_modify()`: a part of a VMA, or all of it, gets another protection.
    pub(super) fn modify(&mut self, middle: usize, from: usize, to: usize, write: bool) -> Result {
        let area = self.area(middle)?;
        let (start, end) = (area.first, area.last);
        let wanted = Merge {
            first: from,
            last: to,
            pgoff: area.offset(from),
            write,
            active: area.active,
            fork_child: area.is_fork_child(),
            except: None,
        };
        // Only the edges of a VMA touch others.
        let left = wanted.left(self).filter(|_| from == start);
        let right = wanted.right(self, left).filter(|_| to == end);
        let merge = match (left, right) {
            (Some(prev), Some(next)) => Some((prev, self.area(prev)?.first, self.area(next)?.last)),
            (Some(prev), None) => Some((prev, self.area(prev)?.first, to)),
            (None, Some(next)) => Some((next, from, self.area(next)?.last)),
            (None, None) => None,
        };
        if let Some((target, first, last)) = merge {
            let sources = [left.and(right), Some(middle)];
            let is_part = (from, to) != (start, end);
            if self.keeps_links(target, sources, is_part.then_some(middle))? {
                for source in sources.into_iter().flatten() {
                    self.dup(target, source)?;
                }
                return self.extend(target, first, last);
            }
        }
        if start < from {
            self.split(middle, from, true)?;
        }
        let part = self.at(from).ok_or(EFAULT)?;
        if to < end {
            self.split(part, to + 1, false)?;
        }
        self.area_mut(part)?.write = write;
        Ok(())
    }

    /// Returns whether the VMA that stays will have all links of `giver`, a VMA that gives pages
    /// away and keeps its links (R25). `sources` are the VMAs whose links `target` inherits if it
    /// has none.
    fn keeps_links(
        &mut self,
        target: usize,
        sources: [Option<usize>; 2],
        giver: Option<usize>,
    ) -> Result<bool> {
        let (true, Some(giver)) = (self.shared, giver) else {
            return Ok(true);
        };
        let mut links = &self.area(target)?.chain;
        for source in sources.into_iter().flatten() {
            if links.is_empty() {
                links = &self.area(source)?.chain;
            }
        }
        let kept = self.area(giver)?.chain.iter().all(|id| links.contains(id));
        self.reached.refused += usize::from(!kept);
        Ok(kept)
    }

    /// `dup_anon_vma()`: a VMA without links inherits those of `source`, whose pages it takes in.
    fn dup(&mut self, target: usize, source: usize) -> Result {
        let source = self.area(source)?;
        if self.area(target)?.active.is_some() || source.active.is_none() {
            return Ok(());
        }
        let (active, chain) = (source.active, reversed(&source.chain)?);
        let target = self.area_mut(target)?;
        target.active = active;
        target.chain = chain;
        self.reached.inherited += 1;
        Ok(())
    }

    /// `commit_merge()`: a VMA covers `first..=last`. VMAs that it covers entirely go, and as in
    /// April 2010 their links are moved (R25); others keep the rest of their addresses.
    fn extend(&mut self, target: usize, first: usize, last: usize) -> Result {
        self.reached.merges += 1;
        if self.shared {
            for gone in 0..self.areas.len() {
                let area = self.area(gone)?;
                if gone != target && first <= area.first && area.last <= last {
                    self.move_links(target, gone)?;
                }
            }
        }
        let area = self.area_mut(target)?;
        area.pgoff = area.pgoff + first - area.first;
        (area.first, area.last) = (first, last);
        let mut index = 0;
        self.areas.retain(|area| {
            index += 1;
            index - 1 == target || area.first < first || last < area.last
        });
        for area in self.areas.iter_mut() {
            if (area.first, area.last) == (first, last) {
                continue;
            }
            if area.first < first && first <= area.last {
                area.last = first - 1;
            } else if area.first <= last && last < area.last {
                area.pgoff = area.offset(last + 1);
                area.first = last + 1;
            }
        }
        Ok(())
    }

    /// Appends the links that only `gone` has to the chain of `target`.
    fn move_links(&mut self, target: usize, gone: usize) -> Result {
        for i in 0..self.area(gone)?.chain.len() {
            let Some(&id) = self.area(gone)?.chain.get(i) else {
                break;
            };
            let target = self.area_mut(target)?;
            if !target.chain.contains(&id) {
                target.chain.push(id, GFP_KERNEL)?;
                self.reached.moved_links += 1;
            }
        }
        Ok(())
    }

    /// `shift_arg_pages()`: a VMA and its PTEs move down.
    pub(super) fn shift(&mut self, address: usize, pages: usize) -> Result {
        let index = self.at(address).ok_or(EFAULT)?;
        let area = self.area(index)?;
        let (first, last) = (area.first, area.last);
        let to = first
            .checked_sub(pages)
            .filter(|_| pages > 0)
            .ok_or(EINVAL)?;
        if self.overlaps(to, first - 1) {
            return Err(EEXIST);
        }
        let area = self.area_mut(index)?;
        (area.first, area.last) = (to, last - pages);
        for from in first..=last {
            self.set_pte(from - pages, self.pte(from));
            self.set_pte(from, Pte::None);
        }
        self.reached.shifted += 1;
        Ok(())
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Operations on address spaces.

use super::{
    area::{
        reversed,
        Area,
        Merge,
        Space, //
    },
    Family,
    Id,
    Pte,
    Reached,
    Reference,
    Tally, //
};
use kernel::prelude::*;

impl Reference {
    /// Creates an address space, `shared` as [`Space::shared`]. Returns its number, the lowest that
    /// is free.
    pub(in super::super) fn create(&mut self, shared: bool) -> Result<usize> {
        let space = Space {
            areas: KVVec::new(),
            ptes: KVVec::from_elem(Pte::None, self.size, GFP_KERNEL)?,
            shared,
            reached: Reached::default(),
        };
        let free = self.spaces.iter().position(|space| space.is_none());
        let mm = free.unwrap_or(self.spaces.len());
        match self.spaces.get_mut(mm) {
            Some(place) => *place = Some(space),
            None => self.spaces.push(Some(space), GFP_KERNEL)?,
        }
        Ok(mm)
    }

    /// Removes an address space.
    pub(in super::super) fn exit(&mut self, mm: usize) -> Result {
        let place = self.spaces.get_mut(mm).ok_or(ESRCH)?;
        let gone = place.take().ok_or(ESRCH)?;
        self.reached.add(&gone.reached);
        Ok(())
    }

    /// `mmap()`.
    pub(in super::super) fn map(
        &mut self,
        mm: usize,
        first: usize,
        pages: usize,
        write: bool,
    ) -> Result {
        let last = self.last_of(first, pages)?;
        let space = self.space_mut(mm)?;
        if space.overlaps(first, last) {
            return Err(EEXIST);
        }
        let wanted = Merge {
            first,
            last,
            pgoff: first,
            write,
            active: None,
            fork_child: false,
            except: None,
        };
        if !space.merge_new(&wanted, None)? {
            space.insert(Area::new((first, last), first, write))?;
        }
        Ok(())
    }

    /// `munmap()`.
    pub(in super::super) fn unmap(&mut self, mm: usize, first: usize, pages: usize) -> Result {
        let last = self.last_of(first, pages)?;
        self.space_mut(mm)?.unmap(first, last)
    }

    /// `madvise(MADV_DONTNEED)`.
    pub(in super::super) fn discard(&mut self, mm: usize, first: usize, pages: usize) -> Result {
        let last = self.last_of(first, pages)?;
        self.space_mut(mm)?.zap(first, last);
        Ok(())
    }

    /// `mprotect()`: VMA by VMA, up to the first hole.
    pub(in super::super) fn protect(
        &mut self,
        mm: usize,
        first: usize,
        pages: usize,
        write: bool,
    ) -> Result {
        let last = self.last_of(first, pages)?;
        let space = self.space_mut(mm)?;
        let mut from = first;
        while from <= last {
            let index = space.at(from).ok_or(ENOMEM)?;
            let area = space.area(index)?;
            let to = area.last.min(last);
            if area.write != write {
                space.modify(index, from, to, write)?;
                if !write {
                    space.wrprotect(from, to);
                }
            }
            from = to + 1;
        }
        Ok(())
    }

    /// `mremap()` that makes the VMA at `address` longer where it is.
    pub(in super::super) fn grow(&mut self, mm: usize, address: usize, pages: usize) -> Result {
        let space = self.space(mm)?;
        let area = space.area(space.at(address).ok_or(EFAULT)?)?;
        let (first, last) = (area.last + 1, self.last_of(area.last + 1, pages)?);
        if space.overlaps(first, last) {
            return Err(EEXIST);
        }
        let wanted = Merge {
            first,
            last,
            pgoff: area.pgoff + area.pages(),
            write: area.write,
            active: area.active,
            fork_child: false,
            except: None,
        };
        if self.space_mut(mm)?.merge_new(&wanted, None)? {
            Ok(())
        } else {
            Err(EINVAL)
        }
    }

    /// `mremap()` to a fixed address, with `MREMAP_DONTUNMAP` if the source is to be kept.
    pub(in super::super) fn remap(
        &mut self,
        mm: usize,
        old: usize,
        pages: usize,
        new: usize,
        keep: bool,
    ) -> Result {
        let (old_last, new_last) = (self.last_of(old, pages)?, self.last_of(new, pages)?);
        if old <= new_last && new <= old_last {
            return Err(EINVAL);
        }
        let space = self.space_mut(mm)?;
        if space.area(space.at(old).ok_or(EFAULT)?)?.last < old_last {
            return Err(EFAULT);
        }
        space.unmap(new, new_last)?;

        // `copy_vma()`
        let source = space.area(space.at(old).ok_or(EFAULT)?)?;
        let unfaulted = source.active.is_none();
        let wanted = Merge {
            first: new,
            last: new_last,
            // A VMA without pages has the offset of its address.
            pgoff: if unfaulted { new } else { source.offset(old) },
            write: source.write,
            active: source.active,
            fork_child: source.is_fork_child(),
            except: (unfaulted && keep).then_some(source.first),
        };
        if !space.merge_new(&wanted, Some(old))? {
            let mut copy = Area::new((new, new_last), wanted.pgoff, wanted.write);
            copy.clone_from(space.area(space.at(old).ok_or(EFAULT)?)?)?;
            space.insert(copy)?;
        }
        for i in 0..pages {
            space.set_pte(new + i, space.pte(old + i));
            space.set_pte(old + i, Pte::None);
        }
        if !keep {
            return space.unmap(old, old_last);
        }
        // `dontunmap_complete()`
        let index = space.at(old).ok_or(EFAULT)?;
        let source = space.area_mut(index)?;
        if (source.first, source.last) == (old, old_last) {
            *source = Area::new((old, old_last), old, source.write);
        }
        Ok(())
    }

    /// `shift_arg_pages()`.
    pub(in super::super) fn shift(&mut self, mm: usize, address: usize, pages: usize) -> Result {
        self.space_mut(mm)?.shift(address, pages)
    }

    /// `dup_mmap()`. Returns the number of the child.
    pub(in super::super) fn fork(&mut self, mm: usize) -> Result<usize> {
        let child = self.create(self.space(mm)?.shared)?;
        for index in 0..self.space(mm)?.areas.len() {
            let (active, chain) = self.fork_links(mm, index)?;
            let area = self.space(mm)?.area(index)?;
            let mut copy = Area::new((area.first, area.last), area.pgoff, area.write);
            copy.active = active;
            copy.chain = chain;
            self.space_mut(child)?.insert(copy)?;
        }
        let parent = self.space_mut(mm)?;
        parent.wrprotect(0, parent.ptes.len());
        for address in 0..self.size {
            let pte = self.space(mm)?.pte(address);
            self.space_mut(child)?.set_pte(address, pte);
        }
        Ok(child)
    }

    /// `anon_vma_fork()`: returns the child's `->anon_vma` and its chain.
    fn fork_links(&mut self, mm: usize, index: usize) -> Result<(Option<Id>, KVVec<Id>)> {
        let tallies = self.tallies()?;
        let area = self.space(mm)?.area(index)?;
        let mut chain = reversed(&area.chain)?;
        let Some(parent) = area.active else {
            return Ok((None, chain));
        };
        let tally = |id| tallies.iter().find(|tally| tally.id == id);
        // The first on the parent's chain, not on the child's (R24).
        let idle = |&id: &Id| tally(id).is_some_and(Tally::is_reusable);
        if let Some(reused) = area.chain.iter().copied().find(idle) {
            self.reached.reused += 1;
            return Ok((Some(reused), chain));
        }
        let root = tally(parent).ok_or(EINVAL)?.root;
        let id = self.id();
        self.families
            .push(Family { id, parent, root }, GFP_KERNEL)?;
        // The newest stands first (R22).
        chain.reserve(1, GFP_KERNEL)?;
        chain.insert_within_capacity(0, id).map_err(|_| EINVAL)?;
        Ok((Some(id), chain))
    }
}

// SPDX-License-Identifier: GPL-2.0

//! What the model should do, written down as simply as can be: lists, numbers, no locks, no
//! pointers, and nothing counted that can be counted again.
//!
//! The behaviour is that of 7.3: `mm/vma.c` for what is split and merged, `mm/mremap.c` for what is
//! moved, `mm/rmap.c` for who is linked to what, `mm/memory.c` for what is copied.  `sequences`
//! compares the model with it, step by step.
//!
//! Nothing here shares a line with what it is compared with.

use core::mem;
use kernel::prelude::*;

/// Stands for an anon_vma or a page; never used twice.
pub(super) type Id = usize;

/// How many words of a page are told apart.
pub(super) const WORDS: usize = 4;

/// A VMA.
pub(super) struct Area {
    /// Its first address.
    pub(super) first: usize,
    /// Its last address.
    pub(super) last: usize,
    /// The page offset of its first address.
    pub(super) pgoff: usize,
    /// Whether it may be written to.
    pub(super) write: bool,
    /// Its `->anon_vma`.
    pub(super) active: Option<Id>,
    /// The anon_vmas that it is linked to, in order.
    pub(super) chain: KVVec<Id>,
}

impl Area {
    fn new(range: (usize, usize), pgoff: usize, write: bool) -> Self {
        Self {
            first: range.0,
            last: range.1,
            pgoff,
            write,
            active: None,
            chain: KVVec::new(),
        }
    }

    fn pages(&self) -> usize {
        self.last - self.first + 1
    }

    /// The page offset of an address in it.
    fn offset(&self, address: usize) -> usize {
        self.pgoff + (address - self.first)
    }

    /// `vma_is_fork_child()`: it may map pages that it did not make.
    fn is_fork_child(&self) -> bool {
        self.active.is_some() && self.chain.len() != 1
    }

    /// `anon_vma_clone()`, but at fork: the chain of the copy runs the other way round.
    fn clone_from(&mut self, source: &Self) -> Result {
        self.active = source.active;
        self.chain = reversed(&source.chain)?;
        Ok(())
    }
}

fn reversed(chain: &[Id]) -> Result<KVVec<Id>> {
    let mut all = KVVec::with_capacity(chain.len(), GFP_KERNEL)?;
    for &id in chain.iter().rev() {
        all.push(id, GFP_KERNEL)?;
    }
    Ok(all)
}

/// What is at an address.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pte {
    /// Nothing.
    None,
    /// A page.
    Page {
        /// Which.
        id: Id,
        /// Whether a write needs no fault.
        writable: bool,
    },
    /// A page that is in swap, at this slot.
    Swap(Id),
}

/// How often something happened that a sequence should come across.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reached {
    /// VMAs that grew by a merge.
    pub(super) merges: usize,
    /// VMAs that inherited another's links by a merge.
    pub(super) inherited: usize,
    /// First faults that shared a neighbour's anon_vma (R27).
    pub(super) shared: usize,
    /// Forks that reused an anon_vma (R24).
    pub(super) reused: usize,
    /// Pages that were copied at a write.
    pub(super) copied: usize,
    /// Pages that went to the last who maps them (R19).
    pub(super) taken: usize,
    /// Pages that came from swap for several (R20).
    pub(super) to_root: usize,
}

impl Reached {
    /// Whether nothing was missed.
    pub(super) fn is_all(&self) -> bool {
        let links = [self.merges, self.inherited, self.shared, self.reused];
        let pages = [self.copied, self.taken, self.to_root];
        !links.contains(&0) && !pages.contains(&0)
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.merges += other.merges;
        self.inherited += other.inherited;
        self.shared += other.shared;
        self.reused += other.reused;
        self.copied += other.copied;
        self.taken += other.taken;
        self.to_root += other.to_root;
    }
}

/// An address space.
pub(super) struct Space {
    /// Its VMAs, in order of their addresses.
    pub(super) areas: KVVec<Area>,
    /// What is at each address.
    pub(super) ptes: KVVec<Pte>,
    reached: Reached,
}

impl Space {
    /// Which VMA has this address.
    fn at(&self, address: usize) -> Option<usize> {
        self.areas
            .iter()
            .position(|area| area.first <= address && address <= area.last)
    }

    fn area(&self, index: usize) -> Result<&Area> {
        self.areas.get(index).ok_or(EFAULT)
    }

    fn area_mut(&mut self, index: usize) -> Result<&mut Area> {
        self.areas.get_mut(index).ok_or(EFAULT)
    }

    fn pte(&self, address: usize) -> Pte {
        self.ptes.get(address).copied().unwrap_or(Pte::None)
    }

    fn set_pte(&mut self, address: usize, pte: Pte) {
        if let Some(there) = self.ptes.get_mut(address) {
            *there = pte;
        }
    }

    fn overlaps(&self, first: usize, last: usize) -> bool {
        self.areas
            .iter()
            .any(|area| area.first <= last && first <= area.last)
    }

    fn insert(&mut self, area: Area) -> Result {
        let at = self.areas.iter().filter(|a| a.first < area.first).count();
        self.areas.reserve(1, GFP_KERNEL)?;
        self.areas
            .insert_within_capacity(at, area)
            .map_err(|_| EINVAL)
    }

    /// `__split_vma()`: `address` becomes the first of the upper half.  One half is a clone: the
    /// lower if `new_below`, or else the upper.
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

    /// Nothing is at these addresses any more.
    fn zap(&mut self, first: usize, last: usize) {
        for pte in self.ptes.iter_mut().take(last + 1).skip(first) {
            *pte = Pte::None;
        }
    }

    /// `do_vmi_munmap()`.
    fn unmap(&mut self, first: usize, last: usize) -> Result {
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

/// What a merge would put beside its neighbours: `struct vma_merge_struct`.
struct Merge {
    first: usize,
    last: usize,
    pgoff: usize,
    write: bool,
    active: Option<Id>,
    /// Whether the VMA that it is or is copied from is a fork child.
    fork_child: bool,
    /// A VMA that it is not merged with, by its first address.
    except: Option<usize>,
}

impl Merge {
    /// `is_mergeable_vma()` and `is_mergeable_anon_vma()`.
    fn suits(&self, target: &Area) -> bool {
        let anon = match (target.active, self.active) {
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
        (adjacent && self.suits(prev)).then_some(index)
    }

    /// `can_vma_merge_right()`: what is merged on both sides must suit each other as well.
    fn right(&self, space: &Space, left: Option<usize>) -> Option<usize> {
        let index = space.at(self.last + 1)?;
        let next = space.areas.get(index)?;
        let adjacent =
            next.first == self.last + 1 && self.pgoff + (self.last + 1 - self.first) == next.pgoff;
        let prev = left.and_then(|left| space.areas.get(left)?.active);
        let agree = prev.is_none() || next.active.is_none() || prev == next.active;
        (adjacent && agree && self.suits(next)).then_some(index)
    }
}

/// Where an anon_vma comes from.
struct Family {
    id: Id,
    parent: Id,
    root: Id,
}

/// What an anon_vma counts.
#[derive(Clone, Copy)]
pub(super) struct Tally {
    /// Which.
    pub(super) id: Id,
    /// What it was forked from; itself if it is a root.
    pub(super) parent: Id,
    /// Its root; itself if it is one.
    pub(super) root: Id,
    /// References.
    pub(super) refcount: usize,
    /// anon_vmas whose parent it is, a root among its own.
    pub(super) children: usize,
    /// VMAs whose `->anon_vma` it is.
    pub(super) active: usize,
    linked: bool,
}

impl Tally {
    /// Whether a fork may hand it out again (R24).
    fn is_reusable(&self) -> bool {
        self.active == 0 && self.children <= 1
    }
}

/// An anonymous page.
pub(super) struct Page {
    /// Which.
    pub(super) id: Id,
    /// The anon_vma that it leads to.
    pub(super) anon: Id,
    /// Its offset.
    pub(super) index: usize,
    /// What is written there.
    pub(super) words: [u64; WORDS],
}

/// A page's place in swap.  Its users are the PTEs that name it; without any it is gone.
pub(super) struct Slot {
    /// Which.
    pub(super) id: Id,
    /// The anon_vma that the page led to.
    anon: Id,
    index: usize,
    /// The page, while it is in memory: the swap cache.
    page: Option<Id>,
    /// What it held when it was last taken out of memory.
    words: [u64; WORDS],
}

/// Address spaces, and what they share.
pub(super) struct Reference {
    size: usize,
    next: Id,
    /// The address spaces, by number.
    pub(super) spaces: KVVec<Option<Space>>,
    /// In order of their ids; those with no VMA are swept up at the end of each step.
    families: KVVec<Family>,
    /// In order of their ids; those that are neither mapped nor in the swap cache are swept up as
    /// well.
    pub(super) pages: KVVec<Page>,
    /// Those without users are swept up, too.
    pub(super) slots: KVVec<Slot>,
    reached: Reached,
}

impl Reference {
    /// None yet, each to be of `size` pages.
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

    /// What it has come across.
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

    /// Counts what each anon_vma counts, from the VMAs alone: in order of their ids.
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
            // Its tree holds one reference on it, and it holds one on its root.
            entry(&mut all, id)?.refcount += 1;
            entry(&mut all, parent)?.children += 1;
            if root != id {
                entry(&mut all, root)?.refcount += 1;
            }
        }
        Ok(all)
    }

    /// How many PTEs map each page, in order of their ids.
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

    /// How many PTEs name a slot.
    pub(super) fn users(&self, slot: Id) -> usize {
        let ptes = self.spaces.iter().flatten().flat_map(|space| &space.ptes);
        ptes.filter(|&&pte| pte == Pte::Swap(slot)).count()
    }

    /// The slot for which a page is in the swap cache.
    fn slot_of(&self, page: Id) -> Option<Id> {
        let slot = self.slots.iter().find(|slot| slot.page == Some(page))?;
        (self.users(slot.id) > 0).then_some(slot.id)
    }

    /// Forgets what nobody uses any more: to be called at the end of each step.
    pub(super) fn sweep(&mut self) -> Result {
        let mut slots = mem::take(&mut self.slots);
        slots.retain(|slot| self.users(slot.id) > 0);
        self.slots = slots;
        let tallies = self.tallies()?;
        let linked = |id| {
            let at = tallies.binary_search_by_key(&id, |tally| tally.id);
            at.is_ok_and(|at| tallies.get(at).is_some_and(|tally| tally.linked))
        };
        self.families.retain(|family| linked(family.id));
        let counts = self.mapcounts()?;
        let mapped = |id| counts.iter().any(|&(page, n)| page == id && n > 0);
        let cached = |id| self.slots.iter().any(|slot| slot.page == Some(id));
        self.pages.retain(|page| mapped(page.id) || cached(page.id));
        Ok(())
    }

    /// A page.
    pub(super) fn page(&self, id: Id) -> Option<&Page> {
        let at = self.pages.binary_search_by_key(&id, |page| page.id).ok()?;
        self.pages.get(at)
    }

    fn page_mut(&mut self, id: Id) -> Result<&mut Page> {
        let at = self.pages.binary_search_by_key(&id, |page| page.id);
        at.ok().and_then(|at| self.pages.get_mut(at)).ok_or(EINVAL)
    }

    /// The last of `pages` pages.
    fn last_of(&self, first: usize, pages: usize) -> Result<usize> {
        match first.checked_add(pages) {
            Some(end) if pages > 0 && end <= self.size => Ok(end - 1),
            _ => Err(EINVAL),
        }
    }

    /// A new address space; its number, the lowest that is free.
    pub(super) fn create(&mut self) -> Result<usize> {
        let space = Space {
            areas: KVVec::new(),
            ptes: KVVec::from_elem(Pte::None, self.size, GFP_KERNEL)?,
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

    /// The end of an address space.
    pub(super) fn exit(&mut self, mm: usize) -> Result {
        let place = self.spaces.get_mut(mm).ok_or(ESRCH)?;
        let gone = place.take().ok_or(ESRCH)?;
        self.reached.add(&gone.reached);
        Ok(())
    }

    /// `mmap()`.
    pub(super) fn map(&mut self, mm: usize, first: usize, pages: usize, write: bool) -> Result {
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
    pub(super) fn unmap(&mut self, mm: usize, first: usize, pages: usize) -> Result {
        let last = self.last_of(first, pages)?;
        self.space_mut(mm)?.unmap(first, last)
    }

    /// `madvise(MADV_DONTNEED)`.
    pub(super) fn discard(&mut self, mm: usize, first: usize, pages: usize) -> Result {
        let last = self.last_of(first, pages)?;
        self.space_mut(mm)?.zap(first, last);
        Ok(())
    }

    /// `mprotect()`: VMA by VMA, up to the first hole.
    pub(super) fn protect(&mut self, mm: usize, first: usize, pages: usize, write: bool) -> Result {
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

    /// `mremap()` that only makes the VMA at `address` longer.
    pub(super) fn grow(&mut self, mm: usize, address: usize, pages: usize) -> Result {
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
    pub(super) fn remap(
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
            // What has no pages has the offset of its address.
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

    /// `dup_mmap()`: the number of the child.
    pub(super) fn fork(&mut self, mm: usize) -> Result<usize> {
        self.space(mm)?;
        let child = self.create()?;
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

    /// `anon_vma_fork()`: the child's `->anon_vma`, and its chain.
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

    /// Reads a word.
    pub(super) fn read(&mut self, mm: usize, address: usize, word: usize) -> Result<u64> {
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
    pub(super) fn write(&mut self, mm: usize, address: usize, word: usize, value: u64) -> Result {
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

    /// `do_wp_page()`: the page to be written to.
    fn write_shared(&mut self, mm: usize, address: usize, id: Id) -> Result<Id> {
        let space = self.space(mm)?;
        let index = space.at(address).ok_or(EFAULT)?;
        if self.mapcount(id) == 1 && self.slot_of(id).is_none() {
            // Nobody else's any more (R19).
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

    /// `do_swap_page()`: the page.
    fn swap_in(&mut self, mm: usize, address: usize, slot: Id) -> Result<Id> {
        let space = self.space(mm)?;
        let area = space.area(space.at(address).ok_or(EFAULT)?)?;
        let active = area.active.ok_or(EINVAL)?;
        // Others may come to map it as well: then it goes where all of them are linked (R20).
        let anon = if self.users(slot) == 1 {
            active
        } else {
            let family = self.families.iter().find(|family| family.id == active);
            family.ok_or(EINVAL)?.root
        };
        let id = self.cached(slot, anon)?;
        let alone = self.page(id).ok_or(EINVAL)?.anon == active;
        self.reached.to_root += usize::from(!alone);
        let writable = false;
        self.space_mut(mm)?
            .set_pte(address, Pte::Page { id, writable });
        Ok(id)
    }

    /// The page of a slot: if it is not in memory it is read, and leads to `anon`.
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

    /// `shrink_folio_list()`, of the page at an address: returns whether there was one.  It stays in
    /// the swap cache unless its memory is to be `freed`.
    pub(super) fn swap_out(&mut self, mm: usize, address: usize, freed: bool) -> Result<bool> {
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

    /// `try_to_unuse()`, of the slot at an address: how many PTEs have the page again.
    pub(super) fn unuse(&mut self, mm: usize, address: usize) -> Result<usize> {
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

    /// `migrate_folio()`, of the page at an address: returns whether there was one.
    pub(super) fn migrate(&mut self, mm: usize, address: usize) -> Result<bool> {
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

    /// A page that is this VMA's alone (R20).
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

    /// `__anon_vma_prepare()`: the VMA's anon_vma; if it has none, that of the next VMA or of the
    /// one before, or a new one.
    fn prepare(&mut self, mm: usize, index: usize) -> Result<Id> {
        let space = self.space(mm)?;
        let area = space.area(index)?;
        if let Some(active) = area.active {
            return Ok(active);
        }
        let singleton = |other: &Area| (!other.is_fork_child()).then_some(other.active).flatten();
        let joins = |a: &Area, b: &Area| a.last + 1 == b.first && a.offset(a.last) + 1 == b.pgoff;
        let next = space.areas.get(index + 1).filter(|next| joins(area, next));
        let prev = index
            .checked_sub(1)
            .and_then(|index| space.areas.get(index));
        let prev = prev.filter(|prev| joins(prev, area));
        let shared = next.and_then(singleton).or(prev.and_then(singleton));
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

fn is_page(pte: Pte, page: Id) -> bool {
    matches!(pte, Pte::Page { id, .. } if id == page)
}

fn entry(tallies: &mut [Tally], id: Id) -> Result<&mut Tally> {
    let at = tallies.binary_search_by_key(&id, |tally| tally.id);
    at.ok().and_then(|at| tallies.get_mut(at)).ok_or(EINVAL)
}

impl Space {
    /// Writes to these addresses fault.
    fn wrprotect(&mut self, first: usize, last: usize) {
        for pte in self.ptes.iter_mut().take(last + 1).skip(first) {
            if let Pte::Page { writable, .. } = pte {
                *writable = false;
            }
        }
    }

    /// `vma_merge_new_range()`: nothing is there yet; `copied` is an address of the VMA whose copy
    /// it is.
    fn merge_new(&mut self, wanted: &Merge, copied: Option<usize>) -> Result<bool> {
        let left = wanted.left(self);
        let right = wanted.right(self, left);
        let (target, first, last) = match (left, right) {
            (Some(prev), Some(next)) => (prev, self.area(prev)?.first, self.area(next)?.last),
            (Some(prev), None) => (prev, self.area(prev)?.first, wanted.last),
            (None, Some(next)) => (next, wanted.first, self.area(next)?.last),
            (None, None) => return Ok(false),
        };
        if let Some(next) = right {
            self.dup(target, next)?;
        }
        if let Some(source) = copied.and_then(|address| self.at(address)) {
            self.dup(target, source)?;
        }
        self.extend(target, first, last)
    }

    /// `vma_modify()`: a part of a VMA, or all of it, is to have another protection.
    fn modify(&mut self, middle: usize, from: usize, to: usize, write: bool) -> Result {
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
        match (left, right) {
            (Some(prev), Some(next)) => {
                let source = match self.area(next)?.active {
                    Some(_) => next,
                    None => middle,
                };
                self.dup(prev, source)?;
                self.extend(prev, self.area(prev)?.first, self.area(next)?.last)?;
            }
            (Some(prev), None) => {
                self.dup(prev, middle)?;
                self.extend(prev, self.area(prev)?.first, to)?;
            }
            (None, Some(next)) => {
                self.dup(next, middle)?;
                self.extend(next, from, self.area(next)?.last)?;
            }
            (None, None) => {
                if start < from {
                    self.split(middle, from, true)?;
                }
                let part = self.at(from).ok_or(EFAULT)?;
                if to < end {
                    self.split(part, to + 1, false)?;
                }
                self.area_mut(part)?.write = write;
            }
        }
        Ok(())
    }

    /// `dup_anon_vma()`: what covers another's pages is linked as that one is.
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

    /// `commit_merge()`: a VMA covers all of this; the others keep what is left of them.
    fn extend(&mut self, target: usize, first: usize, last: usize) -> Result<bool> {
        self.reached.merges += 1;
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
        Ok(true)
    }
}

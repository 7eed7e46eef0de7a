// SPDX-License-Identifier: GPL-2.0

//! Comparing the model with the reference.

use super::{
    pair::Pair,
    Names,
    Place,
    Stop,
    SIZE, //
};
use crate::{
    model::{
        attributes::VmFlags,
        table::Pte,
        tests::reference::{
            self,
            Area,
            Id,
            Tally, //
        },
        verify::Live,
        Modelled, //
    },
    rmap::anon_vma::AnonVma,
};
use kernel::prelude::*;

impl<R: Modelled> Pair<R> {
    /// Compares all address spaces and all counts.
    pub(super) fn compare(&mut self) -> Result<(), Stop> {
        let tallies = self.reference.tallies()?;
        let mapcounts = self.reference.mapcounts()?;
        self.anon_vmas.keep_only(&tallies, |tally| tally.id);
        self.pages.keep_only(&self.reference.pages, |page| page.id);

        let mut seen = KVVec::from_elem(false, tallies.len(), GFP_KERNEL)?;
        for mm in 0..self.mms.len() {
            self.compare_areas(mm, &tallies, &mut seen)?;
            self.compare_ptes(mm, &mapcounts)?;
        }
        self.compare_sums(&tallies)
    }

    /// Compares the VMAs of an address space and their chains.
    fn compare_areas(
        &mut self,
        number: usize,
        tallies: &[Tally],
        seen: &mut [bool],
    ) -> Result<(), Stop> {
        let space = self.reference.spaces.get(number);
        let (mm, space) = match (self.mms.get(number), space) {
            (Some(Some(mm)), Some(Some(space))) => (mm, space),
            _ => return Ok(()),
        };
        let mmap = mm.core().mmap_read();
        let mut areas = space.areas.iter();
        for slot in mm.space().vmas.range(0, usize::MAX) {
            let at = slot.first;
            let place = Place { mm: number, at };
            let vma = &slot.vma;
            let Some(area) = areas.next() else {
                return place.size("a VMA", 1, 0);
            };
            let Area { first, last, .. } = *area;
            place.size("the first address of a VMA", at, first)?;
            place.size("the last address of a VMA", slot.last, last)?;
            place.size("a page offset", vma.range(&mmap).start, area.pgoff)?;
            let write = vma.flags().has(VmFlags::WRITE);
            place.same("a protection", write.into(), area.write.into())?;

            let names = &mut self.anon_vmas;
            let mut chain = area.chain.iter();
            for anon_vma in vma.core.links(&mmap) {
                let should_be = chain.next().copied();
                place.name("a link", names, anon_vma.key() as u64, should_be)?;
                compare_anon_vma(&place, names, anon_vma, tallies, seen)?;
            }
            place.size("the end of a chain", 0, chain.count())?;
            let active = vma.core.anon_vma(&mmap).map_or(0, AnonVma::key);
            place.name("an anon_vma", names, active as u64, area.active)?;
        }
        let place = Place {
            mm: number,
            at: SIZE,
        };
        place.size("VMAs too few", areas.count(), 0)
    }

    /// Compares the PTEs of an address space and the pages that they map.
    fn compare_ptes(&mut self, number: usize, mapcounts: &[(Id, usize)]) -> Result<(), Stop> {
        let space = self.reference.spaces.get(number);
        let (mm, space) = match (self.mms.get(number), space) {
            (Some(Some(mm)), Some(Some(space))) => (mm, space),
            _ => return Ok(()),
        };
        // Nothing is allocated with the page table locked.
        self.pages.0.reserve(SIZE, GFP_KERNEL)?;
        let ptes = mm.space().table.lock();
        for (at, should_be) in space.ptes.iter().enumerate() {
            let place = Place { mm: number, at };
            match (ptes.get(at), *should_be) {
                (Pte::None, reference::Pte::None) => {}
                (
                    Pte::Present { page, writable },
                    reference::Pte::Page {
                        id,
                        writable: should_be,
                    },
                ) => {
                    place.name("a page", &mut self.pages, page.id, Some(id))?;
                    place.same("a writable PTE", (*writable).into(), should_be.into())?;
                    let known = self.reference.page(id).ok_or(EINVAL)?;
                    place.size("an index", page.rmap.index(), known.index)?;
                    for (word, &should_be) in known.words.iter().enumerate() {
                        let is = page.frame.read(word).ok_or(EINVAL)?;
                        place.same("a word", is, should_be)?;
                    }
                    let key = page.rmap.anon_vma_key().unwrap_or(0);
                    let is = self.anon_vmas.id(key as u64);
                    place.size("a page's anon_vma", is, known.anon)?;
                    let count = mapcounts.binary_search_by_key(&id, |&(id, _)| id);
                    let count = count.ok().and_then(|at| mapcounts.get(at)).ok_or(EINVAL)?.1;
                    let is = usize::try_from(page.rmap.mapcount()).unwrap_or(usize::MAX);
                    place.size("a mapcount", is, count)?;
                }
                (Pte::Swap(entry), reference::Pte::Swap(id)) => {
                    let users = entry.slot().users();
                    place.size("the users of a slot", users, self.reference.users(id))?;
                }
                (is, should_be) => {
                    let kind = |none, page| match (none, page) {
                        (true, _) => 0,
                        (_, true) => 1,
                        _ => 2,
                    };
                    let is = kind(is.is_none(), is.page().is_some());
                    let should_be = match should_be {
                        reference::Pte::None => 0,
                        reference::Pte::Page { .. } => 1,
                        reference::Pte::Swap(_) => 2,
                    };
                    place.same("what is there: none, page, swap", is, should_be)?;
                }
            }
        }
        Ok(())
    }

    /// Compares the numbers of objects.
    fn compare_sums(&self, tallies: &[Tally]) -> Result<(), Stop> {
        let live = Live::now().since(&self.before);
        let whole = Place { mm: 0, at: 0 };
        let spaces = self.reference.spaces.iter().flatten();
        let areas = spaces.flat_map(|space| space.areas.iter());
        whole.size("anon_vmas alive", live.anon_vmas, tallies.len())?;
        let links = areas.map(|area| area.chain.len()).sum();
        whole.size("links alive", live.links, links)?;
        whole.size("pages alive", live.pages, self.reference.pages.len())?;
        whole.size("slots alive", live.slots, self.reference.slots.len())
    }
}

/// Compares an anon_vma, once in a comparison.
fn compare_anon_vma<R: Modelled>(
    place: &Place,
    names: &mut Names,
    anon_vma: &AnonVma<R>,
    tallies: &[Tally],
    seen: &mut [bool],
) -> Result<(), Stop> {
    let id = names.id(anon_vma.key() as u64);
    let at = tallies.binary_search_by_key(&id, |tally| tally.id);
    let at = at.map_err(|_| EINVAL)?;
    let (tally, seen) = (
        tallies.get(at).ok_or(EINVAL)?,
        seen.get_mut(at).ok_or(EINVAL)?,
    );
    if *seen {
        return Ok(());
    }
    *seen = true;
    let (root, parent) = (anon_vma.root().key(), anon_vma.parent_key());
    place.name("a root", names, root as u64, Some(tally.root))?;
    place.name("a parent", names, parent as u64, Some(tally.parent))?;
    let refcount = usize::try_from(anon_vma.refcount()).unwrap_or(usize::MAX);
    place.size("a refcount", refcount, tally.refcount)?;
    place.size("num_children", anon_vma.num_children(), tally.children)?;
    place.size("num_active_vmas", anon_vma.num_active_vmas(), tally.active)
}

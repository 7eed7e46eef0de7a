// SPDX-License-Identifier: GPL-2.0

//! Random sequences of operations, done by the model and by the [reference](super::reference), which
//! must agree after each step.
//!
//! Compared are the VMAs, what is written where, which PTEs map the same page, where each page leads
//! and how often it is mapped; of each VMA the chain, as a sequence, and `->anon_vma`; of each
//! anon_vma its relatives and its three counts; how many of each kind are alive.  Names differ: an
//! anon_vma or a page of the model goes with the one of the reference that it was first seen with,
//! until that is gone.
//!
//! A sequence is a number.  It is printed, and `insmod shadow_rmap.ko seed=N` repeats it.

use super::{
    mm::Mm,
    reference::{
        self,
        Area,
        Id,
        Reached,
        Reference,
        Tally,
        WORDS, //
    },
    space::Prot,
    table::Pte,
    verify::{
        verify,
        Live, //
    },
    walk,
    Modelled, //
};
use crate::{
    kernel_ext::random::Random,
    rmap::{
        anon_vma::{
            AnonVma,
            Cache, //
        },
        link::Sharing,
    },
};
use kernel::{
    alloc::AllocError,
    fmt,
    prelude::*,
    sync::Arc,
    time::{
        Instant,
        Monotonic, //
    },
};

/// Pages of each address space.
const SIZE: usize = 48;
/// Address spaces at a time.
const MMS: usize = 8;
/// VMAs of each address space; more may come of a step, and go by the next.
const AREAS: usize = 28;
/// Steps between two verifications.
const VERIFIED: usize = 100;

/// What is done to both.  Addresses are in pages.
#[derive(Clone, Copy, Debug)]
enum Step {
    Create,
    Exit {
        mm: usize,
    },
    Fork {
        mm: usize,
    },
    Map {
        mm: usize,
        first: usize,
        pages: usize,
        write: bool,
    },
    Unmap {
        mm: usize,
        first: usize,
        pages: usize,
    },
    Protect {
        mm: usize,
        first: usize,
        pages: usize,
        write: bool,
    },
    Grow {
        mm: usize,
        address: usize,
        pages: usize,
    },
    Move {
        mm: usize,
        old: usize,
        pages: usize,
        new: usize,
        keep: bool,
    },
    Discard {
        mm: usize,
        first: usize,
        pages: usize,
    },
    Read {
        mm: usize,
        address: usize,
        word: usize,
    },
    Write {
        mm: usize,
        address: usize,
        word: usize,
        value: u64,
    },
    SwapOut {
        mm: usize,
        address: usize,
        freed: bool,
    },
    Unuse {
        mm: usize,
        address: usize,
    },
    Migrate {
        mm: usize,
        address: usize,
    },
}

/// The first thing that was not the same.
#[derive(Clone, Copy)]
struct Difference {
    what: &'static str,
    mm: usize,
    /// An address, or where there is none a place in a list.
    at: usize,
    is: i64,
    should_be: i64,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_fmt(fmt!(
            "mm {}, at {}: {} is {}, should be {}",
            self.mm,
            self.at,
            self.what,
            self.is,
            self.should_be
        ))
    }
}

/// Why a sequence ended early.
enum Stop {
    /// The reference itself could not go on.
    Error(Error),
    /// They differ.
    Differs(Difference),
    /// They agree, and the verifier does not: which has said why.
    Unclean,
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<AllocError> for Stop {
    fn from(error: AllocError) -> Self {
        Self::Error(error.into())
    }
}

/// Compares one thing at one place.
struct Place {
    mm: usize,
    at: usize,
}

impl Place {
    fn same(&self, what: &'static str, is: u64, should_be: u64) -> Result<(), Stop> {
        if is == should_be {
            return Ok(());
        }
        Err(Stop::Differs(Difference {
            what,
            mm: self.mm,
            at: self.at,
            is: is as i64,
            should_be: should_be as i64,
        }))
    }

    fn size(&self, what: &'static str, is: usize, should_be: usize) -> Result<(), Stop> {
        self.same(what, is as u64, should_be as u64)
    }

    /// Whether a thing of the model is the one that goes with `id`; 0 is none.
    fn name(
        &self,
        what: &'static str,
        names: &mut Names,
        name: u64,
        id: Option<Id>,
    ) -> Result<(), Stop> {
        let id = id.unwrap_or(0);
        match (name, id) {
            (0, 0) => Ok(()),
            (0, _) | (_, 0) => self.size(what, names.id(name), id),
            _ if names.match_up(name, id)? => Ok(()),
            // They are known by the reference's numbers.
            _ => self.size(what, names.id(name), id),
        }
    }
}

/// Which thing of the model goes with which of the reference, in order of the reference's ids.
struct Names(KVVec<(Id, u64)>);

impl Names {
    /// The reference's id, 0 if there is none.
    fn id(&self, name: u64) -> Id {
        let found = self.0.iter().find(|&&(_, known)| known == name);
        found.map_or(0, |&(id, _)| id)
    }

    /// Whether both are known to go together; if neither is known they do from now on.
    fn match_up(&mut self, name: u64, id: Id) -> Result<bool> {
        match self.0.binary_search_by_key(&id, |&(id, _)| id) {
            Ok(at) => Ok(self.0.get(at).is_some_and(|&(_, known)| known == name)),
            Err(_) if self.id(name) != 0 => Ok(false),
            Err(at) => {
                self.0.reserve(1, GFP_KERNEL)?;
                let inserted = self.0.insert_within_capacity(at, (id, name));
                inserted.map_err(|_| EINVAL)?;
                Ok(true)
            }
        }
    }

    /// Forgets those that are gone from a list that is in order of `id`.
    fn keep_only<T>(&mut self, living: &[T], id: impl Fn(&T) -> Id) {
        self.0
            .retain(|&mut (known, _)| living.binary_search_by_key(&known, &id).is_ok());
    }
}

/// The model, and its reference.
struct Pair<R: Modelled> {
    cache: Arc<Cache<R>>,
    mms: KVVec<Option<Mm<R>>>,
    reference: Reference,
    anon_vmas: Names,
    pages: Names,
    /// What was alive before.
    before: Live,
}

/// How a step ended, as one number.
fn outcome(result: Result<usize>) -> u64 {
    match result {
        Ok(n) => n as u64,
        Err(error) => i64::from(error.to_errno()) as u64,
    }
}

impl<R: Modelled> Pair<R> {
    /// Two empty worlds.
    fn new() -> Result<Self> {
        Ok(Self {
            before: Live::now(),
            cache: Arc::new(Cache::new()?, GFP_KERNEL)?,
            mms: KVVec::new(),
            reference: Reference::new(SIZE),
            anon_vmas: Names(KVVec::new()),
            pages: Names(KVVec::new()),
        })
    }

    fn mm(&self, mm: usize) -> Result<&Mm<R>> {
        let mm = self.mms.get(mm).and_then(|mm| mm.as_ref());
        mm.ok_or(ESRCH)
    }

    /// A new address space gets the lowest number that is free, as in the reference.
    fn add(&mut self, mm: Mm<R>) -> Result<usize> {
        let free = self.mms.iter().position(|mm| mm.is_none());
        let at = free.unwrap_or(self.mms.len());
        match self.mms.get_mut(at) {
            Some(place) => *place = Some(mm),
            None => self.mms.push(Some(mm), GFP_KERNEL)?,
        }
        Ok(at)
    }

    /// Does a step, in the model.
    fn act(&mut self, step: Step) -> Result<usize> {
        let prot = |write| if write { Prot::WRITE } else { Prot::READ };
        let done = match step {
            Step::Create => {
                let mm = Mm::new(&self.cache, SIZE, Sharing::Singleton)?;
                return self.add(mm);
            }
            Step::Exit { mm } => {
                self.mm(mm)?;
                let gone = self.mms.get_mut(mm).and_then(Option::take);
                drop(gone);
                Ok(())
            }
            Step::Fork { mm } => {
                let child = self.mm(mm)?.fork()?;
                return self.add(child);
            }
            Step::Map {
                mm,
                first,
                pages,
                write,
            } => self.mm(mm)?.map(first, pages, prot(write)),
            Step::Unmap { mm, first, pages } => self.mm(mm)?.unmap(first, pages),
            Step::Protect {
                mm,
                first,
                pages,
                write,
            } => self.mm(mm)?.protect(first, pages, prot(write)),
            Step::Grow { mm, address, pages } => self.mm(mm)?.grow(address, pages),
            Step::Move {
                mm,
                old,
                pages,
                new,
                keep,
            } => self.mm(mm)?.remap(old, pages, new, keep),
            Step::Discard { mm, first, pages } => self.mm(mm)?.discard(first, pages),
            Step::Read { mm, address, word } => {
                // All that is written is smaller.
                return Ok(self.mm(mm)?.read(address, word)? as usize);
            }
            Step::Write {
                mm,
                address,
                word,
                value,
            } => self.mm(mm)?.write(address, word, value),
            Step::SwapOut { mm, address, freed } => {
                let Some(page) = self.mm(mm)?.page_at(address) else {
                    return Ok(0);
                };
                let out = if freed {
                    walk::reclaim(&page)?
                } else {
                    walk::try_to_unmap(&page)?
                };
                return Ok(out.into());
            }
            Step::Unuse { mm, address } => {
                let table = &self.mm(mm)?.space().table;
                let slot = match table.lock().get(address) {
                    Pte::Swap(entry) => entry.slot().clone(),
                    _ => return Ok(0),
                };
                return walk::unuse(&slot);
            }
            Step::Migrate { mm, address } => match self.mm(mm)?.page_at(address) {
                Some(page) => return walk::migrate(&page).map(|_| 1),
                None => Ok(()),
            },
        };
        done.map(|()| 0)
    }

    /// Does a step, in the reference.
    fn refer(&mut self, step: Step) -> Result<usize> {
        let reference = &mut self.reference;
        let done = match step {
            Step::Create => return reference.create(),
            Step::Exit { mm } => reference.exit(mm),
            Step::Fork { mm } => return reference.fork(mm),
            Step::Map {
                mm,
                first,
                pages,
                write,
            } => reference.map(mm, first, pages, write),
            Step::Unmap { mm, first, pages } => reference.unmap(mm, first, pages),
            Step::Protect {
                mm,
                first,
                pages,
                write,
            } => reference.protect(mm, first, pages, write),
            Step::Grow { mm, address, pages } => reference.grow(mm, address, pages),
            Step::Move {
                mm,
                old,
                pages,
                new,
                keep,
            } => reference.remap(mm, old, pages, new, keep),
            Step::Discard { mm, first, pages } => reference.discard(mm, first, pages),
            Step::Read { mm, address, word } => {
                return Ok(reference.read(mm, address, word)? as usize);
            }
            Step::Write {
                mm,
                address,
                word,
                value,
            } => reference.write(mm, address, word, value),
            Step::SwapOut { mm, address, freed } => {
                return reference.swap_out(mm, address, freed).map(usize::from);
            }
            Step::Unuse { mm, address } => return reference.unuse(mm, address),
            Step::Migrate { mm, address } => {
                return reference.migrate(mm, address).map(usize::from);
            }
        };
        done.map(|()| 0)
    }

    /// Does a step in both, and compares them.
    fn step(&mut self, step: Step) -> Result<(), Stop> {
        let (is, should_be) = (outcome(self.act(step)), outcome(self.refer(step)));
        let whole = Place { mm: 0, at: 0 };
        whole.same("what it returns", is, should_be)?;
        self.reference.sweep()?;
        self.compare()
    }

    /// Whether the verifier agrees.
    fn verified(&self) -> Result<(), Stop> {
        let mut mms = KVVec::new();
        for mm in self.mms.iter().flatten() {
            mms.push(mm, GFP_KERNEL)?;
        }
        if verify(&mms)?.is_clean() {
            Ok(())
        } else {
            Err(Stop::Unclean)
        }
    }

    /// Compares everything.
    fn compare(&mut self) -> Result<(), Stop> {
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

    /// The VMAs of an address space, and what they are linked to.
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
            let write = vma.prot().write;
            place.same("a protection", write.into(), area.write.into())?;

            let names = &mut self.anon_vmas;
            let mut chain = area.chain.iter();
            let mut stop = Ok(());
            let walked = vma.core.for_each_link(&mmap, |anon_vma| {
                let should_be = chain.next().copied();
                stop = place
                    .name("a link", names, anon_vma.key() as u64, should_be)
                    .and_then(|()| compare_anon_vma(&place, names, anon_vma, tallies, seen));
                // What is wrong is in `stop`.
                stop.is_ok().then_some(()).ok_or(EAGAIN)
            });
            stop?;
            walked?;
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

    /// The PTEs of an address space, and the pages that they map.
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

    /// How many there are of each kind.
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

/// An anon_vma, once.
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

/// Some addresses, and whether they may be written to.
struct Part {
    first: usize,
    pages: usize,
    write: bool,
}

/// Chooses what to do next, so that there is always something to do it to.
struct Chooser<'a> {
    random: &'a mut Random,
    reference: &'a Reference,
}

impl<'a> Chooser<'a> {
    fn step(&mut self) -> Step {
        let numbers = self.reference.spaces.iter().enumerate();
        let living = numbers
            .clone()
            .filter(|(_, space)| space.is_some())
            .map(|(mm, _)| mm);
        let n = living.clone().count();
        let Some(mm) = living.clone().nth(self.random.below(n)) else {
            return Step::Create;
        };
        let part = self.part(mm);
        let (first, pages) = (part.first, part.pages);
        let word = self.random.below(WORDS);
        let crowded = self.areas(mm).len() >= AREAS;
        match self.random.below(100) {
            0..=26 => Step::Write {
                mm,
                address: first,
                word,
                value: self.random.u64() >> 8,
            },
            27..=28 => Step::Read {
                mm,
                address: first,
                word,
            },
            29..=39 if !crowded => {
                let Part {
                    first,
                    pages,
                    write,
                } = self.hole(mm);
                Step::Map {
                    mm,
                    first,
                    pages,
                    write,
                }
            }
            40..=53 if !crowded => Step::Protect {
                mm,
                first,
                pages,
                // Most often it is changed.
                write: part.write == self.random.chance(1, 4),
            },
            54..=62 => Step::Move {
                mm,
                old: first,
                pages,
                new: self.random.below(SIZE),
                keep: self.random.chance(1, 3),
            },
            63..=64 => Step::Grow {
                mm,
                address: first,
                pages: 1 + self.random.below(3),
            },
            65 => Step::Discard { mm, first, pages },
            66..=75 if n < MMS => Step::Fork { mm },
            76..=81 if n > 2 => Step::Exit { mm },
            82..=86 => Step::SwapOut {
                mm,
                address: self.pte(mm, |pte| matches!(pte, reference::Pte::Page { .. })),
                freed: self.random.chance(2, 3),
            },
            87 => Step::Unuse {
                mm,
                address: self.pte(mm, |pte| matches!(pte, reference::Pte::Swap(_))),
            },
            88..=89 => Step::Migrate {
                mm,
                address: self.pte(mm, |pte| matches!(pte, reference::Pte::Page { .. })),
            },
            90..=91 if n < MMS => Step::Create,
            _ => Step::Unmap { mm, first, pages },
        }
    }

    fn areas(&self, mm: usize) -> &'a [Area] {
        let space = self
            .reference
            .spaces
            .get(mm)
            .and_then(|space| space.as_ref());
        space.map_or(&[], |space| &space.areas)
    }

    /// A part of a VMA: often all of it, or one of its ends; sometimes anything.
    fn part(&mut self, mm: usize) -> Part {
        let n = self.areas(mm).len();
        let which = self.random.below(n);
        let (first, last, write) = match self.areas(mm).get(which) {
            Some(area) if !self.random.chance(1, 24) => (area.first, area.last, area.write),
            _ => (self.random.below(SIZE), SIZE, false),
        };
        let all = last - first + 1;
        let some = 1 + self.random.below(all);
        let (first, pages) = match self.random.below(5) {
            0 | 1 => (first, all),
            2 => (first, some),
            3 => (last + 1 - some, some),
            _ => (first + self.random.below(all), 1 + self.random.below(3)),
        };
        Part {
            first,
            pages,
            write,
        }
    }

    /// Where something new might go: often beside something else, alike or not.
    fn hole(&mut self, mm: usize) -> Part {
        let n = self.areas(mm).len();
        let which = self.random.below(n);
        let pages = 1 + self.random.below(6);
        let somewhere = self.random.below(SIZE);
        let write = self.random.chance(3, 4);
        let first = match (self.areas(mm).get(which), self.random.below(3)) {
            (Some(area), 0) => area.last + 1,
            (Some(area), 1) => area.first.saturating_sub(pages),
            _ => somewhere,
        };
        Part {
            first,
            pages,
            write,
        }
    }

    /// An address with a PTE of some kind, if there is one.
    fn pte(&mut self, mm: usize, wanted: impl Fn(&reference::Pte) -> bool) -> usize {
        let from = self.random.below(SIZE);
        let space = self
            .reference
            .spaces
            .get(mm)
            .and_then(|space| space.as_ref());
        let ptes = space.map_or(&[][..], |space| &space.ptes);
        let found = (0..SIZE)
            .map(|i| (from + i) % SIZE)
            .find(|&at| ptes.get(at).is_some_and(&wanted));
        found.unwrap_or(from)
    }
}

/// How a sequence went.
#[derive(Clone, Copy)]
struct Report {
    /// Steps that were done.
    steps: usize,
    /// Whether model and reference agreed to the end.
    agreed: bool,
}

/// How a sequence is to be done.
#[derive(Clone, Copy)]
struct Plan {
    /// Which.
    seed: u64,
    /// Steps, at most.
    steps: usize,
    /// Milliseconds, after which it is enough.
    millis: i64,
    /// Whether the first difference, which ends it, is told in the kernel log, and whether what the
    /// verifier says counts.
    earnest: bool,
}

impl Plan {
    /// Does it.
    fn carry_out<R: Modelled>(&self, pair: &mut Pair<R>) -> Result<Report> {
        let start = Instant::<Monotonic>::now();
        let mut random = Random::new(self.seed);
        let mut report = Report {
            steps: 0,
            agreed: true,
        };
        while report.steps < self.steps && start.elapsed().as_millis() < self.millis {
            report.steps += 1;
            let step = Chooser {
                random: &mut random,
                reference: &pair.reference,
            }
            .step();
            let mut stopped = pair.step(step);
            if self.earnest && report.steps % VERIFIED == 0 && stopped.is_ok() {
                stopped = pair.verified();
            }
            if let Err(stop) = stopped {
                self.tell(&report, step, &stop)?;
                report.agreed = false;
                return Ok(report);
            }
        }
        if self.earnest {
            report.agreed = pair.verified().is_ok();
        }
        Ok(report)
    }

    fn tell(&self, report: &Report, step: Step, stop: &Stop) -> Result {
        let (seed, n) = (self.seed, report.steps);
        match stop {
            Stop::Error(error) => return Err(*error),
            Stop::Differs(difference) if self.earnest => {
                pr_err!("reference: seed {seed}, step {n}: {step:?}: {difference}\n");
            }
            Stop::Unclean => {
                pr_err!("reference: seed {seed}, step {n}: {step:?}: a rule does not hold\n");
            }
            Stop::Differs(_) => {}
        }
        Ok(())
    }
}

#[cfg(shadow_rmap_kunit)]
#[path = "tests/sequences.rs"]
mod tests;

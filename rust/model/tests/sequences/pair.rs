// SPDX-License-Identifier: GPL-2.0

//! The model and the reference side by side.

use super::{
    Names,
    Place,
    Step,
    Stop,
    SIZE, //
};
use crate::{
    model::{
        mm::Mm,
        space::Prot,
        tests::reference::Reference,
        verify::{
            verify,
            Live, //
        },
        walk,
        Modelled, //
    },
    rmap::{
        anon_vma::Cache,
        prepare::Sharing, //
    },
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// The model and the reference, which do the same steps.
pub(super) struct Pair<R: Modelled> {
    pub(super) cache: Arc<Cache<R>>,
    pub(super) mms: KVVec<Option<Mm<R>>>,
    pub(super) reference: Reference,
    pub(super) anon_vmas: Names,
    pub(super) pages: Names,
    /// What was allocated before.
    pub(super) before: Live,
}

/// Returns the result of a step as one number.
fn outcome(result: Result<usize>) -> u64 {
    match result {
        Ok(n) => n as u64,
        Err(error) => i64::from(error.to_errno()) as u64,
    }
}

impl<R: Modelled> Pair<R> {
    /// Both, without address spaces.
    pub(super) fn new() -> Result<Self> {
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

    /// Adds an address space under the lowest number that is free, as the reference does.
    fn add(&mut self, mm: Mm<R>) -> Result<usize> {
        let free = self.mms.iter().position(|mm| mm.is_none());
        let at = free.unwrap_or(self.mms.len());
        match self.mms.get_mut(at) {
            Some(place) => *place = Some(mm),
            None => self.mms.push(Some(mm), GFP_KERNEL)?,
        }
        Ok(at)
    }

    /// Does a step in the model.
    fn act(&mut self, step: Step) -> Result<usize> {
        let prot = |write| if write { Prot::WRITE } else { Prot::READ };
        let done = match step {
            Step::Create { shared } => {
                let sharing = if shared {
                    Sharing::Any
                } else {
                    Sharing::Singleton
                };
                let mm = Mm::new(&self.cache, SIZE, sharing)?;
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
            Step::Shift { mm, address, pages } => self.mm(mm)?.shift(address, pages),
            Step::Discard { mm, first, pages } => self.mm(mm)?.discard(first, pages),
            Step::Read { mm, address, word } => {
                // The words that are written are smaller.
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
                let Some(slot) = self.mm(mm)?.slot_at(address) else {
                    return Ok(0);
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

    /// Does a step in the reference.
    fn refer(&mut self, step: Step) -> Result<usize> {
        let reference = &mut self.reference;
        let done = match step {
            Step::Create { shared } => return reference.create(shared),
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
            Step::Shift { mm, address, pages } => reference.shift(mm, address, pages),
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

    /// Does a step in both, and compares.
    pub(super) fn step(&mut self, step: Step) -> Result<(), Stop> {
        let (is, should_be) = (outcome(self.act(step)), outcome(self.refer(step)));
        let whole = Place { mm: 0, at: 0 };
        whole.same("what it returns", is, should_be)?;
        self.reference.sweep()?;
        self.compare()
    }

    /// Runs the verifier.
    pub(super) fn verified(&self) -> Result<(), Stop> {
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
}

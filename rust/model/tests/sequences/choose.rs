// SPDX-License-Identifier: GPL-2.0

//! The choice of the next step of a random sequence.

use super::{
    Step,
    AREAS,
    MMS,
    SIZE, //
};
use crate::{
    kernel_ext::random::Random,
    model::tests::reference::{
        self,
        Area,
        Reference,
        WORDS, //
    },
};

/// The most steps of a [`Chooser::merge`].
const MERGE: usize = 10;

/// Addresses, and whether they may be written to.
struct Part {
    first: usize,
    pages: usize,
    write: bool,
}

/// Chooses the next step, most often one that can succeed.
pub(super) struct Chooser<'a> {
    pub(super) random: &'a mut Random,
    pub(super) reference: &'a Reference,
    /// Whether most new address spaces share any neighbour's anon_vma.
    pub(super) shared: bool,
}

impl<'a> Chooser<'a> {
    /// Returns the next steps: one, or those of a [`merge`](Self::merge).
    pub(super) fn steps(&mut self) -> [Option<Step>; MERGE] {
        let mut steps = [const { None }; MERGE];
        if self.random.chance(1, 40) {
            return self.merge();
        }
        if let Some(first) = steps.first_mut() {
            *first = Some(self.step());
        }
        steps
    }

    /// Returns one step.
    fn step(&mut self) -> Step {
        let n = self.living().count();
        let Some(mm) = self.any_mm() else {
            return self.create();
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
                // Most often the protection changes.
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
            90..=91 if n < MMS => self.create(),
            92..=93 => Step::Shift {
                mm,
                address: first,
                pages: 1 + self.random.below(3),
            },
            _ => Step::Unmap { mm, first, pages },
        }
    }

    /// Returns a step that creates an address space.
    fn create(&mut self) -> Step {
        Step::Create {
            shared: self.shared && self.random.chance(3, 4),
        }
    }

    /// Returns the numbers of the address spaces.
    fn living(&self) -> impl Iterator<Item = usize> + 'a {
        let numbers = self.reference.spaces.iter().enumerate();
        numbers
            .filter(|(_, space)| space.is_some())
            .map(|(mm, _)| mm)
    }

    /// Chooses an address space.
    fn any_mm(&mut self) -> Option<usize> {
        let n = self.living().count();
        self.living().nth(self.random.below(n))
    }

    /// Returns steps after which a process, most often a child, has an old VMA with pages beside a
    /// new one, which may share its anon_vma. The last step merges the new VMA with the old one, or
    /// with a part of it.
    fn merge(&mut self) -> [Option<Step>; MERGE] {
        let Some(mm) = self.any_mm() else {
            return [const { None }; MERGE];
        };
        // By the rules of 2010 the links of a child differ; by the others it shares nothing.
        let forks = self.shared || self.random.chance(1, 4);
        // The child gets the lowest number that is free. If there is none, another process exits.
        let spaces = &self.reference.spaces;
        let free = spaces.iter().position(|space| space.is_none());
        let (exits, child) = match free {
            _ if !forks => (None, mm),
            Some(free) => (None, free),
            None if spaces.len() < MMS => (None, spaces.len()),
            None => {
                let other = (mm + 1) % spaces.len();
                (Some(Step::Exit { mm: other }), other)
            }
        };
        let pages = 4;
        let lower = self.random.below(SIZE / (2 * pages)) * 2 * pages;
        let (old, new) = if self.random.chance(1, 2) {
            (lower, lower + pages)
        } else {
            (lower + pages, lower)
        };
        // The part of the old VMA beside the new one, or all of it.
        let (part, length) = match (self.random.chance(1, 2), old < new) {
            (false, _) => (old, pages),
            (true, true) => (old + pages / 2, pages / 2),
            (true, false) => (old, pages / 2),
        };
        let write = |mm, address| {
            Some(Step::Write {
                mm,
                address,
                word: 0,
                value: 1,
            })
        };
        let map = |mm, first| {
            Some(Step::Map {
                mm,
                first,
                pages,
                write: true,
            })
        };
        let protect = |first, pages, write| {
            Some(Step::Protect {
                mm: child,
                first,
                pages,
                write,
            })
        };
        let both = Step::Unmap {
            mm,
            first: lower,
            pages: 2 * pages,
        };
        let shares = self.random.chance(2, 3);
        [
            exits,
            Some(both),
            map(mm, old),
            write(mm, part),
            forks.then_some(Step::Fork { mm }),
            write(child, part),
            protect(old, pages, false),
            map(child, new),
            write(child, new).filter(|_| shares),
            protect(part, length, true),
        ]
    }

    fn areas(&self, mm: usize) -> &'a [Area] {
        let space = self
            .reference
            .spaces
            .get(mm)
            .and_then(|space| space.as_ref());
        space.map_or(&[], |space| &space.areas)
    }

    /// Chooses a part of a VMA: often all of it, or one of its ends; sometimes any addresses.
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

    /// Chooses a place for a new VMA, often beside another one.
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

    /// Chooses an address whose PTE is `wanted`, if there is one.
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

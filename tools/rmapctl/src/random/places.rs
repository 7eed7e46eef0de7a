// SPDX-License-Identifier: GPL-2.0

//! Picks the arguments of `map` and `move`.

use super::{Generator, MAX_MAPPINGS};
use crate::model::Mapping;
use crate::scenario::{Destination, Place, Prot, Range, Step, Target};
use rand::Rng;

impl Generator {
    pub(super) fn mapping_name(&mut self) -> String {
        let name = format!("m{}", self.next_mapping);
        self.next_mapping += 1;
        name
    }

    pub(super) fn try_map(&mut self, process: &str) -> Option<Step> {
        if self.model.process(process).ok()?.mappings.len() >= MAX_MAPPINGS {
            return None;
        }
        let pages = self.rng.random_range(1..=self.limits.max_pages);
        let pgoff = match self.rng.random_bool(0.3) {
            true => self.rng.random_range(0..self.limits.max_pages),
            false => 0,
        };
        let prot = match self.rng.random_bool(0.8) {
            true => Prot::ReadWrite,
            false => self.any_prot(),
        };
        Some(Step::Map {
            process: process.to_owned(),
            mapping: self.mapping_name(),
            pages,
            prot,
            over: None,
            pgoff,
        })
    }

    fn has_room(&self, process: &str) -> bool {
        let process = self.model.process(process);
        process.is_ok_and(|process| process.mappings.len() < MAX_MAPPINGS)
    }

    /// Picks pages to move. They are certainly one VMA if `resizable`; otherwise they may be several.
    fn movable(&mut self, map: &Mapping, resizable: bool) -> Option<(usize, usize)> {
        let start = self.any_index(map, |page| page.mapped && !page.sealed)?;
        let can_move = |index: usize| {
            let page = map.pages.get(index);
            page.is_some_and(|page| page.mapped && !page.sealed)
        };
        let is_start =
            |index: usize| !can_move(index - 1) || (resizable && map.pages[index].boundary);
        let mut first = start;
        while first > 0 && !is_start(first) {
            first -= 1;
        }
        let mut end = start + 1;
        while can_move(end) && !is_start(end) {
            end += 1;
        }
        Some((first, end))
    }

    /// Picks a part of these pages, or all of them.
    fn part(&mut self, (first, end): (usize, usize), whole: f64) -> (usize, usize) {
        if self.rng.random_bool(whole) {
            return (first, end);
        }
        let first = self.rng.random_range(first..end);
        (first, self.rng.random_range(first + 1..=end))
    }

    /// Moves pages to an address that the kernel chooses. It refuses to resize several VMAs.
    pub(super) fn try_move(&mut self, process: &str) -> Option<Step> {
        let (mapping, map) = self.any_mapping(process)?;
        let resizable = self.rng.random_bool(0.6);
        let (first, end) = self.movable(&map, resizable)?;
        let whole = map.pages.iter().filter(|page| page.mapped).count() == end - first;
        let keep = self.rng.random_bool(0.3);
        let all = whole && !keep && self.rng.random_bool(0.5);
        // A VMA that is left behind as a whole loses its links.
        let share = match (all, keep) {
            (true, _) => 1.0,
            (_, true) => 0.7,
            _ => 0.0,
        };
        let (first, end) = self.part((first, end), share);
        let count = (end - first) as u64;
        let most = self.limits.max_pages.max(count);
        let pages = match self.rng.random_range(0..4) {
            0 if resizable && !keep => Some(self.rng.random_range(1..=most)),
            _ => None,
        };
        let (range, to) = match all {
            true => (Range::All, Destination::Elsewhere),
            false if self.has_room(process) => (
                Range::Span(first as u64, end as u64),
                Destination::As(self.mapping_name()),
            ),
            false => return None,
        };
        Some(Step::Move {
            target: Target {
                process: process.to_owned(),
                mapping,
                range,
            },
            pages,
            to,
            keep,
        })
    }

    /// Picks pages of a mapping that can be replaced: of any VMAs, and holes.
    fn any_place(&mut self, process: &str, most: usize) -> Option<(Place, u64)> {
        let (mapping, map) = self.any_mapping(process)?;
        let first = self.any_index(&map, |page| !page.lent && !page.sealed)?;
        let pages = map.pages.iter().skip(first).take(most);
        let room = pages.take_while(|page| !page.lent && !page.sealed).count();
        let count = self.rng.random_range(1..=room);
        let page = first as u64;
        Some((Place { mapping, page }, count as u64))
    }

    /// Moves pages onto others, of the same mapping or of another one.
    pub(super) fn try_onto(&mut self, process: &str) -> Option<Step> {
        let (mapping, map) = self.any_mapping(process)?;
        let resizable = !self.limits.shifts && self.rng.random_bool(0.3);
        let found = self.movable(&map, resizable)?;
        let (first, end) = self.part(found, 0.4);
        let most = match resizable {
            true => usize::try_from(self.limits.max_pages).ok()?,
            false => end - first,
        };
        let (place, count) = self.any_place(process, most)?;
        let first = first as u64;
        let end = match resizable {
            true => end as u64,
            false => first + count,
        };
        if place.mapping == mapping && place.page < end && first < place.page + count {
            return None;
        }
        Some(Step::Move {
            target: Target {
                process: process.to_owned(),
                mapping,
                range: Range::Span(first, end),
            },
            pages: resizable.then_some(count),
            to: Destination::Onto(place),
            keep: !resizable && self.rng.random_bool(0.3),
        })
    }

    /// Maps over pages, at an offset that often continues that of the page before.
    pub(super) fn try_over(&mut self, process: &str) -> Option<Step> {
        let most = usize::try_from(self.limits.max_pages).ok()?;
        let (place, pages) = self.any_place(process, most)?;
        let pgoff = match self.rng.random_bool(0.7) {
            true => place.page,
            false => self.rng.random_range(0..self.limits.max_pages),
        };
        let mapping = match self.rng.random_bool(0.5) {
            true => place.mapping.clone(),
            false if self.has_room(process) => self.mapping_name(),
            false => return None,
        };
        Some(Step::Map {
            process: process.to_owned(),
            mapping,
            pages,
            prot: self.any_prot(),
            over: Some(place),
            pgoff,
        })
    }
}

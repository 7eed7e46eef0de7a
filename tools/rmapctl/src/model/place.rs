// SPDX-License-Identifier: GPL-2.0

//! Commands that put pages at an address: `map` and `move`.

use super::pages::SEALED;
use super::{Mapping, Model, Page, mark};
use crate::scenario::{Destination, Place, Prot, Target};

impl Model {
    /// Fails unless `count` pages can be put at `place`.
    fn demand_place(&self, process: &str, place: &Place, count: u64) -> Result<(), String> {
        let Place { mapping, page } = place;
        let pages = &self.mapping(process, mapping)?.pages;
        let have = pages.len() as u64;
        let end = page.checked_add(count).filter(|end| *end <= have);
        let Some(end) = end else {
            return Err(format!(
                "mapping `{mapping}` of `{process}` has pages 0..{have}; {count} from page {page} \
                 on are beyond its end"
            ));
        };
        for (index, page) in pages
            .iter()
            .enumerate()
            .take(end as usize)
            .skip(*page as usize)
        {
            let why = match *page {
                Page { lent: true, .. } => "may have given its address to another mapping",
                Page { sealed: true, .. } => SEALED,
                _ => continue,
            };
            return Err(format!("page {index} of `{mapping}` in `{process}` {why}"));
        }
        let run = super::Run {
            first: *page,
            count,
        };
        self.no_thread_at(process, mapping, &[run])
    }

    /// Replaces pages at `place`; those before and after are other VMAs.
    fn put(&mut self, process: &str, place: &Place, new: &[Page]) -> Result<(), String> {
        let pages = &mut self.mapping_mut(process, &place.mapping)?.pages;
        let first = place.page as usize;
        pages[first..first + new.len()].copy_from_slice(new);
        mark(pages, first);
        mark(pages, first + new.len());
        self.forget_if_gone(process, &place.mapping)
    }

    pub(super) fn map(
        &mut self,
        process: &str,
        mapping: &str,
        count: u64,
        prot: Prot,
        over: Option<&Place>,
    ) -> Result<(), String> {
        self.no_unmapping_in(process)?;
        let mut pages = vec![
            Page {
                prot,
                ..Page::FRESH
            };
            count as usize
        ];
        mark(&mut pages, 0);
        self.mapped_once = true;
        if let Some(place) = over {
            self.demand_place(process, place, count)?;
            if place.mapping == mapping {
                return self.put(process, place, &pages);
            }
        }
        let mappings = &self.process(process)?.mappings;
        if mappings.contains_key(mapping) {
            return Err(format!(
                "process `{process}` already has a mapping `{mapping}`"
            ));
        }
        if let Some(place) = over {
            self.put(process, place, &vec![Page::LENT; count as usize])?;
        }
        let mappings = &mut self.process_mut(process)?.mappings;
        mappings.insert(mapping.to_owned(), Mapping { base: 0, pages });
        Ok(())
    }

    pub(super) fn relocate(
        &mut self,
        target: &Target,
        pages: Option<u64>,
        to: &Destination,
        keep: bool,
    ) -> Result<(), String> {
        let Target {
            process, mapping, ..
        } = target;
        self.no_unmapping_in(process)?;
        self.unsealed(target)?;
        let run = match self.runs(target)?.as_slice() {
            [run] => *run,
            _ => {
                return Err(
                    "the pages to move are not contiguous; move each part by itself".to_owned(),
                );
            }
        };
        let count = pages.unwrap_or(run.count);
        if let Destination::Onto(place) = to {
            self.demand_place(process, place, count)?;
            let apart = place.page + count <= run.first || run.first + run.count <= place.page;
            if place.mapping == *mapping && !apart {
                return Err("the pages to move and their new place overlap".to_owned());
            }
        }
        let source = self.mapping_mut(process, mapping)?;
        let mut moved: Vec<Page> = source.pages[run.indices()].to_vec();
        let grown = moved.last().map_or(Page::FRESH, |page| page.grown());
        moved.resize(count as usize, grown);
        mark(&mut moved, 0);
        if *to == Destination::Elsewhere {
            source.pages.truncate(run.first as usize);
            // The pages before keep their numbers, and have other addresses from now on.
            source.pages.fill(Page::LENT);
            source.pages.append(&mut moved);
            return Ok(());
        }
        let left = &mut source.pages[run.indices()];
        if keep {
            for page in left {
                page.value = None;
                page.guard = false;
            }
        } else {
            // Pages that become more may stay where they are, as another mapping.
            let may_stay = matches!(to, Destination::As(_)) && count > run.count;
            left.fill(if may_stay { Page::LENT } else { Page::HOLE });
            mark(&mut source.pages, run.indices().end);
        }
        match to {
            Destination::Onto(place) => {
                self.put(process, place, &moved)?;
                if place.mapping == *mapping {
                    return Ok(());
                }
            }
            Destination::As(name) => {
                let mappings = &mut self.process_mut(process)?.mappings;
                if mappings.contains_key(name) {
                    return Err(format!(
                        "process `{process}` already has a mapping `{name}`"
                    ));
                }
                let new = Mapping {
                    base: 0,
                    pages: moved,
                };
                mappings.insert(name.to_owned(), new);
            }
            Destination::Elsewhere => {}
        }
        self.forget_if_gone(process, mapping)
    }

    /// Removes a mapping that has no page left, so that its name is free.
    pub(super) fn forget_if_gone(&mut self, process: &str, mapping: &str) -> Result<(), String> {
        if !self
            .mapping(process, mapping)?
            .pages
            .iter()
            .any(|page| page.mapped)
        {
            self.process_mut(process)?.mappings.remove(mapping);
        }
        Ok(())
    }
}

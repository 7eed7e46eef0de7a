// SPDX-License-Identifier: GPL-2.0

//! Turns a command with names into the calls of its process, with addresses.

use super::Engine;
use crate::model::Run;
use crate::scenario::{Destination, Place, Step, Target};
use crate::worker::{Call, MAX_RUNS, PAGE_SIZE, Request, Runs, encode_prot};
use anyhow::{Result, anyhow, bail};

pub(super) fn known(error: String) -> anyhow::Error {
    anyhow!(error)
}

impl Engine<'_> {
    /// Returns the requests of a command that one process executes.
    pub(super) fn requests(&self, step: &Step) -> Result<Vec<Request>> {
        let requests = match step {
            Step::Fork { children, .. } => {
                let fork = |name: &String| Request::Fork { name: name.clone() };
                return Ok(children.iter().map(fork).collect());
            }
            Step::Pin { target } => {
                let pin = |(base, runs)| Request::Pin { base, runs };
                return Ok(self.batches(target)?.into_iter().map(pin).collect());
            }
            Step::Unpin { byte, .. } => return Ok(vec![Request::Unpin { byte: *byte }]),
            Step::Map {
                process,
                pages,
                prot,
                over,
                pgoff,
                ..
            } => vec![Call::Map {
                pages: *pages,
                pgoff: *pgoff,
                prot: encode_prot(*prot),
                at: self.address_of(process, over.as_ref())?,
            }],
            Step::Move {
                target,
                pages,
                to,
                keep,
            } => {
                let runs = self.model.runs(target).map_err(known)?;
                let [Run { first, count }] = runs[..] else {
                    bail!("the pages to move are not contiguous; move each part by itself");
                };
                let Target {
                    process, mapping, ..
                } = target;
                let old = self.model.mapping(process, mapping).map_err(known)?.base;
                let place = match to {
                    Destination::Onto(place) => Some(place),
                    Destination::Elsewhere | Destination::As(_) => None,
                };
                vec![Call::Move {
                    address: old + first * PAGE_SIZE,
                    old: count,
                    new: pages.unwrap_or(count),
                    onto: self.address_of(process, place)?,
                    keep: *keep,
                    reserve: self.needs.reserved_holes && *to != Destination::Elsewhere,
                }]
            }
            Step::Touch {
                target,
                write,
                byte,
            } => self.calls(target, |base, runs| match write {
                true => Call::Write {
                    base,
                    runs,
                    byte: byte.unwrap_or(1),
                },
                false => Call::Read {
                    base,
                    runs,
                    byte: *byte,
                },
            })?,
            Step::Protect { target, prot } => {
                let prot = encode_prot(*prot);
                self.calls(target, |base, runs| Call::Protect { base, runs, prot })?
            }
            Step::Unmap { target } => self.calls(target, |base, runs| Call::Unmap {
                base,
                runs,
                reserve: self.needs.reserved_holes,
            })?,
            Step::Dontneed { target } => {
                let advice = nix::libc::MADV_DONTNEED;
                self.calls(target, |base, runs| Call::Advise { base, runs, advice })?
            }
            Step::Advise { target, advice } => {
                let advice = advice.number();
                self.calls(target, |base, runs| Call::Advise { base, runs, advice })?
            }
            Step::Lock { target } => {
                let lock = true;
                self.calls(target, |base, runs| Call::Lock { base, runs, lock })?
            }
            Step::Unlock { target } => {
                let lock = false;
                self.calls(target, |base, runs| Call::Lock { base, runs, lock })?
            }
            Step::Seal { target } => self.calls(target, |base, runs| Call::Seal { base, runs })?,
            Step::Poke {
                target,
                byte,
                force,
                ..
            } => {
                let pid = self.pid(&target.process)?.as_raw();
                self.calls(target, |base, runs| Call::Poke {
                    pid,
                    base,
                    runs,
                    byte: byte.unwrap_or(1),
                    force: *force,
                })?
            }
            other => bail!("`{other}` is not a command of one process"),
        };
        Ok(requests.into_iter().map(Request::Call).collect())
    }

    /// Returns the only request of a command.
    pub(super) fn request(&self, step: &Step) -> Result<Request> {
        let mut requests = self.requests(step)?;
        match (requests.pop(), requests.is_empty()) {
            (Some(request), true) => Ok(request),
            _ => bail!("`{step}` is not one call"),
        }
    }

    /// Returns the same call for each run of `target`, at most [`MAX_RUNS`] in one request.
    fn calls(&self, target: &Target, call: impl Fn(u64, Runs) -> Call) -> Result<Vec<Call>> {
        let batches = self.batches(target)?.into_iter();
        Ok(batches.map(|(base, runs)| call(base, runs)).collect())
    }

    fn batches(&self, target: &Target) -> Result<Vec<(u64, Runs)>> {
        let runs = self.model.runs(target).map_err(known)?;
        let mapping = self.model.mapping(&target.process, &target.mapping);
        let base = mapping.map_err(known)?.base;
        Ok(runs
            .chunks(MAX_RUNS)
            .map(|runs| {
                (
                    base,
                    runs.iter().map(|run| (run.first, run.count)).collect(),
                )
            })
            .collect())
    }

    fn address_of(&self, process: &str, place: Option<&Place>) -> Result<Option<u64>> {
        let Some(Place { mapping, page }) = place else {
            return Ok(None);
        };
        let mapping = self.model.mapping(process, mapping).map_err(known)?;
        Ok(Some(mapping.base + page * PAGE_SIZE))
    }

    /// Notes the address of what a command has mapped or moved, after it was applied to the model.
    pub(super) fn note_address(&mut self, step: &Step, address: u64) -> Result<()> {
        let (process, name, first) = match step {
            Step::Map {
                process,
                mapping,
                over,
                ..
            } => match over {
                // The pages are a part of a mapping whose address is known.
                Some(place) if place.mapping == *mapping => return Ok(()),
                _ => (process, mapping, 0),
            },
            Step::Move { target, to, .. } => match to {
                Destination::Onto(_) => return Ok(()),
                Destination::As(name) => (&target.process, name, 0),
                // A moved mapping that keeps its name keeps the numbers of its pages.
                Destination::Elsewhere => {
                    let mapping = self.model.mapping(&target.process, &target.mapping);
                    let pages = &mapping.map_err(known)?.pages;
                    let first = pages.iter().take_while(|page| !page.mapped).count();
                    (&target.process, &target.mapping, first as u64)
                }
            },
            other => bail!("`{other}` has no address"),
        };
        let base = address.wrapping_sub(first * PAGE_SIZE);
        self.model.set_base(process, name, base).map_err(known)
    }
}

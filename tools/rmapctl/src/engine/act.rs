// SPDX-License-Identifier: GPL-2.0

//! Commands that processes execute.

use super::Engine;
use super::processes::Outcome;
use crate::model::{Model, Run};
use crate::scenario::{Step, Target};
use crate::worker::{self, Answer, Ending, MAX_RUNS, PAGE_SIZE, Request, Runs};
use anyhow::{Result, anyhow, bail};
use nix::sys::signal::Signal;

impl Engine<'_> {
    /// Executes a command in its process, then applies it to the model.
    pub(super) fn act(&mut self, step: &Step) -> Result<()> {
        let known = |error: String| anyhow!(error);
        match step {
            Step::Map {
                process,
                mapping,
                pages,
                pgoff,
            } => {
                let request = Request::Map {
                    pages: *pages,
                    pgoff: *pgoff,
                };
                let address = self.ask_address(process, &request)?;
                self.model.apply(step).map_err(known)?;
                return self
                    .model
                    .set_base(process, mapping, address)
                    .map_err(known);
            }
            Step::Touch {
                target,
                write,
                byte,
            } => self.calls(target, |base, runs| touch(base, runs, *write, *byte))?,
            Step::Protect { target, prot } => {
                let prot = worker::encode_prot(*prot);
                self.calls(target, |base, runs| Request::Protect { base, runs, prot })?;
            }
            Step::Unmap { target } => {
                self.calls(target, |base, runs| Request::Unmap { base, runs })?;
            }
            Step::Dontneed { target } => {
                self.calls(target, |base, runs| Request::Dontneed { base, runs })?;
            }
            Step::Move {
                target,
                pages,
                name,
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
                let request = Request::Move {
                    address: old + first * PAGE_SIZE,
                    old: count,
                    new: pages.unwrap_or(count),
                    keep: *keep,
                };
                let address = self.ask_address(process, &request)?;
                self.model.apply(step).map_err(known)?;
                // A moved mapping that keeps its name keeps the numbers of its pages.
                let (mapping, base) = match name {
                    Some(name) => (name, address),
                    None => (mapping, address.wrapping_sub(first * PAGE_SIZE)),
                };
                return self.model.set_base(process, mapping, base).map_err(known);
            }
            Step::Fork { process, children } => {
                for child in children {
                    self.fork(process, child)?;
                }
            }
            Step::Exec { process } => {
                let name = process.clone();
                self.ask_done(process, &Request::Exec { name })?;
            }
            Step::Exit { processes } => {
                for name in self.model.matching(processes).map_err(known)? {
                    self.exit(&name)?;
                }
            }
            Step::Tree {
                target,
                depth,
                children,
                byte,
            } => {
                for (process, child) in Model::tree(&target.process, *depth, *children) {
                    self.act(&Step::Fork {
                        process,
                        children: vec![child.clone()],
                    })?;
                    self.act(&Step::Touch {
                        target: Target {
                            process: child,
                            ..target.clone()
                        },
                        write: true,
                        byte: Some(*byte),
                    })?;
                    self.tick()?;
                }
                return Ok(());
            }
            Step::Dies { signal, touch } => {
                if let Step::Touch {
                    target,
                    write,
                    byte,
                } = touch.as_ref()
                {
                    self.dies(*signal, target, *write, *byte)?;
                }
            }
            other => bail!("`{other}` is not a command of a process"),
        }
        self.model.apply(step).map_err(known)
    }

    /// Requests the same call for each run of `target`, at most [`MAX_RUNS`] in one request.
    fn calls(&mut self, target: &Target, request: impl Fn(u64, Runs) -> Request) -> Result<()> {
        for (base, runs) in self.batches(target)? {
            self.ask_done(&target.process, &request(base, runs))?;
        }
        Ok(())
    }

    fn batches(&self, target: &Target) -> Result<Vec<(u64, Runs)>> {
        let known = |error: String| anyhow!(error);
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

    fn dies(
        &mut self,
        signal: Signal,
        target: &Target,
        write: bool,
        byte: Option<u8>,
    ) -> Result<()> {
        let name = &target.process;
        for (base, runs) in self.batches(target)? {
            match self.ask(name, &touch(base, runs, write, byte))? {
                Outcome::Died(Ending::Killed(number)) if number == signal as i32 => {
                    return Ok(());
                }
                Outcome::Died(ending) => bail!("process `{name}` {ending}, expected {signal}"),
                Outcome::Answered(Answer::Failed(message)) => bail!("{message}"),
                Outcome::Answered(_) => {}
            }
        }
        bail!("process `{name}` is alive; expected {signal} to kill it")
    }
}

fn touch(base: u64, runs: Runs, write: bool, byte: Option<u8>) -> Request {
    match write {
        true => Request::Write {
            base,
            runs,
            byte: byte.unwrap_or(1),
        },
        false => Request::Read { base, runs, byte },
    }
}

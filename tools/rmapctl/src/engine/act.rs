// SPDX-License-Identifier: GPL-2.0

//! Commands that processes execute.

use super::Engine;
use super::processes::Outcome;
use super::request::known;
use crate::model::Model;
use crate::scenario::{Step, Target};
use crate::worker::{Answer, Ending, Request};
use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use std::fs;

impl Engine<'_> {
    /// Executes a command in its process, then applies it to the model.
    pub(super) fn act(&mut self, step: &Step) -> Result<()> {
        if let Some(process) = step.process() {
            self.concurrent |= self.model.threads_elsewhere(process);
        }
        match step {
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
            Step::Dies { signal, touch } => self.dies(*signal, touch)?,
            Step::Refused { errno, command } => self.refused(*errno, command)?,
            Step::Fail { after, command } => return self.fail(*after, command),
            Step::Thread { thread, command } => {
                let process = command.process().context("a thread of no process")?;
                let Request::Call(call) = self.request(command)? else {
                    bail!("`{command}` is not a call");
                };
                let name = thread.clone();
                self.ask_done(process, &Request::Thread { name, call })?;
            }
            Step::Wait { threads } => self.wait_for_threads(threads)?,
            command => {
                let process = command.process().context("a command of no process")?;
                for request in self.requests(command)? {
                    self.carry_out(process, command, &request)?;
                }
                // A command with an address is one request, and applied already.
                if matches!(command, Step::Map { .. } | Step::Move { .. }) {
                    return Ok(());
                }
            }
        }
        self.model.apply(step).map_err(known)
    }

    /// Makes a request. If it has an address, applies the command to the model.
    fn carry_out(&mut self, process: &str, command: &Step, request: &Request) -> Result<()> {
        match self.ask_answer(process, request)? {
            Answer::Done => Ok(()),
            Answer::Address(address) => {
                self.model.apply(command).map_err(known)?;
                self.note_address(command, address)
            }
            answer => bail!("process `{process}` answers {answer:?}"),
        }
    }

    fn dies(&mut self, signal: Signal, touch: &Step) -> Result<()> {
        let name = touch.process().context("a touch of no process")?;
        for request in self.requests(touch)? {
            match self.ask(name, &request)? {
                Outcome::Died(Ending::Killed(number)) if number == signal as i32 => {
                    return Ok(());
                }
                Outcome::Died(ending) => bail!("process `{name}` {ending}, expected {signal}"),
                Outcome::Answered(Answer::Failed(_, message)) => bail!("{message}"),
                Outcome::Answered(_) => {}
            }
        }
        bail!("process `{name}` is alive; expected {signal} to kill it")
    }

    fn refused(&mut self, errno: Errno, command: &Step) -> Result<()> {
        let process = command.process().context("a command of no process")?;
        let request = self.request(command)?;
        match self.ask(process, &request)? {
            Outcome::Answered(Answer::Failed(Some(number), _)) if number == errno as i32 => Ok(()),
            Outcome::Answered(Answer::Failed(_, message)) => {
                bail!("process `{process}`: {message}, expected {errno:?}")
            }
            Outcome::Answered(_) => bail!("`{command}` succeeded, expected {errno:?}"),
            Outcome::Died(ending) => bail!("process `{process}` {ending}"),
        }
    }

    /// Executes a command in which the allocation after `after` others fails, and executes it once
    /// more if it failed by that.
    fn fail(&mut self, after: u64, command: &Step) -> Result<()> {
        if !self.may_fail()? {
            // Such a kernel is good enough for a dry run.
            return match self.options.no_check {
                true => self.act(command),
                false => bail!("`fail` needs a kernel with CONFIG_FAILSLAB, and its debugfs"),
            };
        }
        let process = command.process().context("a command of no process")?;
        let request = Request::Fail {
            nth: after.saturating_add(1),
            request: Box::new(self.request(command)?),
        };
        self.counts.failing += 1;
        let Answer::Injected { failed, answer } = self.ask_answer(process, &request)? else {
            bail!("process `{process}` does not say whether an allocation has failed");
        };
        self.counts.failed += u64::from(failed);
        match *answer {
            Answer::Failed(..) if failed => self.act(command),
            Answer::Failed(_, message) => bail!("process `{process}`: {message}"),
            Answer::Address(address) => {
                self.model.apply(command).map_err(known)?;
                self.note_address(command, address)
            }
            Answer::Child(pid) => {
                let Step::Fork { children, .. } = command else {
                    bail!("`{command}` makes no child");
                };
                for child in children {
                    self.born(process, child, pid)?;
                }
                self.model.apply(command).map_err(known)
            }
            _ => self.model.apply(command).map_err(known),
        }
    }

    /// Lets allocations that may sleep fail, too: by default only others do. Returns false if the
    /// kernel cannot let allocations fail.
    fn may_fail(&mut self) -> Result<bool> {
        let Some(debugfs) = self.options.debugfs.parent() else {
            return Ok(false);
        };
        let setting = debugfs.join("failslab/ignore-gfp-wait");
        if !setting.exists() {
            return Ok(false);
        }
        fs::write(&setting, "N").with_context(|| setting.display().to_string())?;
        Ok(true)
    }

    fn wait_for_threads(&mut self, threads: &[String]) -> Result<()> {
        for name in self.model.threads_named(threads).map_err(known)? {
            let process = self.model.process_of_thread(&name);
            let process = process.context("a thread of no process")?.to_owned();
            let request = Request::Wait { name: name.clone() };
            self.ask_done(&process, &request)
                .with_context(|| format!("thread `{name}`"))?;
        }
        Ok(())
    }
}

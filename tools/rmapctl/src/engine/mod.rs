// SPDX-License-Identifier: GPL-2.0

//! The controller: runs a scenario step by step with real processes.
//!
//! The controller opens the device once, and forks the first process. Each step sends a request to
//! one worker; the next step starts when the worker has answered. The controller knows processes by
//! name, the kernel by pid. The controller is the subreaper of all processes: it waits for a
//! process whose parent has ended, and a living worker waits for its own children. A process counts
//! as ended only after the wait, because the kernel has removed its address space by then.

mod act;
mod check;
mod poll;
mod processes;
mod request;

use crate::graph::Graph;
use crate::kernel::{self, Check, Debugfs, Device, Events, Numbers};
use crate::model::{FIRST_PROCESS, Model};
use crate::output::{note, out};
use crate::scenario::{Mode, Needs, Scenario, ScenarioError, Step};
use crate::show;
use crate::worker::{Answer, Inherited, Reply};
use anyhow::{Context, Result, anyhow, bail};
use nix::fcntl::OFlag;
use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::unistd::{ForkResult, Pid, fork, pipe2};
use poll::pidfd_open;
use processes::{Live, Outcome, become_worker};
use std::collections::{HashMap, VecDeque};
use std::fs;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often a long run prints its progress, on standard error.
const PROGRESS: Duration = Duration::from_secs(5);

/// How scenarios are run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The device to map.
    pub device: PathBuf,
    /// The module's folder in debugfs.
    pub debugfs: PathBuf,
    /// The kind of mapping, if the scenario does not choose it.
    pub mode: Mode,
    /// A dry run: make no checks, and skip debugfs if it is missing.
    pub no_check: bool,
    /// Print errors and summaries only.
    pub quiet: bool,
    /// Print each step before it runs.
    pub verbose: bool,
    /// How long to wait for the answer of a process.
    pub timeout: Duration,
}

/// What a run has done.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    /// Steps run.
    pub steps: u64,
    /// Processes created, including the first.
    pub processes: u64,
    /// Checks made, including those that `check every` makes.
    pub checks: u64,
    /// The largest numbers that any check has returned.
    pub worst: Check,
    /// Events for which the module has seen two permitted outcomes.
    pub ambiguous: u64,
    /// Commands in which an allocation was to fail.
    pub failing: u64,
    /// Commands in which it has failed.
    pub failed: u64,
}

/// Formats a number with its noun in the singular or plural.
pub fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

extern "C" fn interrupt(_: libc::c_int) {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// Makes Ctrl-C and `kill` end the running scenario and its processes.
pub fn catch_interrupts() -> Result<()> {
    catch(&[Signal::SIGINT, Signal::SIGTERM])
}

/// Makes each of these signals do what Ctrl-C does.
pub fn catch(signals: &[Signal]) -> Result<()> {
    let action = SigAction::new(
        SigHandler::Handler(interrupt),
        SaFlags::empty(),
        SigSet::empty(),
    );
    for signal in signals {
        // SAFETY: The handler only stores to an atomic.
        unsafe { sigaction(*signal, &action) }.context("sigaction")?;
    }
    Ok(())
}

/// Returns whether Ctrl-C or `kill` has asked the program to stop.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// Runs one scenario; `label` is its name in messages.
pub fn run(
    label: &str,
    scenario: &Scenario,
    options: &Options,
) -> (Counts, Result<(), ScenarioError>) {
    let mut engine = match Engine::start(label, scenario.needs(), options) {
        Ok(engine) => engine,
        Err(error) => {
            let error = ScenarioError::new(0, format!("{error:#}"));
            return (Counts::default(), Err(error));
        }
    };
    let mut result = scenario.walk(&mut |line, step| {
        engine.line = line;
        engine
            .step(step)
            .map_err(|error| ScenarioError::new(line, format!("{error:#}")))
    });
    if result.is_ok() {
        result = engine
            .all_alive()
            .and_then(|()| engine.nothing_ambiguous())
            .and_then(|()| engine.something_failed())
            .map_err(|error| ScenarioError::new(0, format!("{error:#}")));
    }
    let stopped = engine.stop();
    if result.is_ok() {
        result = stopped.map_err(|error| ScenarioError::new(0, format!("{error:#}")));
    }
    engine.counts.processes = engine.model.made();
    (engine.counts, result)
}

struct Engine<'a> {
    label: &'a str,
    options: &'a Options,
    needs: Needs,
    debugfs: Debugfs,
    device: Device,
    requests: OwnedFd,
    replies: OwnedFd,
    /// Keeps the pipe of replies open when the last process ends.
    _reply_write: OwnedFd,
    /// Bytes of a reply that is not complete yet.
    partial: Vec<u8>,
    /// Replies that no step has asked for yet.
    waiting: VecDeque<Reply>,
    model: Model,
    live: HashMap<String, Live>,
    group: Pid,
    every: Option<u64>,
    since_check: u64,
    last_check: Option<Numbers>,
    /// The module's counters at the last check, or at the start.
    events: Events,
    /// A command of one process may have run beside a thread of another one.
    concurrent: bool,
    counts: Counts,
    line: usize,
    started: Instant,
    last_progress: Instant,
}

impl<'a> Engine<'a> {
    fn start(label: &'a str, needs: Needs, options: &'a Options) -> Result<Self> {
        let device = Device::open(&options.device)?;
        if !options.no_check {
            device.set_mode(options.mode)?;
        }
        nix::sys::prctl::set_child_subreaper(true).context("prctl")?;
        let (request_read, request_write) = pipe2(OFlag::empty()).context("pipe")?;
        let (reply_read, reply_write) = pipe2(OFlag::empty()).context("pipe")?;
        let inherited = Inherited::new(&device, &request_read, &reply_write);
        // SAFETY: This program has one thread.
        let group = match unsafe { fork() }.context("fork")? {
            ForkResult::Parent { child } => child,
            ForkResult::Child => {
                drop((request_write, reply_read));
                become_worker(inherited)
            }
        };
        let now = Instant::now();
        let mut engine = Self {
            label,
            options,
            needs,
            debugfs: Debugfs::new(&options.debugfs),
            device,
            requests: request_write,
            replies: reply_read,
            _reply_write: reply_write,
            partial: Vec::new(),
            waiting: VecDeque::new(),
            model: Model::new(),
            live: HashMap::new(),
            group,
            every: None,
            since_check: 0,
            last_check: None,
            events: Events::default(),
            concurrent: false,
            counts: Counts::default(),
            line: 0,
            started: now,
            last_progress: now,
        };
        engine.live.insert(
            FIRST_PROCESS.to_owned(),
            Live {
                pid: group,
                parent: None,
            },
        );
        let ready = pidfd_open(group)
            .and_then(|pidfd| engine.wait(FIRST_PROCESS, group, &pidfd))
            .and_then(|outcome| match outcome {
                Outcome::Answered(Answer::Done) => Ok(()),
                _ => bail!("the first process did not start"),
            });
        let counted = ready.and_then(|()| engine.new_events());
        if let Err(error) = counted {
            let _ = engine.stop();
            return Err(error);
        }
        Ok(engine)
    }

    fn say(&self, text: &str) -> Result<()> {
        match self.options.quiet {
            true => Ok(()),
            false => out!("{}", text.trim_end()),
        }
    }

    /// Runs one step, and after it the check of `check every` if one is due.
    fn step(&mut self, step: &Step) -> Result<()> {
        if self.options.verbose {
            self.say(&format!("{:>4}> {step}", self.line))?;
        }
        self.counts.steps += 1;
        self.tick()?;
        match step {
            Step::Mode(mode) if !self.options.no_check => self.device.set_mode(*mode)?,
            Step::Mode(_) => {}
            Step::Check(conditions) => self.check(conditions, true)?,
            Step::CheckEvery(every) => {
                self.every = *every;
                self.since_check = 0;
            }
            Step::Expect(_) if self.options.no_check => {}
            Step::Expect(conditions) => {
                let check = self.last_check.context("expect: no check has run yet")?;
                if let Some(unmet) = check.unmet(conditions) {
                    bail!("expect: {unmet}");
                }
            }
            Step::Show => {
                if let Some(text) = self.debugfs_file("chains.json")? {
                    let graph = Graph::parse(&text)?;
                    self.say(&show::render(&graph, false))?;
                }
            }
            Step::Compare => {
                if let Some(text) = self.debugfs_file("compare")? {
                    self.say(kernel::last_line(&text))?;
                }
            }
            Step::Rules => {
                if let Some(text) = self.debugfs_file("rules")? {
                    self.say(&kernel::compact_rules(&text)?)?;
                }
            }
            Step::Save { name, path } => {
                if self.may_read_debugfs(name)? {
                    fs::write(path, self.debugfs.read(name)?)
                        .with_context(|| format!("save to {path}"))?;
                }
            }
            Step::Print(text) => self.say(text)?,
            command => self.act(command)?,
        }
        if step.is_command() {
            self.since_check += 1;
            if self.every.is_some_and(|every| self.since_check >= every) {
                self.since_check = 0;
                self.check(&[], false)?;
            }
        } else {
            self.model.apply(step).map_err(|message| anyhow!(message))?;
        }
        Ok(())
    }

    /// Stops an interrupted run, and prints progress from time to time.
    ///
    /// Progress goes to standard error: results are on standard output, where tests compare them.
    fn tick(&mut self) -> Result<()> {
        if interrupted() {
            bail!("interrupted");
        }
        if self.last_progress.elapsed() >= PROGRESS {
            self.last_progress = Instant::now();
            note!(
                "{}: line {}, {}, {} alive, {}, {} s",
                self.label,
                self.line,
                counted(self.counts.steps, "step", "steps"),
                self.live.len(),
                counted(self.counts.checks, "check", "checks"),
                self.started.elapsed().as_secs()
            );
        }
        Ok(())
    }

    /// Fails if an event had two permitted outcomes: the steps of a scenario run one after the
    /// other.
    fn nothing_ambiguous(&mut self) -> Result<()> {
        if self.options.no_check || !self.debugfs.exists() {
            return Ok(());
        }
        let ambiguous = kernel::ambiguous(&self.debugfs.read("compare")?)?;
        self.counts.ambiguous = ambiguous;
        if ambiguous > 0 && !self.concurrent {
            bail!("compare: ambiguous={ambiguous}, although the steps run one after the other");
        }
        Ok(())
    }

    /// Fails if no `fail` has made an allocation fail: the scenario shows nothing then.
    fn something_failed(&mut self) -> Result<()> {
        match self.counts {
            Counts {
                failing: tried @ 1..,
                failed: 0,
                ..
            } => bail!("no allocation has failed in {tried} commands"),
            _ => Ok(()),
        }
    }

    fn may_read_debugfs(&self, name: &str) -> Result<bool> {
        let skip = self.options.no_check && !self.debugfs.exists();
        if skip {
            self.say(&format!("({name}: skipped, no debugfs in this dry run)"))?;
        }
        Ok(!skip)
    }

    fn debugfs_file(&self, name: &str) -> Result<Option<String>> {
        match self.may_read_debugfs(name)? {
            true => self.debugfs.read(name).map(Some),
            false => Ok(None),
        }
    }
}

// SPDX-License-Identifier: GPL-2.0

//! The controller: runs a scenario step by step over real processes.
//!
//! The controller opens the device once, forks the first process, and from then on only asks: each
//! request goes to one worker, and the next step waits for its answer. Processes are told apart by
//! name here and by pid there. The controller is the subreaper of all of them, so that a process
//! whose parent has ended is its own to wait for; the children of a living worker are waited for by
//! that worker. A process counts as gone only when it has been waited for: its address space has been
//! taken down by then.

use crate::kernel::{self, Check, Debugfs, Device};
use crate::model::{FIRST_PROCESS, Model, Run};
use crate::scenario::{Condition, Field, Mode, Scenario, ScenarioError, Step, Target};
use crate::show;
use crate::worker::{self, Answer, DOORBELL, Ending, Inherited, MAX_MESSAGE, MAX_RUNS, PAGE_SIZE};
use crate::worker::{Reply, Request, Runs};
use anyhow::{Context, Result, anyhow, bail};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, killpg, sigaction};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{ForkResult, Pid, fork, pipe2, read, setpgid, write};
use std::collections::{HashMap, VecDeque};
use std::fs;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often a longer run says where it is.
const PROGRESS: Duration = Duration::from_secs(5);

/// How scenarios are run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The device to map.
    pub device: PathBuf,
    /// The module's folder in debugfs.
    pub debugfs: PathBuf,
    /// The kind of mapping, where it is not the default.
    pub mode: Option<Mode>,
    /// A dry run: no ioctls, and debugfs only where it is there.
    pub no_check: bool,
    /// Print errors and summaries only.
    pub quiet: bool,
    /// Print each step before it runs.
    pub verbose: bool,
    /// How long to wait for a process.
    pub timeout: Duration,
}

/// What has been done.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    /// Steps run.
    pub steps: u64,
    /// Processes made, the first included.
    pub processes: u64,
    /// Checks made, silent ones included.
    pub checks: u64,
    /// The largest numbers that any check has seen.
    pub worst: Check,
}

/// A plural where one is due.
pub fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

extern "C" fn interrupt(_: libc::c_int) {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// Makes Ctrl-C and `kill` end the running scenario in an orderly way.
pub fn catch_interrupts() -> Result<()> {
    let action = SigAction::new(
        SigHandler::Handler(interrupt),
        SaFlags::empty(),
        SigSet::empty(),
    );
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        // SAFETY: The handler only stores to an atomic.
        unsafe { sigaction(signal, &action) }.context("sigaction")?;
    }
    Ok(())
}

/// Has the user asked to stop?
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// Runs one scenario; `label` is its name in messages.
pub fn run(
    label: &str,
    scenario: &Scenario,
    options: &Options,
) -> (Counts, Result<(), ScenarioError>) {
    let mut engine = match Engine::start(label, options) {
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
            .map_err(|error| ScenarioError::new(0, format!("{error:#}")));
    }
    let stopped = engine.stop();
    if result.is_ok() {
        result = stopped.map_err(|error| ScenarioError::new(0, format!("{error:#}")));
    }
    engine.counts.processes = engine.model.made();
    (engine.counts, result)
}

/// A living process.
struct Live {
    pid: Pid,
    /// The worker that must wait for it; [`None`] is the controller.
    parent: Option<String>,
}

/// What became of a request.
enum Outcome {
    Answered(Answer),
    Died(Ending),
}

struct Engine<'a> {
    label: &'a str,
    options: &'a Options,
    debugfs: Debugfs,
    device: Device,
    requests: OwnedFd,
    replies: OwnedFd,
    /// Keeps the pipe of replies from hanging up when the last process goes.
    _reply_write: OwnedFd,
    /// Bytes of replies not yet understood.
    partial: Vec<u8>,
    /// Replies not yet asked for.
    waiting: VecDeque<Reply>,
    model: Model,
    live: HashMap<String, Live>,
    group: Pid,
    every: Option<u64>,
    since_check: u64,
    last_check: Option<Check>,
    counts: Counts,
    line: usize,
    started: Instant,
    last_progress: Instant,
}

impl<'a> Engine<'a> {
    fn start(label: &'a str, options: &'a Options) -> Result<Self> {
        let device = Device::open(&options.device)?;
        if let Some(mode) = options.mode.filter(|_| !options.no_check) {
            device.set_mode(mode)?;
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
        if let Err(error) = ready {
            let _ = engine.stop();
            return Err(error);
        }
        Ok(engine)
    }

    fn say(&self, text: &str) {
        if !self.options.quiet {
            println!("{}", text.trim_end());
        }
    }

    /// One step, and the silent check behind it when one is due.
    fn step(&mut self, step: &Step) -> Result<()> {
        if self.options.verbose {
            self.say(&format!("{:>4}> {step}", self.line));
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
                    let graph = show::Graph::parse(&text)?;
                    self.say(&show::render(&graph, false));
                }
            }
            Step::Compare => {
                if let Some(text) = self.debugfs_file("compare")? {
                    self.say(kernel::last_line(&text));
                }
            }
            Step::Rules => {
                if let Some(text) = self.debugfs_file("rules")? {
                    self.say(&kernel::compact_rules(&text));
                }
            }
            Step::Save { name, path } => {
                if self.may_read_debugfs(name) {
                    fs::write(path, self.debugfs.read(name)?)
                        .with_context(|| format!("save to {path}"))?;
                }
            }
            Step::Print(text) => self.say(text),
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

    /// Progress for who waits, and an end for who does not.
    fn tick(&mut self) -> Result<()> {
        if interrupted() {
            bail!("interrupted");
        }
        if self.last_progress.elapsed() >= PROGRESS {
            self.last_progress = Instant::now();
            eprintln!(
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

    fn may_read_debugfs(&self, name: &str) -> bool {
        let skip = self.options.no_check && !self.debugfs.exists();
        if skip {
            self.say(&format!("({name}: skipped, no debugfs in this dry run)"));
        }
        !skip
    }

    fn debugfs_file(&self, name: &str) -> Result<Option<String>> {
        match self.may_read_debugfs(name) {
            true => self.debugfs.read(name).map(Some),
            false => Ok(None),
        }
    }

    /// A check whose `conditions` stand in for the default ones of the same fields.
    fn check(&mut self, conditions: &[Condition], aloud: bool) -> Result<()> {
        if self.options.no_check {
            return Ok(());
        }
        let check = self.device.check()?;
        self.counts.checks += 1;
        self.last_check = Some(check);
        let worst = &mut self.counts.worst;
        worst.untracked = worst.untracked.max(check.untracked);
        worst.violations = worst.violations.max(check.violations);
        worst.differences = worst.differences.max(check.differences);
        let mut all = conditions.to_vec();
        for field in [Field::Untracked, Field::Violations, Field::Differences] {
            if !conditions.iter().any(|c| c.field == field) {
                all.push(Condition {
                    field,
                    comparison: crate::scenario::Comparison::Equal,
                    value: 0,
                });
            }
        }
        let unmet = check.unmet(&all);
        if unmet.is_some() {
            // Whoever is quiet still wants to know this.
            println!("{check}");
        } else if aloud {
            self.say(&check.to_string());
        }
        if check.differences + check.violations > 0 && (aloud || unmet.is_some()) {
            match self.debugfs.read("compare") {
                Ok(text) => print_some(&kernel::complaints(&text)),
                Err(error) => eprintln!("{error:#}"),
            }
        }
        if check.violations > 0 && (aloud || unmet.is_some()) {
            if let Ok(text) = self.debugfs.read("rules") {
                for rule in kernel::parse_rules(&text) {
                    if rule.violations > 0 {
                        println!(
                            "  {} {}: violations={}",
                            rule.id, rule.title, rule.violations
                        );
                    }
                }
            }
        }
        match unmet {
            Some(unmet) => bail!("check: {unmet}"),
            None => Ok(()),
        }
    }

    /// A command: really, then in the model.
    fn act(&mut self, step: &Step) -> Result<()> {
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
            } => {
                let runs = self.model.runs(target).map_err(known)?;
                let [Run { first, count }] = runs[..] else {
                    bail!("the pages to move are not in one piece");
                };
                let Target {
                    process, mapping, ..
                } = target;
                let old = self.model.mapping(process, mapping).map_err(known)?.base;
                let request = Request::Move {
                    address: old + first * PAGE_SIZE,
                    old: count,
                    new: pages.unwrap_or(count),
                };
                let address = self.ask_address(process, &request)?;
                self.model.apply(step).map_err(known)?;
                // Without a name of its own a moved mapping keeps the numbers of its pages.
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

    /// Asks for the same call on each run of `target`, in as many requests as that takes.
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
        bail!("process `{name}` is alive, expected {signal} to kill it")
    }

    fn fork(&mut self, process: &str, child: &str) -> Result<()> {
        let request = Request::Fork {
            name: child.to_owned(),
        };
        let answer = self.ask_answer(process, &request)?;
        let Answer::Child(pid) = answer else {
            bail!("process `{process}` answers {answer:?} to a fork");
        };
        let pid = Pid::from_raw(pid);
        self.live.insert(
            child.to_owned(),
            Live {
                pid,
                parent: Some(process.to_owned()),
            },
        );
        let pidfd = pidfd_open(pid)?;
        match self.wait(child, pid, &pidfd)? {
            Outcome::Answered(Answer::Done) => Ok(()),
            Outcome::Answered(answer) => bail!("child `{child}` begins with {answer:?}"),
            Outcome::Died(ending) => bail!("child `{child}` {ending}"),
        }
    }

    fn exit(&mut self, name: &str) -> Result<()> {
        let pid = self.pid(name)?;
        let pidfd = pidfd_open(pid)?;
        self.send(pid, &Request::Exit)?;
        let deadline = Instant::now() + self.options.timeout;
        loop {
            let mut fds = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
            poll_until(&mut fds, deadline)
                .with_context(|| format!("process `{name}` does not exit"))?;
            if ready(&fds[0]) {
                break;
            }
        }
        match self.reap(name)? {
            Ending::Exited(0) => Ok(()),
            ending => bail!("process `{name}` {ending} when it was asked to exit"),
        }
    }

    /// Waits for a process that has ended, and takes it off the books.
    fn reap(&mut self, name: &str) -> Result<Ending> {
        let Some(Live { pid, parent }) = self.live.remove(name) else {
            bail!("process `{name}` is not alive");
        };
        for other in self.live.values_mut() {
            if other.parent.as_deref() == Some(name) {
                other.parent = None;
            }
        }
        match parent {
            None => loop {
                match waitpid(pid, None) {
                    Err(Errno::EINTR) => {}
                    status => return Ending::from_wait(status.context("waitpid")?),
                }
            },
            Some(parent) => {
                let request = Request::Reap { pid: pid.as_raw() };
                match self.ask_answer(&parent, &request)? {
                    Answer::Ended(ending) => Ok(ending),
                    answer => bail!("process `{parent}` answers {answer:?} to a wait"),
                }
            }
        }
    }

    fn pid(&self, name: &str) -> Result<Pid> {
        let live = self.live.get(name);
        live.map(|live| live.pid)
            .with_context(|| format!("process `{name}` is not alive"))
    }

    fn send(&self, pid: Pid, request: &Request) -> Result<()> {
        let message = serde_json::to_vec(request)?;
        if message.len() > MAX_MESSAGE {
            bail!("a request of {} bytes is too long", message.len());
        }
        write(&self.requests, &message).context("write of a request")?;
        kill(pid, DOORBELL).context("kill")
    }

    fn ask(&mut self, name: &str, request: &Request) -> Result<Outcome> {
        let pid = self.pid(name)?;
        let pidfd = pidfd_open(pid)?;
        self.send(pid, request)?;
        self.wait(name, pid, &pidfd)
    }

    /// As `ask`, and anything but an answer is an error.
    fn ask_answer(&mut self, name: &str, request: &Request) -> Result<Answer> {
        match self.ask(name, request)? {
            Outcome::Answered(Answer::Failed(message)) => bail!("process `{name}`: {message}"),
            Outcome::Answered(answer) => Ok(answer),
            Outcome::Died(ending) => bail!("process `{name}` {ending}"),
        }
    }

    fn ask_done(&mut self, name: &str, request: &Request) -> Result<()> {
        match self.ask_answer(name, request)? {
            Answer::Done => Ok(()),
            answer => bail!("process `{name}` answers {answer:?}"),
        }
    }

    fn ask_address(&mut self, name: &str, request: &Request) -> Result<u64> {
        match self.ask_answer(name, request)? {
            Answer::Address(address) => Ok(address),
            answer => bail!("process `{name}` answers {answer:?}"),
        }
    }

    /// Waits for the next reply of `pid`, or for its death.
    fn wait(&mut self, name: &str, pid: Pid, pidfd: &OwnedFd) -> Result<Outcome> {
        let deadline = Instant::now() + self.options.timeout;
        loop {
            let mine = |reply: &Reply| reply.pid == pid.as_raw();
            if let Some(at) = self.waiting.iter().position(mine) {
                if let Some(reply) = self.waiting.remove(at) {
                    return Ok(Outcome::Answered(reply.answer));
                }
            }
            let mut fds = [
                PollFd::new(self.replies.as_fd(), PollFlags::POLLIN),
                PollFd::new(pidfd.as_fd(), PollFlags::POLLIN),
            ];
            poll_until(&mut fds, deadline)
                .with_context(|| format!("process `{name}` does not answer"))?;
            let (talks, mut dead) = (has_input(&fds[0]), ready(&fds[1]));
            if !talks && dead {
                // It may have answered between the two looks.
                let mut again = [PollFd::new(self.replies.as_fd(), PollFlags::POLLIN)];
                poll(&mut again, PollTimeout::ZERO)?;
                dead = !has_input(&again[0]);
            }
            if talks {
                self.receive()?;
            } else if dead {
                return self.reap(name).map(Outcome::Died);
            }
        }
    }

    /// Takes what is in the pipe of replies.
    fn receive(&mut self) -> Result<()> {
        let mut buffer = [0u8; MAX_MESSAGE];
        let length = read(&self.replies, &mut buffer).context("read of a reply")?;
        self.partial
            .extend_from_slice(buffer.get(..length).unwrap_or_default());
        while let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') {
            let message: Vec<u8> = self.partial.drain(..=end).collect();
            self.waiting.push_back(serde_json::from_slice(&message)?);
        }
        Ok(())
    }

    /// Fails when a process has died while nothing was asked of it.
    fn all_alive(&mut self) -> Result<()> {
        let names: Vec<String> = self.live.keys().cloned().collect();
        for name in names {
            let pidfd = pidfd_open(self.pid(&name)?)?;
            let mut fds = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
            poll(&mut fds, PollTimeout::ZERO)?;
            if ready(&fds[0]) {
                let ending = self.reap(&name)?;
                bail!("process `{name}` {ending} while nothing was asked of it");
            }
        }
        Ok(())
    }

    /// Kills every process and waits for all of them.
    fn stop(&mut self) -> Result<()> {
        for pid in self.live.values().map(|live| live.pid) {
            // Who is gone already needs no signal.
            let _ = kill(pid, Signal::SIGKILL);
        }
        self.live.clear();
        // Catches a child that nobody has told the controller of.
        let _ = killpg(self.group, Signal::SIGKILL);
        let deadline = Instant::now() + self.options.timeout;
        loop {
            match waitpid(None::<Pid>, Some(WaitPidFlag::WNOHANG)) {
                Ok(nix::sys::wait::WaitStatus::StillAlive) => {
                    if Instant::now() > deadline {
                        bail!("some processes do not die of SIGKILL");
                    }
                    std::thread::sleep(Duration::from_millis(1));
                }
                Ok(_) | Err(Errno::EINTR) => {}
                Err(Errno::ECHILD) => return Ok(()),
                Err(errno) => bail!("waitpid: {errno}"),
            }
        }
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

fn print_some(lines: &[&str]) {
    const MOST: usize = 40;
    for line in lines.iter().take(MOST) {
        println!("  {line}");
    }
    if lines.len() > MOST {
        println!("  ... and {} lines more", lines.len() - MOST);
    }
}

/// The rest of the forked first process.
fn become_worker(inherited: Inherited) -> ! {
    let mut mask = SigSet::empty();
    mask.add(DOORBELL);
    // None of these is vital enough to fail for, but for the mask, without which the first doorbell
    // ends the process, and the controller says so.
    let _ = mask.thread_block();
    let _ = setpgid(Pid::from_raw(0), Pid::from_raw(0));
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
        // SAFETY: The default action runs no code of ours.
        let _ = unsafe { sigaction(signal, &default) };
    }
    worker::serve(inherited, FIRST_PROCESS)
}

/// Is there something to read?
fn has_input(fd: &PollFd<'_>) -> bool {
    fd.revents()
        .is_some_and(|events| events.contains(PollFlags::POLLIN))
}

fn ready(fd: &PollFd<'_>) -> bool {
    fd.revents().is_some_and(|events| !events.is_empty())
}

/// poll(2) until something happens; an error when the deadline or the user comes first.
fn poll_until(fds: &mut [PollFd<'_>], deadline: Instant) -> Result<()> {
    loop {
        if interrupted() {
            bail!("interrupted");
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(fds, timeout) {
            Ok(0) if left.is_zero() => bail!("timed out"),
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(()),
            Err(errno) => bail!("poll: {errno}"),
        }
    }
}

fn pidfd_open(pid: Pid) -> Result<OwnedFd> {
    // SAFETY: The call takes two numbers and returns a new descriptor or an error.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
    let fd = Errno::result(fd).context("pidfd_open")?;
    let fd = i32::try_from(fd).context("pidfd_open")?;
    // SAFETY: The descriptor is new and has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

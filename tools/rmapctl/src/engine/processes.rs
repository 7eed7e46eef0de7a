// SPDX-License-Identifier: GPL-2.0

//! The living processes: requests and replies, fork, exit, and killing all of them at the end.

use super::Engine;
use super::poll::{has_input, pidfd_open, poll_until, ready};
use crate::model::FIRST_PROCESS;
use crate::worker::{self, Answer, DOORBELL, Ending, Inherited, MAX_MESSAGE, Reply, Request};
use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, killpg, sigaction};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Pid, read, setpgid, write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// A living process.
pub(super) struct Live {
    pub(super) pid: Pid,
    /// The worker that must wait for it; [`None`]: the controller.
    pub(super) parent: Option<String>,
}

/// The result of a request.
pub(super) enum Outcome {
    Answered(Answer),
    Died(Ending),
}

impl Engine<'_> {
    pub(super) fn fork(&mut self, process: &str, child: &str) -> Result<()> {
        let request = Request::Fork {
            name: child.to_owned(),
        };
        let answer = self.ask_answer(process, &request)?;
        let Answer::Child(pid) = answer else {
            bail!("process `{process}` answers {answer:?} to a fork");
        };
        self.born(process, child, pid)
    }

    /// Waits until the child `pid` is ready.
    pub(super) fn born(&mut self, process: &str, child: &str, pid: i32) -> Result<()> {
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
            Outcome::Answered(answer) => bail!("child `{child}` starts with {answer:?}"),
            Outcome::Died(ending) => bail!("child `{child}` {ending}"),
        }
    }

    pub(super) fn exit(&mut self, name: &str) -> Result<()> {
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

    /// Waits for a process that has ended, and removes it from `live`.
    pub(super) fn reap(&mut self, name: &str) -> Result<Ending> {
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

    pub(super) fn pid(&self, name: &str) -> Result<Pid> {
        let live = self.live.get(name);
        live.map(|live| live.pid)
            .with_context(|| format!("process `{name}` is not alive"))
    }

    pub(super) fn send(&self, pid: Pid, request: &Request) -> Result<()> {
        let message = serde_json::to_vec(request)?;
        if message.len() > MAX_MESSAGE {
            bail!("a request of {} bytes is too long", message.len());
        }
        write(&self.requests, &message).context("write of a request")?;
        kill(pid, DOORBELL).context("kill")
    }

    pub(super) fn ask(&mut self, name: &str, request: &Request) -> Result<Outcome> {
        let pid = self.pid(name)?;
        let pidfd = pidfd_open(pid)?;
        self.send(pid, request)?;
        self.wait(name, pid, &pidfd)
    }

    /// As `ask`; a failure or the death of the process is an error.
    pub(super) fn ask_answer(&mut self, name: &str, request: &Request) -> Result<Answer> {
        match self.ask(name, request)? {
            Outcome::Answered(Answer::Failed(_, message)) => bail!("process `{name}`: {message}"),
            Outcome::Answered(answer) => Ok(answer),
            Outcome::Died(ending) => bail!("process `{name}` {ending}"),
        }
    }

    pub(super) fn ask_done(&mut self, name: &str, request: &Request) -> Result<()> {
        match self.ask_answer(name, request)? {
            Answer::Done => Ok(()),
            answer => bail!("process `{name}` answers {answer:?}"),
        }
    }

    /// Waits for the next reply of `pid`, or for its death.
    pub(super) fn wait(&mut self, name: &str, pid: Pid, pidfd: &OwnedFd) -> Result<Outcome> {
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
                // The process may have answered between the two polls.
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

    /// Reads the pipe of replies.
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

    /// Fails if a process has died without a request.
    pub(super) fn all_alive(&mut self) -> Result<()> {
        let names: Vec<String> = self.live.keys().cloned().collect();
        for name in names {
            let pidfd = pidfd_open(self.pid(&name)?)?;
            let mut fds = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
            poll(&mut fds, PollTimeout::ZERO)?;
            if ready(&fds[0]) {
                let ending = self.reap(&name)?;
                bail!("process `{name}` {ending} without a request");
            }
        }
        Ok(())
    }

    /// Kills every process and waits for all of them.
    pub(super) fn stop(&mut self) -> Result<()> {
        for pid in self.live.values().map(|live| live.pid) {
            // An error means that the process has ended already.
            let _ = kill(pid, Signal::SIGKILL);
        }
        self.live.clear();
        // A child whose parent died before it answered is not in `live`.
        let _ = killpg(self.group, Signal::SIGKILL);
        let deadline = Instant::now() + self.options.timeout;
        loop {
            match waitpid(None::<Pid>, Some(WaitPidFlag::WNOHANG)) {
                Ok(nix::sys::wait::WaitStatus::StillAlive) => {
                    if Instant::now() > deadline {
                        bail!("some processes are still alive after SIGKILL");
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

/// Turns the forked first process into a worker.
pub(super) fn become_worker(inherited: Inherited) -> ! {
    let mut mask = SigSet::empty();
    mask.add(DOORBELL);
    // Errors are ignored here. Without the mask the first doorbell kills the process, which the
    // controller reports.
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

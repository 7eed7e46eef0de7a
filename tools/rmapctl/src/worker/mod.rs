// SPDX-License-Identifier: GPL-2.0

//! A worker: a process of a scenario, which executes one system call after another on request.
//!
//! A worker does not know the scenario: a [`Request`] contains addresses. All workers share two
//! pipes. The controller writes a request into the first pipe, and sends the doorbell, `SIGUSR1`,
//! to the worker that shall read it. Every worker keeps this signal blocked and waits for it; then
//! it reads the request and writes its answer into the second pipe. Nothing is allocated for each
//! process, a child of `fork` needs no set-up, and pipes, signal mask and a pending doorbell
//! survive `execve`.

mod failing;
mod memory;
mod pins;
mod protocol;
mod threads;

pub use protocol::{
    Answer, Call, DOORBELL, Ending, Inherited, MAX_MESSAGE, MAX_RUNS, PAGE_SIZE, Reply, Request,
    Runs, encode_prot,
};

use crate::output::note;
use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, execv, fork, getpid, read, write};
use pins::Pins;
use std::ffi::CString;
use std::os::fd::{BorrowedFd, RawFd};
use threads::Threads;

/// How often an idle worker checks that the controller still exists.
const PATIENCE_SECS: i64 = 10;

/// Sets the process name that `ps` and debugfs show: the last 15 bytes of `name`.
fn set_comm(name: &str) {
    let tail = &name.as_bytes()[name.len().saturating_sub(15)..];
    if let Ok(name) = CString::new(tail) {
        // The scenario works without the name.
        let _ = nix::sys::prctl::set_name(&name);
    }
}

/// Serves requests until `Exit`, or until the controller has ended.
pub fn serve(inherited: Inherited, name: &str) -> ! {
    set_comm(name);
    // Removes the handlers of the Rust runtime: a bad access shall kill the process.
    for signal in [Signal::SIGSEGV, Signal::SIGBUS] {
        let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
        // SAFETY: The default action runs no code of ours.
        let _ = unsafe { sigaction(signal, &default) };
    }
    let mut worker = Worker {
        inherited,
        threads: Threads::default(),
        pins: Pins::default(),
    };
    let status = match worker.run() {
        Ok(()) => 0,
        Err(error) => {
            note!("rmapctl: {name}: {error:#}");
            70
        }
    };
    // SAFETY: Ends the process at once. Output that the controller had buffered at fork is not
    // written a second time.
    unsafe { libc::_exit(status) }
}

struct Worker {
    inherited: Inherited,
    threads: Threads,
    pins: Pins,
}

/// Borrows the descriptor `fd` for a call.
fn borrow<'a>(fd: RawFd) -> BorrowedFd<'a> {
    // SAFETY: The inherited descriptors are open as long as the worker runs.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

impl Worker {
    fn run(&mut self) -> Result<()> {
        self.reply(Answer::Done)?;
        let mut buffer = [0u8; MAX_MESSAGE];
        while self.wait_for_doorbell()? {
            let length = read(borrow(self.inherited.requests), &mut buffer)?;
            let message = buffer.get(..length).unwrap_or_default();
            let request: Request = serde_json::from_slice(message)?;
            if matches!(request, Request::Exit) {
                return Ok(());
            }
            let answer = Answer::from_result(self.serve_one(request));
            self.reply(answer)?;
        }
        Ok(())
    }

    /// Returns false if the controller has ended.
    fn wait_for_doorbell(&self) -> Result<bool> {
        let mut set = SigSet::empty();
        set.add(DOORBELL);
        let patience = libc::timespec {
            tv_sec: PATIENCE_SECS,
            tv_nsec: 0,
        };
        loop {
            // SAFETY: The set and the timeout live longer than the call; a null info is allowed.
            let signal =
                unsafe { libc::sigtimedwait(set.as_ref(), std::ptr::null_mut(), &patience) };
            if signal >= 0 {
                return Ok(true);
            }
            match Errno::last() {
                Errno::EINTR => {}
                Errno::EAGAIN => {
                    // A pipe without a reader reports an error to its writers.
                    let mut fds = [PollFd::new(
                        borrow(self.inherited.replies),
                        PollFlags::empty(),
                    )];
                    poll(&mut fds, PollTimeout::ZERO)?;
                    let events = fds[0].revents().unwrap_or(PollFlags::empty());
                    if events.contains(PollFlags::POLLERR) {
                        return Ok(false);
                    }
                }
                errno => bail!("sigtimedwait: {errno}"),
            }
        }
    }

    fn reply(&self, answer: Answer) -> Result<()> {
        let reply = Reply {
            pid: getpid().as_raw(),
            answer,
        };
        let mut message = serde_json::to_vec(&reply)?;
        message.push(b'\n');
        write(borrow(self.inherited.replies), &message)?;
        Ok(())
    }

    fn serve_one(&mut self, request: Request) -> Result<Answer> {
        if !matches!(request, Request::Thread { .. }) {
            self.threads.release();
        }
        match request {
            Request::Call(call) => memory::call(self.inherited.device, &call),
            Request::Fail { nth, request } => failing::failing(nth, || self.serve_one(*request)),
            Request::Thread { name, call } => self.threads.start(name, self.inherited.device, call),
            Request::Wait { name } => self.threads.wait(&name),
            Request::Pin { base, runs } => self.pins.pin(base, &runs),
            Request::Unpin { byte } => self.pins.unpin(byte),
            Request::Fork { name } => {
                // SAFETY: The threads of this process are those of the C library. They make one call of
                // `memory`, which holds no lock but those of the allocator, and the C library has these
                // free in the child.
                match unsafe { fork() }.context("fork")? {
                    ForkResult::Parent { child } => Ok(Answer::Child(child.as_raw())),
                    ForkResult::Child => {
                        self.threads = Threads::default();
                        self.pins = Pins::default();
                        set_comm(&name);
                        Ok(Answer::Done)
                    }
                }
            }
            Request::Reap { pid } => {
                let status = loop {
                    match waitpid(Pid::from_raw(pid), None) {
                        Err(Errno::EINTR) => {}
                        status => break status.context("waitpid")?,
                    }
                };
                Ok(Answer::Ended(Ending::from_wait(status)?))
            }
            Request::Exec { name } => {
                let Inherited {
                    device,
                    requests,
                    replies,
                } = self.inherited;
                let arguments = [
                    "rmapctl".to_owned(),
                    "worker".to_owned(),
                    format!("--device={device}"),
                    format!("--requests={requests}"),
                    format!("--replies={replies}"),
                    format!("--name={name}"),
                ]
                .into_iter()
                .map(CString::new)
                .collect::<Result<Vec<_>, _>>()?;
                match execv(c"/proc/self/exe", &arguments) {
                    Err(errno) => bail!("execve of /proc/self/exe: {errno} (is /proc mounted?)"),
                    Ok(never) => match never {},
                }
            }
            Request::Exit => Ok(Answer::Done),
        }
    }
}

// SPDX-License-Identifier: GPL-2.0

//! The process side: a real process that does one call after another on request.
//!
//! A worker knows nothing about the scenario: a [`Request`] carries addresses. All workers share two
//! pipes. The controller writes one request into the first and rings the worker that it is for with
//! `SIGUSR1`, which every worker keeps blocked and waits for; the worker reads the request and answers
//! through the second pipe. Nothing is allocated per process, a child of `fork` needs no set-up, and
//! pipes, signal mask and pending doorbell survive `execve`.

use crate::scenario::Prot;
use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::mman::{MRemapFlags, MapFlags, MmapAdvise, ProtFlags};
use nix::sys::mman::{madvise, mmap, mmap_anonymous, mprotect, mremap, munmap};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, execv, fork, getpid, read, write};
use serde::{Deserialize, Serialize};
use std::ffi::{CString, c_void};
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr::NonNull;

/// The signal that says: a request is for you.
pub const DOORBELL: Signal = Signal::SIGUSR1;
/// The most bytes of a request or reply: a pipe writes so much at once or not at all.
pub const MAX_MESSAGE: usize = libc::PIPE_BUF;
/// The most runs of pages in one request, so that it stays below [`MAX_MESSAGE`].
pub const MAX_RUNS: usize = 100;
/// How often an idle worker looks whether there is still a controller.
const PATIENCE_SECS: i64 = 10;

/// Pages on every machine that the module runs on.
pub const PAGE_SIZE: u64 = 4096;

/// Runs of pages: the first page of each, and how many.
pub type Runs = Vec<(u64, u64)>;

/// What a worker shall do.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// Map the device; replies with the address.
    Map { pages: u64, pgoff: u64 },
    /// Write `byte` to the first byte of each page.
    Write { base: u64, runs: Runs, byte: u8 },
    /// Read the first byte of each page and compare.
    Read {
        base: u64,
        runs: Runs,
        byte: Option<u8>,
    },
    /// mprotect; 0 none, 1 read, 2 read and write.
    Protect { base: u64, runs: Runs, prot: u8 },
    /// munmap.
    Unmap { base: u64, runs: Runs },
    /// madvise(MADV_DONTNEED).
    Dontneed { base: u64, runs: Runs },
    /// mremap; replies with the new address.
    Move { address: u64, old: u64, new: u64 },
    /// fork; parent and child reply.
    Fork { name: String },
    /// Wait for a child that has ended; replies with how.
    Reap { pid: i32 },
    /// Become a new program; the new program replies.
    Exec { name: String },
    /// End; nothing replies.
    Exit,
}

/// What a worker has to say.
#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    /// Done.
    Done,
    /// Done, at this address.
    Address(u64),
    /// The child of a fork.
    Child(i32),
    /// How a child has ended.
    Ended(Ending),
    /// It did not work, in words.
    Failed(String),
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// By exiting.
    Exited(i32),
    /// By a signal.
    Killed(i32),
}

impl Ending {
    /// From what `waitpid` says of an ended process.
    pub fn from_wait(status: WaitStatus) -> Result<Self> {
        match status {
            WaitStatus::Exited(_, code) => Ok(Ending::Exited(code)),
            WaitStatus::Signaled(_, signal, _) => Ok(Ending::Killed(signal as i32)),
            other => bail!("waitpid says {other:?}"),
        }
    }
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Ending::Exited(code) => write!(f, "exited with status {code}"),
            Ending::Killed(number) => match Signal::try_from(*number) {
                Ok(signal) => write!(f, "was killed by {signal}"),
                Err(_) => write!(f, "was killed by signal {number}"),
            },
        }
    }
}

/// An answer and who gives it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Reply {
    /// The worker.
    pub pid: i32,
    /// Its answer.
    pub answer: Answer,
}

/// The descriptors that every worker inherits.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Inherited {
    /// The device
    #[arg(long)]
    pub device: RawFd,
    /// Requests come from here
    #[arg(long)]
    pub requests: RawFd,
    /// Replies go here
    #[arg(long)]
    pub replies: RawFd,
}

/// Sets the name that `ps`, debugfs and the JSON show: the last 15 bytes of the scenario's name.
fn set_comm(name: &str) {
    let tail = &name.as_bytes()[name.len().saturating_sub(15)..];
    if let Ok(name) = CString::new(tail) {
        // A name is a convenience: the scenario goes on without it.
        let _ = nix::sys::prctl::set_name(&name);
    }
}

/// Serves requests until `Exit`, or until the controller is gone.
pub fn serve(inherited: Inherited, name: &str) -> ! {
    set_comm(name);
    // The runtime has a handler of its own for these; the scenario wants the plain death.
    for signal in [Signal::SIGSEGV, Signal::SIGBUS] {
        let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
        // SAFETY: The default action runs no code of ours.
        let _ = unsafe { sigaction(signal, &default) };
    }
    let worker = Worker { inherited };
    let status = match worker.run() {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("rmapctl: {name}: {error:#}");
            70
        }
    };
    // SAFETY: Ends the process at once: what the controller has buffered belongs to the controller.
    unsafe { libc::_exit(status) }
}

struct Worker {
    inherited: Inherited,
}

/// The descriptor `fd`, for the length of a call.
fn borrow<'a>(fd: RawFd) -> BorrowedFd<'a> {
    // SAFETY: The controller opened the inherited descriptors for the worker's whole life.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

impl Worker {
    fn run(&self) -> Result<()> {
        self.reply(Answer::Done)?;
        let mut buffer = [0u8; MAX_MESSAGE];
        while self.wait_for_doorbell()? {
            let length = read(borrow(self.inherited.requests), &mut buffer)?;
            let message = buffer.get(..length).unwrap_or_default();
            let request: Request = serde_json::from_slice(message)?;
            if matches!(request, Request::Exit) {
                return Ok(());
            }
            let answer = match self.serve_one(request) {
                Ok(answer) => answer,
                Err(error) => Answer::Failed(format!("{error:#}")),
            };
            self.reply(answer)?;
        }
        Ok(())
    }

    /// Returns false when there is no controller any more.
    fn wait_for_doorbell(&self) -> Result<bool> {
        let mut set = SigSet::empty();
        set.add(DOORBELL);
        let patience = libc::timespec {
            tv_sec: PATIENCE_SECS,
            tv_nsec: 0,
        };
        loop {
            // SAFETY: The set and the timeout live longer than the call; it may write no info.
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

    fn serve_one(&self, request: Request) -> Result<Answer> {
        match request {
            Request::Map { pages, pgoff } => self.map(pages, pgoff),
            Request::Write { base, runs, byte } => {
                for page in pages(&runs) {
                    let address = (base + page * PAGE_SIZE) as *mut u8;
                    // SAFETY: The address is in a mapping that nothing in this program refers to.
                    // Where it is not accessible, the death of this process is what was asked for.
                    unsafe { address.write_volatile(byte) };
                }
                Ok(Answer::Done)
            }
            Request::Read { base, runs, byte } => {
                for page in pages(&runs) {
                    let address = (base + page * PAGE_SIZE) as *const u8;
                    // SAFETY: As for `Write`; every byte is a valid u8.
                    let found = unsafe { address.read_volatile() };
                    if let Some(expected) = byte.filter(|expected| *expected != found) {
                        bail!("page {page} holds {found}, expected {expected}");
                    }
                }
                Ok(Answer::Done)
            }
            Request::Protect { base, runs, prot } => {
                let flags = match prot {
                    0 => ProtFlags::PROT_NONE,
                    1 => ProtFlags::PROT_READ,
                    _ => ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
                };
                each(base, &runs, "mprotect", |address, length| {
                    // SAFETY: The pages belong to the scenario; nothing in this program uses them.
                    unsafe { mprotect(address, length, flags) }
                })
            }
            Request::Unmap { base, runs } => each(base, &runs, "munmap", |address, length| {
                // SAFETY: As for `Protect`.
                unsafe { munmap(address, length) }
            }),
            Request::Dontneed { base, runs } => each(base, &runs, "madvise", |address, length| {
                // SAFETY: As for `Protect`.
                unsafe { madvise(address, length, MmapAdvise::MADV_DONTNEED) }
            }),
            Request::Move { address, old, new } => relocate(address, old, new),
            Request::Fork { name } => {
                // SAFETY: This process has one thread.
                match unsafe { fork() }.context("fork")? {
                    ForkResult::Parent { child } => Ok(Answer::Child(child.as_raw())),
                    ForkResult::Child => {
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

    fn map(&self, pages: u64, pgoff: u64) -> Result<Answer> {
        let length = NonZeroUsize::new(bytes(pages)?).context("a mapping of no pages")?;
        let offset = i64::try_from(pgoff)
            .ok()
            .and_then(|pgoff| pgoff.checked_mul(PAGE_SIZE as i64))
            .context("the offset is too large")?;
        // SAFETY: A new mapping at an address that the kernel chooses.
        let address = unsafe {
            mmap(
                None,
                length,
                ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
                MapFlags::MAP_PRIVATE,
                borrow(self.inherited.device),
                offset,
            )
        }
        .context("mmap")?;
        Ok(Answer::Address(address.as_ptr() as u64))
    }
}

/// The single pages of `runs`.
fn pages(runs: &[(u64, u64)]) -> impl Iterator<Item = u64> {
    runs.iter().flat_map(|&(first, count)| first..first + count)
}

fn bytes(pages: u64) -> Result<usize> {
    pages
        .checked_mul(PAGE_SIZE)
        .and_then(|bytes| usize::try_from(bytes).ok())
        .context("too many pages")
}

fn pointer(address: u64) -> Result<NonNull<c_void>> {
    NonNull::new(address as *mut c_void).context("an address of 0")
}

/// One call for each run of pages.
fn each(
    base: u64,
    runs: &[(u64, u64)],
    name: &str,
    call: impl Fn(NonNull<c_void>, usize) -> nix::Result<()>,
) -> Result<Answer> {
    for &(first, count) in runs {
        let address = pointer(base + first * PAGE_SIZE)?;
        call(address, bytes(count)?).with_context(|| match count {
            1 => format!("{name} of page {first}"),
            _ => format!("{name} of pages {first}..{}", first + count),
        })?;
    }
    Ok(Answer::Done)
}

/// Moves `old` pages, which become `new` pages.
///
/// What grows may stay where it is when there is room behind it, as in any program; all else goes to
/// an address that was free before, so that it really moves.
fn relocate(address: u64, old: u64, new: u64) -> Result<Answer> {
    let from = pointer(address)?;
    let (old_bytes, new_bytes) = (bytes(old)?, bytes(new)?);
    let moved = if new > old {
        // SAFETY: The pages belong to the scenario; nothing in this program uses them.
        unsafe {
            mremap(
                from,
                old_bytes,
                new_bytes,
                MRemapFlags::MREMAP_MAYMOVE,
                None,
            )
        }
    } else {
        let room = NonZeroUsize::new(new_bytes).context("a mapping of no pages")?;
        // SAFETY: A new mapping at an address that the kernel chooses.
        let to = unsafe { mmap_anonymous(None, room, ProtFlags::PROT_NONE, MapFlags::MAP_PRIVATE) }
            .context("mmap of a free place")?;
        let flags = MRemapFlags::MREMAP_MAYMOVE | MRemapFlags::MREMAP_FIXED;
        // SAFETY: The source is as above; what is replaced is the reservation of a line before.
        unsafe { mremap(from, old_bytes, new_bytes, flags, Some(to)) }
    }
    .context("mremap")?;
    Ok(Answer::Address(moved.as_ptr() as u64))
}

/// The protection as [`Request::Protect`] carries it.
pub fn encode_prot(prot: Prot) -> u8 {
    match prot {
        Prot::None => 0,
        Prot::Read => 1,
        Prot::ReadWrite => 2,
    }
}

impl Inherited {
    /// The descriptors of a worker that the controller forks.
    pub fn new(device: &impl AsRawFd, requests: &impl AsRawFd, replies: &impl AsRawFd) -> Self {
        Self {
            device: device.as_raw_fd(),
            requests: requests.as_raw_fd(),
            replies: replies.as_raw_fd(),
        }
    }
}

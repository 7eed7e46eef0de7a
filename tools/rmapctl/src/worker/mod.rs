// SPDX-License-Identifier: GPL-2.0

//! A worker: a process of a scenario, which executes one system call after another on request.
//!
//! A worker does not know the scenario: a [`Request`] contains addresses. All workers share two
//! pipes. The controller writes a request into the first pipe, and sends the doorbell, `SIGUSR1`,
//! to the worker that shall read it. Every worker keeps this signal blocked and waits for it; then
//! it reads the request and writes its answer into the second pipe. Nothing is allocated for each
//! process, a child of `fork` needs no set-up, and pipes, signal mask and a pending doorbell
//! survive `execve`.

mod protocol;

pub use protocol::{
    Answer, DOORBELL, Ending, Inherited, MAX_MESSAGE, MAX_RUNS, PAGE_SIZE, Reply, Request, Runs,
    encode_prot,
};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::mman::{MRemapFlags, MapFlags, MmapAdvise, ProtFlags};
use nix::sys::mman::{madvise, mmap, mmap_anonymous, mprotect, mremap, munmap};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, execv, fork, getpid, read, write};
use std::ffi::{CString, c_void};
use std::num::NonZeroUsize;
use std::os::fd::{BorrowedFd, RawFd};
use std::ptr::NonNull;

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
    let worker = Worker { inherited };
    let status = match worker.run() {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("rmapctl: {name}: {error:#}");
            70
        }
    };
    // SAFETY: Ends the process at once. Output that the controller had buffered at fork is not
    // written a second time.
    unsafe { libc::_exit(status) }
}

struct Worker {
    inherited: Inherited,
}

/// Borrows the descriptor `fd` for a call.
fn borrow<'a>(fd: RawFd) -> BorrowedFd<'a> {
    // SAFETY: The inherited descriptors are open as long as the worker runs.
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

    fn serve_one(&self, request: Request) -> Result<Answer> {
        match request {
            Request::Map { pages, pgoff } => self.map(pages, pgoff),
            Request::Write { base, runs, byte } => {
                for page in pages(&runs) {
                    let address = (base + page * PAGE_SIZE) as *mut u8;
                    // SAFETY: The address is in a mapping that nothing in this program refers to.
                    // An address that is not accessible kills this process, as requested.
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
            Request::Move {
                address,
                old,
                new,
                keep,
            } => relocate(address, old, new, keep),
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

/// Returns each page of `runs`.
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

/// Makes one call for each run of pages.
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
/// A mapping that grows may stay at its address if there is room behind it. Otherwise the pages go
/// to an address that was free before, so that they are really moved. `keep` leaves the old place
/// mapped, without its pages.
fn relocate(address: u64, old: u64, new: u64, keep: bool) -> Result<Answer> {
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
        let mut flags = MRemapFlags::MREMAP_MAYMOVE | MRemapFlags::MREMAP_FIXED;
        if keep {
            flags |= MRemapFlags::from_bits_retain(libc::MREMAP_DONTUNMAP);
        }
        // SAFETY: The source as above; the target is the reservation made just before.
        unsafe { mremap(from, old_bytes, new_bytes, flags, Some(to)) }
    }
    .context("mremap")?;
    Ok(Answer::Address(moved.as_ptr() as u64))
}

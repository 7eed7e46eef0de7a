// SPDX-License-Identifier: GPL-2.0

//! A check that waits for a process with many VMAs, which forks.

use super::report::{READ_WRITE, Report};
use crate::kernel::Device;
use crate::worker::PAGE_SIZE;
use anyhow::{Context, Result, bail, ensure};
use nix::libc;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous, mprotect};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork};
use std::ffi::c_void;
use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

/// What the process that forks has done, in [`Progress`].
const MAPS: u32 = 0;
const FORKS: u32 = 1;
const HAS_FORKED: u32 = 2;

/// A number in memory that processes share. It stays mapped.
#[derive(Clone, Copy)]
struct Progress(&'static AtomicU32);

impl Progress {
    fn new() -> Result<Self> {
        let length = NonZeroUsize::new(PAGE_SIZE as usize).context("no page")?;
        // SAFETY: A new mapping at an address that the kernel chooses.
        let page = unsafe { mmap_anonymous(None, length, READ_WRITE, MapFlags::MAP_SHARED) }
            .context("mmap()")?;
        // SAFETY: The page is zeroed, is never unmapped, and holds nothing else.
        Ok(Self(unsafe { page.cast().as_ref() }))
    }

    fn get(self) -> u32 {
        self.0.load(SeqCst)
    }

    fn set(self, to: u32) {
        self.0.store(to, SeqCst);
    }
}

/// Maps so many VMAs of one page each, and writes to them.
fn map_many(device: &Device, vmas: usize) -> Result<()> {
    let length = NonZeroUsize::new(vmas * PAGE_SIZE as usize).context("no VMA")?;
    // SAFETY: A new mapping at an address that the kernel chooses.
    let base: NonNull<c_void> =
        unsafe { mmap(None, length, READ_WRITE, MapFlags::MAP_PRIVATE, device, 0) }
            .context("mmap()")?;
    for i in 0..vmas {
        // SAFETY: The page is in the new mapping, which nothing else refers to.
        unsafe {
            let page = base.byte_add(i * PAGE_SIZE as usize);
            page.cast::<u8>().write_volatile(1);
            if i % 2 == 0 {
                mprotect(page, PAGE_SIZE as usize, ProtFlags::PROT_READ).context("mprotect()")?;
            }
        }
    }
    Ok(())
}

/// Starts a process that executes `run`.
fn start(run: impl FnOnce() -> Result<()>) -> Result<Pid> {
    // SAFETY: This program has one thread.
    match unsafe { fork() }.context("fork()")? {
        ForkResult::Child => {
            let done = run();
            // SAFETY: Ends the child, and runs no exit handler.
            unsafe { libc::_exit(i32::from(done.is_err())) }
        }
        ForkResult::Parent { child } => Ok(child),
    }
}

/// Returns the state of a process, as in `/proc/PID/stat`.
fn state(pid: Pid) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// A check waits for the `mmap_lock` of a process that forks. Returns whether a signal ended it
/// before the fork was over; `None` if the fork was too short to tell.
fn killed_during_a_fork(device: &Device, vmas: usize) -> Result<Option<bool>> {
    let progress = Progress::new()?;
    let forks = start(|| {
        map_many(device, vmas)?;
        progress.set(FORKS);
        let child = start(|| Ok(()))?;
        progress.set(HAS_FORKED);
        waitpid(child, None).context("waitpid()").map(drop)
    })?;
    while progress.get() == MAPS && !matches!(state(forks), None | Some('Z')) {
        thread::yield_now();
    }
    // A check before the fork would not wait for it.
    thread::sleep(Duration::from_millis(5));
    let checks = start(|| device.check().map(drop))?;
    // It waits for a lock, and for nothing else that no signal ends.
    while state(checks) != Some('D') && progress.get() != HAS_FORKED {
        thread::yield_now();
    }
    let waits = progress.get() == FORKS;
    kill(checks, Signal::SIGKILL).context("kill()")?;
    waitpid(checks, None).context("waitpid()")?;
    let in_time = progress.get() == FORKS;
    kill(forks, Signal::SIGKILL).context("kill()")?;
    waitpid(forks, None).context("waitpid()")?;
    // Nothing has stayed locked, or half done.
    let check = device.check()?;
    ensure!((check.differences, check.untracked) == (0, 0), "{check}");
    Ok(waits.then_some(in_time))
}

/// A fatal signal ends a check that waits for a lock.
fn killed(path: &Path) -> Result<()> {
    for vmas in [1000, 4000, 16000] {
        // The fork may end by chance while the signal is on its way.
        for _ in 0..3 {
            if killed_during_a_fork(&Device::open(path)?, vmas)? == Some(true) {
                return Ok(());
            }
        }
    }
    bail!("the check has always lasted as long as the fork")
}

/// Runs the case. Returns whether it passed.
pub fn many(path: &Path) -> bool {
    let mut report = Report::default();
    let result = killed(path).map_err(|error| format!("{error:#}"));
    report.case("many VMAs: a check that is killed", result);
    report.failed == 0
}

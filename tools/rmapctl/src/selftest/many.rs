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

/// A child process. Dropping it kills it and waits for its end.
struct Child(Pid);

impl Child {
    /// Starts a process that executes `run`.
    fn start(run: impl FnOnce() -> Result<()>) -> Result<Self> {
        // SAFETY: The child makes system calls, and ends with `_exit()`.
        match unsafe { fork() }.context("fork()")? {
            ForkResult::Child => {
                let done = run();
                // SAFETY: Ends the child, and runs no exit handler.
                unsafe { libc::_exit(i32::from(done.is_err())) }
            }
            ForkResult::Parent { child } => Ok(Self(child)),
        }
    }

    /// Returns its state, as in `/proc/PID/stat`.
    fn state(&self) -> Option<char> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).ok()?;
        stat.rsplit_once(") ")?.1.chars().next()
    }

    fn has_ended(&self) -> bool {
        matches!(self.state(), None | Some('Z'))
    }

    /// Waits until `done`, or until this process has ended.
    fn wait_until(&self, done: impl Fn() -> bool) {
        while !done() && !self.has_ended() {
            thread::yield_now();
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGKILL);
        let _ = waitpid(self.0, None);
    }
}

/// A check waits for the `mmap_lock` of a process that forks. Returns whether a signal ended it
/// before the fork was over; `None` if the fork was too short to tell.
fn killed_during_a_fork(device: &Device, vmas: usize) -> Result<Option<bool>> {
    let progress = Progress::new()?;
    let forks = Child::start(|| {
        map_many(device, vmas)?;
        progress.set(FORKS);
        let child = Child::start(|| Ok(()))?;
        progress.set(HAS_FORKED);
        waitpid(child.0, None).context("waitpid()").map(drop)
    })?;
    forks.wait_until(|| progress.get() != MAPS);
    ensure!(
        progress.get() != MAPS,
        "the process that forks has ended before its fork"
    );
    // A check before the fork would not wait for it.
    thread::sleep(Duration::from_millis(5));
    let checks = Child::start(|| device.check().map(drop))?;
    // It waits for a lock, and for nothing else that no signal ends.
    forks.wait_until(|| checks.state() == Some('D') || progress.get() == HAS_FORKED);
    let waits = progress.get() == FORKS;
    drop(checks);
    let in_time = progress.get() == FORKS;
    drop(forks);
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
pub fn many(path: &Path) -> Result<bool> {
    let mut report = Report::default();
    let result = killed(path).map_err(|error| format!("{error:#}"));
    report.case("many VMAs: a check that is killed", result);
    report.end()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::errno::Errno;

    /// `/dev/null` cannot be mapped, so the process that forks fails at once.
    #[test]
    fn a_process_that_ends_early_is_reported() {
        let device = Device::open(Path::new("/dev/null")).expect("is opened");
        let error = killed_during_a_fork(&device, 4).expect_err("must fail");
        assert!(
            error.to_string().contains("ended before its fork"),
            "{error}"
        );
    }

    #[test]
    fn the_end_of_a_process_ends_the_wait() {
        let child = Child::start(|| Ok(())).expect("is started");
        child.wait_until(|| false);
        assert!(child.has_ended());
    }

    #[test]
    fn a_child_is_killed_and_waited_for() {
        let child = Child::start(|| {
            thread::sleep(Duration::from_secs(1000));
            Ok(())
        })
        .expect("is started");
        let pid = child.0;
        assert_eq!(kill(pid, None), Ok(()));
        drop(child);
        assert_eq!(kill(pid, None), Err(Errno::ESRCH));
    }
}

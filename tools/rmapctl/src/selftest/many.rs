// SPDX-License-Identifier: GPL-2.0

//! Processes with many VMAs: what a system call costs, and what holds a check up.

use super::report::{READ_WRITE, Report};
use crate::kernel::Device;
use crate::worker::PAGE_SIZE;
use anyhow::{Context, Result, bail, ensure};
use nix::libc;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, mprotect, munmap};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork, pipe, read, write};
use std::ffi::c_void;
use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

/// VMAs of one page each, which have been written to.
struct Many {
    base: NonNull<c_void>,
    vmas: usize,
}

impl Many {
    fn new(device: &Device, vmas: usize) -> Result<Self> {
        let length = NonZeroUsize::new(vmas * PAGE_SIZE as usize).context("no VMA")?;
        // SAFETY: A new mapping at an address that the kernel chooses.
        let base = unsafe { mmap(None, length, READ_WRITE, MapFlags::MAP_PRIVATE, device, 0) }
            .context("mmap()")?;
        let this = Self { base, vmas };
        for i in 0..vmas {
            // SAFETY: The page is in the new mapping, which nothing else refers to.
            unsafe { this.page(i).cast::<u8>().write_volatile(1) };
        }
        for i in (0..vmas).step_by(2) {
            // SAFETY: As above.
            unsafe { mprotect(this.page(i), PAGE_SIZE as usize, ProtFlags::PROT_READ) }
                .context("mprotect()")?;
        }
        Ok(this)
    }

    fn page(&self, i: usize) -> NonNull<c_void> {
        // SAFETY: The page is in the mapping.
        unsafe { self.base.byte_add(i * PAGE_SIZE as usize) }
    }
}

impl Drop for Many {
    fn drop(&mut self) {
        // SAFETY: A user of the pages borrows this.
        let _ = unsafe { munmap(self.base, self.vmas * PAGE_SIZE as usize) };
    }
}

/// Forks; the child exits at once.
fn fork_and_exit() -> Result<()> {
    // SAFETY: The child makes one system call.
    match unsafe { fork() }.context("fork()")? {
        // SAFETY: Ends the child, and runs no exit handler.
        ForkResult::Child => unsafe { libc::_exit(0) },
        ForkResult::Parent { child } => waitpid(child, None).context("waitpid()")?,
    };
    Ok(())
}

/// Returns the time for a check, a fork with the child's exit, and an `munmap()` of so many VMAs.
fn costs(device: &Device, vmas: usize) -> Result<[Duration; 3]> {
    let many = Many::new(device, vmas)?;
    let start = Instant::now();
    let check = device.check()?;
    let checked = start.elapsed();
    ensure!((check.differences, check.untracked) == (0, 0), "{check}");
    let start = Instant::now();
    fork_and_exit()?;
    let forked = start.elapsed();
    let start = Instant::now();
    drop(many);
    Ok([checked, forked, start.elapsed()])
}

/// Sixteen times as many VMAs take at most 64 times as long. What grows with their square takes 256
/// times as long.
fn growth(path: &Path) -> Result<()> {
    let device = Device::open(path)?;
    let mut few = [Duration::ZERO; 3];
    for _ in 0..3 {
        let now = costs(&device, 1000)?;
        few = std::array::from_fn(|i| few[i].max(now[i]));
    }
    let many = costs(&device, 16000)?;
    for (i, name) in ["a check", "fork() and exit", "munmap()"]
        .iter()
        .enumerate()
    {
        ensure!(
            many[i] < 64 * few[i],
            "{name} takes {:?} with 1,000 VMAs, and {:?} with 16,000",
            few[i],
            many[i]
        );
    }
    Ok(())
}

/// Returns the state of a process, as in `/proc/PID/stat`.
fn state(pid: Pid) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// A check waits for the `mmap_lock` of a process that forks. Returns whether a signal ended it
/// before the fork was over; `None` if the fork was too short to tell.
fn killed_during_a_fork(path: &Path, vmas: usize) -> Result<Option<bool>> {
    let device = Device::open(path)?;
    let (go, start) = pipe().context("pipe()")?;
    // SAFETY: This program has one thread.
    let child = match unsafe { fork() }.context("fork()")? {
        ForkResult::Child => {
            let checked = read(&go, &mut [0]).is_ok() && device.check().is_ok();
            // SAFETY: Ends the child, and runs no exit handler.
            unsafe { libc::_exit(i32::from(!checked)) }
        }
        ForkResult::Parent { child } => child,
    };
    let (begun, forked) = (AtomicBool::new(false), AtomicBool::new(false));
    let result = Many::new(&device, vmas).and_then(|_many| {
        thread::scope(|scope| {
            let fork = scope.spawn(|| {
                begun.store(true, SeqCst);
                let done = fork_and_exit();
                forked.store(true, SeqCst);
                done
            });
            while !begun.load(SeqCst) {
                thread::yield_now();
            }
            // A check before the fork would not wait for it.
            thread::sleep(Duration::from_millis(5));
            write(&start, &[0]).context("write()")?;
            // The child waits for a lock, and for nothing else that no signal ends.
            while state(child) != Some('D') && !forked.load(SeqCst) {
                thread::yield_now();
            }
            let waits = !forked.load(SeqCst);
            kill(child, Signal::SIGKILL).context("kill()")?;
            waitpid(child, None).context("waitpid()")?;
            let in_time = !forked.load(SeqCst);
            fork.join()
                .unwrap_or_else(|_| bail!("the thread panicked"))?;
            Ok(waits.then_some(in_time))
        })
    });
    if result.is_err() {
        let _ = kill(child, Signal::SIGKILL);
        let _ = waitpid(child, None);
    }
    // Nothing has stayed locked, or half done.
    let check = device.check()?;
    ensure!((check.differences, check.untracked) == (0, 0), "{check}");
    result
}

/// A fatal signal ends a check that waits for a lock.
fn killed(path: &Path) -> Result<()> {
    for vmas in [1000, 4000, 16000] {
        // The fork may end by chance while the signal is on its way.
        for _ in 0..3 {
            match killed_during_a_fork(path, vmas)? {
                Some(true) => return Ok(()),
                Some(false) | None => {}
            }
        }
    }
    bail!("the check has always lasted as long as the fork")
}

/// Runs the cases. Returns whether every case passed.
pub fn many(path: &Path) -> bool {
    let mut report = Report::default();
    for (name, case) in [
        (
            "many VMAs: a check that is killed",
            killed as fn(&Path) -> Result<()>,
        ),
        ("many VMAs: costs grow with their number", growth),
    ] {
        report.case(name, case(path).map_err(|error| format!("{error:#}")));
    }
    report.failed == 0
}

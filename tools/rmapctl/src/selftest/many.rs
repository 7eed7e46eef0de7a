// SPDX-License-Identifier: GPL-2.0

//! A check that waits for a process with many VMAs, which forks.

use super::report::{READ_WRITE, Report};
use crate::child::Child;
use crate::kernel::Device;
use crate::shared::Shared;
use crate::worker::PAGE_SIZE;
use anyhow::{Context, Result, bail, ensure};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, mprotect};
use nix::sys::wait::waitpid;
use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

/// What the process that forks has done, in a number that it shares.
const MAPS: u32 = 0;
const FORKS: u32 = 1;
const HAS_FORKED: u32 = 2;

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

/// A check waits for the `mmap_lock` of a process that forks. Returns whether a signal ended it
/// before the fork was over; `None` if the fork was too short to tell.
fn killed_during_a_fork(device: &Device, vmas: usize) -> Result<Option<bool>> {
    let progress = Shared::<AtomicU32>::new()?;
    let forks = Child::start(|| {
        map_many(device, vmas)?;
        progress.store(FORKS, SeqCst);
        let child = Child::start(|| Ok(()))?;
        progress.store(HAS_FORKED, SeqCst);
        waitpid(child.pid(), None).context("waitpid()").map(drop)
    })?;
    forks.wait_until(|| progress.load(SeqCst) != MAPS);
    ensure!(
        progress.load(SeqCst) != MAPS,
        "the process that forks has ended before its fork"
    );
    // A check before the fork would not wait for it.
    thread::sleep(Duration::from_millis(5));
    let checks = Child::start(|| device.check().map(drop))?;
    // It waits for a lock, and for nothing else that no signal ends.
    forks.wait_until(|| checks.state() == Some('D') || progress.load(SeqCst) == HAS_FORKED);
    let waits = progress.load(SeqCst) == FORKS;
    drop(checks);
    let in_time = progress.load(SeqCst) == FORKS;
    drop(forks);
    // Nothing has stayed locked, or half done.
    let check = device.check()?;
    ensure!(
        (check.differences, check.violations, check.untracked) == (0, 0, 0),
        "{check}"
    );
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
}

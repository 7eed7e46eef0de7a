// SPDX-License-Identifier: GPL-2.0

//! Measures what a mapping of the device costs its process: one figure for each operation, in
//! nanoseconds.

use crate::output;
use anyhow::{Context, Result, bail};
use nix::libc;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::time::Instant;

/// Pages of a mapping.
const PAGES: usize = 64;
const PAGE_SIZE: usize = crate::worker::PAGE_SIZE as usize;

/// Maps the device and writes to each page.
fn map_and_touch(device: &impl AsFd) -> Result<std::ptr::NonNull<std::ffi::c_void>> {
    let length = NonZeroUsize::new(PAGES * PAGE_SIZE).context("a mapping of no pages")?;
    let prot = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: A new mapping at an address that the kernel chooses.
    let address =
        unsafe { mmap(None, length, prot, MapFlags::MAP_PRIVATE, device, 0) }.context("mmap")?;
    for page in 0..PAGES {
        // SAFETY: The page is in the new mapping, which nothing else refers to.
        unsafe {
            address
                .as_ptr()
                .byte_add(page * PAGE_SIZE)
                .cast::<u8>()
                .write_volatile(1);
        }
    }
    Ok(address)
}

fn unmap(address: std::ptr::NonNull<std::ffi::c_void>) -> Result<()> {
    // SAFETY: The mapping of `map_and_touch()`; nothing else refers to its pages.
    unsafe { munmap(address, PAGES * PAGE_SIZE) }.context("munmap")
}

fn fork_and_exit() -> Result<()> {
    // SAFETY: This program has one thread.
    match unsafe { fork() }.context("fork")? {
        // SAFETY: Ends the child at once.
        ForkResult::Child => unsafe { libc::_exit(0) },
        ForkResult::Parent { child } => match waitpid(child, None).context("waitpid")? {
            WaitStatus::Exited(_, 0) => Ok(()),
            other => bail!("waitpid returned {other:?}"),
        },
    }
}

/// Returns the median of `times` operations, in nanoseconds; the first few are not counted.
fn measure(times: u32, mut operation: impl FnMut() -> Result<()>) -> Result<u128> {
    for _ in 0..=times / 10 {
        operation()?;
    }
    let mut all = Vec::new();
    for _ in 0..times {
        let begin = Instant::now();
        operation()?;
        all.push(begin.elapsed().as_nanos());
    }
    all.sort_unstable();
    all.get(all.len() / 2).copied().context("nothing measured")
}

/// Measures each operation, and prints a line with its name and its figure.
pub fn run(device: &impl AsFd, times: u32) -> Result<()> {
    let faults = measure(times, || unmap(map_and_touch(device)?))?;
    let address = map_and_touch(device)?;
    let forks = measure(times, fork_and_exit)?;
    unmap(address)?;
    output::offer(format!("fork-exit {forks}\nwrite-faults {faults}\n")).map(drop)
}

// SPDX-License-Identifier: GPL-2.0

//! Cases of the module's check of any process.

use super::report::{READ_WRITE, Report};
use crate::kernel::Device;
use crate::worker::PAGE_SIZE;
use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::sys::mman::{MapFlags, mmap_anonymous, munmap};
use std::fs::File;
use std::io::Write;
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process;
use std::time::{Duration, Instant};

/// The size of a mapping with two pages in it, in bytes: page tables of several levels are absent.
const SPARSE: usize = 4 << 40;
/// A check that passes over it in steps of a page table takes longer, also on a fast machine.
const AT_MOST: Duration = Duration::from_secs(2);

/// Tries `host/check` in the folder `debugfs`.
pub(super) fn cases(report: &mut Report, device: &Device, debugfs: &Path) -> Result<()> {
    let path = debugfs.join("host/check");
    let mut check = File::options().read(true).write(true).open(path)?;
    report.refused("pwrite() to host/check", device, Errno::ESPIPE, || {
        let written = check.write_at(b"1", 0);
        written.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0)))
    });
    let result = sparse(&mut check).map_err(|error| format!("{error:#}"));
    report.case("host/check of a large VMA with two pages", result);
    Ok(())
}

/// Has this process checked while it has a large mapping with a page at either end.
fn sparse(check: &mut File) -> Result<()> {
    let length = NonZeroUsize::new(SPARSE).context("no page")?;
    let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE;
    // SAFETY: A new mapping at an address that the kernel chooses.
    let start = unsafe { mmap_anonymous(None, length, READ_WRITE, flags) }.context("mmap()")?;
    // SAFETY: Both pages are in the new mapping, which nothing else refers to.
    unsafe {
        start.cast::<u8>().write_volatile(1);
        let last = start.byte_add(SPARSE - PAGE_SIZE as usize);
        last.cast::<u8>().write_volatile(1);
    }
    let begin = Instant::now();
    let checked = check.write_all(process::id().to_string().as_bytes());
    let took = begin.elapsed();
    // SAFETY: Nothing refers to it any more.
    unsafe { munmap(start, SPARSE) }.context("munmap()")?;
    checked.context("write()")?;
    ensure!(took < AT_MOST, "it took {took:.1?}");
    Ok(())
}
